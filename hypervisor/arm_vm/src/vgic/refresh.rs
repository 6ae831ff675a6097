//! Bringing the model and a vCPU's list registers together.

use super::bank::{Bank, BankInner};
use super::bits::{bit, bits};
use super::block::{Block, Verdict};
use super::cpu_interface::{CpuInterface, CpuView, hcr};
use super::lr::{self, Link, Lr, PENDING};
use super::spi::SpiBlock;
use super::{BLOCK, Vgic};
use crate::VcpuSet;

/// Answers whether the line of one of the vCPU's private interrupts is high: for sampled lines, and for the
/// level-sensitive ones that hardware raises (from the saved registers if the vCPU is not on a CPU). Asked only when the
/// answer matters.
pub type Sample<'a> = &'a mut dyn FnMut(u32) -> bool;

/// One pass over a vCPU, its bank locked.
pub(super) struct Pass<'a> {
    pub vgic: &'a Vgic,
    pub bank: &'a Bank,
    pub inner: &'a mut BankInner,
    pub ci: &'a mut CpuInterface,
    pub vcpu: usize,
    pub ctlr: u32,
    /// Blocks of SPIs with something waiting for this vCPU.
    pub hint: u32,
    /// Other vCPUs that got something.
    pub kicks: VcpuSet,
}

impl Vgic {
    /// Takes over what the hardware did to the list registers, then fills them anew: `sync` and `flush` in one. `ci`
    /// must be up to date with the hardware (see [`CpuInterface`]). Returns other vCPUs to kick.
    pub fn refresh(&self, vcpu: usize, ci: &mut CpuInterface, sample: Sample<'_>) -> VcpuSet {
        let Some(bank) = self.banks.get(vcpu) else { return VcpuSet::EMPTY };
        let mut inner = bank.lock();
        // Interrupts of hardware that the last pass did not deliver.
        let waited = inner.block.hw_latch;
        bank.take_work(&mut inner, self.hw_ppis);
        let mut pass = Pass::new(self, bank, &mut inner, ci, vcpu);
        pass.fold_all(Some(&mut *sample), true);
        if waited != 0 {
            pass.forget_fallen(waited, sample);
        }
        pass.place_all();
        pass.kicks
    }

    /// Takes over what the hardware did to the list registers, and nothing more. Returns other vCPUs to kick.
    pub fn sync(&self, vcpu: usize, ci: &mut CpuInterface, sample: Sample<'_>) -> VcpuSet {
        let Some(bank) = self.banks.get(vcpu) else { return VcpuSet::EMPTY };
        let mut inner = bank.lock();
        bank.collect(&mut inner, self.hw_ppis);
        let mut pass = Pass::new(self, bank, &mut inner, ci, vcpu);
        if pass.fold_all(Some(sample), false) {
            bank.keep_spi_hint(pass.hint);
            bank.set_work();
        }
        pass.kicks
    }

    /// Fills the list registers. The guest must not have run since the last `sync` or `refresh`. Returns other vCPUs to
    /// kick.
    pub fn flush(&self, vcpu: usize, ci: &mut CpuInterface) -> VcpuSet {
        let Some(bank) = self.banks.get(vcpu) else { return VcpuSet::EMPTY };
        let mut inner = bank.lock();
        bank.take_work(&mut inner, self.hw_ppis);
        let mut pass = Pass::new(self, bank, &mut inner, ci, vcpu);
        pass.fold_all(None, true);
        pass.place_all();
        pass.kicks
    }

