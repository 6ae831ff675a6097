//! Against the running kernel. These change the host, so they run only when asked for, as root and in a network
//! namespace of their own: `unshare -n cargo test -p host_devices -- --ignored`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use host_devices::{BlockDevice, HostError, InterfaceName, Links, LoopDevice};

fn name(name: &str) -> InterfaceName {
    InterfaceName::new(name).unwrap()
}

fn ip(arguments: &str) {
    assert!(Command::new("ip").args(arguments.split(' ')).status().unwrap().success(), "ip {arguments}");
}

#[test]
#[ignore = "changes network interfaces: as root, in a network namespace"]
fn interface_is_renamed_plugged_unplugged_and_deleted() {
    let links = Links::open().unwrap();
    ip("link add xot-br0 type bridge");
    ip("link add xot-br1 type bridge");
    let waiting =
        std::thread::spawn(|| Links::open().unwrap().wait_for(&name("xot-port"), Duration::from_secs(5)));
    let bridge = links.bridge(&name("xot-br0")).unwrap();
    links.set_mtu(&bridge, 1400).unwrap();
    let bridge = links.bridge(&name("xot-br0")).unwrap();
    let port = links.bridge(&name("xot-br1")).unwrap();
    links.rename(&port, &name("xot-port")).unwrap();
    assert_eq!(waiting.join().unwrap().unwrap().index, port.index);

    let error = links.plug(&port, &bridge, None).unwrap_err();
    assert!(matches!(error, HostError::Interface { .. }), "a bridge cannot be in a bridge: {error}");
    let port = links.find(&name("xot-port")).unwrap().unwrap();
    assert_eq!((port.is_up, port.master), (false, None));
    links.delete(&port).unwrap();

    ip("tuntap add xot-tap mode tap");
    let tap = || links.find(&name("xot-tap")).unwrap().unwrap();
    links.plug(&tap(), &bridge, None).unwrap();
    assert_eq!((tap().is_up, tap().master, tap().mtu), (true, Some(bridge.index), 1400));
    links.unplug(&tap()).unwrap();
    assert_eq!((tap().is_up, tap().master), (false, None));

    links.delete(&bridge).unwrap();
    let error = links.bridge(&name("xot-br0")).unwrap_err();
    assert!(matches!(error, HostError::NoBridge { .. }), "{error}");
}

#[test]
#[ignore = "takes a loop device: as root"]
fn file_becomes_a_disk_until_its_value_is_dropped() {
    let file = std::env::temp_dir().join(format!("host-devices-{}", std::process::id()));
    std::fs::write(&file, vec![7; 1 << 20]).unwrap();
    let device = LoopDevice::attach(&file, false).unwrap();
    let found = BlockDevice::find(device.path()).unwrap();
    assert_eq!((found.major, found.minor), device.numbers().unwrap());
    let sys = format!("/sys/dev/block/{}:{}/loop/backing_file", found.major, found.minor);
    let backing = std::fs::read_to_string(&sys).unwrap();
    assert_eq!(Path::new(backing.trim_end()), file);
    drop(device);
    assert!(!Path::new(&sys).exists());
    std::fs::remove_file(&file).unwrap();
}
