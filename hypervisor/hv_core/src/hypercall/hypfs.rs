//! HYPERVISOR_hypfs_op (hypfs.h): what the hypervisor is, as a tree of files that can only be read.

use super::version::{EXTRA_VERSION, MAJOR, MINOR};
use super::{Call, DONE, Flow, Outcome};
use crate::Hypervisor;
use alloc::vec::Vec;
use xen_abi::Errno;
use xen_abi::hypfs::*;
use zerocopy::IntoBytes as _;

/// Bytes that the length of a name in a directory is a multiple of.
const ALIGN: usize = 4;

/// What an entry holds.
enum Content {
    /// Others.
    Dir(&'static [Entry]),
    /// A text.
    Text(fn(&Hypervisor) -> &str),
    /// A number.
    Number(fn(&Hypervisor) -> u32),
    /// A truth value.
    Flag(fn(&Hypervisor) -> bool),
}

/// A file or directory.
struct Entry {
    name: &'static str,
    content: Content,
}

const fn dir(name: &'static str, entries: &'static [Entry]) -> Entry {
    Entry { name, content: Content::Dir(entries) }
}

const fn text(name: &'static str, text: fn(&Hypervisor) -> &str) -> Entry {
    Entry { name, content: Content::Text(text) }
}

const fn number(name: &'static str, number: fn(&Hypervisor) -> u32) -> Entry {
    Entry { name, content: Content::Number(number) }
}

/// The tree; entries stand in the order of their names.
static ROOT: Entry = dir(
    "",
    &[
        dir(
            "buildinfo",
            &[
                text("changeset", |_| env!("CARGO_PKG_VERSION")),
                dir(
                    "compileinfo",
                    &[
                        text("compile_by", |_| "xenoxide"),
                        text("compile_date", |_| ""),
                        text("compile_domain", |_| ""),
                        text("compiler", |_| concat!("rustc, xenoxide ", env!("CARGO_PKG_VERSION"))),
                    ],
                ),
                dir(
                    "version",
                    &[
                        text("extra", |_| EXTRA_VERSION),
                        number("major", |_| MAJOR as u32),
                        number("minor", |_| MINOR as u32),
                    ],
                ),
            ],
        ),
        dir(
            "params",
            &[
                number("gnttab_max_frames", |hv| hv.options.grant_frames),
                number("gnttab_max_maptrack_frames", |hv| hv.options.maptrack_frames),
                Entry { name: "noreboot", content: Content::Flag(|hv| hv.options.no_reboot) },
                text("sched", |hv| hv.options.scheduler.name()),
                number("sched_ratelimit_us", |hv| hv.options.ratelimit_us),
            ],
        ),
    ],
);

impl Entry {
    /// Its type in the ABI.
    fn kind(&self) -> u8 {
        match self.content {
            Content::Dir(_) => XEN_HYPFS_TYPE_DIR,
            Content::Text(_) => XEN_HYPFS_TYPE_STRING,
            Content::Number(_) => XEN_HYPFS_TYPE_UINT,
            Content::Flag(_) => XEN_HYPFS_TYPE_BOOL,
        }
    }

    /// What reading it gives.
    fn read(&self, hv: &Hypervisor) -> Result<Vec<u8>, Errno> {
        let mut bytes = Vec::new();
        match self.content {
            Content::Dir(entries) => {
                for (n, entry) in entries.iter().enumerate() {
                    let size = listed_size(entry.name);
                    let next = if n + 1 == entries.len() { 0 } else { size as u16 };
                    append(&mut bytes, entry.describe(hv)?.as_bytes())?;
                    append(&mut bytes, &next.to_le_bytes())?;
                    append(&mut bytes, entry.name.as_bytes())?;
                    // At least one zero ends the name.
                    for _ in entry.name.len()..(entry.name.len() + 1).next_multiple_of(ALIGN) {
                        append(&mut bytes, &[0])?;
                    }
                }
            }
            Content::Text(text) => {
                append(&mut bytes, text(hv).as_bytes())?;
                append(&mut bytes, &[0])?;
            }
            Content::Number(number) => append(&mut bytes, &number(hv).to_le_bytes())?,
            Content::Flag(flag) => append(&mut bytes, &[u8::from(flag(hv))])?,
        }
        Ok(bytes)
    }

