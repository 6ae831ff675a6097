//! State of 32 interrupts, one bit each: a vCPU's own (SGIs and PPIs) or a block of SPIs.
//!
//! An interrupt that is in a list register has bit `in_lr`; its pending state is then in `lr_pending` and the list
//! register, and `latch` holds only what came in since. `active` is as last seen, wherever it is. Everything a guest
//! writes while the list register may be live goes into the three edit masks, and the vCPU that owns the register
//! applies them when it next looks at the hardware's state ([`Block::fold`]).

use super::bits::{assign, bit, bits};
use super::lr::{ACTIVE, PENDING};

/// Group enables of GICD_CTLR, both versions.
pub(super) const CTLR_GROUP0: u32 = 1 << 0;
pub(super) const CTLR_GROUP1: u32 = 1 << 1;

/// Implemented priority bits.
pub(super) const PRIORITY_MASK: u8 = 0xf8;
/// Priority after reset.
const PRIORITY_RESET: u8 = 0xa0;

#[derive(Clone, Debug)]
pub(super) struct Block {
    pub enabled: u32,
    pub group1: u32,
    /// Edge-triggered; clear is level-sensitive.
    pub edge: u32,
    /// Pending by an edge, a message or the guest's hand, and in no list register.
    pub latch: u32,
    /// Level of the input line.
    pub line: u32,
    pub active: u32,
    /// `latch` stands for a physical interrupt that is active in the hardware.
    pub hw_latch: u32,
    /// Active outside a list register, and so is the physical interrupt.
    pub hw_active: u32,
    pub in_lr: u32,
    /// Pending in the list register.
    pub lr_pending: u32,
    /// The list register is linked to a physical interrupt.
    pub lr_hw: u32,
    /// Pending in the list register only because the line is high.
    pub lr_level: u32,
    /// Edit: the guest cleared the pending state.
    pub drop_pending: u32,
    /// Edit: the guest cleared the active state.
    pub drop_active: u32,
    /// Edit: the guest set the active state.
    pub add_active: u32,
    /// Lines whose fall is found out by asking, not reported.
    pub sampled: u32,
    priority: [u8; 32],
    /// Priority with which it was last presented; that of an active interrupt does not change any more.
    presented: [u8; 32],
}

/// What became of a list register's interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Folded {
    /// State bits that the list register should now have; 0: it is free.
    pub state: u8,
    /// The physical interrupt has to be deactivated, since the guest will not.
    pub deactivate: bool,
}

/// What to do with a list register in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Take the interrupt out.
    Withdraw,
    /// Keep it, with a maintenance interrupt on deactivation or not.
    Keep { eoi: bool },
}

impl Block {
    /// Reset state; `edge` are the interrupts that are always edge-triggered and enabled (SGIs), `group1` as given.
    pub fn new(edge: u32, group1: u32, sampled: u32) -> Self {
        Self {
            enabled: edge,
            group1,
            edge,
            latch: 0,
            line: 0,
            active: 0,
            hw_latch: 0,
            hw_active: 0,
            in_lr: 0,
            lr_pending: 0,
            lr_hw: 0,
            lr_level: 0,
            drop_pending: 0,
            drop_active: 0,
            add_active: 0,
            sampled,
            priority: [PRIORITY_RESET; 32],
            presented: [PRIORITY_RESET; 32],
        }
    }

    #[inline]
    pub fn priority_of(&self, n: u32) -> u8 {
        self.priority.get(n as usize).copied().unwrap_or(0)
    }

    /// Priority in the list register: the current one, unless the interrupt is active.
    #[inline]
    pub fn present(&mut self, n: u32) {
        let priority = self.priority_of(n);
        if self.active & bit(n) == 0
            && let Some(presented) = self.presented.get_mut(n as usize)
        {
            *presented = priority;
        }
    }

    /// Priority with which the interrupt was last presented.
    #[inline]
    pub fn presented_priority(&self, n: u32) -> u8 {
        self.presented.get(n as usize).copied().unwrap_or(0)
    }

    /// Pending outside the list registers.
    #[inline]
    pub fn asserted(&self) -> u32 {
        self.latch | (self.line & !self.edge)
    }

