//! Registers that the distributor and the redistributors share: a bit, two bits or a byte for each interrupt.

use super::bank::SGIS;
use super::bits::{bit, bits};
use super::block::Block;
use super::effects::HwKind;
use super::{Abort, Effects, HwBatch, Region, Version, Vgic};
use crate::VcpuSet;
use crate::exit::AccessSize;

/// Registers with one bit for each interrupt, in the order of their offsets: 0x80 bytes each from 0x80.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BitReg {
    Group,
    SetEnable,
    ClearEnable,
    SetPending,
    ClearPending,
    SetActive,
    ClearActive,
}

impl BitReg {
    /// The register at an offset below 0x400.
    #[inline]
    pub fn at(offset: u32) -> Option<Self> {
        Some(match offset >> 7 {
            1 => Self::Group,
            2 => Self::SetEnable,
            3 => Self::ClearEnable,
            4 => Self::SetPending,
            5 => Self::ClearPending,
            6 => Self::SetActive,
            7 => Self::ClearActive,
            _ => return None,
        })
    }

    /// Reading it shows state that list registers hold.
    fn shows_lrs(self) -> bool {
        matches!(self, Self::SetPending | Self::ClearPending | Self::SetActive | Self::ClearActive)
    }
}

/// What a write did to a block.
#[derive(Clone, Copy, Default)]
struct Change {
    /// Interrupts to look at again.
    touched: u32,
    /// Physical interrupts to adjust.
    hw: u32,
}

impl Vgic {
    /// Whether the vCPU's own list registers must be read back and [`Vgic::sync`] called before this read.
    #[inline]
    pub fn needs_sync(&self, region: Region, offset: u32) -> bool {
        shown_block(region, offset).is_some()
    }

    /// The other vCPUs whose list registers hold state that this register shows. What it shows for them is as of their
    /// last exit that refreshed; kick them, and a guest that polls will see the present.
    pub fn stale_owners(&self, vcpu: usize, region: Region, offset: u32) -> VcpuSet {
        let mut owners = VcpuSet::EMPTY;
        match (shown_block(region, offset), region) {
            (None, _) => {}
            (Some(0), Region::Dist) => {}
            (Some(0), Region::Redist { vcpu: owner }) => {
                if let Some(bank) = self.banks.get(owner)
                    && bank.lock().block.in_lr != 0
                {
                    bank.set_work();
                    owners.insert(owner);
                }
            }
            (Some(index), _) => {
                if let Some(block) = (index as usize).checked_sub(1).and_then(|index| self.spis.get(index)) {
                    let block = block.lock();
                    for owner in bits(block.common.in_lr).filter_map(|n| block.owner_of(n)) {
                        owners.insert(owner);
                    }
                }
                for bank in owners.filter_map(|owner| self.banks.get(owner)) {
                    bank.set_work();
                }
            }
        }
        owners.remove(vcpu);
        owners
    }

    /// Reads block `index` (0: private interrupts of `vcpu`); 0 if there is none.
    fn with_block<R: Default>(&self, vcpu: usize, index: u32, read: impl FnOnce(&Block) -> R) -> R {
        if index == 0 {
            let Some(bank) = self.banks.get(vcpu) else { return R::default() };
            let mut inner = bank.lock();
            bank.collect(&mut inner, self.hw_ppis);
            read(&inner.block)
        } else {
            match (index as usize).checked_sub(1).and_then(|index| self.spis.get(index)) {
                Some(block) => read(&block.lock().common),
                None => R::default(),
            }
        }
    }

    /// Changes block `index` and works out the consequences. `kind` is what `Change::hw` means.
    fn change_block(
        &self,
        vcpu: usize,
        index: u32,
        kind: HwKind,
        change: impl FnOnce(&mut Block) -> Change,
    ) -> Effects {
        let Some(spi_index) = (index as usize).checked_sub(1) else {
            let Some(bank) = self.banks.get(vcpu) else { return Effects::default() };
            let mut inner = bank.lock();
            bank.collect(&mut inner, self.hw_ppis);
            let done = change(&mut inner.block);
            if kind == HwKind::Deactivate {
                // Its active state is on the CPU that runs the vCPU.
                inner.hw_drop |= done.hw & self.hw_ppis;
            }
            if done.touched == 0 {
                return Effects::default();
            }
            bank.set_work();
            return Effects { kicks: VcpuSet::single(vcpu), hw: None };
        };
        let Some(block) = self.spis.get(spi_index) else { return Effects::default() };
        let mut block = block.lock();
        let done = change(&mut block.common);
        let mask = done.hw & block.hw;
        Effects {
            kicks: self.notify(spi_index, &block, done.touched),
            hw: (mask != 0).then_some(HwBatch { kind, block: spi_index, mask }),
        }
    }

    /// Reads a register of 32 bits.
    pub(super) fn read_bits(&self, vcpu: usize, reg: BitReg, index: u32) -> u32 {
        self.with_block(vcpu, index, |block| match reg {
            BitReg::Group => block.group1,
            BitReg::SetEnable | BitReg::ClearEnable => block.enabled,
            BitReg::SetPending | BitReg::ClearPending => block.pending_view(),
            BitReg::SetActive | BitReg::ClearActive => block.active_view(),
        })
    }