    /// Whether an interrupt is pending for the vCPU that would end a WFI. With `view`, only one that the guest's CPU
    /// interface lets through; interrupts masked by the running priority count, since they may not be for long.
    ///
    /// List registers count as of the last `sync` or `refresh`.
    pub fn pending_unmasked(&self, vcpu: usize, view: Option<CpuView>) -> bool {
        let Some(bank) = self.banks.get(vcpu) else { return false };
        let mut inner = bank.lock();
        bank.collect(&mut inner, self.hw_ppis);
        let ctlr = self.ctlr();
        let passes = |block: &Block, mask: u32| match view {
            None => mask != 0,
            Some(view) => bits(mask).any(|n| view.passes(block.group1 & bit(n) != 0, block.priority_of(n))),
        };
        if passes(&inner.block, inner.block.deliverable(ctlr)) {
            return true;
        }
        let mut blocks = bank.spi_hint();
        for slot in bits(inner.used.into()) {
            if let Some(index) = (inner.slot(slot as usize) >> 5).checked_sub(1) {
                blocks |= bit(index);
            }
        }
        bits(blocks).any(|index| {
            let Some(block) = self.spis.get(index as usize) else { return false };
            let block = block.lock();
            let mut mask = block.common.deliverable(ctlr);
            for n in bits(mask) {
                let holder =
                    if block.common.in_lr & bit(n) != 0 { block.owner_of(n) } else { block.target_of(n) };
                if holder != Some(vcpu) {
                    mask &= !bit(n);
                }
            }
            passes(&block.common, mask)
        })
    }
}

impl<'a> Pass<'a> {
    pub fn new(
        vgic: &'a Vgic,
        bank: &'a Bank,
        inner: &'a mut BankInner,
        ci: &'a mut CpuInterface,
        vcpu: usize,
    ) -> Self {
        Self { vgic, bank, inner, ci, vcpu, ctlr: vgic.ctlr(), hint: 0, kicks: VcpuSet::EMPTY }
    }

    /// Visits every list register in use. With `sample`, takes over the hardware's state; with `renew`, brings the
    /// register up to date with the model. True if a register became free or has to be written.
    pub fn fold_all(&mut self, mut sample: Option<Sample<'_>>, renew: bool) -> bool {
        let before = self.inner.used;
        for slot in bits(before.into()) {
            let slot = slot as usize;
            let intid = self.inner.slot(slot);
            if intid < BLOCK {
                self.visit_private(slot, intid, &mut sample, renew);
            } else {
                self.visit_spi(slot, intid, sample.is_some(), renew);
            }
        }
        if self.ci.eoi_count != 0 && sample.is_some() {
            self.count_eois();
        }
        if self.inner.hw_drop != 0 {
            for n in bits(core::mem::take(&mut self.inner.hw_drop)) {
                self.ci.push_deactivate(self.vgic.phys_of_ppi(n));
            }
        }
        self.inner.used != before || self.ci.dirty != 0
    }

    fn visit_private(&mut self, slot: usize, n: u32, sample: &mut Option<Sample<'_>>, renew: bool) {
        let raw = self.ci.raw(slot);
        let block = &mut self.inner.block;
        let mut resident = true;
        if let Some(sample) = sample {
            let old = lr::state(self.vgic.version, raw);
            let mut folded = block.fold(bit(n), old);
            if folded.state == PENDING && block.lr_hw & !block.edge & bit(n) != 0 && !sample(n) {
                // The timer was reprogrammed before the guest saw its interrupt.
                block.drop_pending |= bit(n);
                folded = block.fold(bit(n), PENDING);
            }
            if folded.state == 0 && block.sampled & !block.edge & bit(n) != 0 && sample(n) {
                block.latch |= bit(n);
            }
            if folded.deactivate {
                self.ci.push_deactivate(self.vgic.phys_of_ppi(n));
            }
            resident = self.write_state(slot, raw, old, folded.state);
        }
        if resident && renew {
            let verdict = if self.vgic.has_senders(n) {
                self.reconcile_sgi(n)
            } else {
                self.inner.block.reconcile(bit(n), self.ctlr, true, true)
            };
            match verdict {
                Verdict::Keep { eoi } => {
                    let sender = self.inner.lr_sender(n);
                    let phys = self.vgic.phys_of_ppi(n);
                    let lr = describe(&mut self.inner.block, n, n, phys, eoi, sender);
                    self.update(slot, &lr);
                }
                Verdict::Withdraw => {
                    self.withdraw_private(n);
                    self.release(slot);
                }
            }
        }
    }

