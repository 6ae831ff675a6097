//! What belongs to one vCPU: its private interrupts, its list registers, and the mailbox others use.

use super::again::Again;
use super::block::Block;
use super::cpu_interface::MAX_LRS;
use super::sync::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use lock::{Mutex, MutexGuard};

/// Number of software-generated interrupts.
pub(super) const NR_SGIS: u32 = 16;
/// Mask of the software-generated interrupts.
pub(super) const SGIS: u32 = 0xffff;

/// [`Bank::mail`]: more may have changed than the edges say.
const CHANGED: u64 = 1 << 32;
/// [`Bank::mail`]: the edges.
const EDGES: u64 = CHANGED - 1;

/// One vCPU. The atomics are the mailbox: any CPU may post without a lock. A poster first leaves its message, then its
/// word in `mail`; the vCPU first takes `mail`, then the messages. So none is missed, at worst the vCPU looks in vain.
#[repr(align(64))]
#[derive(Debug)]
pub(super) struct Bank {
    /// Edges of private interrupts not yet in `Block::latch`, a bit for each, and whether anything else may have changed
    /// since the last refresh.
    mail: AtomicU64,
    /// Blocks of SPIs that may have something waiting for this vCPU.
    spi_hint: AtomicU32,
    /// Blocks of SPIs that may have something active for this vCPU but in no list register.
    parked_hint: AtomicU32,
    /// GICv2: senders of each pending software-generated interrupt.
    senders: [AtomicU8; NR_SGIS as usize],
    inner: Mutex<BankInner, 6>,
    /// What the last short refresh came to.
    pub again: Again,
}

#[derive(Debug)]
pub(super) struct BankInner {
    pub block: Block,
    /// Interrupt in each list register, valid for the bits of `used`.
    pub slots: [u16; MAX_LRS],
    pub used: u16,
    /// Private interrupts whose physical ones this vCPU has to deactivate.
    pub hw_drop: u32,
    /// GICv2: sender, as a bit, of each software-generated interrupt that is in a list register or active.
    lr_senders: [u8; NR_SGIS as usize],
}

impl BankInner {
    pub fn slot(&self, slot: usize) -> u32 {
        self.slots.get(slot).copied().unwrap_or(0).into()
    }

    pub fn set_slot(&mut self, slot: usize, intid: u32) {
        if let Some(entry) = self.slots.get_mut(slot) {
            *entry = intid as u16;
        }
    }

    /// Sender, as a bit, of the software-generated interrupt that is in a list register or active.
    pub fn lr_sender(&self, sgi: u32) -> u8 {
        self.lr_senders.get(sgi as usize).copied().unwrap_or(0)
    }

    pub fn set_lr_sender(&mut self, sgi: u32, sender: u8) {
        if let Some(entry) = self.lr_senders.get_mut(sgi as usize) {
            *entry = sender;
        }
    }
}

impl Bank {
    pub fn new(block: Block) -> Self {
        Self {
            mail: AtomicU64::new(0),
            spi_hint: AtomicU32::new(0),
            parked_hint: AtomicU32::new(0),
            senders: core::array::from_fn(|_| AtomicU8::new(0)),
            inner: Mutex::new(BankInner {
                block,
                slots: [0; MAX_LRS],
                used: 0,
                hw_drop: 0,
                lr_senders: [0; NR_SGIS as usize],
            }),
            again: Again::default(),
        }
    }

