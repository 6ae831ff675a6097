//! Disks and interfaces with back ends that work, fail, are missing or stick.

use host_devices::InterfaceName;
use xenstore_client::Operations;

use super::id;
use crate::fake::{BackEnds, FakeHost};
use crate::{Disk, DomainError, Vif};

fn disk(path: &str) -> Disk {
    Disk {
        path: path.into(),
        name: "xvda".to_owned(),
        number: 51712,
        read_only: true,
        is_cdrom: false,
        discard: true,
        direct_io_safe: false,
        trusted: true,
    }
}

fn vif(bridge: &str) -> Vif {
    Vif {
        id: 0,
        mac: "00:16:3e:01:02:03".parse().unwrap(),
        bridge: InterfaceName::new(bridge).unwrap(),
        name: Some(InterfaceName::new("web0").unwrap()),
        mtu: None,
        rate: None,
        ip: None,
        trusted: true,
    }
}

/// Gives domain 7 a disk and an interface.
fn attach(host: &FakeHost) -> Result<(), DomainError> {
    host.add_domain(7, "web");
    let mut tools = host.toolstack();
    tools.attach(id(7), &[disk("/disk")], &[vif("xenbr0")])
}

#[test]
fn devices_stand_in_xenstore_as_back_ends_and_libxl_want_them() {
    let host = FakeHost::new();
    attach(&host).unwrap();
    let mut store = host.store();
    let mut read = |path: &str| store.read_string(path).unwrap();
    let back = "/local/domain/0/backend/vbd/7/51712";
    let front = "/local/domain/7/device/vbd/51712";
    assert_eq!(read(&format!("{back}/physical-device")), "7:3");
    assert_eq!(read(&format!("{back}/params")), "/dev/loop3");
    assert_eq!(read(&format!("{back}/mode")), "r");
    assert_eq!(read(&format!("{back}/frontend")), front);
    assert_eq!(read(&format!("{front}/backend")), back);
    assert_eq!(read("/libxl/7/device/vbd/51712/backend"), back);
    assert_eq!(read("/libxl/7/device/vbd/51712/params"), "/disk", "what the configuration said");
    assert_eq!(read("/local/domain/0/backend/vif/7/0/hotplug-status"), "connected");
    assert_eq!(read("/local/domain/7/device/vif/0/mtu"), "1400", "the bridge's");
    assert_eq!(read("/local/domain/7/device/vif/0/mac"), "00:16:3e:01:02:03");
    assert_eq!(host.plugged(), [("vif7.0".to_owned(), Some("web0".to_owned()), "xenbr0".to_owned())]);
    let letters = |store: &mut xenstore_client::Client, path: &str| -> Vec<String> {
        store.permissions(path).unwrap().iter().map(ToString::to_string).collect()
    };
    assert_eq!(letters(&mut store, &format!("{front}/state")), ["n7", "r0"]);
    assert_eq!(letters(&mut store, "/local/domain/7/device/vif/0/mtu"), ["n0", "r7"]);
    assert_eq!(letters(&mut store, &format!("{back}/state")), ["n0", "r7"]);
}

#[test]
fn device_of_the_host_is_held_only_until_the_back_end_has_it() {
    let host = FakeHost::new();
    attach(&host).unwrap();
    assert_eq!(host.held_disks(), 0);
}

#[test]
fn missing_file_and_bridge_are_named_before_anything_is_made() {
    let host = FakeHost::new();
    let mut tools = host.toolstack();
    let error = |it: Result<_, DomainError>| {
        it.map(|_: crate::device::bring_up::Pending| ()).unwrap_err().to_string()
    };
    assert!(error(tools.prepare_devices(&[disk("/none")], &[])).starts_with("disk xvda: cannot find /none"));
    let text = error(tools.prepare_devices(&[disk("/disk")], &[vif("br9")]));
    assert_eq!(text, "network interface 0: there is no bridge br9; the host has xenbr0");
    let text = error(tools.prepare_devices(&[disk("/disk"), disk("/none")], &[]));
    assert!(text.contains("/none"), "{text}");
    assert_eq!(host.held_disks(), 0);
}

