//! Physical interrupt lines.

use crate::cpu::current;
use crate::event::{Fault, Op};
use crate::machine::{Machine, lock};
use hal::{IrqConfig, PcpuId};
use std::collections::BTreeMap;

/// The interrupts that each pCPU has of its own, and that are enabled when it starts.
pub(crate) const MAINTENANCE: u32 = 25;
pub(crate) const TIMER: u32 = 26;
pub(crate) const VIRTUAL_TIMER: u32 = 27;

/// The first shared line; each pCPU has its own of the lines below.
const FIRST_SHARED: u32 = 32;
/// In a [`Key`]: the lines of no particular pCPU.
const SHARED: u32 = u32::MAX;

/// A line's pCPU, or [`SHARED`], and number.
type Key = (u32, u32);

/// Lines that are not as a reset leaves them.
pub(crate) type Lines = BTreeMap<Key, IrqLine>;

fn key(cpu: PcpuId, irq: u32) -> Key {
    (if irq < FIRST_SHARED { cpu.0 } else { SHARED }, irq)
}

/// A line's state in the interrupt controller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IrqLine {
    /// It may interrupt.
    pub enabled: bool,
    /// How it signals.
    pub config: IrqConfig,
    /// The pCPU it goes to.
    pub cpu: PcpuId,
    /// The device holds it high.
    pub high: bool,
    /// It was raised and not yet acknowledged.
    pub pending: bool,
    /// It was acknowledged and not yet deactivated.
    pub active: bool,
}

impl IrqLine {
    /// A line as a reset leaves it, or a private one as the machine starts a pCPU with.
    fn reset((cpu, irq): Key) -> Self {
        Self {
            enabled: [MAINTENANCE, TIMER, VIRTUAL_TIMER].contains(&irq),
            config: IrqConfig::Level,
            cpu: PcpuId(if cpu == SHARED { 0 } else { cpu }),
            high: false,
            pending: false,
            active: false,
        }
    }

    fn is_deliverable(&self, cpu: PcpuId, high: bool) -> bool {
        let high = (self.high || high) && self.config == IrqConfig::Level;
        self.enabled && (self.pending || high) && !self.active && self.cpu == cpu
    }
}

impl Machine {
    /// A line's state; a private one of the pCPU that this thread plays.
    pub fn irq_line(&self, irq: u32) -> IrqLine {
        let key = key(current(self.id), irq);
        lock(&self.irqs).get(&key).copied().unwrap_or_else(|| IrqLine::reset(key))
    }

    /// The lines that are active: the pCPU of a private one, and the number.
    pub fn active_irqs(&self) -> Vec<(Option<PcpuId>, u32)> {
        let active = |(&(cpu, irq), line): (&Key, &IrqLine)| {
            line.active.then_some(((cpu != SHARED).then_some(PcpuId(cpu)), irq))
        };
        lock(&self.irqs).iter().filter_map(active).collect()
    }

    /// Changes a line; `cpu` is whose it is if it is private.
    pub(crate) fn with_line<T>(&self, cpu: PcpuId, irq: u32, f: impl FnOnce(&mut IrqLine) -> T) -> T {
        let key = key(cpu, irq);
        f(lock(&self.irqs).entry(key).or_insert_with(|| IrqLine::reset(key)))
    }

    /// Raises a line, as a device does by an edge or message. It stays pending while it is disabled
    /// or active.
    pub fn raise_irq(&self, irq: u32) {
        self.with_line(current(self.id), irq, |line| line.pending = true);
        self.wake_all();
    }

    /// A device holds a level line high, or lets it fall; pending is what it is while it is high.
    pub fn hold_irq(&self, irq: u32, high: bool) {
        self.with_line(current(self.id), irq, |line| line.high = high);
        self.wake_all();
    }

    /// Acknowledges the lowest pending interrupt of a pCPU: it is active until it is deactivated.
    pub fn take_irq(&self, cpu: PcpuId) -> Option<u32> {
        let high = self.private_lines(cpu);
        let mut irqs = lock(&self.irqs);
        let key = deliverable(&irqs, cpu, high)?;
        let line = irqs.entry(key).or_insert_with(|| IrqLine::reset(key));
        line.pending = false;
        line.active = true;
        Some(key.1)
    }

