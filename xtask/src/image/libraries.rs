//! Finds the shared libraries that programs load, by their ELF dynamic sections.

use anyhow::{Context, Result, bail};
use elf::ElfBytes;
use elf::abi::{DT_NEEDED, PT_INTERP};
use elf::endian::LittleEndian;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Where Debian's arm64 packages put libraries, relative to the file system's root.
const FOLDERS: [&str; 3] =
    ["lib/aarch64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib/xen-4.17/lib/aarch64-linux-gnu"];

/// Libraries that are opened by name at run time, so that no dynamic section lists them: glibc loads the
/// unwinder when a thread is cancelled, as libxl's are.
const OPENED_BY_NAME: [&str; 1] = ["libgcc_s.so.1"];

/// The names and files of all libraries that `programs` (paths) need, directly or not.
///
/// # Errors
/// When a library is in no folder of `root`; the message names it and who wants it.
pub fn needed_by(root: &Path, programs: &[PathBuf]) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let mut to_visit: Vec<(PathBuf, Vec<String>)> = vec![(
        PathBuf::from("the C library"),
        OPENED_BY_NAME.iter().map(|name| (*name).to_owned()).collect(),
    )];
    for program in programs {
        to_visit.push((program.clone(), names_needed(program)?));
    }
    while let Some((wanted_by, names)) = to_visit.pop() {
        for name in names {
            if !seen.insert(name.clone()) {
                continue;
            }
            let Some(file) = find(root, &name) else {
                bail!("{} needs {name}, which no fetched package holds", wanted_by.display());
            };
            to_visit.push((file.clone(), names_needed(&file)?));
            found.push((name, file));
        }
    }
    Ok(found)
}

fn find(root: &Path, name: &str) -> Option<PathBuf> {
    FOLDERS.iter().map(|folder| root.join(folder).join(name)).find(|path| path.exists())
}

/// Names in the dynamic section and of the program interpreter; none for what is not a dynamic ELF file.
fn names_needed(file: &Path) -> Result<Vec<String>> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let Ok(elf) = ElfBytes::<LittleEndian>::minimal_parse(&bytes) else {
        return Ok(Vec::new());
    };
    let describe = || format!("cannot make sense of {}", file.display());
    let mut names = Vec::new();
    for segment in elf.segments().into_iter().flatten().filter(|segment| segment.p_type == PT_INTERP) {
        let interpreter = elf.segment_data(&segment).with_context(describe)?;
        let interpreter = String::from_utf8_lossy(interpreter);
        let interpreter = interpreter.trim_end_matches('\0');
        names.extend(interpreter.rsplit('/').next().map(str::to_owned));
    }
    let Some(dynamic) = elf.dynamic().with_context(describe)? else {
        return Ok(names);
    };
    let common = elf.find_common_data().with_context(describe)?;
    let strings = common.dynsyms_strs.with_context(describe)?;
    for entry in dynamic.iter().filter(|entry| entry.d_tag == DT_NEEDED) {
        let offset = usize::try_from(entry.d_val())?;
        names.push(strings.get(offset).with_context(describe)?.to_owned());
    }
    Ok(names)
}