    /// A version 2 software-generated interrupt: a second one of the same sender merges with the one in the register,
    /// one of another sender has to wait.
    fn reconcile_sgi(&mut self, n: u32) -> Verdict {
        let own = self.inner.lr_sender(n);
        let waiting = self.bank.senders(n);
        let block = &mut self.inner.block;
        let was_pending = block.lr_pending;
        let had_latch = block.latch & bit(n) != 0;
        let verdict = block.reconcile(bit(n), self.ctlr, true, waiting & own != 0);
        if had_latch && block.latch & bit(n) == 0 {
            self.bank.remove_senders(n, own);
        }
        if was_pending & !block.lr_pending & bit(n) != 0 {
            self.bank.add_senders(n, own);
        }
        let others = self.bank.senders(n) != 0;
        if others {
            block.latch |= bit(n);
        }
        match verdict {
            Verdict::Keep { eoi } => Verdict::Keep { eoi: eoi | others },
            Verdict::Withdraw => Verdict::Withdraw,
        }
    }

    fn visit_spi(&mut self, slot: usize, intid: u32, fold: bool, renew: bool) {
        let Some((block, index, n)) = self.vgic.spi(intid) else { return };
        let mut block = block.lock();
        let raw = self.ci.raw(slot);
        let mut resident = true;
        if fold {
            let old = lr::state(self.vgic.version, raw);
            let folded = block.common.fold(bit(n), old);
            if folded.deactivate {
                self.ci.push_deactivate(block.phys_of(n).unwrap_or(intid as u16));
            }
            resident = self.write_state(slot, raw, old, folded.state);
        }
        if resident && renew {
            let here = block.target_of(n) == Some(self.vcpu);
            match block.common.reconcile(bit(n), self.ctlr, here, true) {
                Verdict::Keep { eoi } => {
                    let phys = block.phys_of(n).unwrap_or(intid as u16);
                    let lr = describe(&mut block.common, n, intid, phys, eoi, 0);
                    self.update(slot, &lr);
                }
                Verdict::Withdraw => {
                    block.common.withdraw(bit(n));
                    self.release(slot);
                    resident = false;
                }
            }
        }
        if !resident {
            self.hand_on(index, &block, n);
        }
    }

    /// An SPI left this vCPU's list registers: sees to it that whoever it is for now looks at it.
    pub fn hand_on(&mut self, index: usize, block: &SpiBlock, n: u32) {
        if block.common.candidates(self.ctlr) & bit(n) == 0 {
            return;
        }
        match block.target_of(n) {
            Some(vcpu) if vcpu == self.vcpu => self.hint |= bit(index as u32),
            Some(vcpu) => {
                if let Some(bank) = self.vgic.banks.get(vcpu) {
                    bank.post_spi(index);
                    self.kicks.insert(vcpu);
                }
            }
            None => {}
        }
    }

    /// Writes back state bits that the guest's edits changed; false if the register is free now.
    fn write_state(&mut self, slot: usize, raw: u64, old: u8, new: u8) -> bool {
        if new == 0 {
            self.release(slot);
            return false;
        }
        if new != old {
            self.ci.set(slot, lr::with_state(self.vgic.version, raw, new));
        }
        true
    }

    pub fn release(&mut self, slot: usize) {
        self.ci.release(self.vgic.version, slot);
        self.inner.used &= !super::cpu_interface::slot_bit(slot);
    }

    /// Takes a private interrupt out of its list register, and gives what was pending back to its sender's account.
    pub fn withdraw_private(&mut self, n: u32) {
        let was_pending = self.inner.block.lr_pending & bit(n) != 0;
        self.inner.block.withdraw(bit(n));
        if was_pending && self.vgic.has_senders(n) {
            self.bank.add_senders(n, self.inner.lr_sender(n));
        }
    }

    #[inline]
    fn update(&mut self, slot: usize, lr: &Lr) {
        let raw = lr.encode(self.vgic.version);
        if raw != self.ci.raw(slot) {
            self.ci.set(slot, raw);
        }
    }

    /// Of level-sensitive interrupts of hardware that have waited, forgets those that could be delivered now and whose
    /// lines have fallen meanwhile: a timer that was reprogrammed while its interrupt was disabled.
    fn forget_fallen(&mut self, waited: u32, sample: Sample<'_>) {
        let block = &self.inner.block;
        let fallen = waited & block.hw_latch & !block.edge & block.candidates(self.ctlr);
        for n in bits(fallen) {
            if !sample(n) {
                self.inner.block.clear_pending(bit(n));
                self.ci.push_deactivate(self.vgic.phys_of_ppi(n));
            }
        }
    }