    /// Whether an interrupt waits for a pCPU of whose private lines these are high.
    pub(crate) fn irq_pending(&self, cpu: PcpuId, high: u32) -> bool {
        deliverable(&lock(&self.irqs), cpu, high).is_some()
    }

    /// Does an operation on a line, with its event.
    pub(crate) fn change_irq(&self, irq: u32, op: Op, f: impl FnOnce(&mut IrqLine) -> Option<Fault>) {
        self.event(op);
        let exists = irq < self.gic_lines;
        let fault =
            if exists { self.with_line(current(self.id), irq, f) } else { Some(Fault::NoSuchIrq { irq }) };
        if let Some(fault) = fault {
            self.faults.record(fault);
        }
        self.wake_all();
    }
}

/// The lowest line that interrupts a pCPU now; `high` has its private lines that something inside
/// the CPU holds high.
fn deliverable(irqs: &Lines, cpu: PcpuId, high: u32) -> Option<Key> {
    let private = (0..FIRST_SHARED).map(|irq| key(cpu, irq)).find(|key| {
        let line = irqs.get(key).copied().unwrap_or_else(|| IrqLine::reset(*key));
        line.is_deliverable(cpu, high >> key.1 & 1 != 0)
    });
    let shared =
        || irqs.range((SHARED, 0)..).find(|(_, line)| line.is_deliverable(cpu, false)).map(|(key, _)| *key);
    private.or_else(shared)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use hal::MachineOps;

    #[test]
    fn line_interrupts_its_pcpu_once_until_deactivated() {
        let m = Machine::new(Config::default());
        m.irq_configure(33, IrqConfig::Edge);
        m.irq_route(33, PcpuId(1));
        m.raise_irq(33);
        assert_eq!(m.take_irq(PcpuId(1)), None);
        m.irq_enable(33);
        assert_eq!(m.take_irq(PcpuId(0)), None);
        assert_eq!(m.take_irq(PcpuId(1)), Some(33));
        m.raise_irq(33);
        assert_eq!(m.take_irq(PcpuId(1)), None);
        m.irq_deactivate(33);
        assert_eq!(m.take_irq(PcpuId(1)), Some(33));
        m.irq_disable(33);
        let line = m.irq_line(33);
        assert_eq!((line.enabled, line.active, line.config), (false, true, IrqConfig::Edge));
    }

    #[test]
    fn misuse_of_a_line_is_a_fault() {
        let m = Machine::new(Config::default());
        m.irq_deactivate(34);
        m.irq_enable(34);
        m.irq_configure(34, IrqConfig::Level);
        m.irq_configure(34, IrqConfig::Edge);
        m.irq_route(34, PcpuId(2));
        assert_eq!(
            m.take_faults(),
            [
                Fault::IrqNotActive { irq: 34 },
                Fault::IrqConfiguredWhileEnabled { irq: 34 },
                Fault::NoSuchCpu { cpu: PcpuId(2) },
            ]
        );
    }

    #[test]
    fn level_line_is_pending_while_it_is_high_and_not_active() {
        let m = Machine::new(Config::default());
        m.irq_enable(33);
        m.hold_irq(33, true);
        assert_eq!((m.take_irq(PcpuId(0)), m.take_irq(PcpuId(0))), (Some(33), None));
        m.irq_deactivate(33);
        assert_eq!(m.take_irq(PcpuId(0)), Some(33));
        m.hold_irq(33, false);
        m.irq_deactivate(33);
        assert_eq!(m.take_irq(PcpuId(0)), None);
    }

    #[test]
    fn private_lines_are_each_pcpus_own() {
        let m = Machine::new(Config::default());
        m.irq_enable(20);
        m.raise_irq(20);
        assert_eq!((m.take_irq(PcpuId(1)), m.take_irq(PcpuId(0))), (None, Some(20)));
        m.run_on(PcpuId(1), || assert!(!m.irq_line(20).active && !m.irq_line(20).enabled));
        assert_eq!(m.active_irqs(), [(Some(PcpuId(0)), 20)]);
        m.irq_deactivate(20);
        assert_eq!(m.active_irqs(), []);
    }

    #[test]
    fn line_that_the_controller_does_not_have_is_a_fault() {
        let m = Machine::new(Config { gic_lines: 64, ..Config::default() });
        m.irq_enable(64);
        assert_eq!(m.take_faults(), [Fault::NoSuchIrq { irq: 64 }]);
    }
}
