//! The files from which a guest is built.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use domain_builder::{KERNEL_START_BYTES, KernelFile, MAX_KERNEL_BYTES};
use xen_dev::{Domid, FillError, SharedMemory};
use xl_config::{DomainConfig, Text};

use crate::DomainError;

/// Largest partial device tree in bytes.
const MAX_TREE_BYTES: u64 = 1 << 20;

/// The files, opened, with the contents that the plan needs.
pub(super) struct Files {
    pub(super) kernel: GuestFile,
    /// The kernel's start; all of it, if it has to be unpacked.
    kernel_bytes: Vec<u8>,
    pub(super) ramdisk: Option<GuestFile>,
    pub(super) tree: Option<Vec<u8>>,
}

impl Files {
    pub(super) fn open(config: &DomainConfig) -> Result<Self, DomainError> {
        let Some(kernel) = &config.kernel else {
            let why = "is missing; name the file of an arm64 Image".to_owned();
            return Err(DomainError::Key { key: "kernel", why });
        };
        let kernel = GuestFile::open("kernel", kernel, MAX_KERNEL_BYTES)?;
        let mut kernel_bytes = kernel.read(KERNEL_START_BYTES)?;
        if (KernelFile { bytes: &kernel_bytes, len: kernel.len }).is_packed() {
            kernel_bytes.extend(kernel.read(kernel.len)?);
        }
        // It has to fit into the guest.
        let ramdisk = config.ramdisk.as_ref();
        let ramdisk = ramdisk.map(|path| GuestFile::open("ramdisk", path, config.maxmem.bytes()));
        let tree = config.device_tree.as_ref().map(|path| {
            let file = GuestFile::open("device_tree", path, MAX_TREE_BYTES)?;
            file.read(file.len)
        });
        Ok(Self { kernel, kernel_bytes, ramdisk: ramdisk.transpose()?, tree: tree.transpose()? })
    }

    /// The kernel, for the plan.
    pub(super) fn kernel(&self) -> KernelFile<'_> {
        KernelFile { bytes: &self.kernel_bytes, len: self.kernel.len }
    }
}

/// A regular file.
pub(super) struct GuestFile {
    key: &'static str,
    path: PathBuf,
    file: File,
    /// Its bytes when it was opened.
    pub(super) len: u64,
}

impl GuestFile {
    /// Opens a file of at most `limit` bytes.
    fn open(key: &'static str, path: &Text, limit: u64) -> Result<Self, DomainError> {
        let path = Path::new(path.as_str()).to_owned();
        let failed = |source| DomainError::File { key, path: path.clone(), source };
        // Opening a pipe would wait for a writer.
        if !std::fs::metadata(&path).map_err(failed)?.is_file() {
            return Err(DomainError::Key { key, why: format!("{} is not a regular file", path.display()) });
        }
        let file = File::open(&path).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        if len > limit {
            let why = format!("{} has more than {limit} bytes", path.display());
            return Err(DomainError::Key { key, why });
        }
        Ok(Self { key, path, file, len })
    }

    /// At most so many of the next bytes.
    fn read(&self, most: u64) -> Result<Vec<u8>, DomainError> {
        let mut bytes = Vec::new();
        (&self.file).take(most).read_to_end(&mut bytes).map_err(|error| self.failed(error))?;
        Ok(bytes)
    }

    /// Reads the bytes from `at` on into all of a domain's `memory`.
    pub(super) fn fill(
        &self,
        domid: Domid,
        memory: &SharedMemory,
        at: u64,
        len: usize,
    ) -> Result<(), DomainError> {
        memory.fill_from(0, &self.file, at, len).map_err(|error| match error {
            FillError::Access(source) => DomainError::Write { domid, source },
            FillError::File(errno) => self.failed(errno.into()),
            FillError::Short => self.failed(io::Error::new(io::ErrorKind::UnexpectedEof, error.to_string())),
        })
    }

    fn failed(&self, source: io::Error) -> DomainError {
        DomainError::File { key: self.key, path: self.path.clone(), source }
    }
}
