//! What the model and the hardware's virtual CPU interface exchange for one vCPU.

use super::Version;
use super::lr::{self, Lr};

/// Most list registers that either version has.
pub const MAX_LRS: usize = 16;
/// Bound of [`CpuInterface::deactivate`]: what one call can ask for (31 counted EOIs, 16 list registers, 16 PPIs).
const MAX_DEACTIVATE: usize = 64;

/// Bits of ICH_HCR_EL2 and GICH_HCR, the same in both versions.
pub mod hcr {
    /// The virtual CPU interface works.
    pub const EN: u32 = 1 << 0;
    /// Maintenance interrupt when the guest ends an active interrupt that is in no list register.
    pub const LRENPIE: u32 = 1 << 2;
    /// Maintenance interrupt when no list register is pending.
    pub const NPIE: u32 = 1 << 3;
}

/// The list registers of one vCPU with their bookkeeping. Plain data, owned by the vCPU's context.
///
/// How the machine uses it, in the order of events:
///
/// * Before `Vgic::sync` or `Vgic::refresh`: if the vCPU's registers are on the hardware, read back every list
///   register in `used` into `lrs`, and if LRENPIE is set in `hcr` also ICH_HCR_EL2.EOIcount into `eoi_count`.
/// * After `Vgic::flush` or `Vgic::refresh`: write the list registers in [`CpuInterface::take_dirty`], then `hcr`; and
///   deactivate every interrupt of [`CpuInterface::take_deactivate`] on this CPU's interface.
/// * Switching away: read back `used`, then write 0 to those registers. Switching in: write every one of `used`
///   (`dirty` is then void), then `hcr`. A register that is not in `used` is invalid in the hardware at all times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuInterface {
    /// List registers in the hardware's format.
    pub lrs: [u64; MAX_LRS],
    /// Which of `lrs` hold an interrupt.
    pub used: u16,
    /// Which of `lrs` differ from the hardware.
    pub dirty: u16,
    /// ICH_HCR_EL2 or GICH_HCR wanted, without EOIcount.
    pub hcr: u32,
    /// EOIs of interrupts that are in no list register, since the last call.
    pub eoi_count: u8,
    /// A bit for each list register that the hardware has.
    all: u16,
    nr_lrs: u8,
    nr_deactivate: u8,
    deactivate: [u16; MAX_DEACTIVATE],
}

impl CpuInterface {
    /// An empty interface of hardware with `nr_lrs` list registers (1 to 16; others are brought into that range).
    pub const fn new(nr_lrs: usize) -> Self {
        let nr_lrs = match nr_lrs {
            0 => 1,
            1..=MAX_LRS => nr_lrs as u8,
            _ => MAX_LRS as u8,
        };
        Self {
            lrs: [0; MAX_LRS],
            used: 0,
            dirty: 0,
            hcr: hcr::EN,
            eoi_count: 0,
            all: 0xffffu16.wrapping_shr(16u32.wrapping_sub(nr_lrs as u32)),
            nr_lrs,
            nr_deactivate: 0,
            deactivate: [0; MAX_DEACTIVATE],
        }
    }

    /// Number of list registers.
    pub const fn nr_lrs(&self) -> usize {
        self.nr_lrs as usize
    }

    /// List registers to write, as a mask; they count as written.
    #[inline]
    pub const fn take_dirty(&mut self) -> u16 {
        let dirty = self.dirty;
        self.dirty = 0;
        dirty
    }

    /// Physical interrupts to deactivate on this CPU (ICC_DIR_EL1 or GICC_DIR); they count as done.
    #[inline]
    pub fn take_deactivate(&mut self) -> &[u16] {
        let count = core::mem::take(&mut self.nr_deactivate) as usize;
        self.deactivate.get(..count).unwrap_or(&[])
    }

    /// One list register in neutral form, `None` when it is not in use.
    pub fn lr(&self, version: Version, slot: usize) -> Option<Lr> {
        let raw = *self.lrs.get(slot)?;
        (self.used & slot_bit(slot) != 0).then(|| Lr::decode(version, raw))
    }

    /// Slots in no use.
    #[inline]
    pub(super) const fn free(&self) -> u16 {
        !self.used & self.all
    }

    #[inline]
    pub(super) fn raw(&self, slot: usize) -> u64 {
        self.lrs.get(slot).copied().unwrap_or(0)
    }

