//! Physical interrupt lines.

use crate::event::{Fault, Op};
use crate::machine::{Machine, lock};
use hal::{IrqConfig, PcpuId};

/// A line's state in the interrupt controller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IrqLine {
    /// It may interrupt.
    pub enabled: bool,
    /// How it signals.
    pub config: IrqConfig,
    /// The pCPU it goes to.
    pub cpu: PcpuId,
    /// It was raised and not yet acknowledged.
    pub pending: bool,
    /// It was acknowledged and not yet deactivated.
    pub active: bool,
}

impl Default for IrqLine {
    /// A line as a reset leaves it.
    fn default() -> Self {
        Self { enabled: false, config: IrqConfig::Level, cpu: PcpuId(0), pending: false, active: false }
    }
}

impl IrqLine {
    fn is_deliverable(&self, cpu: PcpuId) -> bool {
        self.enabled && self.pending && !self.active && self.cpu == cpu
    }
}

impl Machine {
    /// A line's state.
    pub fn irq_line(&self, irq: u32) -> IrqLine {
        lock(&self.irqs).get(&irq).copied().unwrap_or_default()
    }

    /// Raises a line, as a device does. It stays pending while it is disabled or active.
    pub fn raise_irq(&self, irq: u32) {
        lock(&self.irqs).entry(irq).or_default().pending = true;
        self.wake_all();
    }

    /// Acknowledges the lowest pending interrupt of a pCPU: it is active until it is deactivated.
    pub fn take_irq(&self, cpu: PcpuId) -> Option<u32> {
        let mut irqs = lock(&self.irqs);
        let (&irq, line) = irqs.iter_mut().find(|(_, line)| line.is_deliverable(cpu))?;
        line.pending = false;
        line.active = true;
        Some(irq)
    }

    pub(crate) fn irq_pending(&self, cpu: PcpuId) -> bool {
        lock(&self.irqs).values().any(|line| line.is_deliverable(cpu))
    }

    /// Does an operation on a line, with its event.
    pub(crate) fn change_irq(&self, irq: u32, op: Op, f: impl FnOnce(&mut IrqLine) -> Option<Fault>) {
        self.event(op);
        let fault = f(lock(&self.irqs).entry(irq).or_default());
        if let Some(fault) = fault {
            self.faults.record(fault);
        }
        self.wake_all();
    }
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
}