    /// Writes a register of 32 bits.
    pub(super) fn write_bits(&self, vcpu: usize, reg: BitReg, index: u32, value: u32) -> Effects {
        // Version 2 has registers of its own for pending software-generated interrupts.
        let pending_mask = if index == 0 && self.version == Version::V2 { value & !SGIS } else { value };
        match reg {
            BitReg::Group => self.change_block(vcpu, index, HwKind::Enablement, |block| {
                let changed = block.group1 ^ value;
                block.group1 = value;
                Change { touched: changed & (block.asserted() | block.in_lr), hw: 0 }
            }),
            BitReg::SetEnable | BitReg::ClearEnable => {
                self.change_block(vcpu, index, HwKind::Enablement, |block| {
                    let changed = block.write_enable(value, reg == BitReg::SetEnable);
                    Change { touched: changed & (block.asserted() | block.in_lr), hw: changed }
                })
            }
            BitReg::SetPending => self.change_block(vcpu, index, HwKind::Deactivate, |block| {
                block.set_pending(pending_mask);
                Change { touched: pending_mask, hw: 0 }
            }),
            BitReg::ClearPending => self.change_block(vcpu, index, HwKind::Deactivate, |block| {
                let hw = block.clear_pending(pending_mask);
                Change { touched: (pending_mask & block.in_lr) | hw, hw }
            }),
            BitReg::SetActive => self.set_active(vcpu, index, value),
            BitReg::ClearActive => self.change_block(vcpu, index, HwKind::Deactivate, |block| {
                let hw = block.clear_active(value);
                Change { touched: (value & (block.in_lr | block.asserted())) | hw, hw }
            }),
        }
    }

    fn set_active(&self, vcpu: usize, index: u32, value: u32) -> Effects {
        let Some(spi_index) = (index as usize).checked_sub(1) else {
            return self.change_block(vcpu, 0, HwKind::Deactivate, |block| {
                let parked = block.set_active(value);
                Change { touched: parked | (value & block.in_lr), hw: 0 }
            });
        };
        let Some(block) = self.spis.get(spi_index) else { return Effects::default() };
        let mut block = block.lock();
        let mut kicks = VcpuSet::EMPTY;
        for n in bits(block.common.set_active(value)) {
            // Active without having been acknowledged: held for the vCPU that would have got it, or for the writer.
            let owner = block.target_of(n).unwrap_or(vcpu);
            block.set_owner(n, owner);
            if let Some(bank) = self.banks.get(owner) {
                bank.post_parked(spi_index);
                kicks.insert(owner);
            }
        }
        Effects { kicks: kicks.union(self.notify(spi_index, &block, value & block.common.in_lr)), hw: None }
    }

    /// Reads GICD_IPRIORITYR from interrupt `first`, one byte each.
    pub(super) fn read_priorities(&self, vcpu: usize, first: u32, size: AccessSize) -> u32 {
        let count = size.bytes();
        self.with_block(vcpu, first >> 5, |block| {
            (0..count).rev().fold(0, |value, n| (value << 8) | u32::from(block.priority_of((first | n) & 31)))
        })
    }

    /// Writes GICD_IPRIORITYR from interrupt `first`, one byte each.
    pub(super) fn write_priorities(&self, vcpu: usize, first: u32, size: AccessSize, value: u32) -> Effects {
        let bytes = value.to_le_bytes();
        self.change_block(vcpu, first >> 5, HwKind::Enablement, |block| {
            let mut touched = 0;
            for (n, byte) in (0..size.bytes()).zip(bytes) {
                let n = (first | n) & 31;
                if block.write_priority(n, byte) {
                    touched |= bit(n);
                }
            }
            Change { touched: touched & (block.asserted() | block.in_lr), hw: 0 }
        })
    }

    /// Reads GICD_ICFGR number `index`: 16 interrupts.
    pub(super) fn read_config(&self, vcpu: usize, index: u32) -> u32 {
        self.with_block(vcpu, index >> 1, |block| block.config_view(index & 1 != 0))
    }

    /// Writes GICD_ICFGR number `index`; that of the software-generated interrupts is read-only.
    pub(super) fn write_config(&self, vcpu: usize, index: u32, value: u32) -> Effects {
        if index == 0 {
            return Effects::default();
        }
        self.change_block(vcpu, index >> 1, HwKind::Trigger, |block| {
            let changed = block.write_config(index & 1 != 0, value);
            Change { touched: changed & (block.asserted() | block.in_lr), hw: changed }
        })
    }
}

/// The block of interrupts whose list register state a register shows, if it shows any.
#[inline]
fn shown_block(region: Region, offset: u32) -> Option<u32> {
    let offset = match region {
        Region::Dist => offset,
        Region::Redist { .. } => offset.checked_sub(super::redist::SGI_FRAME)?,
    };
    match offset {
        0xf10..0xf30 => Some(0),
        0x200..0x400 => BitReg::at(offset).filter(|reg| reg.shows_lrs()).map(|_| (offset & 0x7f) >> 2),
        _ => None,
    }
}

/// A register of 32 bits accepts only accesses of 32 bits.
#[inline]
pub(super) fn word_only(offset: u32, size: AccessSize) -> Result<(), Abort> {
    if size == AccessSize::Word && offset & 3 == 0 { Ok(()) } else { Err(Abort) }
}

/// A register of bytes accepts bytes and aligned groups of four.
#[inline]
pub(super) fn byte_or_word(offset: u32, size: AccessSize) -> Result<(), Abort> {
    match size {
        AccessSize::Byte => Ok(()),
        _ => word_only(offset, size),
    }
}
