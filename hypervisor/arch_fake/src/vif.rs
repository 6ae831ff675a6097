//! The virtual CPU interface of the interrupt controller: list registers, and what a guest does to
//! them. GICv3 (IHI 0069, 12.4) and GICv2 (IHI 0048B, 5.3); five bits of priority, and every more
//! urgent priority preempts, whatever binary point the guest sets.

use arm_regs::GicRegs;

/// ICH_HCR_EL2 and GICH_HCR: the interface works.
const HCR_EN: u32 = 1 << 0;
/// Maintenance when at most one list register is valid.
const HCR_UIE: u32 = 1 << 1;
/// Maintenance when interrupts ended that are in no list register.
const HCR_LRENPIE: u32 = 1 << 2;
/// Maintenance when no list register is pending.
const HCR_NPIE: u32 = 1 << 3;
/// The number of interrupts that ended and are in no list register.
const HCR_EOI_COUNT: u32 = 27;

/// ICH_VMCR_EL2 and GICH_VMCR: enables of groups 0 and 1, end of interrupt in two steps.
const VMCR_GROUP0: u64 = 1 << 0;
const VMCR_GROUP1: u64 = 1 << 1;
const VMCR_EOI_MODE: u64 = 1 << 9;
/// What an operating system's driver sets: both groups, all priorities but the last.
pub(crate) const VMCR_OPEN: u64 = 0xf0 << 24 | VMCR_GROUP1 | VMCR_GROUP0;

/// State bits of a list register.
const PENDING: u64 = 1;
const ACTIVE: u64 = 2;

/// A list register taken apart.
#[derive(Clone, Copy)]
struct Lr {
    /// What the guest reads when it acknowledges: number, and sender with version 2.
    iar: u32,
    /// One of 32.
    priority: u32,
    group1: bool,
    state: u64,
    /// The physical interrupt behind it.
    phys: Option<u32>,
    /// Maintenance when the guest deactivates it.
    eoi: bool,
}

/// A pCPU's interface, without what [`GicRegs`] has.
pub(crate) struct VirtualInterface {
    version: u32,
    pub(crate) lrs: Vec<u64>,
    pub(crate) hcr: u32,
}

impl VirtualInterface {
    pub(crate) fn new(version: u32, lrs: usize) -> Self {
        Self { version, lrs: vec![0; lrs], hcr: 0 }
    }

    fn state_shift(&self) -> u32 {
        if self.version == 3 { 62 } else { 28 }
    }

    fn decode(&self, raw: u64) -> Lr {
        let bits = |from: u32, count: u32| (raw >> from) as u32 & (u32::MAX >> (32 - count));
        let flag = |n: u32| raw >> n & 1 != 0;
        let state = raw >> self.state_shift() & 3;
        if self.version == 3 {
            let phys = flag(61).then(|| bits(32, 13));
            let eoi = phys.is_none() && flag(41);
            Lr { iar: bits(0, 32), priority: bits(51, 5), group1: flag(60), state, phys, eoi }
        } else {
            let phys = flag(31).then(|| bits(10, 10));
            let sender = if phys.is_none() && bits(0, 10) < 16 { bits(10, 3) << 10 } else { 0 };
            let eoi = phys.is_none() && flag(19);
            Lr { iar: bits(0, 10) | sender, priority: bits(23, 5), group1: flag(30), state, phys, eoi }
        }
    }

    fn decoded(&self) -> impl Iterator<Item = Lr> {
        self.lrs.iter().map(|&raw| self.decode(raw))
    }

    fn set_state(&mut self, n: usize, state: u64) {
        let shift = self.state_shift();
        self.lrs[n] = self.lrs[n] & !(3 << shift) | state << shift;
    }

