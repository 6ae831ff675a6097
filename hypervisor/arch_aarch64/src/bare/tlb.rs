//! Removing stage-2 translations from the TLBs.

use hal::Stage2Root;

use super::{cpu, sysreg as reg};
use crate::cpu_bugs::Bugs;

const VMID_SHIFT: u32 = 48;

/// The value of VTTBR_EL2 for a root.
#[inline(always)]
pub(super) fn vttbr(root: Stage2Root) -> u64 {
    u64::from(root.tag) << VMID_SHIFT | root.table.addr().0
}

/// Removes everything of the root's VMID.
///
/// Single guest frames are not removed by themselves. What stage 1 had combined with them can only be removed for the
/// whole VMID (Arm ARM, D8.16: invalidation of combined entries), so that little would be left; and for each frame, and
/// between both stages, all CPUs would have to be waited for once more.
///
/// TLB instructions work on the current VMID; tables are not needed for them, so while the root's is borrowed the empty
/// `parked` ones are in place and nothing new can be cached for it from a half-loaded guest.
#[inline]
pub(super) fn flush_tag(parked: u64, root: Stage2Root) {
    let current = reg::VTTBR_EL2.read();
    let borrowed = current >> VMID_SHIFT != u64::from(root.tag);
    if borrowed {
        let empty = parked & ((1 << VMID_SHIFT) - 1) | u64::from(root.tag) << VMID_SHIFT;
        // SAFETY: the parked tables map nothing.
        unsafe { reg::VTTBR_EL2.write(empty) };
        reg::isb();
    }
    reg::dsb(reg::ISHST);
    reg::TLBI_VMALLS12E1IS.run(0);
    reg::dsb(reg::ISH);
    if cpu::bugs().has(Bugs::REPEAT_TLBI) {
        // Any broadcast invalidation will do; nothing is mapped at address 0.
        reg::TLBI_VALE2IS.run(0);
        reg::dsb(reg::ISH);
    }
    if borrowed {
        // SAFETY: the value that was there.
        unsafe { reg::VTTBR_EL2.write(current) };
    }
    reg::isb();
}

/// Removes this pCPU's stage-1 entries of the current VMID.
pub(super) fn flush_stage1_here() {
    reg::TLBI_VMALLE1.run(0);
    reg::dsb(reg::NSH);
    reg::isb();
}
