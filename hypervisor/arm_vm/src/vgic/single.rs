//! The most frequent refresh in short: one private interrupt came, and the vCPU is done with what it had.
//!
//! It does exactly what [`Vgic::refresh`] would, and nothing where there is anything else to look at: then that follows.

use super::bank::{Bank, BankInner};
use super::bits::bit;
use super::cpu_interface::CpuInterface;
use super::lr::{self, Link, Lr};
use super::{BLOCK, Vgic};

impl Vgic {
    /// [`Vgic::refresh_single`] where that would do once more what it did the last time: the same interrupt was posted,
    /// and nothing else has happened to the vCPU's interrupts since. Takes no lock, and leaves its [`CpuInterface`] as it
    /// is: the value is in there already.
    #[inline]
    pub fn refresh_again(&self, vcpu: usize, first: impl FnOnce() -> u64) -> Option<u64> {
        let bank = self.banks.get(vcpu)?;
        let edge = bank.single_edge()?;
        let raw = self.again(bank, edge, first)?;
        // Somebody else may have taken the edge into the model, to show it to the guest.
        bank.claim(edge).then_some(raw)
    }

    /// [`Vgic::inject_hw_ppi_now`] in the same case.
    #[inline]
    pub fn inject_hw_ppi_again(&self, vcpu: usize, intid: u32, first: impl FnOnce() -> u64) -> Option<u64> {
        let bank = self.banks.get(vcpu)?;
        if bank.has_work() || intid >= BLOCK {
            return None;
        }
        self.again(bank, bit(intid), first)
    }

    /// What the edge came to the last time, if it would come to the same.
    #[inline]
    fn again(&self, bank: &Bank, edge: u32, first: impl FnOnce() -> u64) -> Option<u64> {
        let raw = bank.again.lr(edge, self.ctlr())?;
        (!bank.has_hints() && lr::state(self.version, first()) == 0).then_some(raw)
    }

    /// [`Vgic::refresh`], if a single interrupt was posted and list register 0 is all that is needed. `first` reads that
    /// from the hardware; asked only if it is in use. Returns what to write there, nothing else has changed; `None` when
    /// it takes a refresh.
    #[inline]
    pub fn refresh_single(
        &self,
        vcpu: usize,
        ci: &mut CpuInterface,
        first: impl FnOnce() -> u64,
        sample: impl FnOnce(u32) -> bool,
    ) -> Option<u64> {
        let bank = self.banks.get(vcpu)?;
        let edge = bank.single_edge()?;
        let mut inner = bank.lock_for_single();
        let raw = self.present_single(bank, &mut inner, ci, edge, first, sample)?;
        // The same edge may have been posted once more: the guest takes the interrupt after this.
        bank.unpost(edge);
        Some(raw)
    }

    /// [`Vgic::inject_hw_ppi`] and [`Vgic::refresh_single`] in one, for the vCPU loaded here. When it answers `None`
    /// nothing has been injected.
    #[inline]
    pub fn inject_hw_ppi_now(
        &self,
        vcpu: usize,
        intid: u32,
        ci: &mut CpuInterface,
        first: impl FnOnce() -> u64,
        sample: impl FnOnce(u32) -> bool,
    ) -> Option<u64> {
        let bank = self.banks.get(vcpu)?;
        if bank.has_work() || intid >= BLOCK {
            return None;
        }
        self.present_single(bank, &mut bank.lock_for_single(), ci, bit(intid), first, sample)
    }

    /// Puts the interrupt that had an `edge` into list register 0, if that is what a refresh would do.
    #[inline]
    fn present_single(
        &self,
        bank: &Bank,
        inner: &mut BankInner,
        ci: &mut CpuInterface,
        edge: u32,
        first: impl FnOnce() -> u64,
        sample: impl FnOnce(u32) -> bool,
    ) -> Option<u64> {
        let intid = edge.trailing_zeros();
        if !ci.is_plain() || bank.has_hints() || self.has_senders(intid) {
            return None;
        }
        let mut done = 0;
        if inner.used != 0 {
            let before = inner.slot(0);
            if before >= BLOCK || lr::state(self.version, first()) != 0 {
                return None;
            }
            done = bit(before);
        }
        let (block, ctlr) = (&mut inner.block, self.ctlr());
        let waiting = (edge | block.asserted()) & block.forwardable(ctlr);
        if !block.is_calm(done) || inner.hw_drop != 0 || waiting != edge {
            return None;
        }
        if done & !edge & block.sampled & !block.edge != 0 && sample(done.trailing_zeros()) {
            return None;
        }
        block.replace_only(edge, edge & self.hw_ppis);
        block.present(intid);
        let link = if edge & self.hw_ppis != 0 {
            Link::Hardware { phys: self.phys_of_ppi(intid) }
        } else {
            Link::Software { eoi: block.level_high(edge), source: 0 }
        };
        let lr = Lr {
            intid: intid as u16,
            priority: block.presented_priority(intid),
            group1: block.group1 & edge != 0,
            pending: true,
            active: false,
            link,
        };
        inner.set_slot(0, intid);
        inner.used = 1;
        let raw = lr.encode_in_line(self.version);
        ci.set_only(raw);
        bank.again.remember(edge, ctlr, raw);
        Some(raw)
    }
}
