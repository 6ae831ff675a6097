//! The files from which a guest is built.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use domain_builder::{BuildError, KERNEL_START_BYTES, KernelFile, MAX_KERNEL_BYTES};
use xen_ctrl::{CtrlError, XenCtrl};
use xen_dev::{CopyError, Domid, Errno, MappedFile, Source};
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
    /// The partial device tree, and what is in it.
    pub(super) tree: Option<(GuestFile, Vec<u8>)>,
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
            file.read(file.len).map(|bytes| (file, bytes))
        });
        Ok(Self { kernel, kernel_bytes, ramdisk: ramdisk.transpose()?, tree: tree.transpose()? })
    }

    /// The kernel, for the plan.
    pub(super) fn kernel(&self) -> KernelFile<'_> {
        KernelFile { bytes: &self.kernel_bytes, len: self.kernel.len }
    }

    /// Why a guest cannot be built, with the file that is at fault if one is.
    pub(super) fn at_fault(&self, error: BuildError) -> DomainError {
        match (error, &self.tree) {
            (BuildError::Kernel(error), _) => self.kernel.unfit(&error),
            (BuildError::PartialTree(error), Some((tree, _))) => tree.unfit(&error),
            (error, _) => DomainError::Build(error),
        }
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

    /// Copies the file into a domain's memory from a guest frame on; no byte passes through memory of this process.
    pub(super) fn copy_in(&self, ctrl: &XenCtrl, domid: Domid, gfn: u64) -> Result<(), DomainError> {
        if self.len == 0 {
            return Ok(());
        }
        let len = usize::try_from(self.len).map_err(|_| self.failed(io::ErrorKind::FileTooLarge.into()))?;
        let mapped = MappedFile::new(&self.file, len).map_err(|errno| self.failed(errno.into()))?;
        let copied = ctrl.copy_in(domid, gfn, &Source::file(&mapped));
        // Of pages that are no longer there the copy fails, and the rest of the last one has become zeroes.
        if self.file.metadata().map_err(|error| self.failed(error))?.len() < self.len {
            let why = "it has become shorter while it was read";
            return Err(self.failed(io::Error::new(io::ErrorKind::UnexpectedEof, why)));
        }
        copied.map_err(|error| match error {
            // The kernel could not get a page of it.
            CtrlError::Copy { cause: CopyError::Kernel(Errno::FAULT), .. } => self.failed(Errno::IO.into()),
            error => error.into(),
        })
    }

    fn unfit(&self, error: &impl Display) -> DomainError {
        DomainError::Key { key: self.key, why: format!("{}: {error}", self.path.display()) }
    }

    fn failed(&self, source: io::Error) -> DomainError {
        DomainError::File { key: self.key, path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use xen_ctrl::Cpu;
    use xen_dev::fake::FakeXen;

    use super::*;
    use crate::fake::TemporaryFolder;

    #[test]
    fn file_that_becomes_shorter_is_named_and_an_empty_one_is_nothing_to_copy() {
        let xen = FakeXen::new(|_| Ok(0));
        let ctrl = XenCtrl::new(Arc::new(xen.clone()), Cpu::Arm64).unwrap();
        xen.add_frames(Domid::DOM0, 0x40000, 1);
        let folder = TemporaryFolder::new("files");
        let path = folder.path().join("ramdisk");
        std::fs::write(&path, [7; 100]).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let file = GuestFile { key: "ramdisk", path, file, len: 100 };
        file.copy_in(&ctrl, Domid::DOM0, 0x40000).unwrap();
        file.file.set_len(50).unwrap();
        let error = file.copy_in(&ctrl, Domid::DOM0, 0x40000).unwrap_err().to_string();
        assert!(error.starts_with("ramdisk: cannot read ") && error.contains("shorter"), "{error}");
        GuestFile { len: 0, ..file }.copy_in(&ctrl, Domid::DOM0, 0x50000).unwrap();
    }
}
