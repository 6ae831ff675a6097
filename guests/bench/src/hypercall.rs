//! Hypercalls through Linux's privcmd device (`linux/include/uapi/xen/privcmd.h`).

use crate::linux::{File, Result};

const IOCTL_PRIVCMD_HYPERCALL: u64 = 0x30_5000;
/// In privcmd's number space, but none of its operations.
const NO_SUCH_IOCTL: u64 = 0x30_50ff;

#[repr(C)]
struct PrivcmdHypercall {
    op: u64,
    arguments: [u64; 5],
}

/// What a hypercall's pointer leads to, in pages of its own: the count must not depend on whether a structure happens
/// to cross from one page to the next.
#[repr(C, align(4096))]
pub struct Buffer<T>(pub T);

/// The open device.
#[derive(Clone, Copy)]
pub struct Privcmd(File);

impl Privcmd {
    /// Opens it.
    pub fn open() -> Result<Self> {
        File::open(c"/dev/xen/privcmd").map(Self)
    }

    /// Makes a hypercall with two arguments.
    #[inline]
    pub fn call(self, op: u32, first: u64, second: u64) -> Result<u64> {
        self.call3(op, first, second, 0)
    }

    /// Makes a hypercall with three arguments.
    #[inline]
    pub fn call3(self, op: u32, first: u64, second: u64, third: u64) -> Result<u64> {
        let mut call = PrivcmdHypercall { op: u64::from(op), arguments: [first, second, third, 0, 0] };
        self.0.control(IOCTL_PRIVCMD_HYPERCALL, &mut call)
    }

    /// Makes a hypercall of the kind that takes a number and a pointer.
    #[inline]
    pub fn call_with<T>(self, op: u32, command: u32, argument: &mut Buffer<T>) -> Result<u64> {
        self.call(op, u64::from(command), (&raw mut *argument).expose_provenance() as u64)
    }

    /// The same system call without a hypercall: privcmd refuses it.
    #[inline]
    pub fn refused(self) {
        let mut call = PrivcmdHypercall { op: 0, arguments: [0; 5] };
        // Refusal is what it is for.
        let _ = self.0.control(NO_SUCH_IOCTL, &mut call);
    }
}
