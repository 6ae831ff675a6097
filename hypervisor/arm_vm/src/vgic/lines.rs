//! Input lines: levels, edges, and interrupts that hardware raises.

use super::bits::bit;
use super::effects::HwKind;
use super::{BLOCK, Effects, HwBatch, Vgic};
use crate::VcpuSet;

/// An input of the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Private peripheral interrupt of a vCPU.
    Ppi {
        /// The vCPU.
        vcpu: usize,
        /// Its number, 16 to 31.
        intid: u32,
    },
    /// Shared peripheral interrupt.
    Spi {
        /// Its number, 32 and up.
        intid: u32,
    },
}

/// Why a physical interrupt was not linked or unlinked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssignError {
    /// Not an SPI of this domain.
    NotSpi,
    /// Linked already (to link), or not linked (to unlink).
    State,
    /// In a list register of this vCPU: stop it and refresh, or take it offline, first.
    InUse {
        /// The vCPU.
        vcpu: usize,
    },
}

impl Vgic {
    /// Sets the level of a line. Returns the vCPUs to kick. Unknown lines are ignored.
    ///
    /// For a sampled line `true` means "it has just become high", whatever it was before.
    #[inline]
    pub fn set_level(&self, line: Line, asserted: bool) -> VcpuSet {
        match line {
            Line::Ppi { vcpu, intid } if intid < BLOCK => {
                if asserted && self.sampled_ppis & bit(intid) != 0 {
                    self.post(vcpu, bit(intid))
                } else {
                    self.set_ppi_level(vcpu, bit(intid), asserted)
                }
            }
            Line::Ppi { .. } => VcpuSet::EMPTY,
            Line::Spi { intid } => {
                let Some((block, index, n)) = self.spi(intid) else { return VcpuSet::EMPTY };
                let mut block = block.lock();
                if block.common.set_line(bit(n), asserted) {
                    self.notify(index, &block, bit(n))
                } else {
                    VcpuSet::EMPTY
                }
            }
        }
    }

    fn set_ppi_level(&self, vcpu: usize, bit: u32, asserted: bool) -> VcpuSet {
        let Some(bank) = self.banks.get(vcpu) else { return VcpuSet::EMPTY };
        let mut inner = bank.lock();
        let changed = if self.sampled_ppis & bit != 0 {
            bank.unpost(bit);
            inner.block.latch &= !bit;
            inner.block.drop_pending |= bit & inner.block.in_lr;
            inner.block.in_lr & bit != 0
        } else {
            inner.block.set_line(bit, asserted)
        };
        if !changed {
            return VcpuSet::EMPTY;
        }
        bank.set_work();
        VcpuSet::single(vcpu)
    }

    /// An edge on a line. Returns the vCPUs to kick. Unknown lines are ignored.
    #[inline]
    pub fn pulse(&self, line: Line) -> VcpuSet {
        match line {
            Line::Ppi { vcpu, intid } if intid < BLOCK => self.post(vcpu, bit(intid)),
            Line::Ppi { .. } => VcpuSet::EMPTY,
            Line::Spi { intid } => self.latch_spi(intid, false),
        }
    }

    /// [`Vgic::pulse`] of a private interrupt. Whether its vCPU is to be kicked.
    #[inline]
    pub fn pulse_private(&self, vcpu: usize, intid: u32) -> bool {
        intid < BLOCK && self.banks.get(vcpu).is_some_and(|bank| bank.post(bit(intid)))
    }

    /// A physical private interrupt came for `vcpu` and was acknowledged with priority drop only. `intid` is the
    /// guest's number. Returns the vCPUs to kick.
    #[inline]
    pub fn inject_hw_ppi(&self, vcpu: usize, intid: u32) -> VcpuSet {
        if intid < BLOCK { self.post(vcpu, bit(intid)) } else { VcpuSet::EMPTY }
    }

    /// The same for an interrupt whose line went high while the vCPU was not running, as a software timer found out.
    /// Nothing happens when the guest has it already: it was not deactivated yet.
    pub fn inject_hw_ppi_if_idle(&self, vcpu: usize, intid: u32) -> VcpuSet {
        if intid < BLOCK && self.hw_ppis_in_flight(vcpu) & bit(intid) == 0 {
            self.post(vcpu, bit(intid))
        } else {
            VcpuSet::EMPTY
        }
    }

    /// A physical interrupt came and was acknowledged with priority drop only. `intid` is the guest's number of an SPI
    /// linked by [`Vgic::assign_hw`]. Returns the vCPUs to kick.
    #[inline]
    pub fn inject_hw(&self, intid: u32) -> VcpuSet {
        self.latch_spi(intid, true)
    }

    fn latch_spi(&self, intid: u32, hw: bool) -> VcpuSet {
        let Some((block, index, n)) = self.spi(intid) else { return VcpuSet::EMPTY };
        let mut block = block.lock();
        block.common.latch |= bit(n);
        if hw {
            block.common.hw_latch |= bit(n) & block.hw;
        }
        self.notify(index, &block, bit(n))
    }

    #[inline]
    pub(super) fn post(&self, vcpu: usize, edges: u32) -> VcpuSet {
        match self.banks.get(vcpu) {
            Some(bank) if bank.post(edges) => VcpuSet::single(vcpu),
            _ => VcpuSet::EMPTY,
        }
    }

    /// Links an SPI to a physical interrupt. The result asks to enable it if the guest has done so already.
    ///
    /// # Errors
    /// [`AssignError::NotSpi`], [`AssignError::State`] when it is linked.
    pub fn assign_hw(&self, intid: u32, phys: u16) -> Result<Effects, AssignError> {
        let (block, index, n) = self.spi(intid).ok_or(AssignError::NotSpi)?;
        let mut block = block.lock();
        if block.phys_of(n).is_some() {
            return Err(AssignError::State);
        }
        block.set_phys(n, Some(phys));
        let mask = block.common.enabled & bit(n);
        let hw = (mask != 0).then_some(HwBatch { kind: HwKind::Enablement, block: index, mask });
        Ok(Effects { kicks: VcpuSet::EMPTY, hw })
    }

    /// Unlinks an SPI. Returns its physical interrupt and whether that is active for the guest and has to be
    /// deactivated. Disable it in the hardware first.
    ///
    /// # Errors
    /// See [`AssignError`].
    pub fn unassign_hw(&self, intid: u32) -> Result<(u16, bool), AssignError> {
        let (block, _, n) = self.spi(intid).ok_or(AssignError::NotSpi)?;
        let mut block = block.lock();
        let phys = block.phys_of(n).ok_or(AssignError::State)?;
        if block.common.lr_hw & bit(n) != 0
            && let Some(vcpu) = block.owner_of(n)
        {
            return Err(AssignError::InUse { vcpu });
        }
        let live = (block.common.hw_latch | block.common.hw_active) & bit(n) != 0;
        block.common.hw_latch &= !bit(n);
        block.common.hw_active &= !bit(n);
        block.set_phys(n, None);
        Ok((phys, live))
    }

    /// Private interrupts of a vCPU, by guest number, whose physical interrupts are active on its behalf: their active
    /// state has to be set on the CPU that is about to run it.
    pub fn hw_ppis_in_flight(&self, vcpu: usize) -> u32 {
        if self.hw_ppis == 0 {
            return 0;
        }
        let Some(bank) = self.banks.get(vcpu) else { return 0 };
        let inner = bank.lock();
        let block = &inner.block;
        (bank.posted() & self.hw_ppis) | block.hw_latch | block.hw_active | block.lr_hw
    }
}
