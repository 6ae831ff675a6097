//! A domain: its memory, vCPUs, event channels and grants.

use super::access::Access;
use super::guest_kind::GuestKind;
use super::vcpu::{TIMERS_PER_VCPU, Vcpu};
use super::vnuma::Vnuma;
use super::watchdog::Watchdogs;
use crate::Hypervisor;
use crate::event::DomainEvents;
use crate::grant::DomainGrants;
use crate::memory::{Claim, Freed, GuestMemory, P2m, TablePool};
use crate::pools::DomainPool;
use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use hal::{Domid, MachineOps as _, Stage2Root};
use lock::{Mutex, Once};
use xen_abi::Errno;

/// HVM parameters that a domain can have (HVM_NR_PARAMS, hvm/params.h).
pub const NR_PARAMS: usize = 39;

/// What a domain is created with.
pub struct DomainConfig {
    /// Its number.
    pub id: Domid,
    /// Its UUID.
    pub handle: [u8; 16],
    /// Whether it may manage the machine and other domains.
    pub privileged: bool,
    /// How many vCPUs it can have.
    pub max_vcpus: usize,
    /// The highest event channel port.
    pub max_port: u32,
    /// Pages of its grant table at most.
    pub max_grant_frames: u32,
    /// Pages of its maptrack table at most.
    pub max_maptrack_frames: u32,
    /// The flags of XEN_DOMCTL_createdomain, reported back.
    pub flags: u32,
    /// Its security label.
    pub ssidref: u32,
    /// Guest frames are machine frames (dom0 on arm64).
    pub direct_mapped: bool,
    /// The number of its cpupool.
    pub cpupool: u32,
}

/// A domain's stage-2 tables and the pool they come from.
#[derive(Debug)]
pub struct DomainMemory {
    /// The map.
    pub p2m: P2m,
    /// The pool.
    pub pool: TablePool,
}

/// Why a domain stopped (SHUTDOWN_* of sched.h).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShutdownReason(pub u8);

/// Where a domain is in its life.
#[derive(Debug, Default)]
pub(super) struct Life {
    /// The reason it stopped, once it did.
    pub(super) shutdown: Option<ShutdownReason>,
    /// The reason to report instead of what the guest gives (SCHEDOP_shutdown_code).
    pub(super) code: Option<ShutdownReason>,
    /// Holders of a pause by domctl.
    pub(super) controller_pauses: u32,
    /// Holders of a pause inside the hypervisor.
    pub(super) holds: u32,
    /// How far the teardown has come.
    pub(super) teardown: super::destroy::Teardown,
}

/// A domain.
pub struct Domain {
    /// Its number.
    pub id: Domid,
    /// Whether it may manage the machine and other domains.
    pub privileged: bool,
    /// Guest frames are machine frames.
    pub direct_mapped: bool,
    /// How many vCPUs it can have.
    pub max_vcpus: usize,
    /// The flags it was created with.
    pub flags: u32,
    /// Its security label.
    pub ssidref: u32,
    /// Its UUID.
    pub handle: Mutex<[u8; 16], 16>,
    /// Its stage-2 translation, for loading.
    pub root: Stage2Root,
    /// Its stage-2 tables.
    pub memory: Mutex<DomainMemory, 10>,
    /// Its event channels.
    pub events: DomainEvents,
    /// Its grant tables.
    pub grants: DomainGrants,
    /// Which cpupool it is in.
    pub pool: DomainPool,
    /// What depends on the kind of guest.
    pub guest: Box<dyn GuestKind>,
    /// HVM parameters.
    pub params: [AtomicU64; NR_PARAMS],
    /// VMASST_TYPE_* bits that the guest switched on.
    pub vm_assist: AtomicU32,
    /// Seconds that its wall clock is ahead.
    pub time_offset: AtomicU64,
    /// What of the machine it may have.
    pub access: Mutex<Access, 16>,
    /// The NUMA nodes that it is told of.
    pub vnuma: Mutex<Option<Vnuma>, 16>,
    /// The port that it is told on when it has stopped to be saved; 0 for none.
    pub suspend_port: AtomicU32,
    /// Whether a debugger is said to be attached.
    pub debugged: AtomicBool,
    /// The domain that it may manage, as the device model of it.
    target: Once<Weak<Domain>>,
    pub(super) watchdogs: Watchdogs,
    vcpus: Box<[Once<Arc<Vcpu>>]>,
    pub(super) life: Mutex<Life, 2>,
    dying: AtomicBool,
    started: AtomicBool,
    shut_down: AtomicBool,
    /// Free frames that are kept back for it.
    pub claim: Claim,
    tot_pages: AtomicU32,
    max_pages: AtomicU32,
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "d{}", self.id)
    }
}

