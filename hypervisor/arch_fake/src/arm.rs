//! What an arm64 machine has beyond others: traps, the counter, the virtual CPU interface.

use crate::cpu::current;
use crate::event::{Fault, Op};
use crate::irq::{MAINTENANCE, TIMER, VIRTUAL_TIMER};
use crate::machine::{Machine, lock};
use crate::vif::VMCR_OPEN;
use arm_regs::{ArmOps, PrivateIrqs};
use hal::{Gaddr, MachineOps as _, PcpuId};

/// The rate of the system counter: a tick each 16 ns.
const COUNTER_HZ: u64 = 62_500_000;
/// The length of a tick.
pub(crate) const NS_PER_TICK: u64 = 16;

/// Identification registers of a Cortex-A57 that are not zero: op0, op1, CRn, CRm, op2.
#[rustfmt::skip]
pub(crate) const CORTEX_A57: &[([u8; 5], u64)] = &[
    ([3, 0, 0, 0, 0], 0x411f_d070), ([3, 0, 0, 0, 5], 0x8000_0000),
    // AArch32.
    ([3, 0, 0, 1, 0], 0x0000_0131), ([3, 0, 0, 1, 1], 0x1001_1011), ([3, 0, 0, 1, 2], 0x0301_0066),
    ([3, 0, 0, 1, 4], 0x1020_1105), ([3, 0, 0, 1, 5], 0x4000_0000), ([3, 0, 0, 1, 6], 0x0126_0000),
    ([3, 0, 0, 1, 7], 0x0210_2211), ([3, 0, 0, 2, 0], 0x0210_1110), ([3, 0, 0, 2, 1], 0x1311_2111),
    ([3, 0, 0, 2, 2], 0x2123_2042), ([3, 0, 0, 2, 3], 0x0111_2131), ([3, 0, 0, 2, 4], 0x0001_1142),
    ([3, 0, 0, 2, 5], 0x0001_1121), ([3, 0, 0, 3, 0], 0x1011_0222), ([3, 0, 0, 3, 1], 0x1211_1111),
    ([3, 0, 0, 3, 2], 0x0000_0043),
    // AArch64.
    ([3, 0, 0, 4, 0], 0x0100_2222), ([3, 0, 0, 5, 0], 0x1030_5106), ([3, 0, 0, 6, 0], 0x0001_1120),
    ([3, 0, 0, 7, 0], 0x0000_1124),
];

/// Why a guest trapped, as the machine's registers say.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Trap {
    /// ESR_EL2.
    pub esr: u64,
    /// FAR_EL2.
    pub far: u64,
    /// The guest physical address of an abort; `None` when the guest's own tables lost it.
    pub gaddr: Option<Gaddr>,
}

impl Machine {
    /// Says why the guest on a pCPU traps next. Panics when there is no such pCPU.
    pub fn set_trap(&self, cpu: PcpuId, trap: Trap) {
        self.with_cpu(cpu, |state| state.trap = trap);
    }

    /// Makes an asynchronous abort of the guest pending on a pCPU; it is reported once. Panics when
    /// there is no such pCPU.
    pub fn set_guest_aborted(&self, cpu: PcpuId) {
        self.with_cpu(cpu, |state| state.guest_aborted = true);
    }

    /// Sets an identification register: op0, op1, CRn, CRm, op2.
    pub fn set_id_register(&self, encoding: [u8; 5], value: u64) {
        lock(&self.id_registers).insert(encoding, value);
    }

    /// Types on the console; the console's interrupt is the test's.
    pub fn type_console(&self, bytes: &[u8]) {
        lock(&self.console_input).extend(bytes);
    }

    /// The guest opens its CPU interface: both groups, all priorities. Panics when there is no such
    /// pCPU.
    pub fn guest_open_gic(&self, cpu: PcpuId) {
        self.with_cpu(cpu, |state| state.regs.gic.vmcr |= VMCR_OPEN);
    }

    /// Whether an interrupt is signalled to the guest on a pCPU. Panics when there is no such pCPU.
    pub fn guest_interrupted(&self, cpu: PcpuId) -> bool {
        self.with_cpu(cpu, |state| state.vif.deliverable(&state.regs.gic).is_some())
    }

    /// The guest on a pCPU acknowledges an interrupt: what it reads from its register (version 2:
    /// with the sender of a software-generated one in bits 12:10), or `None` when there is none.
    /// Panics when there is no such pCPU.
    pub fn guest_ack(&self, cpu: PcpuId) -> Option<u32> {
        self.with_cpu(cpu, |state| state.vif.acknowledge(&mut state.regs.gic))
    }

    /// The guest on a pCPU ends an interrupt: drops its priority and, unless it chose to do so in a
    /// second step, deactivates it. Panics when there is no such pCPU.
    pub fn guest_eoi(&self, cpu: PcpuId, iar: u32) {
        let phys = self.with_cpu(cpu, |state| state.vif.end(&mut state.regs.gic, iar));
        self.deactivate_from_guest(cpu, phys);
    }

