//! What a change of the distributor asks the core to do.

use super::Vgic;
use super::bits::{bit, bits};
use crate::VcpuSet;

/// Result of a register write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// vCPUs that must look at their interrupts again: interrupt them if they run, wake them if they are blocked. The
    /// vCPU that made the access may be among them and needs nothing, since it enters through `has_work` anyway.
    pub kicks: VcpuSet,
    /// Physical interrupts to adjust: hand it to [`Vgic::hw_actions`].
    pub hw: Option<HwBatch>,
}

/// Physical interrupts of one register write, all of one block of 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HwBatch {
    pub(super) kind: HwKind,
    /// Block of 32 interrupts, counted from INTID 32.
    pub(super) block: usize,
    /// Which of the 32.
    pub(super) mask: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HwKind {
    /// The enable bit changed.
    Enablement,
    /// The trigger type changed.
    Trigger,
    /// The target changed.
    Route,
    /// The guest gave up an interrupt that is active in the hardware.
    Deactivate,
}

/// One thing to do to the physical interrupt controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HwAction {
    /// Set the trigger, route to the CPU where the vCPU runs, enable.
    Enable {
        /// Physical interrupt.
        phys: u16,
        /// Edge-triggered rather than level-sensitive.
        edge: bool,
        /// vCPU that the guest wants it on; `None` when the guest named none.
        vcpu: Option<usize>,
    },
    /// Disable.
    Disable {
        /// Physical interrupt.
        phys: u16,
    },
    /// Set the trigger.
    Configure {
        /// Physical interrupt.
        phys: u16,
        /// Edge-triggered rather than level-sensitive.
        edge: bool,
    },
    /// Route to the CPU where the vCPU runs.
    Route {
        /// Physical interrupt.
        phys: u16,
        /// vCPU that the guest wants it on; `None` when the guest named none.
        vcpu: Option<usize>,
    },
    /// Deactivate.
    Deactivate {
        /// Physical interrupt.
        phys: u16,
    },
}

impl Vgic {
    /// The actions of a batch, at most 32.
    ///
    /// Enable, trigger and route are read when the iterator reaches them, not when the guest wrote: two vCPUs that
    /// write at once leave the hardware in the state of the later write, provided the core walks the iterator and
    /// carries it out under one lock per domain.
    pub fn hw_actions(&self, batch: HwBatch) -> impl Iterator<Item = HwAction> + '_ {
        bits(batch.mask).filter_map(move |n| {
            let block = self.spis.get(batch.block)?.lock();
            let phys = block.phys_of(n)?;
            let edge = block.common.edge & bit(n) != 0;
            let vcpu = block.target_of(n);
            Some(match batch.kind {
                HwKind::Enablement if block.common.enabled & bit(n) != 0 => {
                    HwAction::Enable { phys, edge, vcpu }
                }
                HwKind::Enablement => HwAction::Disable { phys },
                HwKind::Trigger => HwAction::Configure { phys, edge },
                HwKind::Route => HwAction::Route { phys, vcpu },
                HwKind::Deactivate => HwAction::Deactivate { phys },
            })
        })
    }
}