    fn describe(&self, hv: &Hypervisor) -> Result<HypfsDirentry, Errno> {
        Ok(HypfsDirentry {
            type_: self.kind(),
            encoding: XEN_HYPFS_ENC_PLAIN,
            pad: 0,
            content_len: self.read(hv)?.len() as u32,
            max_write_len: 0,
        })
    }

    /// The entry that a path names, below this one.
    fn find(&'static self, path: &str) -> Result<&'static Entry, Errno> {
        let mut entry = self;
        let mut rest = path;
        loop {
            let Content::Dir(entries) = entry.content else { return Err(Errno::ENOENT) };
            if rest.is_empty() {
                return Ok(entry);
            }
            let (name, more) = match rest.split_once('/') {
                Some((name, more)) => (name, Some(more)),
                None => (rest, None),
            };
            entry = entries.iter().find(|e| e.name == name).ok_or(Errno::ENOENT)?;
            match more {
                Some(more) => rest = more,
                None => return Ok(entry),
            }
        }
    }
}

/// Bytes of an entry in a directory's content: the description, the way to the next, and the name.
const fn listed_size(name: &str) -> usize {
    size_of::<HypfsDirentry>() + size_of::<u16>() + (name.len() + 1).next_multiple_of(ALIGN)
}

fn append(bytes: &mut Vec<u8>, more: &[u8]) -> Result<(), Errno> {
    bytes.try_reserve(more.len()).map_err(|_| Errno::ENOMEM)?;
    bytes.extend_from_slice(more);
    Ok(())
}

/// hypfs_op(cmd, path, path length, buffer, buffer length).
pub fn hypfs_op(call: &Call<'_>) -> Outcome {
    let [cmd, path, path_len, buffer, len] = call.args;
    if !call.domain.privileged {
        return Err(Errno::EPERM);
    }
    let cmd = cmd as u32;
    if cmd == XEN_HYPFS_OP_get_version {
        let clean = [path, path_len, buffer, len] == [0; 4];
        return if clean { Ok(Flow::Done(XEN_HYPFS_VERSION.into())) } else { Err(Errno::EINVAL) };
    }
    let entry = entry_at(call, path, path_len)?;
    match cmd {
        XEN_HYPFS_OP_read => read(call, entry, buffer, len),
        XEN_HYPFS_OP_write_contents => Err(Errno::EACCES),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

/// The entry that the caller's path names; the path ends with its only zero.
fn entry_at(call: &Call<'_>, at: u64, len: u64) -> Result<&'static Entry, Errno> {
    if len > u64::from(XEN_HYPFS_MAX_PATHLEN) {
        return Err(Errno::EINVAL);
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len as usize).map_err(|_| Errno::ENOMEM)?;
    bytes.resize(len as usize, 0);
    call.guest().read_bytes(at, &mut bytes)?;
    let (last, path) = bytes.split_last().ok_or(Errno::EINVAL)?;
    if *last != 0 || path.contains(&0) {
        return Err(Errno::EINVAL);
    }
    let path = path.strip_prefix(b"/").ok_or(Errno::EINVAL)?;
    ROOT.find(core::str::from_utf8(path).map_err(|_| Errno::ENOENT)?)
}

/// The description and, where there is room, the content.
fn read(call: &Call<'_>, entry: &Entry, buffer: u64, len: u64) -> Outcome {
    let header = size_of::<HypfsDirentry>() as u64;
    if len < header {
        return Err(Errno::EINVAL);
    }
    let content = entry.read(call.hv)?;
    call.guest().write(buffer, &entry.describe(call.hv)?)?;
    if len < header + content.len() as u64 {
        return Err(Errno::ENOBUFS);
    }
    let at = buffer.checked_add(header).ok_or(Errno::EFAULT)?;
    call.guest().write_bytes(at, &content)?;
    DONE
}
