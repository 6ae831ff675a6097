//! Taking devices from domains whose guests let go of them, hang, or are busy; and listing them.

use std::thread;

use xenstore_client::Operations;

use super::create::{Kernel, config};
use super::id;
use crate::fake::{BackEnds, FakeHost, Guests};
use crate::{Detach, DomainError};

/// A host with domain 7, that has a disk and two interfaces whose front ends are connected if the guests do that.
fn host(guests: Guests) -> FakeHost {
    let host = FakeHost::with(BackEnds::Work, guests);
    host.add_domain(7, "web");
    let disks = ["/disk,raw,xvdb,ro".parse().unwrap()];
    let vifs = ["mac=00:16:3e:01:02:03".parse().unwrap(), "devid=3".parse().unwrap()];
    host.toolstack().attach(id(7), &disks, &vifs).unwrap();
    if guests != Guests::None {
        for front in ["vbd/51728", "vif/0", "vif/3"] {
            wait_for(&host, &format!("/local/domain/7/device/{front}/state"), "4");
        }
        wait_for(&host, "/local/domain/0/backend/vbd/7/51728/state", "4");
        wait_for(&host, "/local/domain/0/backend/vif/7/0/state", "4");
    }
    host
}

/// Waits until a node has a value.
fn wait_for(host: &FakeHost, path: &str, value: &str) {
    let mut store = host.store();
    store.watch(path, "test").unwrap();
    while store.read_string(path).unwrap_or_default() != value {
        let event = store.wait_event(Some(std::time::Duration::from_secs(10))).unwrap();
        assert!(event.is_some(), "{path} does not become {value}");
    }
}

fn disk_is_gone(host: &FakeHost) -> bool {
    !host.paths().iter().any(|path| path.contains("/vbd"))
}

#[test]
fn devices_are_listed_with_what_both_ends_say() {
    let host = host(Guests::Work);
    let mut tools = host.toolstack();
    let disks = tools.disks(id(7)).unwrap();
    let [disk] = &disks[..] else { panic!("{disks:?}") };
    assert_eq!((disk.device.id, disk.device.back_end), (51728, id(0)));
    assert_eq!(disk.device.back_path, "/local/domain/0/backend/vbd/7/51728");
    assert_eq!((disk.device.state, disk.device.event_channel, disk.ring_ref), (Some(4), Some(8), Some(8)));
    assert_eq!((disk.vdev.as_deref(), disk.target.as_deref()), (Some("xvdb"), Some("/disk")));
    assert!(disk.read_only);
    let vifs = tools.vifs(id(7)).unwrap();
    assert_eq!(vifs.iter().map(|vif| vif.device.id).collect::<Vec<_>>(), [0, 3]);
    assert_eq!(vifs[0].mac, "00:16:3e:01:02:03".parse().ok());
    assert_eq!(vifs[0].bridge.as_deref(), Some("xenbr0"));
    assert_eq!((vifs[0].tx_ring_ref, vifs[0].rx_ring_ref), (Some(8), Some(8)));
    assert!(matches!(tools.disks(id(9)), Err(DomainError::NoSuchDomain(_))));
}

#[test]
fn nonsense_of_the_guest_is_none() {
    let host = host(Guests::None);
    let mut store = host.store();
    for (name, value) in [("ring-ref", "-1"), ("event-channel", "99999999999999"), ("state", "4\0")] {
        store.write(&format!("/local/domain/7/device/vbd/51728/{name}"), value).unwrap();
    }
    let disk = host.toolstack().disks(id(7)).unwrap().remove(0);
    assert_eq!((disk.device.state, disk.device.event_channel, disk.ring_ref), (None, None, None));
}

#[test]
fn guest_that_lets_go_loses_the_device_and_no_other() {
    let host = host(Guests::Work);
    let mut tools = host.toolstack();
    tools.detach_disk(id(7), &"xvdb".parse().unwrap(), Detach::Ask).unwrap();
    assert!(disk_is_gone(&host), "{:?}", host.paths());
    assert_eq!(tools.vifs(id(7)).unwrap().len(), 2);
    tools.detach_vif(id(7), 3, Detach::Ask).unwrap();
    assert_eq!(tools.vifs(id(7)).unwrap().len(), 1);
    let error = tools.detach_vif(id(7), 3, Detach::Ask).unwrap_err().to_string();
    assert!(error.starts_with("domain 7 has no vif 3 "), "{error}");
    tools.attach(id(7), &["/disk,raw,xvdb,rw".parse().unwrap()], &[]).unwrap();
}

#[test]
fn guest_that_never_answers_keeps_the_device_as_it_was() {
    let host = host(Guests::Hang);
    let before = host.paths();
    let mut tools = host.toolstack();
    let error = tools.detach_disk(id(7), &"xvdb".parse().unwrap(), Detach::Ask).unwrap_err();
    assert!(matches!(error, DomainError::NotReleased { .. }));
    assert!(
        error.to_string().contains("it keeps the device")
            && error.to_string().ends_with("(to take it: --force)")
    );
    assert_eq!(host.paths(), before);
    let mut store = host.store();
    let mut read =
        |name: &str| store.read_string(&format!("/local/domain/0/backend/vbd/7/51728/{name}")).unwrap();
    assert_eq!((read("state"), read("online")), ("4".to_owned(), "1".to_owned()), "the request is withdrawn");
    tools.detach_disk(id(7), &"xvdb".parse().unwrap(), Detach::Take).unwrap();
    assert!(disk_is_gone(&host), "{:?}", host.paths());
}

