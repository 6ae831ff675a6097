//! The guest's pages of the FIFO interface: control blocks and event array.
//!
//! The pages are the guest's own memory, referenced while the interface is in use. Their state and
//! the queues' tails stand under the domain's FIFO lock, which is taken inside a port lock (its own
//! or that of a channel's other end) and holds no further one.

use super::fifo::{ControlBlock, EventWord, Memory, Tails};
use crate::Hypervisor;
use crate::memory::{HeldPage, PageGuard};
use alloc::vec::Vec;
use core::mem::{offset_of, size_of};
use hal::{FrameMem, PAGE_SIZE};
use machine::Frame;
use xen_abi::Errno;
use xen_abi::event_channel::{EVTCHN_FIFO_NR_CHANNELS, EVTCHN_FIFO_WORDS_PER_PAGE, EvtchnFifoControlBlock};

/// Pages of the event array at most.
const MAX_PAGES: usize = (EVTCHN_FIFO_NR_CHANNELS / EVTCHN_FIFO_WORDS_PER_PAGE) as usize;

/// A page of the guest's.
#[derive(Debug)]
pub(super) struct Page {
    held: HeldPage,
    frame: Frame<'static>,
}

impl Page {
    /// Keeps a page.
    ///
    /// # Errors
    /// EINVAL when it is not RAM that can be shared.
    pub(super) fn keep(hv: &Hypervisor, page: PageGuard<'_>) -> Result<Self, Errno> {
        let held = page.keep();
        match held.frame(hv) {
            Some(frame) => Ok(Self { held, frame }),
            None => {
                held.release(hv);
                Err(Errno::EINVAL)
            }
        }
    }
}

/// A vCPU's control block.
#[derive(Debug)]
struct Control {
    page: Page,
    offset: usize,
}

/// The state of the interface in a domain that switched to it.
#[derive(Debug)]
pub(super) struct Fifo {
    /// The event array, from port 0.
    pages: Vec<Page>,
    /// By vCPU.
    controls: Vec<Option<Control>>,
    /// By vCPU.
    tails: Vec<Tails>,
}

/// Whether a control block may stand at `offset` of a page.
///
/// # Errors
/// EINVAL if it would cross the end of the page or is not aligned to 8 bytes.
pub(super) fn check_control_offset(offset: u32) -> Result<usize, Errno> {
    let offset = offset as usize;
    let fits = offset <= PAGE_SIZE - size_of::<EvtchnFifoControlBlock>();
    if fits && offset.is_multiple_of(8) { Ok(offset) } else { Err(Errno::EINVAL) }
}

impl Fifo {
    /// The interface for this many vCPUs, with no page yet.
    ///
    /// # Errors
    /// ENOMEM.
    pub(super) fn new(max_vcpus: usize) -> Result<Self, Errno> {
        let mut fifo = Self { pages: Vec::new(), controls: Vec::new(), tails: Vec::new() };
        fifo.controls.try_reserve_exact(max_vcpus).map_err(|_| Errno::ENOMEM)?;
        fifo.tails.try_reserve_exact(max_vcpus).map_err(|_| Errno::ENOMEM)?;
        fifo.controls.resize_with(max_vcpus, || None);
        fifo.tails.resize(max_vcpus, Tails::default());
        Ok(fifo)
    }

