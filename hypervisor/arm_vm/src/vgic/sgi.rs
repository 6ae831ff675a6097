//! Software-generated interrupts.

use super::bank::NR_SGIS;
use super::bits::{bit, bits};
use super::{Version, Vgic};
use crate::VcpuSet;

/// Register of GICv3 that a software-generated interrupt was sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SgiKind {
    /// ICC_SGI1R_EL1: either group.
    Sgi1r,
    /// ICC_ASGI1R_EL1: group 0 only, with one security state.
    Asgi1r,
    /// ICC_SGI0R_EL1: group 0 only.
    Sgi0r,
}

impl Vgic {
    /// Guest writes one of the registers of [`SgiKind`] (IHI 0069, 12.2.14). Returns the vCPUs to kick.
    ///
    /// Only to be called with version 3: the registers do not exist otherwise.
    pub fn send_sgi(&self, vcpu: usize, kind: SgiKind, value: u64) -> VcpuSet {
        const ALL_BUT_SELF: u64 = 1 << 40;
        /// Affinity 3, affinity 2 and the range of affinity 0: no vCPU has any but 0.
        const NOT_ZERO: u64 = (0xff << 48) | (0xf << 44) | (0xff << 32);
        let sgi = bit((value >> 24) as u32 & 15);
        let mut kicks = VcpuSet::EMPTY;
        if value & ALL_BUT_SELF != 0 {
            let mut others = self.all_vcpus();
            others.remove(vcpu);
            for target in others {
                self.send_to(target, kind, sgi, &mut kicks);
            }
        } else if value & NOT_ZERO == 0 {
            let first = (value >> 12) as usize & 0xff0;
            for n in bits(value as u32 & 0xffff) {
                self.send_to(first | n as usize, kind, sgi, &mut kicks);
            }
        }
        kicks
    }

    #[inline]
    fn send_to(&self, target: usize, kind: SgiKind, sgi: u32, kicks: &mut VcpuSet) {
        let Some(bank) = self.banks.get(target) else { return };
        if kind != SgiKind::Sgi1r && bank.lock().block.group1 & sgi != 0 {
            return;
        }
        if bank.post(sgi) {
            kicks.insert(target);
        }
    }

    /// Guest writes GICD_SGIR (version 2).
    pub(super) fn write_sgir(&self, vcpu: usize, value: u32) -> VcpuSet {
        let sgi = value & 15;
        let own = 1u32.wrapping_shl(vcpu as u32) & 0xff;
        let targets = match (value >> 24) & 3 {
            0 => (value >> 16) & 0xff,
            1 => 0xff & !own,
            2 => own,
            _ => 0,
        };
        let mut kicks = VcpuSet::EMPTY;
        for target in bits(targets) {
            if self.banks.get(target as usize).is_some_and(|bank| bank.post_from(sgi, own as u8)) {
                kicks.insert(target as usize);
            }
        }
        kicks
    }

    /// Guest reads a byte of GICD_SPENDSGIR or GICD_CPENDSGIR: the senders of one pending interrupt.
    pub(super) fn pending_senders(&self, vcpu: usize, sgi: u32) -> u8 {
        let Some(bank) = self.banks.get(vcpu) else { return 0 };
        let inner = bank.lock();
        let mut senders = bank.senders(sgi);
        if inner.block.lr_pending & !inner.block.drop_pending & bit(sgi) != 0 {
            senders |= inner.lr_sender(sgi);
        }
        senders
    }

    /// Guest writes a byte of GICD_SPENDSGIR (`set`) or GICD_CPENDSGIR.
    pub(super) fn write_pending_senders(&self, vcpu: usize, sgi: u32, senders: u8, set: bool) -> VcpuSet {
        let Some(bank) = self.banks.get(vcpu).filter(|_| sgi < NR_SGIS && senders != 0) else {
            return VcpuSet::EMPTY;
        };
        if set {
            return if bank.post_from(sgi, senders) { VcpuSet::single(vcpu) } else { VcpuSet::EMPTY };
        }
        let mut inner = bank.lock();
        bank.remove_senders(sgi, senders);
        bank.collect(&mut inner, self.hw_ppis);
        inner.block.latch &= !bit(sgi);
        // A sender leaves its name before it posts: whoever was collected above is seen here.
        if bank.senders(sgi) != 0 {
            inner.block.latch |= bit(sgi);
        }
        if inner.lr_sender(sgi) & senders != 0 {
            inner.block.drop_pending |= bit(sgi) & inner.block.in_lr;
        }
        bank.set_work();
        VcpuSet::single(vcpu)
    }

    /// Whether an interrupt of this number has senders: version 2, software-generated.
    #[inline]
    pub(super) fn has_senders(&self, intid: u32) -> bool {
        self.version == Version::V2 && intid < NR_SGIS
    }
}
