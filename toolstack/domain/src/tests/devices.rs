//! Disks and interfaces with back ends that work, fail, are missing or stick.

use std::time::Duration;

use xenstore_client::Operations;
use xl_config::{Disk, Vif};

use super::id;
use crate::DomainError;
use crate::device;
use crate::fake::{BackEnds, FakeHost};

fn disk(spec: &str) -> Disk {
    spec.parse().unwrap()
}

fn vif(spec: &str) -> Vif {
    spec.parse().unwrap()
}

const DISK: &str = "/disk,raw,xvda,ro";
const VIF: &str = "mac=00:16:3e:01:02:03,bridge=xenbr0,vifname=web0";

/// Gives domain 7 a disk and an interface.
fn attach(host: &FakeHost) -> Result<(), DomainError> {
    host.add_domain(7, "web");
    let mut tools = host.toolstack();
    tools.attach(id(7), &[disk(DISK)], &[vif(VIF)])
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
    host.add_domain(7, "web");
    let before = host.paths();
    let mut error = |disks: &[&str], vifs: &[&str]| {
        let disks: Vec<Disk> = disks.iter().map(|spec| disk(spec)).collect();
        let vifs: Vec<Vif> = vifs.iter().map(|spec| vif(spec)).collect();
        tools.attach(id(7), &disks, &vifs).unwrap_err().to_string()
    };
    assert!(error(&["/none,raw,xvda,ro"], &[]).starts_with("disk xvda: cannot find /none"));
    assert!(error(&["none,raw,xvda,ro"], &[]).starts_with("disk xvda: cannot find /dev/none"));
    let text = error(&[DISK], &["bridge=br9"]);
    assert_eq!(text, "network interface 0: there is no bridge br9; the host has xenbr0");
    let text = error(&[DISK, "/none,raw,xvdb,ro"], &[]);
    assert!(text.contains("/none"), "{text}");
    assert!(error(&["script=/none,vdev=xvda,target=x"], &[]).starts_with("disk xvda: cannot run /none: "));
    assert!(error(&[], &["script=/none"]).starts_with("network interface 0: cannot run /none: "));
    assert!(error(&[], &["gatewaydev=eth0"]).starts_with("vif: 0: gatewaydev is for a script alone"));
    assert_eq!(host.paths(), before);
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
    let error = tools.attach(id(7), &[], &[vif(VIF)]).unwrap_err().to_string();
    assert!(
        error.starts_with("the hardware address 00:16:3e:01:02:03 is that of an interface of domain 7"),
        "{error}"
    );
    let other = tools.attach(id(7), &[], &[vif("bridge=br9")]).unwrap_err().to_string();
    assert!(other.contains("no bridge br9"), "{other}");
    let again = tools.attach(id(7), &[], &[vif("devid=0")]).unwrap_err().to_string();
    assert_eq!(again, "domain 7 has vif 0 already");
    let again = tools.attach(id(7), &[disk("/dev/sdb,raw,d0p0,r")], &[]).unwrap_err().to_string();
    assert_eq!(again, "domain 7 has vbd 51712 already");
    assert_eq!(host.paths(), before);
}

#[test]
fn device_whose_note_is_lost_is_not_written_over() {
    let host = FakeHost::new();
    attach(&host).unwrap();
    host.store().rm("/libxl/7").unwrap();
    let before = host.paths();
    let error = host.toolstack().attach(id(7), &[disk("/dev/sdb,raw,xvda,r")], &[]).unwrap_err().to_string();
    assert_eq!(error, "domain 7 has vbd 51712 already");
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
    let error = tools.attach(id(8), &[disk("/disk,raw,xvda,rw")], &[]).unwrap_err().to_string();
    assert!(error.starts_with("disk xvda: /disk is in use by domain 7"), "{error}");
    tools.attach(id(8), &[disk(DISK)], &[]).unwrap();
    let twice = [disk("/dev/sdb,raw,xvdb,ro"), disk("sdb,raw,xvdc,rw")];
    let error = tools.attach(id(8), &twice, &[]).unwrap_err().to_string();
    assert!(error.starts_with("disk: xvdb and xvdc are both /dev/sdb, and one writes it"), "{error}");
}

#[test]
fn two_that_attach_at_once_do_not_get_the_same_disk() {
    let host = FakeHost::new();
    host.add_domain(7, "web");
    host.add_domain(8, "db");
    let disk = disk("/dev/sdb,raw,xvda,rw");
    let mut first = host.toolstack();
    let pending = first.prepare_devices(&[device::Disk::from_config(&disk).unwrap()], &[]).unwrap();
    std::thread::scope(|scope| {
        let second = scope.spawn(|| host.toolstack().attach(id(8), std::slice::from_ref(&disk), &[]));
        // Time to come to where it must wait; were it not to wait, it would find the disk free.
        std::thread::sleep(Duration::from_millis(100));
        let records = pending.records(id(7));
        first.store.transaction(|store| records.iter().try_for_each(|it| it.write(store))).unwrap();
        first.bring_up_devices(id(7), pending).unwrap();
        let error = second.join().unwrap().unwrap_err();
        assert!(matches!(error, DomainError::DiskInUse { .. }), "{error}");
    });
}

#[test]
fn loop_device_that_a_script_attached_is_released() {
    let host = FakeHost::new();
    attach(&host).unwrap();
    let back = "/local/domain/0/backend/vbd/7/51712";
    host.store().write(&format!("{back}/node"), "/dev/loop5").unwrap();
    host.store().write(&format!("{back}/script"), "/etc/xen/scripts/block").unwrap();
    host.toolstack().destroy(id(7)).unwrap();
    assert_eq!(host.released(), ["/dev/loop5"]);
    assert!(host.scripts().is_empty(), "it would release the device a second time");
}
