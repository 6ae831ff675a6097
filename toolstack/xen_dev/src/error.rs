//! What can go wrong at the devices, said for people.

use rustix::io::Errno;
use thiserror::Error;

/// A device could not be opened.
#[derive(Debug, Error)]
#[error("cannot open {path}: {errno}{}", hint(.module, *.errno))]
pub struct OpenError {
    /// The device.
    pub path: &'static str,
    /// The kernel module that provides it.
    pub module: &'static str,
    /// What the kernel said.
    pub errno: Errno,
}

fn hint(module: &str, errno: Errno) -> String {
    match errno {
        Errno::NOENT | Errno::NODEV | Errno::NXIO => {
            format!("; not running on Xen, or module {module} is missing (try: modprobe {module})")
        }
        Errno::ACCESS | Errno::PERM => "; try as root".to_owned(),
        _ => String::new(),
    }
}

/// Memory of another domain could not be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MapError {
    /// The request names no frame or grant, or too many.
    #[error("cannot map {asked} pages at once; 1 to {limit} can be")]
    Count {
        /// Pages asked for.
        asked: usize,
        /// Largest number.
        limit: usize,
    },
    /// One of the frames could not be mapped.
    #[error("cannot map guest frame {gfn:#x}: {errno}")]
    Frame {
        /// The first frame that failed.
        gfn: u64,
        /// What the hypervisor said.
        errno: Errno,
    },
    /// The mapping as a whole failed.
    #[error("cannot map memory of another domain: {0}")]
    Kernel(#[from] Errno),
}

/// Bytes could not be copied into another domain.
#[derive(Debug, Error)]
pub enum CopyError {
    /// The device for it cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The copy as a whole failed.
    #[error("cannot copy into memory of another domain: {0}")]
    Kernel(#[from] Errno),
    /// The hypervisor refused a page.
    #[error("cannot copy into the page of grant {gref}: status {status} of the hypervisor")]
    Grant {
        /// The first grant that failed.
        gref: u32,
        /// `GNTST_*`.
        status: i16,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_device_names_the_module_to_load() {
        let error = OpenError { path: "/dev/xen/privcmd", module: "xen-privcmd", errno: Errno::NOENT };
        let text = error.to_string();
        assert!(text.contains("/dev/xen/privcmd") && text.contains("not running on Xen"), "{text}");
        assert!(text.contains("modprobe xen-privcmd"), "{text}");
        let text = OpenError { errno: Errno::ACCESS, ..error }.to_string();
        assert!(text.ends_with("try as root"), "{text}");
    }
}
