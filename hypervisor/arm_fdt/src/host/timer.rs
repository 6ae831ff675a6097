//! The architected timer (bindings/timer/arm,arch_timer.yaml).
use crate::fault::{Fault, Problem};
use crate::fdt::interrupt::Interrupt;
use crate::fdt::{NodeId, Tree, value};

pub(crate) const COMPATIBLE: &[&str] = &["arm,armv8-timer", "arm,armv7-timer"];

/// The timer's interrupts in the binding's order, with their names for trees that name them.
const NAMES: [&str; 4] = ["sec-phys", "phys", "virt", "hyp-phys"];

/// The architected timer: one PPI for each of its kinds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timer {
    /// Its node.
    pub node: NodeId,
    /// The secure physical timer, which only firmware uses.
    pub secure: Option<Interrupt>,
    /// The non-secure EL1 physical timer.
    pub physical: Interrupt,
    /// The virtual timer.
    pub virtual_: Interrupt,
    /// The EL2 physical timer, the hypervisor's own.
    pub hypervisor: Interrupt,
    /// `clock-frequency` in Hz, given when firmware does not set CNTFRQ_EL0.
    pub clock_hz: Option<u32>,
}

pub(super) fn parse(tree: &Tree<'_>, node: NodeId, gic: NodeId) -> Result<Timer, Fault> {
    let names = tree.property(node, "interrupt-names");
    let find = |kind: usize| -> Result<Option<Interrupt>, Fault> {
        let index = match names {
            None => Some(kind),
            Some(list) => {
                let wanted = NAMES.get(kind).copied().unwrap_or_default();
                value::texts(list).position(|name| name == wanted.as_bytes())
            }
        };
        let interrupt = match index {
            Some(index) => tree.gic_interrupt(node, gic, index)?,
            None => None,
        };
        Ok(interrupt.filter(Interrupt::is_ppi))
    };
    let need = |kind, what| find(kind)?.ok_or_else(|| tree.fault(node, Problem::NoPpi(what)));
    Ok(Timer {
        node,
        secure: find(0)?,
        physical: need(1, "the physical timer")?,
        virtual_: need(2, "the virtual timer")?,
        hypervisor: need(3, "the EL2 timer")?,
        clock_hz: tree.property_u32(node, "clock-frequency").filter(|hz| *hz != 0),
    })
}