    /// The guest on a pCPU deactivates an interrupt in a second step. Panics when there is no such
    /// pCPU.
    pub fn guest_deactivate(&self, cpu: PcpuId, iar: u32) {
        let phys = self.with_cpu(cpu, |state| state.vif.deactivate(iar));
        self.deactivate_from_guest(cpu, phys);
    }

    /// What the deactivation of a list register does to the physical interrupt behind it.
    fn deactivate_from_guest(&self, cpu: PcpuId, phys: Option<u32>) {
        if let Some(irq) = phys {
            self.with_line(cpu, irq, |line| line.active = false);
            self.wake_all();
        }
    }

    fn with_lr<T>(&self, n: usize, f: impl FnOnce(&mut u64) -> T) -> Option<T> {
        let done = self.with_cpu(current(self.id), |state| state.vif.lrs.get_mut(n).map(f));
        if done.is_none() {
            self.faults.record(Fault::NoSuchListRegister { n });
        }
        done
    }
}

impl ArmOps for Machine {
    fn esr(&self) -> u64 {
        self.with_cpu(current(self.id), |state| state.trap.esr)
    }

    fn fault_address(&self) -> u64 {
        self.with_cpu(current(self.id), |state| state.trap.far)
    }

    fn fault_guest_address(&self, _: u64) -> Option<Gaddr> {
        self.with_cpu(current(self.id), |state| state.trap.gaddr)
    }

    fn guest_aborted(&self) -> bool {
        self.with_cpu(current(self.id), |state| core::mem::take(&mut state.guest_aborted))
    }

    fn id_register(&self, encoding: [u8; 5]) -> u64 {
        lock(&self.id_registers).get(&encoding).copied().unwrap_or(0)
    }

    fn ticks_to_ns(&self, ticks: u64) -> u64 {
        ticks.saturating_mul(NS_PER_TICK)
    }

    fn counter_hz(&self) -> u64 {
        COUNTER_HZ
    }

    fn private_irqs(&self) -> PrivateIrqs {
        PrivateIrqs { timer: TIMER, virtual_timer: VIRTUAL_TIMER, maintenance: MAINTENANCE }
    }

    fn gic_version(&self) -> u32 {
        self.gic_version
    }

    fn gic_lines(&self) -> u32 {
        self.gic_lines
    }

    /// A poke comes first, then the lowest number.
    fn acknowledge(&self) -> Option<u32> {
        /// The software-generated interrupt that a poke is, inactive at once.
        const POKE: u32 = 0;
        let cpu = current(self.id);
        if self.take_poke(cpu) { Some(POKE) } else { self.take_irq(cpu) }
    }

    fn set_active(&self, irq: u32, active: bool) {
        self.change_irq(irq, Op::SetActive { irq, active }, |line| {
            line.active = active;
            None
        });
    }

    fn virtual_timer_is_due(&self) -> bool {
        let now = self.now_ns();
        self.with_cpu(current(self.id), |state| state.virtual_timer_is_due(now))
    }

    fn nr_lrs(&self) -> usize {
        self.with_cpu(current(self.id), |state| state.vif.lrs.len())
    }

    fn read_lr(&self, n: usize) -> u64 {
        self.with_lr(n, |lr| *lr).unwrap_or(0)
    }

    fn write_lr(&self, n: usize, value: u64) {
        self.with_lr(n, |lr| *lr = value);
    }

    fn read_gic_hcr(&self) -> u32 {
        self.with_cpu(current(self.id), |state| state.vif.hcr)
    }

    fn write_gic_hcr(&self, value: u32) {
        self.with_cpu(current(self.id), |state| state.vif.hcr = value);
        self.wake_all();
    }

    fn read_vmcr(&self) -> u64 {
        self.with_cpu(current(self.id), |state| state.regs.gic.vmcr)
    }