    /// Gives list registers to what waits.
    pub fn place_all(&mut self) {
        let mut full = false;
        for n in bits(self.inner.block.candidates(self.ctlr)) {
            if !self.load_private(n) {
                full = true;
                break;
            }
        }
        self.hint |= self.bank.take_spi_hint();
        for index in bits(self.hint) {
            let Some(block) = self.vgic.spis.get(index as usize) else { continue };
            let mut block = block.lock();
            for n in bits(block.candidates_of(self.vcpu, self.ctlr)) {
                if !self.load_spi(index as usize, &mut block, n) {
                    full = true;
                    break;
                }
            }
        }
        let parked = self.bank.take_parked();
        if full || parked != 0 || self.inner.block.parked() != 0 {
            self.rearrange(parked);
        } else {
            self.ci.hcr = hcr::EN;
        }
    }

    /// Puts a waiting private interrupt into a free list register; false if there is none.
    #[inline]
    pub fn load_private(&mut self, n: u32) -> bool {
        let free = self.ci.free();
        if free == 0 {
            return false;
        }
        let slot = free.trailing_zeros() as usize;
        let mut sender = 0;
        let mut others = false;
        if self.vgic.has_senders(n) {
            let waiting = self.bank.senders(n);
            sender = waiting & waiting.wrapping_neg();
            if sender == 0 {
                // Withdrawn by the guest.
                self.inner.block.latch &= !bit(n);
                return true;
            }
            self.bank.remove_senders(n, sender);
            self.inner.set_lr_sender(n, sender);
            others = self.bank.senders(n) != 0;
        }
        let block = &mut self.inner.block;
        let hw = block.enter_lr(bit(n));
        if others {
            block.latch |= bit(n);
        }
        let eoi = !hw && (others || block.level_high(bit(n)));
        let lr = describe(block, n, n, self.vgic.phys_of_ppi(n), eoi, sender);
        self.occupy(slot, n, &lr);
        true
    }

    /// Puts a waiting SPI into a free list register; false if there is none.
    #[inline]
    pub fn load_spi(&mut self, index: usize, block: &mut SpiBlock, n: u32) -> bool {
        let free = self.ci.free();
        if free == 0 {
            return false;
        }
        let slot = free.trailing_zeros() as usize;
        let intid = intid_of(index, n);
        block.set_owner(n, self.vcpu);
        let hw = block.common.enter_lr(bit(n));
        let eoi = !hw && block.common.level_high(bit(n));
        let phys = block.phys_of(n).unwrap_or(intid as u16);
        let lr = describe(&mut block.common, n, intid, phys, eoi, 0);
        self.occupy(slot, intid, &lr);
        true
    }

    pub fn occupy(&mut self, slot: usize, intid: u32, lr: &Lr) {
        self.inner.set_slot(slot, intid);
        self.inner.used |= super::cpu_interface::slot_bit(slot);
        self.ci.set(slot, lr.encode(self.vgic.version));
    }
}

/// Number of the interrupt at position `n` of a block of SPIs.
#[inline]
pub(super) fn intid_of(index: usize, n: u32) -> u32 {
    (index as u32).wrapping_add(1).wrapping_mul(BLOCK) | n
}

/// The list register for an interrupt's state as the model has it. `sender` is a bit.
#[inline]
pub(super) fn describe(block: &mut Block, n: u32, intid: u32, phys: u16, eoi: bool, sender: u8) -> Lr {
    block.present(n);
    let bit = bit(n);
    Lr {
        intid: intid as u16,
        priority: block.presented_priority(n),
        group1: block.group1 & bit != 0,
        pending: block.lr_pending & bit != 0,
        active: block.active & bit != 0,
        link: if block.lr_hw & bit != 0 {
            Link::Hardware { phys }
        } else {
            Link::Software { eoi, source: sender.trailing_zeros() as u8 & 7 }
        },
    }
}