    /// Enabled, and so is its group.
    #[inline]
    pub fn forwardable(&self, ctlr: u32) -> u32 {
        let mut groups = 0;
        if ctlr & CTLR_GROUP0 != 0 {
            groups |= !self.group1;
        }
        if ctlr & CTLR_GROUP1 != 0 {
            groups |= self.group1;
        }
        self.enabled & groups
    }

    /// Wants a list register.
    #[inline]
    pub fn candidates(&self, ctlr: u32) -> u32 {
        let waiting = self.asserted() & !self.in_lr & !self.active;
        if waiting == 0 { 0 } else { waiting & self.forwardable(ctlr) }
    }

    /// Would be signalled to the vCPU, from a list register or as soon as it gets one.
    pub fn deliverable(&self, ctlr: u32) -> u32 {
        (self.pending_view() & !self.active_view()) & self.forwardable(ctlr)
    }

    /// Active, but in no list register.
    #[inline]
    pub fn parked(&self) -> u32 {
        self.active & !self.in_lr
    }

    /// As GICD_ISPENDR shows it.
    pub fn pending_view(&self) -> u32 {
        self.asserted() | (self.lr_pending & !self.drop_pending)
    }

    /// As GICD_ISACTIVER shows it.
    pub fn active_view(&self) -> u32 {
        (self.active & !self.drop_active) | self.add_active
    }

    /// A change of the input line; true if it matters now.
    pub fn set_line(&mut self, bit: u32, asserted: bool) -> bool {
        let was = self.line & bit != 0;
        if was == asserted {
            return false;
        }
        assign(&mut self.line, bit, asserted);
        if asserted {
            self.latch |= self.edge & bit;
            true
        } else {
            // A list register that shows the line needs care; an edge once latched stays.
            !self.edge & self.in_lr & bit != 0
        }
    }

    /// Takes over the state of a list register as read back from the hardware.
    #[inline]
    pub fn fold(&mut self, bit: u32, state: u8) -> Folded {
        let mut state = state;
        let mut deactivate = false;
        if (self.drop_pending | self.drop_active | self.add_active) & bit != 0 {
            deactivate = self.apply_edits(bit, &mut state);
        }
        assign(&mut self.lr_pending, bit, state & PENDING != 0);
        assign(&mut self.active, bit, state & ACTIVE != 0);
        if state == 0 {
            self.leave_lr(bit);
        }
        Folded { state, deactivate }
    }

    /// Applies what the guest wrote while the list register was live; true if the physical interrupt is left over.
    #[cold]
    fn apply_edits(&mut self, bit: u32, state: &mut u8) -> bool {
        let hw = self.lr_hw & bit != 0;
        let was = *state;
        if self.drop_pending & bit != 0 {
            *state &= !PENDING;
        }
        if self.drop_active & bit != 0 {
            *state &= !ACTIVE;
        }
        // A linked register cannot be pending and active at once.
        if self.add_active & bit != 0 && !hw {
            *state |= ACTIVE;
        }
        self.drop_pending &= !bit;
        self.drop_active &= !bit;
        self.add_active &= !bit;
        hw && was != 0 && *state == 0
    }

    /// The interrupt is in no list register any more.
    #[inline]
    fn leave_lr(&mut self, bit: u32) {
        self.in_lr &= !bit;
        self.lr_pending &= !bit;
        self.lr_hw &= !bit;
        self.lr_level &= !bit;
    }

    /// Puts a waiting interrupt into a list register. Returns whether it is linked to a physical one.
    #[inline]
    pub fn enter_lr(&mut self, bit: u32) -> bool {
        if self.latch & bit != 0 {
            self.latch &= !bit;
            self.lr_hw |= self.hw_latch & bit;
            self.hw_latch &= !bit;
        } else {
            self.lr_level |= bit;
        }
        self.in_lr |= bit;
        self.lr_pending |= bit;
        self.lr_hw & bit != 0
    }

    /// Whether nothing waits, nothing is edited, and nothing is or was in a list register but `done`, with which the guest
    /// is done.
    #[inline]
    pub fn is_calm(&self, done: u32) -> bool {
        let waits = self.latch | self.hw_latch | self.hw_active;
        let edits = self.drop_pending | self.drop_active | self.add_active;
        waits | edits | ((self.in_lr | self.active) & !done) == 0
    }