#[test]
fn back_end_that_fails_is_quoted() {
    let host = FakeHost::with_back_ends(BackEnds::Fail);
    let error = attach(&host).unwrap_err().to_string();
    assert_eq!(error, "disk xvda of domain 7: its back end failed: 22 creating the device");
    assert_eq!(host.held_disks(), 0);
}

#[test]
fn back_end_that_is_missing_is_named_with_its_module() {
    let host = FakeHost::with_back_ends(BackEnds::Missing);
    let error = attach(&host).unwrap_err().to_string();
    assert!(error.starts_with("disk xvda of domain 7: its back end did not come up"), "{error}");
    assert!(error.ends_with("(try: modprobe xen-blkback)"), "{error}");
}

#[test]
fn destroyed_domain_takes_its_devices_along() {
    let host = FakeHost::new();
    let before = host.paths();
    attach(&host).unwrap();
    host.toolstack().destroy(id(7)).unwrap();
    // The fake domain has no folder of its own in /libxl and no UUID's.
    assert_eq!(host.paths(), before);
    assert_eq!(host.domids(), [0]);
}

#[test]
fn back_end_that_does_not_let_go_is_reported_and_its_nodes_go_all_the_same() {
    let host = FakeHost::with_back_ends(BackEnds::Stick);
    attach(&host).unwrap();
    let error = host.toolstack().destroy(id(7)).unwrap_err().to_string();
    assert!(error.contains("its back end did not let go of it"), "{error}");
    assert!(host.paths().iter().all(|path| !path.contains("/7")), "{:?}", host.paths());
    assert_eq!(host.domids(), [0]);
}

#[test]
fn back_end_without_a_note_is_found_too() {
    let host = FakeHost::new();
    attach(&host).unwrap();
    let mut store = host.store();
    store.rm("/libxl/7").unwrap();
    host.toolstack().destroy(id(7)).unwrap();
    assert!(host.paths().iter().all(|path| !path.contains("/7")), "{:?}", host.paths());
}

#[test]
fn failed_attach_leaves_nothing_and_other_devices_alone() {
    let host = FakeHost::new();
    attach(&host).unwrap();
    let before = host.paths();
    let mut tools = host.toolstack();
    let error = tools.attach(id(7), &[], &[vif("xenbr0")]).unwrap_err().to_string();
    assert!(
        error.starts_with("the hardware address 00:16:3e:01:02:03 is that of an interface of domain 7"),
        "{error}"
    );
    let other = Vif {
        id: 1,
        mac: "02:02:02:02:02:02".parse().unwrap(),
        bridge: InterfaceName::new("br9").unwrap(),
        ..vif("xenbr0")
    };
    assert!(
        tools
            .attach(id(7), &[], std::slice::from_ref(&other))
            .unwrap_err()
            .to_string()
            .contains("no bridge br9")
    );
    let again = Vif { id: 0, mac: "02:02:02:02:02:02".parse().unwrap(), ..vif("xenbr0") };
    assert_eq!(tools.attach(id(7), &[], &[again]).unwrap_err().to_string(), "domain 7 has vif 0 already");
    assert_eq!(host.paths(), before);
}

#[test]
fn devices_whose_back_ends_fail_are_taken_back() {
    let host = FakeHost::with_back_ends(BackEnds::Fail);
    attach(&host).unwrap_err();
    assert!(host.paths().iter().all(|path| !path.contains("backend/v")), "{:?}", host.paths());
}

#[test]
fn disk_that_another_domain_writes_is_refused() {
    let host = FakeHost::new();
    attach(&host).unwrap();
    host.add_domain(8, "mail");
    let mut tools = host.toolstack();
    let writes = Disk { read_only: false, ..disk("/disk") };
    let error = tools.attach(id(8), &[writes], &[]).unwrap_err().to_string();
    assert!(error.starts_with("disk xvda: /disk is in use by domain 7"), "{error}");
    tools.attach(id(8), &[disk("/disk")], &[]).unwrap();
}

#[test]
fn loop_device_that_a_script_attached_is_released() {
    let host = FakeHost::new();
    attach(&host).unwrap();
    host.store().write("/local/domain/0/backend/vbd/7/51712/node", "/dev/loop5").unwrap();
    host.toolstack().destroy(id(7)).unwrap();
    assert_eq!(host.released(), ["/dev/loop5"]);
}