    /// Puts a value into a slot that is or becomes used.
    #[inline]
    pub(super) fn set(&mut self, slot: usize, raw: u64) {
        if let Some(lr) = self.lrs.get_mut(slot) {
            *lr = raw;
            self.used |= slot_bit(slot);
            self.dirty |= slot_bit(slot);
        }
    }

    /// Frees a slot. It is written only when the hardware would still see something in it.
    #[inline]
    pub(super) fn release(&mut self, version: Version, slot: usize) {
        if let Some(raw) = self.lrs.get_mut(slot) {
            if lr::state(version, *raw) != 0 || lr::has_eoi(version, *raw) {
                self.dirty |= slot_bit(slot);
            }
            *raw = 0;
            self.used &= !slot_bit(slot);
        }
    }

    /// Whether no list register but the first is in use, and nothing is special.
    #[inline]
    pub(super) const fn is_plain(&self) -> bool {
        self.used <= 1
            && self.dirty == 0
            && self.hcr == hcr::EN
            && self.eoi_count == 0
            && self.nr_deactivate == 0
    }

    /// Puts a value into the first list register, which is the only one in use. The caller writes it.
    #[inline]
    pub(super) const fn set_only(&mut self, raw: u64) {
        self.lrs[0] = raw;
        self.used = 1;
    }

    /// Asks for the deactivation of a physical interrupt.
    pub(super) fn push_deactivate(&mut self, phys: u16) {
        if let Some(entry) = self.deactivate.get_mut(self.nr_deactivate as usize) {
            *entry = phys;
            self.nr_deactivate = self.nr_deactivate.saturating_add(1);
        }
    }
}

/// Bit of a slot.
#[inline]
pub(super) const fn slot_bit(slot: usize) -> u16 {
    1u16.wrapping_shl(slot as u32)
}

/// What the guest has set in its CPU interface: decides whether a pending interrupt reaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuView {
    /// Group 0 is enabled.
    pub group0: bool,
    /// Group 1 is enabled.
    pub group1: bool,
    /// Priority mask: only interrupts with a lower value pass.
    pub priority_mask: u8,
}

impl CpuView {
    /// From ICH_VMCR_EL2 or GICH_VMCR, which agree in these fields.
    #[inline]
    pub const fn from_vmcr(vmcr: u64) -> Self {
        Self { group0: vmcr & 1 != 0, group1: vmcr & 2 != 0, priority_mask: (vmcr >> 24) as u8 & 0xf8 }
    }

    /// Whether an interrupt of that group and priority passes.
    #[inline]
    pub const fn passes(&self, group1: bool, priority: u8) -> bool {
        (if group1 { self.group1 } else { self.group0 }) && priority < self.priority_mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_of_list_registers_is_bounded() {
        assert_eq!(CpuInterface::new(0).nr_lrs(), 1);
        assert_eq!(CpuInterface::new(4).free(), 0b1111);
        assert_eq!(CpuInterface::new(99).free(), 0xffff);
    }

    #[test]
    fn a_completed_register_is_not_written_again_unless_it_asks_for_maintenance() {
        let mut interface = CpuInterface::new(4);
        let link = |eoi| Link::Software { eoi, source: 0 };
        let mut lr =
            Lr { intid: 40, priority: 0, group1: true, pending: false, active: false, link: link(false) };
        use super::super::lr::Link;
        interface.set(1, lr.encode(Version::V3));
        interface.take_dirty();
        interface.release(Version::V3, 1);
        assert_eq!((interface.dirty, interface.used), (0, 0));
        lr.link = link(true);
        interface.set(1, lr.encode(Version::V3));
        interface.take_dirty();
        interface.release(Version::V3, 1);
        assert_eq!((interface.dirty, interface.raw(1)), (0b10, 0));
    }

    #[test]
    fn deactivations_are_handed_out_once() {
        let mut interface = CpuInterface::new(4);
        for phys in 0..100 {
            interface.push_deactivate(phys);
        }
        assert_eq!(interface.take_deactivate().len(), 64);
        assert!(interface.take_deactivate().is_empty());
    }

    #[test]
    fn view_reads_enables_and_mask_of_either_version() {
        let view = CpuView::from_vmcr(0xf000_0002);
        assert!(view.passes(true, 0xa0) && !view.passes(false, 0xa0) && !view.passes(true, 0xf0));
        assert!(!CpuView::from_vmcr(0x0000_0003).passes(true, 0));
    }
}