    /// After [`Block::is_calm`]: an interrupt that had an edge is now the only one in a list register; `hw` is it again
    /// if it is linked to a physical one.
    #[inline]
    pub fn replace_only(&mut self, bit: u32, hw: u32) {
        self.active = 0;
        self.lr_level = 0;
        self.in_lr = bit;
        self.lr_pending = bit;
        self.lr_hw = hw;
    }

    /// Puts a parked interrupt back into a list register. Returns whether it is linked to a physical one.
    pub fn unpark(&mut self, bit: u32) -> bool {
        self.in_lr |= bit;
        self.lr_hw |= self.hw_active & bit;
        self.hw_active &= !bit;
        self.lr_hw & bit != 0
    }

    /// Takes an interrupt out of its list register and keeps its state here.
    pub fn withdraw(&mut self, bit: u32) {
        let hw = self.lr_hw & bit;
        if self.active & bit != 0 {
            self.hw_active |= hw;
        }
        if self.lr_pending & bit != 0 && self.lr_level & bit == 0 {
            self.latch |= bit;
            if self.active & bit == 0 {
                self.hw_latch |= hw;
            }
        }
        self.leave_lr(bit);
    }

    /// Whether the line that made the interrupt pending is high.
    #[inline]
    pub fn level_high(&self, bit: u32) -> bool {
        self.line & !self.edge & bit != 0
    }

    /// Brings the model's view of an interrupt in a list register up to date. `here` is whether this vCPU is (still)
    /// its target; `latched` whether what is in `latch` may be merged into this register (a GICv2 SGI of another
    /// sender may not).
    #[inline]
    pub fn reconcile(&mut self, bit: u32, ctlr: u32, here: bool, latched: bool) -> Verdict {
        let enabled = self.forwardable(ctlr) & bit != 0;
        if self.active & bit == 0 {
            if !(enabled && here) {
                return Verdict::Withdraw;
            }
            if self.latch & bit != 0 && latched {
                self.latch &= !bit;
                self.lr_hw |= self.hw_latch & bit;
                self.hw_latch &= !bit;
                self.lr_level &= !bit;
            } else if self.lr_level & bit != 0 && !self.level_high(bit) {
                return Verdict::Withdraw;
            }
            let hw = self.lr_hw & bit != 0;
            return Verdict::Keep { eoi: !hw && (self.level_high(bit) || self.latch & bit != 0) };
        }
        if self.lr_hw & bit != 0 {
            return Verdict::Keep { eoi: false };
        }
        if self.lr_pending & bit != 0 && !(enabled && here) {
            self.lr_pending &= !bit;
            if self.lr_level & bit == 0 {
                self.latch |= bit;
            }
            self.lr_level &= !bit;
        }
        if self.latch & !self.hw_latch & bit != 0 && latched && enabled && here {
            self.latch &= !bit;
            self.lr_level &= !bit;
            self.lr_pending |= bit;
        }
        Verdict::Keep { eoi: enabled && self.asserted() & bit != 0 }
    }

    /// Write to GICD_ISENABLER or GICD_ICENABLER; returns what changed.
    pub fn write_enable(&mut self, mask: u32, enable: bool) -> u32 {
        let changed = if enable { mask & !self.enabled } else { mask & self.enabled };
        assign(&mut self.enabled, changed, enable);
        changed
    }

    /// Write to GICD_ISPENDR.
    pub fn set_pending(&mut self, mask: u32) {
        self.latch |= mask;
    }

    /// Write to GICD_ICPENDR. Returns interrupts whose physical ones have to be deactivated. A level that is high stays
    /// pending.
    pub fn clear_pending(&mut self, mask: u32) -> u32 {
        let mask = mask & !(self.sampled & !self.edge);
        self.drop_pending |= mask & self.in_lr & !self.lr_level;
        self.latch &= !mask;
        let lost = self.hw_latch & mask;
        self.hw_latch &= !mask;
        lost
    }