    /// The active priorities of a group; with version 2 of both.
    fn active_priorities<'a>(&self, regs: &'a mut GicRegs, group1: bool) -> &'a mut u32 {
        if self.version == 2 || group1 { &mut regs.ap1r[0] } else { &mut regs.ap0r[0] }
    }

    /// The list register whose interrupt the guest is interrupted by.
    pub(crate) fn deliverable(&self, regs: &GicRegs) -> Option<usize> {
        let enabled = |lr: &Lr| regs.vmcr & if lr.group1 { VMCR_GROUP1 } else { VMCR_GROUP0 } != 0;
        let pending = self.decoded().enumerate().filter(|(_, lr)| lr.state == PENDING && enabled(lr));
        let (n, lr) = pending.min_by_key(|(_, lr)| lr.priority)?;
        let mask = (regs.vmcr >> 27) as u32 & 31;
        let running = (regs.ap0r[0] | regs.ap1r[0]).trailing_zeros();
        (self.hcr & HCR_EN != 0 && lr.priority < mask && lr.priority < running).then_some(n)
    }

    /// The guest acknowledges.
    pub(crate) fn acknowledge(&mut self, regs: &mut GicRegs) -> Option<u32> {
        let n = self.deliverable(regs)?;
        let lr = self.decode(self.lrs[n]);
        self.set_state(n, ACTIVE);
        *self.active_priorities(regs, lr.group1) |= 1 << lr.priority;
        Some(lr.iar)
    }

    /// The guest ends an interrupt; returns the physical one to deactivate.
    pub(crate) fn end(&mut self, regs: &mut GicRegs, iar: u32) -> Option<u32> {
        let (zero, one) = (regs.ap0r[0].trailing_zeros(), regs.ap1r[0].trailing_zeros());
        let dropped = zero.min(one) < 32;
        let priorities = if zero < one { &mut regs.ap0r[0] } else { &mut regs.ap1r[0] };
        *priorities &= priorities.wrapping_sub(1);
        if dropped && regs.vmcr & VMCR_EOI_MODE == 0 { self.deactivate(iar) } else { None }
    }

    /// The guest deactivates an interrupt; returns the physical one to deactivate.
    pub(crate) fn deactivate(&mut self, iar: u32) -> Option<u32> {
        let Some(n) = self.decoded().position(|lr| lr.iar == iar && lr.state & ACTIVE != 0) else {
            // A count that is full goes on at 0.
            self.hcr = self.hcr.wrapping_add(1 << HCR_EOI_COUNT);
            return None;
        };
        let lr = self.decode(self.lrs[n]);
        self.set_state(n, lr.state & !ACTIVE);
        lr.phys
    }

    /// Whether the maintenance interrupt's line is high.
    pub(crate) fn wants_maintenance(&self) -> bool {
        let on = |bit: u32, met: bool| self.hcr & bit != 0 && met;
        let ended = self.decoded().any(|lr| lr.state == 0 && lr.eoi);
        let underflow = on(HCR_UIE, self.decoded().filter(|lr| lr.state != 0).count() <= 1);
        let not_present = on(HCR_LRENPIE, self.hcr >> HCR_EOI_COUNT != 0);
        let none_pending = on(HCR_NPIE, !self.decoded().any(|lr| lr.state & PENDING != 0));
        self.hcr & HCR_EN != 0 && (ended || underflow || not_present || none_pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pending interrupt of group 1.
    fn v3(intid: u64, priority: u64) -> u64 {
        1 << 62 | 1 << 60 | priority << 48 | intid
    }

    fn open() -> GicRegs {
        GicRegs { vmcr: VMCR_OPEN, ..GicRegs::default() }
    }

    fn with(version: u32, lrs: &[u64]) -> VirtualInterface {
        VirtualInterface { version, lrs: lrs.to_vec(), hcr: HCR_EN }
    }

    #[test]
    fn most_urgent_interrupt_comes_first_and_only_more_urgent_ones_preempt() {
        let (mut gic, mut regs) = (with(3, &[v3(40, 0xa0), v3(41, 0x80), v3(42, 0xa0)]), open());
        assert_eq!(gic.acknowledge(&mut regs), Some(41));
        assert_eq!(gic.acknowledge(&mut regs), None);
        gic.lrs[0] = v3(43, 0x10);
        assert_eq!(gic.acknowledge(&mut regs), Some(43));
        assert_eq!((gic.end(&mut regs, 43), gic.end(&mut regs, 41)), (None, None));
        assert_eq!(gic.acknowledge(&mut regs), Some(42));
        assert_eq!(regs.ap1r[0], 1 << (0xa0 >> 3));
    }

    #[test]
    fn mask_group_and_enable_hold_interrupts_back() {
        let mut gic = with(3, &[v3(40, 0xa0)]);
        assert_eq!(gic.deliverable(&GicRegs { vmcr: VMCR_OPEN & !VMCR_GROUP1, ..open() }), None);
        assert_eq!(gic.deliverable(&GicRegs { vmcr: 0xa0 << 24 | VMCR_GROUP1, ..open() }), None);
        assert_eq!(gic.deliverable(&GicRegs { vmcr: 0xa8 << 24 | VMCR_GROUP1, ..open() }), Some(0));
        gic.hcr = 0;
        assert_eq!(gic.deliverable(&open()), None);
    }

    #[test]
    fn end_of_a_hardware_interrupt_names_the_physical_one() {
        let (mut gic, mut regs) = (with(3, &[v3(27, 0xa0) | 1 << 61 | 30 << 32]), open());
        gic.acknowledge(&mut regs);
        assert_eq!(gic.end(&mut regs, 27), Some(30));
        assert_eq!(gic.lrs[0] >> 62, 0);
    }

    #[test]
    fn two_steps_drop_the_priority_before_the_interrupt_is_inactive() {
        let (mut gic, mut regs) = (with(3, &[v3(40, 0xa0), v3(41, 0xa0)]), open());
        regs.vmcr |= VMCR_EOI_MODE;
        gic.acknowledge(&mut regs);
        gic.end(&mut regs, 40);
        assert_eq!(gic.lrs[0] >> 62, ACTIVE);
        assert_eq!(gic.acknowledge(&mut regs), Some(41));
        gic.deactivate(40);
        assert_eq!(gic.lrs[0] >> 62, 0);
    }

    #[test]
    fn version_2_registers_carry_the_sender_of_an_sgi() {
        let sgi = 1 << 28 | 0x14 << 23 | 1 << 19 | 5 << 10 | 3;
        let hw = 1 << 31 | 1 << 30 | 1 << 28 | 0x15 << 23 | 33 << 10 | 34;
        let (mut gic, mut regs) = (with(2, &[sgi, hw]), open());
        assert_eq!(gic.acknowledge(&mut regs), Some(5 << 10 | 3));
        assert!(!gic.wants_maintenance());
        assert_eq!(gic.end(&mut regs, 5 << 10 | 3), None);
        assert!(gic.wants_maintenance());
        assert_eq!(gic.acknowledge(&mut regs), Some(34));
        assert_eq!(gic.end(&mut regs, 34), Some(33));
    }

    #[test]
    fn maintenance_follows_its_conditions() {
        let (mut gic, mut regs) = (with(3, &[v3(40, 0xa0), v3(41, 0xa0)]), open());
        let wants = |gic: &mut VirtualInterface, hcr| {
            gic.hcr = gic.hcr & !15 | hcr;
            gic.wants_maintenance()
        };
        assert!(!wants(&mut gic, HCR_EN | HCR_UIE | HCR_LRENPIE | HCR_NPIE));
        gic.acknowledge(&mut regs);
        gic.end(&mut regs, 40);
        assert!(wants(&mut gic, HCR_EN | HCR_UIE) && !wants(&mut gic, HCR_EN | HCR_NPIE));
        gic.acknowledge(&mut regs);
        assert!(wants(&mut gic, HCR_EN | HCR_NPIE) && !wants(&mut gic, HCR_NPIE));
        gic.end(&mut regs, 99);
        assert!(wants(&mut gic, HCR_EN | HCR_LRENPIE));
        assert_eq!(gic.hcr >> HCR_EOI_COUNT, 1);
        gic.end(&mut regs, 99);
        assert_eq!(gic.hcr >> HCR_EOI_COUNT, 1, "no priority was active");
        gic.deactivate(41);
        gic.lrs[1] |= 1 << 41;
        assert!(wants(&mut gic, HCR_EN));
    }
}