#[test]
fn guest_that_is_busy_loses_the_device_when_it_no_longer_is() {
    let host = host(Guests::Busy);
    let mut tools = host.toolstack();
    let xvdb = "xvdb".parse().unwrap();
    let error = tools.detach_disk(id(7), &xvdb, Detach::Ask).unwrap_err().to_string();
    assert!(error.contains("it is in use there"), "{error}");
    let mut store = host.store();
    assert_eq!(store.read_string("/local/domain/0/backend/vbd/7/51728/online").unwrap(), "0");
    // Its last user closes it while the next request waits.
    let guest = thread::spawn(move || {
        thread::sleep(std::time::Duration::from_millis(50));
        store.write("/local/domain/7/device/vbd/51728/state", "6").unwrap();
        store.write("/local/domain/0/backend/vbd/7/51728/state", "6").unwrap();
    });
    tools.detach_disk(id(7), &xvdb, Detach::Ask).unwrap();
    guest.join().unwrap();
    assert!(disk_is_gone(&host), "{:?}", host.paths());
}

#[test]
fn interface_can_be_asked_for_and_taken_at_last() {
    let host = host(Guests::Hang);
    let mut tools = host.toolstack();
    tools.detach_vif(id(7), 0, Detach::AskThenTake).unwrap();
    assert_eq!(tools.vifs(id(7)).unwrap().len(), 1);
}

#[test]
fn driver_domain_that_names_a_loop_device_of_dom0_does_not_get_it_released() {
    let host = host(Guests::None);
    let mut store = host.store();
    let back = "/local/domain/3/backend/vbd/7/51712";
    store.write("/libxl/7/device/vbd/51712/backend", back).unwrap();
    store.write(&format!("{back}/node"), "/dev/loop0").unwrap();
    host.toolstack().destroy(id(7)).unwrap();
    assert_eq!(host.released(), [""; 0]);
    assert!(!host.paths().iter().any(|path| path.starts_with(back)));
}

#[test]
fn guest_without_driver_is_not_asked() {
    let host = host(Guests::None);
    host.toolstack().detach_disk(id(7), &"xvdb".parse().unwrap(), Detach::Ask).unwrap();
    assert!(disk_is_gone(&host), "{:?}", host.paths());
}

#[test]
fn back_end_that_sticks_is_reported_when_a_device_is_taken() {
    let host = FakeHost::with(BackEnds::Stick, Guests::Work);
    host.add_domain(7, "web");
    let mut tools = host.toolstack();
    tools.attach(id(7), &["/disk,raw,xvdb,ro".parse().unwrap()], &[]).unwrap();
    let error = tools.detach_disk(id(7), &"xvdb".parse().unwrap(), Detach::Take).unwrap_err().to_string();
    assert!(error.contains("its back end did not let go of it"), "{error}");
    assert!(disk_is_gone(&host), "{:?}", host.paths());
}

#[test]
fn what_is_attached_and_detached_is_remembered() {
    let host = FakeHost::new();
    let kernel = Kernel::new();
    let mut tools = host.toolstack();
    let domid = tools.create(&config(&kernel, "vif = ['']\ndisk = ['/disk,raw,xvda,ro']")).unwrap();
    tools
        .attach(domid, &["/dev/sdb,raw,xvdb,rw".parse().unwrap()], &["bridge=xenbr0".parse().unwrap()])
        .unwrap();
    let kept = tools.kept_config(domid).unwrap().unwrap();
    assert_eq!(kept.disk.iter().map(|disk| disk.vdev.name()).collect::<Vec<_>>(), ["xvda", "xvdb"]);
    assert_eq!(kept.vif[1].devid, Some(1));
    assert_eq!(kept.vif[1].mac, tools.vifs(domid).unwrap()[1].mac);
    tools.detach_disk(domid, &"xvda".parse().unwrap(), Detach::Ask).unwrap();
    tools.detach_vif(domid, 0, Detach::Ask).unwrap();
    let kept = tools.kept_config(domid).unwrap().unwrap();
    assert_eq!(kept.disk.iter().map(|disk| disk.vdev.name()).collect::<Vec<_>>(), ["xvdb"]);
    assert_eq!(kept.vif.iter().map(|vif| vif.devid).collect::<Vec<_>>(), [Some(1)]);

    tools.destroy(domid).unwrap();
    let again = tools.create(&kept).unwrap();
    assert_eq!(tools.disks(again).unwrap()[0].vdev.as_deref(), Some("xvdb"));
    assert_eq!(tools.vifs(again).unwrap()[0].mac, kept.vif[0].mac);
}

#[test]
fn attach_that_cannot_be_remembered_is_undone() {
    let host = FakeHost::new();
    let mut tools = host.toolstack();
    let domid = tools.create(&config(&Kernel::new(), "")).unwrap();
    // After a reboot it would have an interface of this address under another number.
    let later = config(&Kernel::new(), "vif = ['mac=00:16:3e:01:02:03,devid=5']");
    tools.keep_config(domid, &later).unwrap();
    let before = (host.paths(), tools.kept_config(domid).unwrap());
    let error =
        tools.attach(domid, &[], &["mac=00:16:3e:01:02:03".parse().unwrap()]).unwrap_err().to_string();
    assert!(error.contains("two vifs have mac 00:16:3e:01:02:03"), "{error}");
    assert_eq!((host.paths(), tools.kept_config(domid).unwrap()), before);
}
