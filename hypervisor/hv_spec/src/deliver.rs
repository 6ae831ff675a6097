//! How a vCPU learns of an event: the 2-level interface, `vcpu_info`, and the upcall.

use crate::events::{Info, VcpuInfo};
use crate::{Model, PageId};
use xen_abi::{Arch, Arm64};

const PENDING_BITS: usize = Arm64::SHARED_INFO_EVTCHN_PENDING;
const MASK_BITS: usize = Arm64::SHARED_INFO_EVTCHN_MASK;

/// The offset of the word with a port's bit, and the bit.
fn bit(base: usize, port: u32) -> (usize, u64) {
    (base + (port / 64) as usize * 8, 1 << (port % 64))
}

impl Model {
    fn shared_bit(&self, id: u16, base: usize, port: u32) -> bool {
        let (offset, bit) = bit(base, port);
        self.dom(id).shared_info.is_some_and(|page| self.pages.load64(page, offset) & bit != 0)
    }

    fn set_shared_bit(&mut self, id: u16, base: usize, port: u32, on: bool) {
        let Some(page) = self.dom(id).shared_info else { return };
        let (offset, bit) = bit(base, port);
        let word = self.pages.load64(page, offset);
        self.pages.store64(page, offset, if on { word | bit } else { word & !bit });
    }

    /// Takes a pending bit; whether it was set.
    pub(crate) fn take_two_level(&mut self, id: u16, port: u32) -> bool {
        let was = self.shared_bit(id, PENDING_BITS, port);
        if was {
            self.set_shared_bit(id, PENDING_BITS, port, false);
        }
        was
    }

    /// Makes a port pending.
    pub(crate) fn raise(&mut self, id: u16, port: u32) {
        let vcpu = self.dom(id).events.ports[port as usize].vcpu;
        if self.dom(id).events.fifo.is_some() {
            if self.fifo_raise(id, port) && self.mark_upcall(id, vcpu) {
                self.upcall(id, vcpu);
            }
            return;
        }
        if self.shared_bit(id, PENDING_BITS, port) {
            return;
        }
        self.set_shared_bit(id, PENDING_BITS, port, true);
        if !self.shared_bit(id, MASK_BITS, port) {
            self.select(id, vcpu, port);
        }
    }

    /// Unmasks a port; what is pending is delivered.
    pub(crate) fn unmask(&mut self, id: u16, port: u32) {
        let vcpu = self.dom(id).events.ports[port as usize].vcpu;
        if self.dom(id).events.fifo.is_some() {
            if self.fifo_unmask(id, port) && self.fifo_raise(id, port) && self.mark_upcall(id, vcpu) {
                self.upcall(id, vcpu);
            }
        } else if self.shared_bit(id, MASK_BITS, port) {
            self.set_shared_bit(id, MASK_BITS, port, false);
            if self.shared_bit(id, PENDING_BITS, port) {
                self.select(id, vcpu, port);
            }
        }
    }

    /// Whether a port is pending.
    pub(crate) fn is_pending(&self, id: u16, port: u32) -> bool {
        match self.dom(id).events.fifo {
            Some(_) => self.fifo_bits(id, port).0,
            None => self.shared_bit(id, PENDING_BITS, port),
        }
    }

    /// Takes back what is pending on a port that is closed.
    pub(crate) fn withdraw(&mut self, id: u16, port: u32) {
        match self.dom(id).events.fifo {
            Some(_) => self.fifo_withdraw(id, port),
            None => self.set_shared_bit(id, PENDING_BITS, port, false),
        }
    }

    /// Tells a vCPU which word of bits has news.
    fn select(&mut self, id: u16, vcpu: u32, port: u32) {
        let Some((page, offset)) = self.info(id, vcpu) else { return };
        let at = offset + Arm64::VCPU_INFO_PENDING_SEL;
        let (selected, bit) = (self.pages.load64(page, at), 1 << (port / 64));
        if selected & bit == 0 {
            self.pages.store64(page, at, selected | bit);
            if self.mark_upcall(id, vcpu) {
                self.upcall(id, vcpu);
            }
        }
    }

    /// Where a vCPU's vcpu_info is. The first has one in the shared page.
    fn info(&self, id: u16, vcpu: u32) -> Option<(PageId, usize)> {
        let domain = self.dom(id);
        match domain.vcpus.get(vcpu as usize)?.info {
            Some(info) => Some((info.page, info.offset)),
            None if vcpu < Arm64::LEGACY_MAX_VCPUS => {
                Some((domain.shared_info?, vcpu as usize * size_of::<Info>()))
            }
            None => None,
        }
    }

    /// Sets `evtchn_upcall_pending`; whether it was not set.
    pub(crate) fn mark_upcall(&mut self, id: u16, vcpu: u32) -> bool {
        let Some((page, offset)) = self.info(id, vcpu) else { return false };
        let mut byte = [0];
        self.pages.read(page, offset + Arm64::VCPU_INFO_UPCALL_PENDING, &mut byte);
        if byte[0] & 1 != 0 {
            return false;
        }
        self.pages.write(page, offset + Arm64::VCPU_INFO_UPCALL_PENDING, &[byte[0] | 1]);
        true
    }

    fn upcall(&mut self, id: u16, vcpu: u32) {
        self.dom_mut(id).upcalls |= 1 << vcpu;
    }

    /// Raises the upcall line of each vCPU that has events pending.
    pub(crate) fn upcall_all_marked(&mut self, id: u16) {
        for vcpu in 0..self.dom(id).vcpus.len() as u32 {
            let Some((page, offset)) = self.info(id, vcpu) else { continue };
            let mut byte = [0];
            self.pages.read(page, offset + Arm64::VCPU_INFO_UPCALL_PENDING, &mut byte);
            if byte[0] != 0 {
                self.upcall(id, vcpu);
            }
        }
    }

    /// The guest has taken the upcalls of its vCPUs.
    pub fn take_upcalls(&mut self, id: u16) -> u64 {
        self.domains.get_mut(&id).map_or(0, |domain| core::mem::take(&mut domain.upcalls))
    }

    /// Moves a vCPU's vcpu_info; everything is news then.
    pub(crate) fn move_info(&mut self, id: u16, vcpu: u32, to: VcpuInfo) {
        let mut bytes = [0; size_of::<Info>()];
        if let Some((page, offset)) = self.info(id, vcpu) {
            self.pages.read(page, offset, &mut bytes);
        }
        self.pages.write(to.page, to.offset, &bytes);
        self.dom_mut(id).vcpus[vcpu as usize].info = Some(to);
        self.pages.store64(to.page, to.offset + Arm64::VCPU_INFO_PENDING_SEL, u64::MAX);
        if self.mark_upcall(id, vcpu) {
            self.upcall(id, vcpu);
        }
    }
}