    /// Locks the vCPU's interrupts. What the last short refresh came to does not hold any more.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, BankInner, 6> {
        let inner = self.inner.lock();
        self.again.forget();
        inner
    }

    /// Locks them for a short refresh, which sees to [`again`](Self::again) itself.
    #[inline]
    pub fn lock_for_single(&self) -> MutexGuard<'_, BankInner, 6> {
        self.inner.lock()
    }

    #[inline]
    pub fn has_work(&self) -> bool {
        self.mail.load(Ordering::Relaxed) != 0
    }

    #[inline]
    pub fn set_work(&self) {
        self.mail.fetch_or(CHANGED, Ordering::AcqRel);
    }

    /// Starts a refresh: everything posted before is visible after this. Takes posted edges into the block.
    #[inline]
    pub fn take_work(&self, inner: &mut BankInner, hw_ppis: u32) {
        let edges = self.mail.swap(0, Ordering::AcqRel) as u32;
        inner.block.latch |= edges;
        inner.block.hw_latch |= edges & hw_ppis;
    }

    /// The one edge that was posted, as a bit; `None` when there is more to look at.
    #[inline]
    pub fn single_edge(&self) -> Option<u32> {
        let mail = self.mail.load(Ordering::Acquire);
        u32::try_from(mail).ok().filter(|edges| edges.is_power_of_two())
    }

    /// Takes an edge if it is all that is posted.
    #[inline]
    pub fn claim(&self, edge: u32) -> bool {
        self.mail.compare_exchange(edge.into(), 0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Posts edges of private interrupts. False if they were all waiting already: whoever posted them first has seen
    /// to it that the vCPU looks.
    #[inline]
    pub fn post(&self, edges: u32) -> bool {
        self.mail.fetch_or(edges.into(), Ordering::AcqRel) as u32 & edges != edges
    }

    /// Posts a GICv2 software-generated interrupt.
    pub fn post_from(&self, sgi: u32, senders: u8) -> bool {
        if let Some(entry) = self.senders.get(sgi as usize) {
            entry.fetch_or(senders, Ordering::AcqRel);
        }
        self.post(super::bits::bit(sgi))
    }

    /// Posts that a block of SPIs has something for this vCPU.
    #[inline]
    pub fn post_spi(&self, block: usize) {
        self.spi_hint.fetch_or(super::bits::bit(block as u32), Ordering::AcqRel);
        self.set_work();
    }

    /// Posts that a block of SPIs has something active for this vCPU outside its list registers.
    pub fn post_parked(&self, block: usize) {
        self.keep_parked(super::bits::bit(block as u32));
        self.set_work();
    }

    /// Takes posted edges into the block, which the next refresh looks at.
    #[inline]
    pub fn collect(&self, inner: &mut BankInner, hw_ppis: u32) {
        if self.posted() != 0 {
            let edges = self.mail.swap(CHANGED, Ordering::AcqRel) as u32;
            inner.block.latch |= edges;
            inner.block.hw_latch |= edges & hw_ppis;
        }
    }

    /// Whether SPIs may wait for this vCPU, or be active for it outside its list registers.
    #[inline]
    pub fn has_hints(&self) -> bool {
        self.spi_hint.load(Ordering::Relaxed) | self.parked_hint.load(Ordering::Relaxed) != 0
    }

    /// Takes the hints about waiting SPIs.
    #[inline]
    pub fn take_spi_hint(&self) -> u32 {
        if self.spi_hint.load(Ordering::Relaxed) == 0 { 0 } else { self.spi_hint.swap(0, Ordering::AcqRel) }
    }

    /// Hints about waiting SPIs, left in place.
    pub fn spi_hint(&self) -> u32 {
        self.spi_hint.load(Ordering::Acquire)
    }

    /// Puts hints back without asking for another refresh.
    pub fn keep_spi_hint(&self, blocks: u32) {
        self.spi_hint.fetch_or(blocks, Ordering::AcqRel);
    }

    /// Takes the hints about SPIs that are active outside the list registers.
    #[inline]
    pub fn take_parked(&self) -> u32 {
        if self.parked_hint.load(Ordering::Relaxed) == 0 {
            0
        } else {
            self.parked_hint.swap(0, Ordering::AcqRel)
        }
    }

    /// Puts such hints back without asking for another refresh.
    pub fn keep_parked(&self, blocks: u32) {
        self.parked_hint.fetch_or(blocks, Ordering::AcqRel);
    }

    /// Senders of a GICv2 software-generated interrupt.
    #[inline]
    pub fn senders(&self, sgi: u32) -> u8 {
        self.senders.get(sgi as usize).map_or(0, |entry| entry.load(Ordering::Acquire))
    }

    /// Removes senders.
    #[inline]
    pub fn remove_senders(&self, sgi: u32, senders: u8) {
        if let Some(entry) = self.senders.get(sgi as usize) {
            entry.fetch_and(!senders, Ordering::AcqRel);
        }
    }

    /// Adds senders without posting.
    pub fn add_senders(&self, sgi: u32, senders: u8) {
        if let Some(entry) = self.senders.get(sgi as usize) {
            entry.fetch_or(senders, Ordering::AcqRel);
        }
    }

    /// Drops what was posted of private interrupts.
    pub fn clear_inbox(&self) {
        self.mail.fetch_and(!EDGES, Ordering::AcqRel);
        for entry in &self.senders {
            entry.store(0, Ordering::Release);
        }
    }

    /// Drops posted edges of some private interrupts.
    #[inline]
    pub fn unpost(&self, edges: u32) {
        self.mail.fetch_and(!u64::from(edges), Ordering::AcqRel);
    }

    /// Posted edges of private interrupts.
    #[inline]
    pub fn posted(&self) -> u32 {
        self.mail.load(Ordering::Acquire) as u32
    }
}
