//! Disks and network interfaces, and the configuration that remembers them.

use domain::fake::{BackEnds, FakeHost, Guests};

use super::{ConfigFile, error, host, xl};

#[test]
fn disks_are_attached_listed_and_detached() {
    let host = host();
    xl(&host, "block-attach web file:/disk xvdb r").unwrap();
    xl(&host, "block-attach web target=/dev/sdb vdev=xvdc access=rw").unwrap();
    let wanted = "\
Vdev  BE  handle state evt-ch ring-ref BE-path                       
51728 0   7      1     -1     -1       /local/domain/0/backend/vbd/7/51728
51744 0   7      1     -1     -1       /local/domain/0/backend/vbd/7/51744
";
    assert_eq!(xl(&host, "block-list web").unwrap(), wanted);
    let json: serde_json::Value = serde_json::from_str(&xl(&host, "block-list --json 7").unwrap()).unwrap();
    assert_eq!(
        json[0],
        serde_json::json!({
            "domid": 7, "id": 51728, "back_end_domid": 0, "back_end": "/local/domain/0/backend/vbd/7/51728",
            "state": 1, "event_channel": null, "vdev": "xvdb", "target": "/disk", "read_only": true, "ring_ref": null,
        })
    );
    xl(&host, "block-detach web xvdb").unwrap();
    xl(&host, "block-detach --force web 51744").unwrap();
    assert_eq!(xl(&host, "block-list web").unwrap().lines().count(), 1);
    assert!(error(&host, "block-detach web xvdb").starts_with("domain 7 has no vbd 51728"));
}

#[test]
fn interfaces_are_attached_listed_and_detached() {
    let host = host();
    xl(&host, "network-attach web mac=00:16:3e:01:02:03 bridge=xenbr0").unwrap();
    xl(&host, "network-attach web").unwrap();
    let text = xl(&host, "network-list web").unwrap();
    let wanted = "\
Idx BE Mac Addr.         handle state evt-ch   tx-/rx-ring-ref BE-path                       
0   0  00:16:3e:01:02:03     0     1     -1    -1/-1          /local/domain/0/backend/vif/7/0
";
    assert!(text.starts_with(wanted), "{text}");
    let json: serde_json::Value = serde_json::from_str(&xl(&host, "network-list --json 7").unwrap()).unwrap();
    assert_eq!(
        (&json[1]["id"], &json[1]["bridge"], &json[1]["state"]),
        (&1.into(), &"xenbr0".into(), &1.into())
    );
    xl(&host, "network-detach web 00:16:3E:01:02:03").unwrap();
    xl(&host, "network-detach web 1").unwrap();
    assert_eq!(xl(&host, "network-list --json web").unwrap(), "[]\n");
    assert!(error(&host, "network-detach web 1").starts_with("domain 7 has no vif 1"));
    assert_eq!(
        error(&host, "network-detach web 00:16:3e:01:02:03"),
        "domain 7 has no network interface with address 00:16:3e:01:02:03"
    );
    assert!(error(&host, "network-detach web eth0").contains("neither the number nor the address"));
}

#[test]
fn wrong_specs_are_named_and_change_nothing() {
    let host = host();
    let before = host.paths();
    for (line, wanted) in [
        ("network-attach web mac=1", "is not six bytes"),
        ("network-attach web brigde=xenbr0", "is `bridge` meant?"),
        ("network-attach web bridge=br9", "there is no bridge br9"),
        ("block-attach web /disk", "the disk has no vdev"),
        ("block-attach web /none,raw,xvdb,r", "cannot find /none"),
        ("block-attach web vdev=xvdb format=qcow2 target=/disk", "qcow2"),
        ("block-attach mail /disk,raw,xvdb,r", "there is no domain mail"),
        ("block-attach web", "SPEC"),
        ("block-list", "DOMAINS"),
        ("block-list web mail", "there is no domain mail"),
        ("block-detach web eth0", "is not a virtual disk"),
    ] {
        let text = error(&host, line);
        assert!(text.contains(wanted), "{line}: {text}");
    }
    assert_eq!(host.paths(), before);
}

#[test]
fn disk_in_use_is_taken_only_by_force() {
    let host = FakeHost::with(BackEnds::Work, Guests::Hang);
    host.add_domain(7, "web");
    xl(&host, "block-attach web /disk,raw,xvdb,r").unwrap();
    xl(&host, "network-attach web").unwrap();
    let is_connected = || {
        std::thread::sleep(std::time::Duration::from_millis(5));
        xl(&host, "block-list web").unwrap().contains(" 4  ")
    };
    assert!((0..2000).any(|_| is_connected()));
    assert!(error(&host, "block-detach web xvdb").ends_with("(to take it: --force)"));
    xl(&host, "block-detach -f web xvdb").unwrap();
    xl(&host, "network-detach web 0").unwrap();
    assert_eq!(xl(&host, "network-list --json web").unwrap(), "[]\n");
}

#[test]
fn configuration_of_a_domain_is_replaced_for_its_next_start() {
    let host = FakeHost::new();
    let file = ConfigFile::new("");
    xl(&host, &format!("create -q -p {file}")).unwrap();
    let tools = host.toolstack();
    let kept = || tools.kept_config(xen_dev::Domid::new(1).unwrap()).unwrap().unwrap();
    let uuid = kept().uuid;
    assert_eq!(xl(&host, &format!("config-update web {file} memory=64")).unwrap(), "");
    assert_eq!((kept().memory.kib(), kept().uuid), (64 << 10, uuid));
    xl(&host, "block-attach web /disk,raw,xvdb,r").unwrap();
    assert_eq!(kept().disk.len(), 1);
    let text = error(&host, &format!("config-update web {file} memory=lots"));
    assert!(text.contains("memory"), "{text}");
    assert!(error(&host, "config-update web /none").starts_with("cannot read /none: "));
    assert_eq!(kept().disk.len(), 1);
}
