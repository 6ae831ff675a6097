//! Creating domains: what comes of it, and what is left when a step fails.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use xen_dev::Access;
use xenstore_client::Operations;
use xl_config::{Document, DomainConfig};

use super::id;
use crate::DomainError;
use crate::fake::{BackEnds, FakeHost};

/// A kernel file that is there while this is.
pub(super) struct Kernel(PathBuf);

impl Kernel {
    pub(super) fn new() -> Self {
        Self::of(&image())
    }

    fn of(bytes: &[u8]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("xenoxide-kernel-{}-{number}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The smallest arm64 Image.
fn image() -> Vec<u8> {
    let mut image = vec![0; 8192];
    image[16..24].copy_from_slice(&8192u64.to_le_bytes());
    image[56..60].copy_from_slice(b"ARM\x64");
    image
}

/// A configuration with this kernel and these lines.
pub(super) fn config(kernel: &Kernel, lines: &str) -> DomainConfig {
    let text = format!("name = 'web'\nkernel = '{}'\nmemory = 64\n{lines}\n", kernel.0.display());
    let document = Document::parse("test", text.as_bytes()).unwrap();
    DomainConfig::from_document(&document).unwrap().config
}

const DEVICES: &str =
    "disk = ['/disk,raw,xvda,ro']\nvif = ['bridge=xenbr0']\nmaxvcpus = 2\nvuart = 'sbsa_uart'";

#[test]
fn created_domain_is_paused_with_memory_devices_and_nodes() {
    let host = FakeHost::new();
    let kernel = Kernel::new();
    let domid = host.toolstack().create(&config(&kernel, DEVICES)).unwrap();
    assert_eq!(domid, id(1));
    host.domain(1, |domain| {
        assert_eq!((domain.pauses, domain.vcpus, domain.ports), (1, 2, 2));
        assert_eq!(domain.pages, (64 << 8) + 4, "RAM and the pages of the rings");
        assert_eq!(domain.max_kib, (64 << 10) + 1024);
        assert_eq!(domain.paging_pool, (2 << 20) + (512 << 10));
    });
    let mut store = host.store();
    let mut read = |path: &str| store.read_string(path).unwrap();
    let vm = read("/local/domain/1/vm");
    for (path, value) in [
        ("/local/domain/1/name", "web"),
        ("/local/domain/1/domid", "1"),
        ("/local/domain/1/memory/target", "65536"),
        ("/local/domain/1/cpu/0/availability", "online"),
        ("/local/domain/1/cpu/1/availability", "offline"),
        ("/local/domain/1/store/ring-ref", "233473"),
        ("/local/domain/1/console/ring-ref", "233472"),
        ("/local/domain/1/console/type", "xenconsoled"),
        ("/local/domain/1/vuart/0/ring-ref", "233475"),
        ("/local/domain/0/backend/vbd/1/51712/state", "2"),
        ("/local/domain/0/backend/vif/1/0/hotplug-status", "connected"),
        ("/libxl/1/type", "pvh"),
        (&format!("{vm}/name"), "web"),
        (&format!("{vm}/image/ostype"), "linux"),
    ] {
        assert_eq!(read(path), value, "{path}");
    }
    let letters = |store: &mut xenstore_client::Client, path: &str| -> Vec<String> {
        store.permissions(path).unwrap().iter().map(ToString::to_string).collect()
    };
    assert_eq!(letters(&mut store, "/local/domain/1/memory/target"), ["n0", "r1"]);
    assert_eq!(letters(&mut store, "/local/domain/1/control/shutdown"), ["n1"]);
    assert_eq!(letters(&mut store, "/local/domain/1/console/port"), ["n0", "r1"]);
    assert_eq!(letters(&mut store, "/libxl/1/type"), ["n0"]);
}

#[test]
fn kernel_and_ram_disk_are_in_the_guests_memory_however_they_are_packed() {
    let mut image = image();
    // More than one window, and an end that is no page's.
    image.resize((3 << 20) + 4097, 0);
    image[16..24].copy_from_slice(&(4u64 << 20).to_le_bytes());
    (4096..image.len()).for_each(|at| image[at] = (at / 61) as u8);
    let ramdisk: Vec<u8> = (0..(2 << 20) + 5).map(|at: u32| (at / 97) as u8).collect();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&image).unwrap();
    for kernel in [Kernel::of(&image), Kernel::of(&packed.finish().unwrap())] {
        let host = FakeHost::new();
        let mut tools = host.toolstack();
        let disk = Kernel::of(&ramdisk);
        let domid = tools.create(&config(&kernel, &format!("ramdisk = '{}'", disk.0.display()))).unwrap();
        // The first bank is at 1 GiB. In a small guest tree and RAM disk are at its end, at multiples of 2 MiB.
        for (address, wanted) in [(1 << 30, &image), ((1 << 30) + (60 << 20), &ramdisk)] {
            let gfns: Vec<u64> =
                (0..wanted.len().div_ceil(4096) as u64).map(|at| address / 4096 + at).collect();
            let memory = tools.ctrl().map_foreign(domid, &gfns, Access::Read).unwrap();
            let mut bytes = vec![0; wanted.len()];
            memory.read(0, &mut bytes).unwrap();
            assert!(bytes == *wanted, "at {address:#x}");
        }
    }
}

#[test]
fn created_domain_is_destroyed_without_a_trace() {
    let host = FakeHost::new();
    let before = host.paths();
    let mut tools = host.toolstack();
    let domid = tools.create(&config(&Kernel::new(), DEVICES)).unwrap();
    tools.unpause(domid).unwrap();
    tools.destroy(domid).unwrap();
    assert_eq!((host.domids(), host.held_disks()), (vec![0], 0));
    let folders = ["/libxl", "/vm"].map(str::to_owned);
    let left: Vec<String> = host.paths().into_iter().filter(|path| !folders.contains(path)).collect();
    assert_eq!(left, before);
}

#[test]
fn whichever_hypercall_fails_nothing_is_left() {
    let kernel = Kernel::new();
    let host = FakeHost::new();
    let config = config(&kernel, DEVICES);
    let mut tools = host.toolstack();
    for after in 0.. {
        host.fail_hypercall(Some(after));
        match tools.create(&config) {
            Err(error) => {
                assert!(error.to_string().contains("ENOMEM"), "after {after}: {error}");
                assert_eq!((host.domids(), host.held_disks()), (vec![0], 0), "after {after}");
                let left: Vec<String> =
                    host.paths().into_iter().filter(|path| path.contains("web")).collect();
                assert!(left.is_empty(), "after {after}: {left:?}");
                assert!(!host.paths().iter().any(|path| path.contains("backend/v")), "after {after}");
            }
            Ok(domid) => {
                assert!(after > 20, "only {after} hypercalls");
                host.fail_hypercall(None);
                return tools.destroy(domid).unwrap();
            }
        }
    }
}

#[test]
fn back_end_that_fails_ends_the_creation_and_the_domain() {
    for back_ends in [BackEnds::Fail, BackEnds::Missing] {
        let host = FakeHost::with_back_ends(back_ends);
        let error = host.toolstack().create(&config(&Kernel::new(), DEVICES)).unwrap_err();
        assert!(!matches!(error, DomainError::NotUndone { .. }), "{error}");
        assert_eq!((host.domids(), host.held_disks()), (vec![0], 0));
        assert!(host.paths().iter().all(|path| !path.contains("/1")), "{:?}", host.paths());
    }
}

#[test]
fn second_domain_of_a_name_or_uuid_or_address_is_refused_and_the_first_lives() {
    let host = FakeHost::new();
    let kernel = Kernel::new();
    let mut tools = host.toolstack();
    let uuid = "uuid = '01234567-89ab-cdef-0123-456789abcdef'\nvif = ['mac=00:16:3e:01:02:03']";
    tools.create(&config(&kernel, uuid)).unwrap();
    let before = host.paths();
    let mut error = |lines: &str| {
        let lines = lines.to_owned();
        tools.create(&config(&kernel, &lines)).unwrap_err().to_string()
    };
    assert_eq!(error(""), "the name web is taken by domain 1");
    assert!(error(uuid).starts_with("the UUID 01234567-89ab-cdef-0123-456789abcdef is that of domain 1"));
    assert!(error("vif = ['mac=00:16:3e:01:02:03']").contains("that of an interface of domain 1"));
    assert_eq!((host.domids(), host.paths()), (vec![0, 1], before));
}

#[test]
fn what_cannot_be_had_is_named_before_a_domain_is_made() {
    let host = FakeHost::new();
    let kernel = Kernel::new();
    let mut tools = host.toolstack();
    let mut error = |lines: &str| tools.create(&config(&kernel, lines)).unwrap_err().to_string();
    assert!(error("ramdisk = '/none'").starts_with("ramdisk: cannot read /none: "));
    assert_eq!(error("ramdisk = '/dev/null'"), "ramdisk: /dev/null is not a regular file");
    assert!(error("disk = ['/none,raw,xvda,rw']").starts_with("disk xvda: cannot find /none"));
    assert!(error("vif = ['bridge=br9']").contains("there is no bridge br9"));
    assert!(error("vif = ['bridge=xenbr0,backend=net']").starts_with("vif: back end net"));
    assert!(error("pool = 'nine'").starts_with("pool: there is no CPU pool nine"));
    assert!(error("memory = '8g'").starts_with("the domain needs 8"));
    assert_eq!(error("acpi = 1"), "acpi: these tools do not have it; leave the key out");
    assert!(error("cpus = '9'").contains("the host has no CPU 9"));
    assert!(
        error("on_crash = 'coredump-restart'")
            .starts_with("on_crash: coredump-restart: these tools write no dumps")
    );
    let tree = format!("device_tree = '{}'", kernel.path().display());
    let wanted = format!("device_tree: {}: it is no device tree", kernel.path().display());
    assert!(error(&tree).starts_with(&wanted), "{}", error(&tree));
    let script = Kernel::of(b"#!/bin/sh");
    let text = tools.create(&config(&script, "")).unwrap_err().to_string();
    let wanted = format!("kernel: {}: it is no arm64 Image", script.path().display());
    assert!(text.starts_with(&wanted), "{text}");
    assert_eq!(host.domids(), [0]);
    assert!(host.paths().iter().all(|path| !path.contains("/vm/")));
}
