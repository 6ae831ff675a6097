//! What can go wrong with the host's devices, said for people.

use std::path::PathBuf;

use rustix::io::Errno;
use thiserror::Error;

use crate::InterfaceName;

/// A device of the host is missing, or refuses what is asked of it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HostError {
    /// Not a name that an interface can have.
    #[error("`{0}` cannot be the name of a network interface: 1 to 15 characters, no spaces, no `/`, no `:`")]
    Name(String),
    /// There is no such interface.
    #[error("there is no network interface {0}")]
    NoInterface(InterfaceName),
    /// There is no such bridge.
    #[error(
        "there is no bridge {name}; {}",
        if .bridges.is_empty() {
            format!("the host has none (try: ip link add {name} type bridge && ip link set {name} up)")
        } else {
            format!("the host has {}", .bridges.join(", "))
        }
    )]
    NoBridge {
        /// The name.
        name: InterfaceName,
        /// The host's bridges.
        bridges: Vec<String>,
    },
    /// The interface is not a bridge.
    #[error("network interface {0} is not a bridge")]
    NotABridge(InterfaceName),
    /// An interface did not appear in time.
    #[error("network interface {name} did not appear within {seconds} s; is module xen-netback loaded?")]
    NotInTime {
        /// The interface.
        name: InterfaceName,
        /// How long was waited.
        seconds: u64,
    },
    /// The kernel refused something about an interface.
    #[error("cannot {what} network interface {name}: {errno}")]
    Interface {
        /// What was asked.
        what: &'static str,
        /// The interface.
        name: String,
        /// The kernel's reason.
        errno: Errno,
    },
    /// The kernel's netlink interface failed.
    #[error("cannot ask the kernel about network interfaces: {0}")]
    Netlink(Errno),
    /// The kernel's answer could not be understood.
    #[error("the kernel's answer about network interfaces makes no sense")]
    Answer,
    /// A file or device cannot be used.
    #[error("cannot {what} {}: {errno}{}", .path.display(), disk_hint(what, *.errno))]
    File {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The kernel's reason.
        errno: Errno,
    },
    /// The path does not name a block device.
    #[error("{} is not a block device; a file needs `file:` or format raw", .0.display())]
    NotABlockDevice(PathBuf),
    /// The path does not name a file.
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// A hotplug script failed.
    #[error("script {} failed ({status}){}", .path.display(), if .output.is_empty() { String::new() } else { format!(": {}", .output) })]
    Script {
        /// The script.
        path: PathBuf,
        /// How it ended.
        status: String,
        /// What it said.
        output: String,
    },
    /// Others took every loop device that was free.
    #[error("no loop device stays free: others take them faster")]
    NoLoopDevice,
}

/// What opening the control device of loop devices is called in errors.
pub(crate) const OPEN_CONTROL: &str = "open the control of loop devices";

fn disk_hint(what: &str, errno: Errno) -> &'static str {
    match errno {
        Errno::NOENT | Errno::NXIO | Errno::NODEV if what == OPEN_CONTROL => {
            "; module loop is missing (try: modprobe loop)"
        }
        Errno::ACCESS | Errno::PERM => "; try as root",
        Errno::ROFS | Errno::TXTBSY => "; try it read-only",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_bridge_says_which_there_are_or_how_to_make_it() {
        let error = |bridges| HostError::NoBridge { name: InterfaceName::new("xenbr0").unwrap(), bridges };
        let text = error(vec!["br0".to_owned(), "br1".to_owned()]).to_string();
        assert_eq!(text, "there is no bridge xenbr0; the host has br0, br1");
        let text = error(Vec::new()).to_string();
        assert!(text.contains("ip link add xenbr0 type bridge"), "{text}");
    }

    #[test]
    fn missing_loop_module_is_named() {
        let path = PathBuf::from("/dev/loop-control");
        let error = HostError::File { what: OPEN_CONTROL, path, errno: Errno::NOENT };
        assert!(error.to_string().ends_with("(try: modprobe loop)"), "{error}");
    }
}
