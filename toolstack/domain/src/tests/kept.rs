//! The kept configuration: what is in it, and how long.

use xenstore_client::Operations;
use xl_config::{Document, DomainConfig};

use super::create::{Kernel, config};
use super::id;
use crate::DomainError;
use crate::fake::FakeHost;

#[test]
fn created_domain_keeps_a_configuration_that_makes_the_same_again() {
    let host = FakeHost::new();
    let kernel = Kernel::new();
    let mut tools = host.toolstack();
    let asked = config(
        &kernel,
        "vif = ['bridge=xenbr0', 'mac=00:16:3e:01:02:03,devid=0']\ndisk = ['/disk,raw,xvda,ro']",
    );
    let domid = tools.create(&asked).unwrap();
    let kept = tools.kept_config(domid).unwrap().unwrap();
    assert_eq!(kept.uuid, Some(tools.domain(domid).unwrap().uuid()));
    assert_eq!(kept.vif[0].devid, Some(1), "0 is taken by the other");
    let mac = host.store().read_string("/local/domain/1/device/vif/1/mac").unwrap();
    assert_eq!(kept.vif[0].mac.unwrap().to_string(), mac);
    assert_eq!((&kept.disk, &kept.kernel), (&asked.disk, &asked.kernel));

    tools.destroy(domid).unwrap();
    let again = tools.create(&kept).unwrap();
    assert_eq!(again, id(2));
    assert_eq!(tools.kept_config(again).unwrap(), Some(kept));
    assert_eq!(host.store().read_string("/local/domain/2/device/vif/1/mac").unwrap(), mac);
}

