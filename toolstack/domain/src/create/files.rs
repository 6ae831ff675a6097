//! The files from which a guest is built.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use domain_builder::MAX_KERNEL_BYTES;
use xl_config::{DomainConfig, Text};

use crate::DomainError;

/// Largest partial device tree in bytes.
const MAX_TREE_BYTES: u64 = 1 << 20;

/// Their contents.
pub(super) struct Files {
    pub(super) kernel: Vec<u8>,
    pub(super) ramdisk: Option<Vec<u8>>,
    pub(super) tree: Option<Vec<u8>>,
}

impl Files {
    pub(super) fn read(config: &DomainConfig) -> Result<Self, DomainError> {
        let missing = || {
            let why = "is missing; name the file of an arm64 Image".to_owned();
            DomainError::Key { key: "kernel", why }
        };
        let optional =
            |key, path: &Option<Text>, limit| path.as_ref().map(|path| read(key, path, limit)).transpose();
        Ok(Self {
            kernel: optional("kernel", &config.kernel, MAX_KERNEL_BYTES)?.ok_or_else(missing)?,
            // It has to fit into the guest.
            ramdisk: optional("ramdisk", &config.ramdisk, config.maxmem.bytes())?,
            tree: optional("device_tree", &config.device_tree, MAX_TREE_BYTES)?,
        })
    }
}

/// Reads a regular file of at most `limit` bytes.
fn read(key: &'static str, path: &Text, limit: u64) -> Result<Vec<u8>, DomainError> {
    let path = Path::new(path.as_str());
    let failed = |source| DomainError::File { key, path: path.to_owned(), source };
    // Opening a pipe would wait for a writer.
    let meta = std::fs::metadata(path).map_err(failed)?;
    if !meta.is_file() {
        return Err(DomainError::Key { key, why: format!("{} is not a regular file", path.display()) });
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > limit {
        let why = format!("{} has more than {limit} bytes", path.display());
        return Err(DomainError::Key { key, why });
    }
    Ok(bytes)
}
