//! The tree of files about the hypervisor.

use crate::testkit::{ARGS, LISTS, World};
use alloc::string::String;
use alloc::vec::Vec;
use xen_abi::Errno;
use xen_abi::hypfs::*;
use xen_abi::xen::__HYPERVISOR_hypfs_op;

const HYPFS: u64 = __HYPERVISOR_hypfs_op as u64;

/// Reads an entry with room for `len` bytes: its description, and the content.
fn read(world: &World, path: &str, len: u64) -> Result<(HypfsDirentry, Vec<u8>), (Errno, u32)> {
    let dom0 = world.get(0);
    for (n, byte) in path.bytes().chain([0]).enumerate() {
        world.put(&dom0, ARGS.plus(n as u64), &byte);
    }
    world.put(&dom0, LISTS, &[0xeeu8; 512]);
    let path_len = path.len() as u64 + 1;
    let args = [XEN_HYPFS_OP_read.into(), ARGS.0, path_len, LISTS.0, len];
    let answer = world.call(&dom0, HYPFS, args);
    let entry: HypfsDirentry = world.take(&dom0, LISTS);
    answer.map_err(|e| (e, entry.content_len))?;
    let content = (0..u64::from(entry.content_len)).map(|n| world.take(&dom0, LISTS.plus(12 + n))).collect();
    Ok((entry, content))
}

/// The names in a directory, with their types.
fn list(world: &World, path: &str) -> Vec<(String, u8)> {
    let (entry, content) = read(world, path, 512).unwrap();
    assert_eq!((entry.type_, entry.encoding, entry.max_write_len), (XEN_HYPFS_TYPE_DIR, 0, 0));
    let mut names = Vec::new();
    let mut at = 0;
    loop {
        let next = usize::from(u16::from_le_bytes([content[at + 12], content[at + 13]]));
        let name: Vec<u8> = content[at + 14..].iter().copied().take_while(|byte| *byte != 0).collect();
        names.push((String::from_utf8(name).unwrap(), content[at]));
        if next == 0 {
            return names;
        }
        at += next;
    }
}

#[test]
fn tree_is_read_from_its_root() {
    let world = World::new();
    let names = |path: &str| list(&world, path).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names("/"), ["buildinfo", "params"]);
    assert_eq!(names("/buildinfo"), ["changeset", "compileinfo", "version"]);
    assert_eq!(names("/buildinfo/"), names("/buildinfo"));
    let types: Vec<u8> = list(&world, "/buildinfo/version").into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(types, [XEN_HYPFS_TYPE_STRING, XEN_HYPFS_TYPE_UINT, XEN_HYPFS_TYPE_UINT]);
    let (entry, content) = read(&world, "/buildinfo/version/minor", 16).unwrap();
    assert_eq!((entry.type_, content), (XEN_HYPFS_TYPE_UINT, [17, 0, 0, 0].to_vec()));
    let (entry, content) = read(&world, "/params/sched", 100).unwrap();
    assert_eq!((entry.type_, content), (XEN_HYPFS_TYPE_STRING, b"credit2\0".to_vec()));
    assert_eq!(read(&world, "/params/noreboot", 13).unwrap().1, [0]);
    for path in ["/", "/buildinfo", "/params"] {
        assert!(names(path).is_sorted(), "{path}");
    }
}

#[test]
fn paths_and_sizes_are_checked() {
    let world = World::new();
    let (dom0, domu) = (world.get(0), world.domain(5, 1));
    assert_eq!(world.call(&dom0, HYPFS, [0; 5]), Ok(XEN_HYPFS_VERSION.into()));
    assert_eq!(world.call(&domu, HYPFS, [0; 5]), Err(Errno::EPERM));
    assert_eq!(world.call(&dom0, HYPFS, [0, 0, 0, 0, 1]), Err(Errno::EINVAL));
    let error = |path: &str, len: u64| read(&world, path, len).map(drop).map_err(|e| e.0);
    assert_eq!(error("buildinfo", 512), Err(Errno::EINVAL), "not from the root");
    assert_eq!(error("", 512), Err(Errno::EINVAL));
    for path in ["/x", "/buildinfo/x", "/params/sched/", "/params/sched/x", "//", "/buildinfo//version"] {
        assert_eq!(error(path, 512), Err(Errno::ENOENT), "{path}");
    }
    assert_eq!(error("/params/sched", 11), Err(Errno::EINVAL));
    assert_eq!(read(&world, "/params/sched", 12).map(drop), Err((Errno::ENOBUFS, 8)), "the size is told");
    assert_eq!(read(&world, "/params/sched", 19).map(drop), Err((Errno::ENOBUFS, 8)));
    let raw = |cmd: u64, path_len: u64| world.call(&dom0, HYPFS, [cmd, ARGS.0, path_len, LISTS.0, 100]);
    world.put(&dom0, ARGS, b"/params/sched\0\0");
    assert_eq!(raw(1, 14), Ok(0));
    for len in [0, 13, 15, 1025, u64::MAX] {
        assert_eq!(raw(1, len), Err(Errno::EINVAL), "{len}");
    }
    assert_eq!((raw(2, 14), raw(3, 14)), (Err(Errno::EACCES), Err(Errno::EOPNOTSUPP)));
    world.put(&dom0, ARGS, b"/\xff\0");
    assert_eq!(raw(1, 3), Err(Errno::ENOENT));
}
