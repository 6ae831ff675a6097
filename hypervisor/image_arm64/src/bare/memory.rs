//! Where the heap gets its pages: from memory set aside during the boot, then from the core.

use core::ptr::NonNull;

use arch_aarch64::{Machine, Span};
use hal::{Maddr, Mfn};
use heap::{Block, PAGE_SIZE, PageSource};
use hv_core::Hypervisor;
use lock::{Mutex, Once};

/// The source; there is one.
pub struct Pages {
    machine: Once<&'static Machine>,
    hypervisor: Once<&'static Hypervisor>,
    /// What is left of the memory for the time before the core runs.
    boot: Mutex<Span, 20>,
}

impl Pages {
    /// A source that has nothing.
    pub const fn new() -> Self {
        Self { machine: Once::new(), hypervisor: Once::new(), boot: Mutex::new(Span { start: 0, end: 0 }) }
    }

    /// Gives memory that the machine keeps for the hypervisor.
    pub fn start(&self, machine: &'static Machine, span: Span) {
        self.machine.call_once(|| machine);
        *self.boot.lock() = span;
    }

    /// From now on pages come from the core, and go back to it.
    pub fn switch(&self, hypervisor: &'static Hypervisor) {
        self.hypervisor.call_once(|| hypervisor);
    }

    /// What was set aside and not used: it can be given back.
    pub fn rest(&self) -> Span {
        core::mem::replace(&mut *self.boot.lock(), Span { start: 0, end: 0 })
    }

    fn boot_block(&self, order: u32) -> Option<Mfn> {
        let size = (PAGE_SIZE as u64) << order;
        let mut boot = self.boot.lock();
        // From the end downwards, where only small requests spoil the alignment of large ones.
        let start = boot.end.checked_sub(size)? / size * size;
        if start < boot.start {
            return None;
        }
        boot.end = start;
        Some(Maddr(start).frame())
    }
}

impl PageSource for Pages {
    fn take(&self, order: u32) -> Option<Block> {
        let machine = self.machine.get()?;
        let mfn = match self.hypervisor.get() {
            Some(hypervisor) => {
                let mfn = hypervisor.frames.alloc_private(order)?;
                // SAFETY: the frames were free: no domain has a reference to them, and handles on
                // frames are only made from references.
                unsafe { machine.set_private(mfn, 1 << order, true) };
                mfn
            }
            None => self.boot_block(order)?,
        };
        let base = NonNull::new(machine.direct_map(mfn)?)?;
        // SAFETY: whole frames in the direct map, aligned to the block, which the hypervisor keeps
        // and only the heap knows of.
        Some(unsafe { Block::from_raw(base, order) })
    }

    fn give(&self, block: Block) {
        let (Some(machine), Some(hypervisor)) = (self.machine.get(), self.hypervisor.get()) else { return };
        let (base, order) = block.into_raw();
        if let Some(mfn) = machine.frame_of(base.as_ptr()) {
            // SAFETY: the heap gave the block up, so nothing refers to the memory any more.
            unsafe { machine.set_private(mfn, 1 << order, false) };
            hypervisor.frames.free_private(mfn, order);
        }
    }
}