impl Domain {
    /// A domain without vCPUs or memory, not yet in the table. It starts with one pause.
    ///
    /// # Errors
    /// ENOMEM without memory for its tables.
    pub(super) fn new(
        config: &DomainConfig,
        root: Stage2Root,
        guest: Box<dyn GuestKind>,
    ) -> Result<Arc<Self>, Errno> {
        let mut vcpus = Vec::new();
        vcpus.try_reserve_exact(config.max_vcpus).map_err(|_| Errno::ENOMEM)?;
        vcpus.resize_with(config.max_vcpus, Once::new);
        Ok(Arc::new(Self {
            id: config.id,
            privileged: config.privileged,
            direct_mapped: config.direct_mapped,
            max_vcpus: config.max_vcpus,
            flags: config.flags,
            ssidref: config.ssidref,
            handle: Mutex::new(config.handle),
            root,
            memory: Mutex::new(DomainMemory {
                p2m: P2m::new(root),
                pool: TablePool::new(config.id, config.privileged),
            }),
            events: DomainEvents::new(config.max_port),
            pool: DomainPool::default(),
            grants: DomainGrants::new(config.max_grant_frames, config.max_maptrack_frames),
            guest,
            params: [const { AtomicU64::new(0) }; NR_PARAMS],
            vm_assist: AtomicU32::new(0),
            time_offset: AtomicU64::new(0),
            access: Mutex::new(Access::default()),
            vnuma: Mutex::new(None),
            suspend_port: AtomicU32::new(0),
            debugged: AtomicBool::new(false),
            target: Once::new(),
            watchdogs: Watchdogs::new(config.id),
            vcpus: vcpus.into_boxed_slice(),
            life: Mutex::new(Life { controller_pauses: 1, ..Life::default() }),
            dying: AtomicBool::new(false),
            started: AtomicBool::new(false),
            shut_down: AtomicBool::new(false),
            claim: Claim::default(),
            tot_pages: AtomicU32::new(0),
            max_pages: AtomicU32::new(u32::MAX),
        }))
    }

    /// The vCPU of that number, if it exists.
    #[inline]
    pub fn vcpu(&self, id: usize) -> Option<&Arc<Vcpu>> {
        self.vcpus.get(id)?.get()
    }

    /// All vCPUs that exist.
    pub fn vcpus(&self) -> impl Iterator<Item = &Arc<Vcpu>> {
        self.vcpus.iter().filter_map(Once::get)
    }

    /// Makes vCPU `id`, down and as paused as the domain is.
    ///
    /// # Errors
    /// EINVAL for a number out of range, ENOMEM.
    pub fn add_vcpu(&self, hv: &Hypervisor, id: usize) -> Result<&Arc<Vcpu>, Errno> {
        let slot = self.vcpus.get(id).ok_or(Errno::EINVAL)?;
        if let Some(vcpu) = slot.get() {
            return Ok(vcpu);
        }
        if !hv.reserve_timers(TIMERS_PER_VCPU) {
            return Err(Errno::ENOMEM);
        }
        let life = self.life.lock();
        let vcpu = Vcpu::new(self.id, id, life.pauses(), hv.machine.now_ns());
        self.guest.reset_context(id, &mut vcpu.context.lock());
        if let Err(e) = hv.pools.add_vcpu(hv, self, &vcpu) {
            hv.release_timers(TIMERS_PER_VCPU);
            return Err(e);
        }
        Ok(slot.call_once(|| vcpu))
    }