    /// Whether a control block may be given for the vCPU.
    ///
    /// # Errors
    /// EINVAL when it has one.
    pub(super) fn check_no_control(&self, vcpu: usize) -> Result<(), Errno> {
        match self.controls.get(vcpu) {
            Some(None) => Ok(()),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Gives a vCPU its control block, after [`check_no_control`](Self::check_no_control).
    pub(super) fn set_control(&mut self, hv: &Hypervisor, vcpu: usize, page: Page, offset: usize) {
        match self.controls.get_mut(vcpu) {
            Some(slot @ None) => *slot = Some(Control { page, offset }),
            _ => page.held.release(hv),
        }
    }

    /// Whether the event array can grow by a page.
    ///
    /// # Errors
    /// ENOSPC when it is complete, ENOMEM.
    pub(super) fn reserve_page(&mut self) -> Result<(), Errno> {
        if self.pages.len() >= MAX_PAGES {
            return Err(Errno::ENOSPC);
        }
        self.pages.try_reserve(1).map_err(|_| Errno::ENOMEM)
    }

    /// Adds a page to the event array, after [`reserve_page`](Self::reserve_page); returns the
    /// ports whose words it has.
    pub(super) fn add_page(&mut self, page: Page) -> core::ops::Range<u32> {
        let first = (self.pages.len() as u32).saturating_mul(EVTCHN_FIFO_WORDS_PER_PAGE);
        self.pages.push(page);
        first..first.saturating_add(EVTCHN_FIFO_WORDS_PER_PAGE)
    }

    /// The words and control blocks, and the tails beside them.
    pub(super) fn parts(&mut self) -> (FifoMemory<'_>, &mut [Tails]) {
        (FifoMemory { pages: &self.pages, controls: &self.controls }, &mut self.tails)
    }

    /// The words and control blocks.
    #[inline]
    pub(super) fn memory(&self) -> FifoMemory<'_> {
        FifoMemory { pages: &self.pages, controls: &self.controls }
    }

    /// Gives all pages back.
    pub(super) fn release(self, hv: &Hypervisor) {
        let controls = self.controls.into_iter().flatten().map(|control| control.page);
        for page in self.pages.into_iter().chain(controls) {
            page.held.release(hv);
        }
    }
}

/// The guest's memory as the queues see it.
pub(super) struct FifoMemory<'a> {
    pages: &'a [Page],
    controls: &'a [Option<Control>],
}

impl Memory for FifoMemory<'_> {
    type Word = FrameWord<Frame<'static>>;
    type Control = FrameControl<Frame<'static>>;

    #[inline(always)]
    fn word(&self, port: u32) -> Option<Self::Word> {
        let page = self.pages.get((port / EVTCHN_FIFO_WORDS_PER_PAGE) as usize)?;
        Some(FrameWord { frame: page.frame, offset: (port % EVTCHN_FIFO_WORDS_PER_PAGE) as usize * 4 })
    }

    #[inline]
    fn has_control(&self, vcpu: u16) -> bool {
        matches!(self.controls.get(usize::from(vcpu)), Some(Some(_)))
    }

    #[inline]
    fn control(&self, vcpu: u16) -> Option<Self::Control> {
        let control = self.controls.get(usize::from(vcpu))?.as_ref()?;
        Some(FrameControl { frame: control.page.frame, offset: control.offset })
    }
}

/// A control block in a frame.
pub(super) struct FrameControl<F> {
    frame: F,
    offset: usize,
}

impl<F: FrameMem> ControlBlock for FrameControl<F> {
    #[inline]
    fn set_head(&self, priority: u8, port: u32) {
        let field = offset_of!(EvtchnFifoControlBlock, head) + usize::from(priority) * 4;
        self.frame.store32(self.offset + field, port);
    }

    #[inline]
    fn set_ready(&self, priority: u8) -> bool {
        let bit = 1 << (priority % 32);
        let field = offset_of!(EvtchnFifoControlBlock, ready);
        self.frame.fetch_or32(self.offset + field, bit) & bit != 0
    }
}

/// An event word in a frame.
pub(super) struct FrameWord<F> {
    frame: F,
    offset: usize,
}

impl<F: FrameMem> EventWord for FrameWord<F> {
    #[inline]
    fn load(&self) -> u32 {
        self.frame.load32(self.offset)
    }

    #[inline]
    fn set(&self, bits: u32) -> u32 {
        self.frame.fetch_or32(self.offset, bits)
    }

    #[inline]
    fn clear(&self, bits: u32) -> u32 {
        self.frame.fetch_and32(self.offset, !bits)
    }

    #[inline]
    fn replace(&self, current: u32, new: u32) -> Result<u32, u32> {
        self.frame.compare_exchange32(self.offset, current, new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_block_lies_in_one_page_at_a_multiple_of_8() {
        assert_eq!(check_control_offset(0), Ok(0));
        assert_eq!(check_control_offset(4096 - 72), Ok(4024));
        assert_eq!(check_control_offset(4096 - 64), Err(Errno::EINVAL));
        assert_eq!(check_control_offset(4), Err(Errno::EINVAL));
        assert_eq!(check_control_offset(u32::MAX), Err(Errno::EINVAL));
    }
}