/// What is kept, by the last parts of the files' names.
fn files(host: &FakeHost) -> Vec<String> {
    let entries = std::fs::read_dir(host.userdata()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> =
        entries.map(|name| name.to_str().unwrap().rsplit('.').next().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn destroyed_domain_leaves_no_file() {
    let host = FakeHost::new();
    let mut tools = host.toolstack();
    let domid = tools.create(&config(&Kernel::new(), "")).unwrap();
    assert_eq!(files(&host), ["libxl-json", "xenoxide-json"]);
    tools.destroy(domid).unwrap();
    assert!(files(&host).is_empty());
    assert!(matches!(tools.kept_config(domid), Err(DomainError::NoSuchDomain(_))));
}

#[test]
fn domain_whose_configuration_cannot_be_kept_is_not_created() {
    let host = FakeHost::new();
    std::fs::remove_dir(host.userdata()).unwrap();
    std::fs::write(host.userdata(), "no folder").unwrap();
    let error = host.toolstack().create(&config(&Kernel::new(), "")).unwrap_err().to_string();
    assert!(error.starts_with("cannot make "), "{error}");
    assert_eq!(host.domids(), [0]);
    std::fs::remove_file(host.userdata()).unwrap();
}

#[test]
fn domain_of_other_tools_has_no_kept_configuration() {
    let host = FakeHost::new();
    host.add_domain(7, "web");
    assert_eq!(host.toolstack().kept_config(id(7)).unwrap(), None);
}

#[test]
fn replaced_configuration_has_the_domains_uuid_and_addresses() {
    let host = FakeHost::new();
    let kernel = Kernel::new();
    let mut tools = host.toolstack();
    let domid = tools.create(&config(&kernel, "vif = ['bridge=xenbr0']")).unwrap();
    let before = tools.kept_config(domid).unwrap().unwrap();
    tools.keep_config(domid, &config(&kernel, "vif = ['', '']\nmaxvcpus = 2")).unwrap();
    let kept = tools.kept_config(domid).unwrap().unwrap();
    assert_eq!((kept.uuid, kept.maxvcpus), (before.uuid, 2));
    assert_eq!((kept.vif[0].devid, kept.vif[0].mac), (Some(0), before.vif[0].mac));
    assert!(kept.vif[1].mac.is_some() && kept.vif[1].mac != kept.vif[0].mac);
    // The address has moved to another interface.
    let mac = before.vif[0].mac.unwrap();
    tools.keep_config(domid, &config(&kernel, &format!("vif = ['', 'mac={mac}']"))).unwrap();
    let kept = tools.kept_config(domid).unwrap().unwrap();
    assert_eq!(kept.vif[1].mac, Some(mac));
    assert_ne!(kept.vif[0].mac, Some(mac));
}

#[test]
fn renamed_domain_is_made_again_under_its_new_name() {
    let host = FakeHost::new();
    let mut tools = host.toolstack();
    let domid = tools.create(&config(&Kernel::new(), "")).unwrap();
    tools.rename(domid, "mail").unwrap();
    assert_eq!(tools.kept_config(domid).unwrap().unwrap().name.as_str(), "mail");
}

#[test]
fn changed_memory_and_vcpus_stay_when_the_domain_is_made_again() {
    let host = FakeHost::new();
    let mut tools = host.toolstack();
    let domid = tools.create(&config(&Kernel::new(), "maxvcpus = 4\nvcpus = 3")).unwrap();
    let kept = |tools: &crate::Toolstack| {
        let config = tools.kept_config(domid).unwrap().unwrap();
        (config.memory.kib() >> 10, config.maxmem.kib() >> 10, config.vcpus)
    };
    tools.set_vcpus(domid, 2).unwrap();
    tools.set_memory_target(domid, 48 << 10).unwrap();
    assert_eq!(kept(&tools), (48, 64, 2));
    tools.set_memory_max(domid, 32 << 10).unwrap();
    assert_eq!(kept(&tools), (48, 48, 2), "not less than it starts with");
    tools.set_memory_max(domid, 96 << 10).unwrap();
    assert_eq!(kept(&tools), (48, 96, 2));
}

#[test]
fn configuration_of_another_domain_is_refused_and_the_earlier_stays() {
    let host = FakeHost::new();
    let kernel = Kernel::new();
    let mut tools = host.toolstack();
    let domid = tools.create(&config(&kernel, "")).unwrap();
    let before = tools.kept_config(domid).unwrap();
    let uuid = "uuid = '01234567-89ab-cdef-0123-456789abcdef'";
    let error = tools.keep_config(domid, &config(&kernel, uuid)).unwrap_err().to_string();
    assert!(error.starts_with("uuid: domain 1 has "), "{error}");
    let error = tools.keep_config(domid, &config(&kernel, "acpi = 1")).unwrap_err().to_string();
    assert!(error.starts_with("acpi: "), "{error}");
    assert_eq!(tools.kept_config(domid).unwrap(), before);
}

#[test]
fn file_that_makes_no_sense_is_named_and_can_be_replaced() {
    let host = FakeHost::new();
    let kernel = Kernel::new();
    let mut tools = host.toolstack();
    let domid = tools.create(&config(&kernel, "")).unwrap();
    let uuid = tools.domain(domid).unwrap().uuid();
    let file = host.userdata().join(format!("userdata-d.1.{uuid}.xenoxide-json"));
    for text in [&b"{}"[..], b"", b"\xff", b"{\"name\": \"web\", \"more\": 1}"] {
        std::fs::write(&file, text).unwrap();
        let error = tools.kept_config(domid).unwrap_err().to_string();
        assert!(error.starts_with("the kept configuration of domain 1 cannot be used: "), "{error}");
    }
    tools.keep_config(domid, &config(&kernel, "")).unwrap();
    assert!(tools.kept_config(domid).unwrap().is_some());
}

#[test]
fn relative_paths_are_kept_from_the_root() {
    let host = FakeHost::new();
    let kernel = Kernel::new();
    let mut tools = host.toolstack();
    let domid = tools.create(&config(&kernel, "")).unwrap();
    let text = "name = 'web'\nkernel = 'Image'\nramdisk = '../initrd'";
    let document = Document::parse("test", text.as_bytes()).unwrap();
    tools.keep_config(domid, &DomainConfig::from_document(&document).unwrap().config).unwrap();
    let kept = tools.kept_config(domid).unwrap().unwrap();
    let here = std::env::current_dir().unwrap();
    assert_eq!(kept.kernel.unwrap().as_str(), here.join("Image").to_str().unwrap());
    assert_eq!(kept.ramdisk.unwrap().as_str(), here.join("../initrd").to_str().unwrap());
}
