//! Where things lie in the hypervisor's virtual address space (EL2, 48 bits, one table root).
//!
//! Everything is below 0xaaaa_0000_0000 and outside 0x6000_0000-0x9fff_ffff, where no arm64 Linux
//! kernel runs and no position-independent program is loaded, so that an address alone tells whose
//! instruction it is.

/// The address the image is linked at.
pub const IMAGE_BASE: u64 = 0x80_0000_0000;
/// Where the boot loader's device tree is mapped while it is read.
pub const FDT_WINDOW: u64 = IMAGE_BASE + (4 << 20);
/// The largest device tree (boot protocol: 2 MiB), and a page for its misalignment.
pub const FDT_MAX: u64 = 2 << 20;
/// The first address for device registers.
pub const DEVICE_BASE: u64 = IMAGE_BASE + (16 << 20);
/// The end of the addresses for device registers.
pub const DEVICE_END: u64 = IMAGE_BASE + (128 << 20);
/// The first pCPU's stack slot.
pub const STACK_BASE: u64 = IMAGE_BASE + (256 << 20);
/// The size of a pCPU's stack.
pub const STACK_SIZE: u64 = 32 << 10;
/// A stack slot: the upper half is the stack, the lower half is never mapped.
pub const STACK_SLOT: u64 = 2 * STACK_SIZE;
/// Where physical address 0 is mapped.
pub const DIRECT_BASE: u64 = 0x1000_0000_0000;
/// The end of the physical addresses that the direct map can hold.
pub const DIRECT_LIMIT: u64 = 1 << 47;
/// The most pCPUs.
pub const MAX_CPUS: usize = 128;

const _: () = assert!(STACK_BASE.is_multiple_of(STACK_SLOT));
const _: () = assert!(DIRECT_BASE + DIRECT_LIMIT < 0xaaaa_0000_0000);

/// The direct map's address of a physical address.
pub const fn direct(pa: u64) -> u64 {
    DIRECT_BASE + pa
}

/// The lowest mapped address of a pCPU's stack.
pub const fn stack_bottom(cpu: u32) -> u64 {
    STACK_BASE + cpu as u64 * STACK_SLOT + STACK_SIZE
}

/// The address just above a pCPU's stack.
pub const fn stack_top(cpu: u32) -> u64 {
    stack_bottom(cpu) + STACK_SIZE
}

/// The pCPU below whose stack `va` lies, in memory that is never mapped.
pub const fn stack_guard_of(va: u64) -> Option<u32> {
    let offset = va.wrapping_sub(STACK_BASE);
    if offset < MAX_CPUS as u64 * STACK_SLOT && offset % STACK_SLOT < STACK_SIZE {
        Some((offset / STACK_SLOT) as u32)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_below_a_stack_belongs_to_its_guard() {
        assert_eq!(stack_guard_of(stack_bottom(3) - 8), Some(3));
        assert_eq!(stack_guard_of(stack_bottom(3)), None);
        assert_eq!(stack_guard_of(stack_top(3) - 8), None);
        assert_eq!(stack_guard_of(STACK_BASE - 8), None);
        assert_eq!(stack_guard_of(stack_top(MAX_CPUS as u32 - 1)), None);
    }
}