    fn console_read(&self) -> Option<u8> {
        lock(&self.console_input).pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use arm_regs::Context;

    const CPU: PcpuId = PcpuId(0);
    /// A pending interrupt 27 of group 1 with the physical virtual timer behind it.
    const TIMER_LR: u64 = 1 << 62 | 1 << 61 | 1 << 60 | 0xa0 << 48 | 27 << 32 | 27;

    fn machine() -> Machine {
        Machine::new(Config::default())
    }

    #[test]
    fn trap_registers_are_each_pcpus_own() {
        let m = machine();
        m.set_trap(PcpuId(1), Trap { esr: 5, far: 6, gaddr: Some(Gaddr(7)) });
        assert_eq!((m.esr(), m.fault_guest_address(0)), (0, None));
        m.on_cpu(PcpuId(1));
        assert_eq!((m.esr(), m.fault_address(), m.fault_guest_address(5)), (5, 6, Some(Gaddr(7))));
        m.set_guest_aborted(PcpuId(1));
        assert!(m.guest_aborted() && !m.guest_aborted());
    }

    #[test]
    fn counter_follows_the_clock() {
        let m = machine();
        m.advance(16 * 1000 + 15);
        assert_eq!((m.ticks(), m.ticks_to_ns(1000), m.counter_hz()), (1000, 16_000, 62_500_000));
    }

    #[test]
    fn poke_timer_and_device_are_acknowledged_in_turn() {
        let m = machine();
        m.irq_enable(40);
        m.raise_irq(40);
        m.set_timer(Some(10));
        m.advance(10);
        m.poke(CPU);
        assert_eq!((0..4).map(|_| m.acknowledge()).collect::<Vec<_>>(), [Some(0), Some(26), Some(40), None]);
        m.irq_deactivate(26);
        assert_eq!(m.acknowledge(), Some(26), "the line is high until the timer is set anew");
        m.set_timer(None);
        m.irq_deactivate(26);
        assert_eq!(m.acknowledge(), None);
    }

    #[test]
    fn virtual_timer_fires_for_the_loaded_guest_until_its_interrupt_is_active() {
        let m = machine();
        let mut context = Context::default();
        context.sys.cntv_ctl_el0 = 1;
        context.sys.cntv_cval_el0 = 10;
        context.sys.cntvoff_el2 = 5;
        m.load(&context);
        m.advance(14 * NS_PER_TICK);
        assert_eq!(m.acknowledge(), None);
        m.advance(NS_PER_TICK);
        assert_eq!(m.run_on(PcpuId(1), || m.acknowledge()), None);
        assert_eq!((m.acknowledge(), m.acknowledge()), (Some(27), None));
        m.set_active(27, false);
        m.with_loaded(CPU, |regs| regs.sys.cntv_ctl_el0 = 3);
        assert_eq!(m.acknowledge(), None, "masked");
        m.with_loaded(CPU, |regs| regs.sys.cntv_ctl_el0 = 1);
        m.save(&mut context);
        assert_eq!((context.sys.cntv_ctl_el0, m.acknowledge()), (5, None), "saved with its status, and off");
    }

    #[test]
    fn guests_end_of_a_hardware_interrupt_ends_the_physical_one() {
        let m = machine();
        m.guest_open_gic(CPU);
        m.set_active(27, true);
        m.write_lr(1, TIMER_LR);
        assert!(!m.guest_interrupted(CPU));
        m.write_gic_hcr(1);
        assert!(m.guest_interrupted(CPU));
        assert_eq!(m.guest_ack(CPU), Some(27));
        assert!(m.irq_line(27).active);
        m.guest_eoi(CPU, 27);
        assert!(!m.irq_line(27).active);
        assert_eq!(m.read_lr(1) >> 62, 0);
    }

    #[test]
    fn maintenance_interrupts_until_its_cause_is_gone() {
        let m = machine();
        m.write_gic_hcr(1 | 1 << 3);
        assert_eq!(m.acknowledge(), Some(25));
        m.irq_deactivate(25);
        assert_eq!(m.acknowledge(), Some(25));
        m.write_gic_hcr(1);
        m.irq_deactivate(25);
        assert_eq!(m.acknowledge(), None);
    }

    #[test]
    fn saved_guest_leaves_the_interface_off_and_takes_its_mask_along() {
        let m = machine();
        let mut context = Context::default();
        m.load(&context);
        m.guest_open_gic(CPU);
        m.write_gic_hcr(1);
        m.save(&mut context);
        assert_eq!((m.read_gic_hcr(), context.gic.vmcr), (0, VMCR_OPEN));
        m.run_on(PcpuId(1), || {
            m.load(&context);
            assert_eq!(m.read_vmcr(), VMCR_OPEN);
        });
    }

    #[test]
    fn list_register_that_is_not_there_is_a_fault() {
        let m = Machine::new(Config { list_registers: 2, ..Config::default() });
        m.write_lr(1, 7);
        m.write_lr(2, 7);
        assert_eq!((m.nr_lrs(), m.read_lr(1)), (2, 7));
        assert_eq!(m.take_faults(), [Fault::NoSuchListRegister { n: 2 }]);
    }

    #[test]
    fn console_input_is_read_in_order() {
        let m = machine();
        m.type_console(b"ab");
        assert_eq!([m.console_read(), m.console_read(), m.console_read()], [Some(b'a'), Some(b'b'), None]);
    }

    #[test]
    fn identification_registers_are_a_cortex_a57s_unless_set() {
        let m = machine();
        assert_eq!(m.id_register([3, 0, 0, 0, 0]) >> 4 & 0xfff, 0xd07);
        m.set_id_register([3, 0, 0, 6, 1], 9);
        assert_eq!((m.id_register([3, 0, 0, 6, 1]), m.id_register([3, 0, 0, 6, 2])), (9, 0));
    }
}
