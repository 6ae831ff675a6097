//! Removing stage-2 translations from the TLBs.

use hal::{Gfn, Stage2Root};

use super::{cpu, sysreg as reg};
use crate::cpu_bugs::Bugs;

/// From this number of frames on, the whole VMID is flushed.
const ALL_FROM: u64 = 32;
const VMID_SHIFT: u32 = 48;

/// The value of VTTBR_EL2 for a root.
#[inline(always)]
pub(super) fn vttbr(root: Stage2Root) -> u64 {
    u64::from(root.tag) << VMID_SHIFT | root.table.addr().0
}

/// Runs `flush` with the root's VMID selected. TLB instructions work on the current VMID; tables
/// are not needed for them, so while it is borrowed the empty `parked` ones are in place and
/// nothing new can be cached for it from a half-loaded guest.
#[inline]
fn with_vmid(parked: u64, root: Stage2Root, flush: impl FnOnce()) {
    let current = reg::VTTBR_EL2.read();
    let borrowed = current >> VMID_SHIFT != u64::from(root.tag);
    if borrowed {
        let empty = parked & ((1 << VMID_SHIFT) - 1) | u64::from(root.tag) << VMID_SHIFT;
        // SAFETY: the parked tables map nothing.
        unsafe { reg::VTTBR_EL2.write(empty) };
        reg::isb();
    }
    reg::dsb(reg::ISHST);
    flush();
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

/// Removes guest frames, which are fewer than [`ALL_FROM`].
///
/// Stage 2 goes first, by frame. What stage 1 had combined with it can only be removed for the
/// whole VMID, and only after that: else it could be combined again. (Arm ARM, D8.16: invalidation
/// of combined entries.)
#[inline]
fn flush_each(parked: u64, root: Stage2Root, gfns: impl Iterator<Item = Gfn>) {
    with_vmid(parked, root, || {
        for gfn in gfns {
            reg::TLBI_IPAS2E1IS.run(gfn.0);
        }
        reg::dsb(reg::ISH);
        reg::TLBI_VMALLE1IS.run(0);
    });
}

/// Removes `count` guest frames from `gfn` on.
pub(super) fn flush_gfns(parked: u64, root: Stage2Root, gfn: Gfn, count: u64) {
    if count >= ALL_FROM {
        return flush_tag(parked, root);
    }
    flush_each(parked, root, (0..count).map(|n| gfn.plus(n)));
}

/// Removes these guest frames.
#[inline]
pub(super) fn flush_pages(parked: u64, root: Stage2Root, gfns: &[Gfn]) {
    if gfns.len() as u64 >= ALL_FROM {
        return flush_tag(parked, root);
    }
    flush_each(parked, root, gfns.iter().copied());
}

/// Removes everything of the root's VMID.
pub(super) fn flush_tag(parked: u64, root: Stage2Root) {
    with_vmid(parked, root, || reg::TLBI_VMALLS12E1IS.run(0));
}

/// Removes this pCPU's stage-1 entries of the current VMID.
pub(super) fn flush_stage1_here() {
    reg::TLBI_VMALLE1.run(0);
    reg::dsb(reg::NSH);
    reg::isb();
}
