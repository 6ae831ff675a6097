//! Devices that are set up by scripts of their own.

use host_devices::{HostError, Script};
use xenstore_client::Operations;

use super::id;
use crate::fake::{BackEnds, FakeHost, Guests};
use crate::{Detach, DomainError};

const DISK: &str = "script=block-iscsi,vdev=xvda,access=rw,target=iqn=iqn.2001-05:x,portal=y";
const VIF: &str = "script=/etc/xen/scripts/vif-route,gatewaydev=eth0,ip=10.0.0.2";

fn host() -> FakeHost {
    let host = FakeHost::with(BackEnds::Work, Guests::None);
    host.add_domain(7, "web");
    host
}

fn attach(host: &FakeHost) -> Result<(), DomainError> {
    host.toolstack().attach(id(7), &[DISK.parse().unwrap()], &[VIF.parse().unwrap()])
}

/// Disks' scripts write which device they made.
fn make_devices(host: &FakeHost) {
    let store = std::sync::Mutex::new(host.store());
    host.on_script(move |script| {
        if script.arguments[0] == "add" {
            let path = format!("/local/domain/0/{}/physical-device", variable(script, "XENBUS_PATH"));
            store.lock().unwrap().write(&path, "8:30").unwrap();
        }
        Ok(())
    });
}

fn variable<'a>(script: &'a Script, name: &str) -> &'a str {
    &script.variables.iter().find(|(it, _)| *it == name).unwrap().1
}

#[test]
fn scripts_are_told_what_libxl_tells_them() {
    let host = host();
    make_devices(&host);
    attach(&host).unwrap();
    let scripts = host.scripts();
    let [disk, vif] = &scripts[..] else { panic!("{scripts:?}") };
    assert_eq!(disk.path.to_str(), Some("/etc/xen/scripts/block-iscsi"));
    assert_eq!(disk.arguments, ["add"]);
    assert_eq!(
        disk.variables,
        [
            ("script", "/etc/xen/scripts/block-iscsi".to_owned()),
            ("XENBUS_TYPE", "vbd".to_owned()),
            ("XENBUS_PATH", "backend/vbd/7/51712".to_owned()),
            ("XENBUS_BASE_PATH", "backend".to_owned()),
        ]
    );
    assert_eq!(vif.path.to_str(), Some("/etc/xen/scripts/vif-route"));
    assert_eq!(vif.arguments, ["online", "type_if=vif"]);
    assert_eq!(variable(vif, "XENBUS_PATH"), "backend/vif/7/0");
    assert_eq!((variable(vif, "vif"), variable(vif, "netdev")), ("vif7.0", "eth0"));
    assert!(host.plugged().is_empty(), "the script does that");

    let mut store = host.store();
    let mut read = |path: &str| store.read_string(&format!("/local/domain/0/backend/{path}")).unwrap();
    assert_eq!(read("vbd/7/51712/params"), "iqn=iqn.2001-05:x,portal=y", "the target, verbatim");
    assert_eq!(read("vbd/7/51712/mode"), "w");
    assert_eq!(read("vif/7/0/ip"), "10.0.0.2");
    assert_eq!(read("vif/7/0/hotplug-status"), "connected");
}

#[test]
fn scripts_are_run_again_when_devices_go() {
    let host = host();
    make_devices(&host);
    attach(&host).unwrap();
    let mut tools = host.toolstack();
    tools.detach_vif(id(7), 0, Detach::Ask).unwrap();
    tools.destroy(id(7)).unwrap();
    let scripts = host.scripts();
    let [_, _, vif, disk] = &scripts[..] else { panic!("{scripts:?}") };
    assert_eq!(vif.arguments, ["offline", "type_if=vif"]);
    assert_eq!((variable(vif, "vif"), variable(vif, "netdev")), ("vif7.0", "eth0"));
    assert_eq!(
        (disk.arguments.as_slice(), disk.path.to_str()),
        (&["remove".to_owned()][..], Some("/etc/xen/scripts/block-iscsi"))
    );
}

#[test]
fn devices_without_script_run_none() {
    let host = host();
    let mut tools = host.toolstack();
    tools
        .attach(id(7), &["/disk,raw,xvda,ro".parse().unwrap()], &["bridge=xenbr0".parse().unwrap()])
        .unwrap();
    tools.destroy(id(7)).unwrap();
    assert!(host.scripts().is_empty());
}

#[test]
fn script_that_other_tools_ran_is_run_when_the_device_goes() {
    let host = host();
    let mut tools = host.toolstack();
    tools.attach(id(7), &[], &["bridge=xenbr0".parse().unwrap()]).unwrap();
    host.store().write("/local/domain/0/backend/vif/7/0/script", "/etc/xen/scripts/vif-bridge").unwrap();
    tools.destroy(id(7)).unwrap();
    assert_eq!(host.scripts()[0].arguments, ["offline", "type_if=vif"]);
}

#[test]
fn device_goes_though_its_script_fails() {
    let host = host();
    make_devices(&host);
    attach(&host).unwrap();
    host.on_script(|script| Err(HostError::NotAFile(script.path.clone())));
    let error = host.toolstack().destroy(id(7)).unwrap_err().to_string();
    assert!(error.contains("is not a regular file"), "{error}");
    assert_eq!(host.domids(), [0]);
    let left: Vec<String> = host.paths().into_iter().filter(|path| path.contains("/7")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn script_that_fails_is_quoted_and_the_device_taken_back() {
    let host = host();
    let before = host.paths();
    let store = std::sync::Mutex::new(host.store());
    host.on_script(move |script| {
        if script.arguments[0] == "add" {
            let path = format!("/local/domain/0/{}/hotplug-error", variable(script, "XENBUS_PATH"));
            store.lock().unwrap().write(&path, "no such target\n\x1b[2J\n").unwrap();
        }
        let (path, output) = (script.path.clone(), String::new());
        Err(HostError::Script { path, status: "exit status: 1".to_owned(), output })
    });
    let error = attach(&host).unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with(
            "disk xvda: script /etc/xen/scripts/block-iscsi failed (exit status: 1): no such target\\n\\u{1b}[2J"
        ),
        "{text}"
    );
    assert_eq!(host.paths(), before);
}

#[test]
fn script_that_makes_no_device_is_told_of() {
    let host = host();
    let before = host.paths();
    let error = attach(&host).unwrap_err().to_string();
    assert_eq!(error, "disk xvda of domain 7: its back end failed: its script did not write physical-device");
    assert_eq!(host.paths(), before);
}
