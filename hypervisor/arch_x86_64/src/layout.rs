//! Where things lie in the hypervisor's virtual address space.
//!
//! Everything is in 0xffff_8000_0000_0000-0xffff_87ff_ffff_ffff, which Xen's ABI keeps for the
//! hypervisor, and above the first 256 GiB of it, which PV guests know as the machine-to-physical
//! table. The linker script repeats the first two numbers.

/// The virtual address of the image's first page. It belongs to the 32-bit entry code, which runs
/// before there are tables, and is not mapped.
pub const IMAGE_BASE: u64 = 0xffff_8200_0000_0000;
/// The physical address that the image is linked for; the boot loader puts it there.
pub const LOAD_ADDRESS: u64 = 2 << 20;
/// Where physical address 0 is mapped, read-only.
pub const DIRECT_BASE: u64 = 0xffff_8300_0000_0000;
/// How much is mapped there: all that a 32-bit boot loader can write.
pub const DIRECT_SIZE: u64 = 4 << 30;
/// The size of the stack. The page below it is not mapped.
pub const STACK_SIZE: u64 = 64 << 10;

const _: () = assert!(IMAGE_BASE.is_multiple_of(1 << 39) && DIRECT_BASE.is_multiple_of(1 << 39));
const _: () = assert!(LOAD_ADDRESS.is_multiple_of(2 << 20));
