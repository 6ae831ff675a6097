//! What an arm64 instruction counts as, by its address and its bits.

/// Where Dom0's memory lies: its kernel runs here before it turns its page tables on.
const DOM0_MEMORY: core::ops::Range<u64> = 0x6000_0000..0xa000_0000;
/// Where static programs of user space lie: ours of Dom0, and busybox. Xen ends where they start.
const STATIC_PROGRAMS: core::ops::Range<u64> = 0x40_0000..0x1000_0000;
/// The lowest address of all other programs; the hypervisor's own addresses lie below.
const USER_START: u64 = 0xaaaa_0000_0000;
const KERNEL_START: u64 = 0xffff_0000_0000_0000;

/// Number of counters.
pub const COUNTERS: usize = 9;

/// A counter. The first three are instructions by who executes them, the others kinds of instructions that the
/// hypervisor executes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Counter {
    /// Instructions of the hypervisor, its boot code included.
    Hypervisor,
    /// Instructions of Dom0's kernel.
    Kernel,
    /// Instructions of Dom0's user space.
    User,
    /// Returns to the guest (`eret`).
    Exits,
    /// TLB invalidations of everything or of a whole address space.
    TlbiWhole,
    /// TLB invalidations by address.
    TlbiAddress,
    /// `dsb`, `dmb` and `isb`.
    Barriers,
    /// Writes to system registers (`msr` from a register).
    SystemWrites,
    /// Exclusive stores, one for each try of an atomic operation.
    Atomics,
}

/// Who executes what lies at a virtual address.
pub fn owner(address: u64) -> Counter {
    if address >= KERNEL_START || DOM0_MEMORY.contains(&address) {
        Counter::Kernel
    } else if address >= USER_START || STATIC_PROGRAMS.contains(&address) {
        Counter::User
    } else {
        Counter::Hypervisor
    }
}

/// The kind that an instruction is counted as, if any (Arm ARM, C4.1 "A64 instruction set encoding").
pub fn kind(instruction: u32) -> Option<Counter> {
    const ERET: u32 = 0xd69f_03e0;
    if instruction == ERET {
        return Some(Counter::Exits);
    }
    // System instructions with CRn 8; CRm 0 and 4 are by intermediate address, of the others op2 tells.
    if instruction & 0xfff8_f000 == 0xd508_8000 {
        let crm = instruction >> 8 & 15;
        let op2 = instruction >> 5 & 7;
        let whole = !matches!(crm, 0 | 4) && matches!(op2, 0 | 4 | 6);
        return Some(if whole { Counter::TlbiWhole } else { Counter::TlbiAddress });
    }
    if matches!(instruction & 0xffff_f0ff, 0xd503_309f | 0xd503_30bf | 0xd503_30df) {
        return Some(Counter::Barriers);
    }
    if instruction & 0xfff0_0000 == 0xd510_0000 {
        return Some(Counter::SystemWrites);
    }
    (instruction & 0x3fc0_0000 == 0x0800_0000).then_some(Counter::Atomics)
}

/// The number in a marker: `movz xzr, #number`, an instruction without effect that no compiler emits.
pub fn marker(instruction: u32) -> Option<u16> {
    const NUMBER_SHIFT: u32 = 5;
    (instruction & 0xffe0_001f == 0xd280_001f).then_some((instruction >> NUMBER_SHIFT) as u16)
}

#[cfg(test)]
mod tests {
    use super::{COUNTERS, Counter, kind, marker, owner};

    #[test]
    fn last_counter_is_counted() {
        assert_eq!(Counter::Atomics as usize + 1, COUNTERS);
    }

    #[test]
    fn address_tells_the_owner() {
        // Identity-mapped boot code, then the addresses Xen and this hypervisor are linked at.
        for address in [0x4020_0000, 0x20_0000, 0x80_0000_0000] {
            assert_eq!(owner(address), Counter::Hypervisor);
        }
        assert_eq!(owner(0x6000_0000), Counter::Kernel);
        assert_eq!(owner(0xffff_8000_0800_0000), Counter::Kernel);
        for address in [0x40_0000, 0x6d_acb0, 0xaaaa_aaaa_0000] {
            assert_eq!(owner(address), Counter::User);
        }
        assert_eq!(owner(0xffff_f7ff_0000), Counter::User);
    }

    #[test]
    fn instructions_are_sorted_into_kinds() {
        for (instruction, expected) in [
            (0xd69f_03e0, Some(Counter::Exits)),
            // tlbi vmalls12e1is; tlbi alle1; tlbi vae2is, x0; tlbi ipas2e1is, x0.
            (0xd50c_83df, Some(Counter::TlbiWhole)),
            (0xd50c_879f, Some(Counter::TlbiWhole)),
            (0xd50c_8320, Some(Counter::TlbiAddress)),
            (0xd50c_8020, Some(Counter::TlbiAddress)),
            // dsb ish; isb.
            (0xd503_3b9f, Some(Counter::Barriers)),
            (0xd503_3fdf, Some(Counter::Barriers)),
            // msr hcr_el2, x0; mrs x0, hcr_el2.
            (0xd51c_1100, Some(Counter::SystemWrites)),
            (0xd53c_1100, None),
            // stxr w1, w0, [x2]; ldxr w0, [x2]; str x0, [x1]; nop.
            (0x8801_7c40, Some(Counter::Atomics)),
            (0x885f_7c40, None),
            (0xf900_0020, None),
            (0xd503_201f, None),
        ] {
            assert_eq!(kind(instruction), expected, "{instruction:#x}");
        }
    }

    #[test]
    fn marker_carries_its_number_and_other_moves_are_none() {
        assert_eq!(marker(0xd280_001f | 0x1234 << 5), Some(0x1234));
        // movz x0, #1; movz xzr, #1, lsl 16.
        assert_eq!(marker(0xd280_0020), None);
        assert_eq!(marker(0xd2a0_003f), None);
    }
}