    /// Write to GICD_ISACTIVER; returns interrupts that are now active outside the list registers and were not.
    pub fn set_active(&mut self, mask: u32) -> u32 {
        let in_lr = mask & self.in_lr;
        self.drop_active &= !in_lr;
        self.add_active |= in_lr & !self.active & !self.lr_hw;
        let parked = mask & !self.in_lr & !self.active;
        bits(parked).for_each(|n| self.present(n));
        self.active |= parked;
        parked
    }

    /// Write to GICD_ICACTIVER. Returns interrupts whose physical ones have to be deactivated.
    pub fn clear_active(&mut self, mask: u32) -> u32 {
        let in_lr = mask & self.in_lr;
        self.add_active &= !in_lr;
        self.drop_active |= in_lr;
        let parked = mask & self.parked();
        self.active &= !parked;
        let lost = self.hw_active & parked;
        self.hw_active &= !parked;
        lost
    }

    /// Half of GICD_ICFGR: two bits for each of 16 interrupts, the upper one is "edge".
    pub fn config_view(&self, upper_half: bool) -> u32 {
        let edges = if upper_half { self.edge >> 16 } else { self.edge & 0xffff };
        bits(edges).fold(0, |value, n| value | bit(n.wrapping_mul(2) | 1))
    }

    /// Write to half of GICD_ICFGR; returns what changed.
    pub fn write_config(&mut self, upper_half: bool, value: u32) -> u32 {
        let shift = if upper_half { 16 } else { 0 };
        let mut edges = 0;
        for n in 0..16u32 {
            if value & bit(n.wrapping_mul(2) | 1) != 0 {
                edges |= bit(n | shift);
            }
        }
        let half = 0xffffu32.wrapping_shl(shift);
        let changed = (self.edge ^ edges) & half;
        self.edge ^= changed;
        changed
    }