    /// Gives back what the vCPUs hold of the scheduler and of the timer queues.
    pub(super) fn remove_vcpus(&self, hv: &Hypervisor) {
        for vcpu in self.vcpus() {
            vcpu.timer.stop(hv);
            vcpu.poll_timer.stop(hv);
            hv.pools.remove_vcpu(hv, vcpu);
            vcpu.runstate.release(hv);
            hv.release_timers(TIMERS_PER_VCPU);
        }
    }

    /// The guest's memory, while one of its vCPUs is the one that trapped here.
    pub fn guest_memory<'a>(&self, hv: &'a Hypervisor) -> GuestMemory<'a> {
        GuestMemory { hv, domid: self.id }
    }

    /// Whether it is being destroyed: nothing new may be attached to it.
    pub fn is_dying(&self) -> bool {
        self.dying.load(Ordering::Acquire)
    }

    pub(super) fn set_dying(&self) {
        self.dying.store(true, Ordering::SeqCst);
    }

    /// Whether it ever ran.
    pub fn has_started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }

    pub(super) fn set_started(&self) {
        self.started.store(true, Ordering::Release);
    }

    /// Whether it has shut down, for whatever reason.
    pub fn is_shut_down(&self) -> bool {
        self.shut_down.load(Ordering::Acquire)
    }

    pub(super) fn set_shut_down(&self, value: bool) {
        self.shut_down.store(value, Ordering::SeqCst);
    }

    /// Pages of memory that it has.
    pub fn tot_pages(&self) -> u32 {
        self.tot_pages.load(Ordering::Relaxed)
    }

    /// Pages of memory that it may have.
    pub fn max_pages(&self) -> u32 {
        self.max_pages.load(Ordering::Relaxed)
    }

    /// Sets how many pages it may have; those above stay until it gives them up.
    pub fn set_max_pages(&self, pages: u32) {
        self.max_pages.store(pages, Ordering::Relaxed);
    }

    /// Counts `pages` more, if the limit allows.
    pub fn charge(&self, pages: u32) -> bool {
        let limit = self.max_pages();
        self.tot_pages
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                n.checked_add(pages).filter(|n| *n <= limit)
            })
            .is_ok()
    }

    /// Counts `pages` fewer.
    pub fn uncharge(&self, pages: u32) {
        self.tot_pages.fetch_sub(pages, Ordering::Relaxed);
    }

    /// XEN_DOMCTL_set_target: lets it manage another domain, for good.
    ///
    /// # Errors
    /// EINVAL when it manages one already.
    pub fn set_target(&self, target: &Arc<Domain>) -> Result<(), Errno> {
        let mut first = false;
        self.target.call_once(|| {
            first = true;
            Arc::downgrade(target)
        });
        if first { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// Whether it may manage a domain that [`set_target`](Self::set_target) named.
    pub fn is_target(&self, other: &Arc<Domain>) -> bool {
        self.target.get().is_some_and(|target| target.as_ptr() == Arc::as_ptr(other))
    }

    /// XENMEM_claim_pages: keeps back as much free memory as it lacks to have `pages`; 0 gives that up.
    ///
    /// # Errors
    /// EINVAL when it has a claim already, has as much, may not have as much, or is dying; ENOMEM.
    pub fn claim_pages(&self, hv: &Hypervisor, pages: u64) -> Result<(), Errno> {
        // The teardown marks the domain first and then gives the claim up, with the same lock.
        let may = || pages <= u64::from(self.max_pages()) && !self.is_dying();
        hv.frames.set_claim(&self.claim, self.tot_pages().into(), pages, may)
    }

    /// One of its frames is free again; true when it is dying and this was the last.
    pub(crate) fn page_freed(&self, freed: Freed) -> bool {
        freed.charged && self.tot_pages.fetch_sub(1, Ordering::AcqRel) == 1 && self.is_dying()
    }
}
