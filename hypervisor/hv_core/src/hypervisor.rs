//! The hypervisor as one value.

use crate::console::Console;
use crate::domain::{DomainTable, Platform};
use crate::event::VirqHandlers;
use crate::memory::{Frames, Freed};
use crate::options::Options;
use crate::pcpu::{Pcpu, Work};
use crate::pools::Pools;
use crate::wallclock::WallClock;
use alloc::boxed::Box;
use alloc::vec::Vec;
use bit_tree::{BitTree, words_needed};
use core::sync::atomic::{AtomicU64, Ordering};
use hal::{MachineOps as _, PcpuId};
use lock::Mutex;
use machine::Machine;
use xen_abi::Errno;

/// Everything the hypervisor has.
pub struct Hypervisor {
    /// The machine.
    pub machine: &'static Machine,
    /// Who owns which frame.
    pub frames: Frames,
    /// The domains.
    pub domains: DomainTable,
    /// The pCPUs.
    pub cpus: Vec<Pcpu>,
    /// The schedulers.
    pub pools: Pools,
    /// The console and its log.
    pub console: Console,
    /// The wall clock that dom0 sets.
    pub wall_clock: WallClock,
    /// Which domains get the machine's virtual interrupts.
    pub virq_handlers: VirqHandlers,
    /// What the command line said.
    pub options: Options,
    /// What only this kind of machine does.
    pub platform: Box<dyn Platform>,
    /// Held by the one domctl, or change of cpupools, under way.
    pub(crate) domctl: Mutex<(), 1>,
    /// Free TLB tags.
    pub(crate) tags: Mutex<BitTree<Vec<u64>>, 20>,
    /// Timers that exist: every queue has room for all.
    pub(crate) timers: AtomicU64,
}

/// What a [`Hypervisor`] is made of that the machine's boot code knows.
pub struct Parts {
    /// The machine.
    pub machine: &'static Machine,
    /// Who owns which frame.
    pub frames: Frames,
    /// What the command line said.
    pub options: Options,
    /// What only this kind of machine does.
    pub platform: Box<dyn Platform>,
}

impl Hypervisor {
    /// A hypervisor without domains, and without a log until [`Console::open`].
    ///
    /// # Errors
    /// ENOMEM.
    pub fn new(parts: Parts) -> Result<Self, Errno> {
        let Parts { machine, frames, options, platform } = parts;
        let nr_cpus = machine.nr_cpus();
        let mut cpus = Vec::new();
        cpus.try_reserve_exact(nr_cpus as usize).map_err(|_| Errno::ENOMEM)?;
        cpus.extend((0..nr_cpus).map(|n| Pcpu::new(PcpuId(n))));
        Ok(Self {
            pools: Pools::new(&options, nr_cpus, machine.now_ns())?,
            tags: Mutex::new(all_tags(machine.nr_tags() as usize)?),
            console: Console::new(options.console),
            machine,
            frames,
            domains: DomainTable::default(),
            cpus,
            wall_clock: WallClock::default(),
            virq_handlers: VirqHandlers::default(),
            options,
            platform,
            domctl: Mutex::new(()),
            timers: AtomicU64::new(0),
        })
    }

    /// The pCPU of that number.
    #[inline]
    pub fn pcpu(&self, id: PcpuId) -> Option<&Pcpu> {
        self.cpus.get(id.index())
    }

    /// Asks a pCPU for work, now.
    pub fn raise(&self, id: PcpuId, work: Work) {
        if let Some(pcpu) = self.pcpu(id) {
            pcpu.raise(work);
            if id != self.machine.this_cpu() {
                self.machine.poke(id);
            }
        }
    }

    /// A frame's last reference is gone.
    pub(crate) fn page_freed(&self, freed: Freed) {
        let Some(domain) = self.domains.get(freed.owner) else { return };
        if freed.charged && domain.claim.frames() != 0 {
            self.frames.grow_claim(&domain.claim);
        }
        if domain.page_freed(freed) {
            self.raise(self.machine.this_cpu(), Work::REAP);
        }
    }

    /// Makes room for `count` more timers in every queue; false without memory.
    pub(crate) fn reserve_timers(&self, count: u64) -> bool {
        let total = self.timers.fetch_add(count, Ordering::Relaxed).saturating_add(count);
        let room = self.cpus.iter().all(|cpu| cpu.timers.lock().reserve(total as usize));
        if !room {
            self.release_timers(count);
        }
        room
    }

    /// Gives up what [`reserve_timers`](Self::reserve_timers) promised.
    pub(crate) fn release_timers(&self, count: u64) {
        self.timers.fetch_sub(count, Ordering::Relaxed);
    }
}

/// All TLB tags, free; tag 0 is left out, so that it never is a domain's.
fn all_tags(count: usize) -> Result<BitTree<Vec<u64>>, Errno> {
    let mut words = Vec::new();
    words.try_reserve_exact(words_needed(count)).map_err(|_| Errno::ENOMEM)?;
    words.resize(words_needed(count), 0);
    let mut tags = BitTree::new(words, count).ok_or(Errno::ENOMEM)?;
    for tag in 1..count {
        tags.set(tag);
    }
    Ok(tags)
}