    /// Write of one priority; true if it differs.
    pub fn write_priority(&mut self, n: u32, value: u8) -> bool {
        let value = value & PRIORITY_MASK;
        match self.priority.get_mut(n as usize) {
            Some(priority) if *priority != value => {
                *priority = value;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: u32 = CTLR_GROUP0 | CTLR_GROUP1;

    fn block() -> Block {
        let mut block = Block::new(0, u32::MAX, 0);
        block.enabled = u32::MAX;
        block
    }

    #[test]
    fn candidates_need_enable_group_and_idleness() {
        let mut block = block();
        block.latch = 0b1111;
        block.enabled = !0b1000;
        block.active = 0b0100;
        block.group1 = !0b0010;
        assert_eq!(block.candidates(BOTH), 0b0011);
        assert_eq!(block.candidates(CTLR_GROUP1), 0b0001);
        assert_eq!(block.candidates(CTLR_GROUP0), 0b0010);
        assert_eq!(block.candidates(0), 0);
    }

    #[test]
    fn rising_line_latches_only_when_edge_triggered() {
        let mut block = block();
        block.edge = 0b10;
        assert!(block.set_line(0b01, true) && block.set_line(0b10, true));
        assert!(!block.set_line(0b10, true), "no change");
        assert!(!block.set_line(0b01, false) && !block.set_line(0b10, false), "nothing shows it");
        assert_eq!(block.asserted(), 0b10);
    }

    #[test]
    fn clearing_a_level_interrupt_that_is_still_high_changes_nothing() {
        let mut block = block();
        block.set_line(1, true);
        assert_eq!(block.clear_pending(1), 0);
        assert_eq!(block.pending_view(), 1);
        block.enter_lr(1);
        block.clear_pending(1);
        assert_eq!(block.pending_view(), 1);
        assert_eq!(block.fold(1, PENDING), Folded { state: PENDING, deactivate: false });
    }

    #[test]
    fn pending_hardware_interrupt_given_up_in_a_list_register_is_deactivated() {
        let mut block = block();
        block.latch = 1;
        block.hw_latch = 1;
        assert!(block.enter_lr(1));
        assert_eq!(block.clear_pending(1), 0, "the owner does it");
        assert_eq!(block.pending_view(), 0);
        assert_eq!(block.fold(1, PENDING), Folded { state: 0, deactivate: true });
        assert_eq!((block.in_lr, block.lr_hw), (0, 0));
    }

    #[test]
    fn edit_that_came_too_late_is_forgotten() {
        let mut block = block();
        block.latch = 1;
        block.hw_latch = 1;
        block.enter_lr(1);
        block.clear_pending(1);
        assert_eq!(block.fold(1, ACTIVE), Folded { state: ACTIVE, deactivate: false }, "acknowledged before");
        block.clear_active(1);
        assert_eq!(block.fold(1, 0), Folded { state: 0, deactivate: false }, "the guest did it itself");
        assert_eq!(block.drop_active, 0);
    }

    #[test]
    fn new_edge_behind_an_active_interrupt_makes_it_pending_and_active() {
        let mut block = block();
        block.latch = 1;
        block.enter_lr(1);
        block.fold(1, ACTIVE);
        block.latch = 1;
        assert_eq!(block.reconcile(1, BOTH, true, true), Verdict::Keep { eoi: false });
        assert_eq!((block.lr_pending, block.active, block.latch), (1, 1, 0));
        assert_eq!(
            block.reconcile(1, BOTH, false, true),
            Verdict::Keep { eoi: true },
            "pending part moves away"
        );
        assert_eq!((block.lr_pending, block.latch), (0, 1));
    }

    #[test]
    fn linked_register_never_becomes_pending_and_active() {
        let mut block = block();
        (block.latch, block.hw_latch) = (1, 1);
        block.enter_lr(1);
        block.fold(1, ACTIVE);
        block.latch = 1;
        assert_eq!(block.reconcile(1, BOTH, true, true), Verdict::Keep { eoi: false });
        assert_eq!((block.lr_pending, block.latch), (0, 1));
        assert_eq!(block.set_active(1), 0);
        assert_eq!(block.fold(1, 0).state, 0);
    }

    #[test]
    fn level_interrupt_leaves_its_register_when_the_line_falls() {
        let mut block = block();
        block.set_line(1, true);
        block.enter_lr(1);
        assert_eq!(block.reconcile(1, BOTH, true, true), Verdict::Keep { eoi: true });
        assert!(block.set_line(1, false));
        assert_eq!(block.reconcile(1, BOTH, true, true), Verdict::Withdraw);
        block.withdraw(1);
        assert_eq!((block.latch, block.in_lr), (0, 0));
    }

    #[test]
    fn active_level_interrupt_asks_for_maintenance_only_while_the_line_is_high() {
        let mut block = block();
        block.set_line(1, true);
        block.enter_lr(1);
        block.fold(1, ACTIVE);
        assert_eq!(block.reconcile(1, BOTH, true, true), Verdict::Keep { eoi: true });
        block.set_line(1, false);
        assert_eq!(block.reconcile(1, BOTH, true, true), Verdict::Keep { eoi: false });
    }

    #[test]
    fn withdrawing_keeps_pending_active_and_the_link() {
        let mut block = block();
        (block.latch, block.hw_latch) = (0b01, 0b01);
        block.enter_lr(0b01);
        block.withdraw(0b01);
        assert_eq!((block.latch, block.hw_latch, block.in_lr), (0b01, 0b01, 0));
        block.enter_lr(0b01);
        block.fold(0b01, ACTIVE);
        block.withdraw(0b01);
        assert_eq!((block.hw_active, block.parked()), (0b01, 0b01));
        assert!(block.unpark(0b01));
        assert_eq!((block.hw_active, block.parked()), (0, 0));
        block.withdraw(0b01);
        assert_eq!(block.clear_active(0b01), 0b01, "deactivate the physical one");
        assert_eq!(block.active, 0);
    }

    #[test]
    fn configuration_is_read_back_as_written() {
        let mut block = block();
        assert_eq!(block.write_config(true, 0xaaaa_0008), (0xff00 << 16) | (0b10 << 16));
        assert_eq!(block.config_view(true), 0xaaaa_0008);
        assert_eq!(block.config_view(false), 0);
        assert_eq!(
            block.write_config(true, 0x5555_0004),
            (0xff00 << 16) | (0b10 << 16),
            "lower bits are reserved"
        );
        assert!(block.write_priority(3, 0x57) && !block.write_priority(3, 0x50));
        assert_eq!(block.priority_of(3), 0x50);
    }
}
