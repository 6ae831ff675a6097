//! For tests: random hypercalls of three domains, most of which nearly make sense.
//!
//! An [`Act`] is a handful of small numbers, so that a failing list of acts shrinks; what they mean
//! is decided when the act is done. [`Fuzzer`] keeps the books that the checker needs: which pages
//! event channels hold.

mod events;
mod grants;

use super::words::{domid, gfn, order, peer, word};
use super::{ARGS, GUEST_PAGES, GUEST_RAM, LISTS, World, check, foreign_gfns};
use crate::domain::Domain;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use hal::{Gaddr, Mfn};
use machine::fake::catch_end;
use proptest::prelude::*;
use xen_abi::domctl::v4_17::arm64::CreateDomain;
use xen_abi::domctl::*;
use xen_abi::grant_table::*;
use xen_abi::hvm::hvm_op::HvmParam;
use xen_abi::memory::*;
use xen_abi::platform::{PlatformOp, XENPF_INTERFACE_VERSION};
use xen_abi::sched::*;
use xen_abi::sysctl::{CpupoolOp, Sysctl, XEN_SYSCTL_INTERFACE_VERSION, XEN_SYSCTL_cpupool_op};
use xen_abi::vcpu::*;
use xen_abi::xen::*;
use xen_abi::{GuestHandle, Plain};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

/// The domains beside dom0.
const OTHERS: [u16; 2] = [1, 2];

/// The first frame of a device's registers.
const DEVICE: u64 = 0x9000;

/// Something that a domain does.
#[derive(Clone, Debug)]
pub struct Act {
    /// Which domain.
    caller: u8,
    /// What: a [`Kind`] or, beyond those, a hypercall as it comes.
    kind: u8,
    /// Whatever it needs: sub-operation, places, sizes.
    with: [u8; 8],
}

/// Acts of all kinds.
pub fn acts(count: usize) -> impl Strategy<Value = Vec<Act>> {
    some_acts(0..30, count)
}

/// Acts that change memory, maps and grants.
pub fn memory_acts(count: usize) -> impl Strategy<Value = Vec<Act>> {
    some_acts(0..14, count)
}

fn some_acts(kinds: core::ops::Range<u8>, count: usize) -> impl Strategy<Value = Vec<Act>> {
    let act = (0u8..3, kinds, any::<[u8; 8]>());
    prop::collection::vec(act.prop_map(|(caller, kind, with)| Act { caller, kind, with }), 1..=count)
}

/// Lets a domain have the registers of a device, which is at this frame and the seven after it.
fn permit(domain: &Domain) {
    domain.access.lock().iomem.insert(DEVICE, DEVICE + 7).expect("there is memory");
}

/// A world and what the acts so far have left in it.
pub struct Fuzzer {
    /// The world.
    pub world: World,
    /// Pages that event channels hold: vcpu_info for good, FIFO pages until a reset.
    infos: BTreeMap<u16, Vec<Mfn>>,
    fifos: BTreeMap<u16, Vec<Mfn>>,
    /// Event channels that wait for their peers: the domain, its port, and the peer.
    unbound: Vec<(u16, u32, u16)>,
    /// How often each thing was done.
    done: BTreeMap<&'static str, usize>,
}

impl Default for Fuzzer {
    fn default() -> Self {
        Self::new()
    }
}

impl Fuzzer {
    /// Dom0 and two domains, with their grant frames mapped.
    pub fn new() -> Self {
        let world = World::hostile();
        world.hv.machine.set_log(false);
        world.map_grants(&world.get(0));
        permit(&world.get(0));
        for id in OTHERS {
            let domain = world.domain(id, 2);
            world.map_grants(&domain);
            permit(&domain);
        }
        world.hv.machine.take_log();
        Self {
            world,
            infos: BTreeMap::new(),
            fifos: BTreeMap::new(),
            unbound: Vec::new(),
            done: BTreeMap::new(),
        }
    }

    /// Checks that everything is in order.
    #[track_caller]
    pub fn check(&self) {
        let held: Vec<Mfn> = self.infos.values().chain(self.fifos.values()).flatten().copied().collect();
        check(&self.world, &held);
    }

    /// Destroys all domains, lets dom0 let go of their pages, and checks that nothing is left.
    #[track_caller]
    pub fn finish(mut self) {
        let world = &self.world;
        let dom0 = world.get(0);
        while let Some(domain) = world.hv.domains.first_from(1).filter(|d| !d.is_drained()) {
            world.destroy(&domain);
            self.infos.remove(&domain.id.raw());
            self.fifos.remove(&domain.id.raw());
        }
        self.destroy_the_rest();
        let world = &self.world;
        // Dom0's own arguments may be gone.
        for page in GUEST_PAGES - 9..GUEST_PAGES {
            let _ = dom0.populate(world.hv, GUEST_RAM.plus(page), 0);
        }
        for mapping in dom0.grants.inspect(usize::MAX).mappings {
            assert_eq!(world.unmap(&dom0, mapping.handle, mapping.gfn), GNTST_okay);
        }
        for gfn in foreign_gfns(world, &dom0) {
            world.remove(&dom0, gfn).unwrap();
        }
        world.reap();
        assert!(world.hv.domains.first_from(1).is_none(), "a domain does not go");
        self.check();
    }

    fn destroy_the_rest(&mut self) {
        let mut from = 1;
        while let Some(domain) = self.world.hv.domains.first_from(from) {
            from = domain.id.raw() + 1;
            self.world.destroy(&domain);
            self.infos.remove(&domain.id.raw());
            self.fifos.remove(&domain.id.raw());
        }
    }

    /// The domain that acts: alive, and with a vCPU.
    fn caller(&self, n: u8) -> Option<Arc<Domain>> {
        let domain = self.world.hv.domains.get(hal::Domid::new(u16::from(n % 3))?)?;
        (!domain.is_dying() && domain.vcpu(0).is_some()).then_some(domain)
    }

    /// Does an act.
    pub fn act(&mut self, act: &Act) {
        let Some(caller) = self.caller(act.caller) else {
            self.revive(u16::from(act.caller % 3));
            return;
        };
        self.do_act(&caller, act);
        self.world.reap();
        // Dom0 goes on after the end of its world.
        self.world.hv.resume(&self.world.get(0));
        self.forget_dead();
    }

    /// Makes a domain that is gone anew; if it cannot go, makes the others let go of its pages.
    fn revive(&mut self, id: u16) {
        let world = &self.world;
        let number = hal::Domid::new(id).unwrap();
        if id != 0 && world.hv.domains.get(number).is_none() {
            let domain = world.domain(id, 2);
            world.map_grants(&domain);
            permit(&domain);
        } else if world.hv.domains.get(number).is_some_and(|domain| domain.is_dying()) {
            for other in (0..3).filter_map(|id| self.caller(id)) {
                self.repair(&other);
                for mapping in other.grants.inspect(usize::MAX).mappings {
                    world.unmap(&other, mapping.handle, mapping.gfn);
                }
                for gfn in foreign_gfns(world, &other) {
                    world.remove(&other, gfn).unwrap();
                }
            }
            world.reap();
        }
    }

    fn forget_dead(&mut self) {
        let alive = |id: &u16| {
            let domain = hal::Domid::new(*id).and_then(|id| self.world.hv.domains.get(id));
            domain.is_some_and(|d| !d.is_drained())
        };
        self.infos.retain(|id, _| alive(id));
        self.fifos.retain(|id, _| alive(id));
    }

    /// Writes to the caller's memory, if it is there.
    fn put<T: IntoBytes + Immutable>(&self, caller: &Domain, at: Gaddr, value: &T) {
        let _ = self.world.hv.machine.guest_write(caller.root, at, value.as_bytes());
    }

    /// Reads the caller's memory, if it is there.
    fn read<T: FromBytes + IntoBytes>(&self, caller: &Domain, at: Gaddr, value: &mut T) -> bool {
        self.world.hv.machine.guest_read(caller.root, at, value.as_mut_bytes()).is_ok()
    }

    /// Counts something that was done.
    fn note(&mut self, what: &'static str) {
        *self.done.entry(what).or_default() += 1;
    }

    /// How often each thing was done so far.
    pub fn done(&self) -> &BTreeMap<&'static str, usize> {
        &self.done
    }

    fn call(&self, caller: &Arc<Domain>, number: u32, args: [u64; 5]) -> bool {
        matches!(catch_end(|| self.world.call(caller, number.into(), args)), Ok(Ok(_)))
    }

    fn op<T: Plain>(&self, caller: &Arc<Domain>, number: u32, cmd: u32, arg: &T) -> bool {
        self.put(caller, ARGS, arg);
        self.call(caller, number, [cmd.into(), ARGS.0, 1, 0, 0])
    }

    fn domctl<T: Plain>(&self, caller: &Arc<Domain>, cmd: u32, domid: u16, payload: &T) -> bool {
        let mut op = Domctl::new_zeroed();
        (op.cmd, op.interface_version, op.domain) = (cmd, XEN_DOMCTL_INTERFACE_VERSION, domid);
        op.write_payload(payload);
        self.put(caller, ARGS, &op);
        self.call(caller, __HYPERVISOR_domctl, [ARGS.0, 0, 0, 0, 0])
    }

    fn sysctl<T: Plain>(&self, caller: &Arc<Domain>, cmd: u32, payload: &T) -> bool {
        let mut op = Sysctl::new_zeroed();
        (op.cmd, op.interface_version) = (cmd, XEN_SYSCTL_INTERFACE_VERSION);
        op.write_payload(payload);
        self.put(caller, ARGS, &op);
        self.call(caller, __HYPERVISOR_sysctl, [ARGS.0, 0, 0, 0, 0])
    }

    fn do_act(&mut self, caller: &Arc<Domain>, act: &Act) {
        let [a, b, c, d, e, f, ..] = act.with;
        match act.kind {
            0 | 1 => self.extents(caller, act),
            2 => {
                let space =
                    [XENMAPSPACE_shared_info, XENMAPSPACE_grant_table, word(c) as u32][usize::from(a % 3)];
                let add =
                    AddToPhysmap { domid: domid(b), size: 0, space, idx: u64::from(d % 6), gpfn: gfn(e).0 };
                self.op(caller, __HYPERVISOR_memory_op, XENMEM_add_to_physmap, &add);
            }
            3 => {
                let remove = RemoveFromPhysmap { domid: domid(a), _gap0: [0; 3], gpfn: gfn(b).0 };
                self.op(caller, __HYPERVISOR_memory_op, XENMEM_remove_from_physmap, &remove);
            }
            4 => self.batch(caller, act),
            5 => {
                let mut acquire = MemAcquireResource::new_zeroed();
                (acquire.domid, acquire.type_, acquire.frame) =
                    (domid(a), XENMEM_resource_grant_table as u16, u64::from(b % 6));
                (acquire.nr_frames, acquire.frame_list) = (u32::from(c % 4), GuestHandle(LISTS.0));
                self.put(caller, LISTS, &[gfn(d).0, gfn(e).0, gfn(f).0]);
                if self.op(caller, __HYPERVISOR_memory_op, XENMEM_acquire_resource, &acquire) {
                    self.note("resource mapped");
                }
            }
            6 => self.grant(caller, act.with),
            7 => self.repair(caller),
            8 | 9 => self.map(caller, act.with),
            10 => self.unmap(caller, act.with),
            11 => self.copy(caller, act.with),
            12 => {
                // The guest looks at its memory, and so do its caches of translations.
                let _ = self.world.hv.machine.guest_read(caller.root, gfn(a).addr(), &mut [0; 8]);
                let area =
                    VcpuRegisterRunstateMemoryArea { addr: GuestHandle(gfn(b).addr().0 + u64::from(c) * 16) };
                self.put(caller, ARGS, &area);
                let args = [VCPUOP_register_runstate_memory_area.into(), u64::from(d % 3), ARGS.0, 0, 0];
                self.call(caller, __HYPERVISOR_vcpu_op, args);
            }
            13 | 24..27 => {
                // Mostly by whom it is for.
                let tools = if act.with[7] < 220 { self.world.get(0) } else { caller.clone() };
                self.tools(&tools, act);
            }
            14..18 => self.events(caller, act.with),
            18 => {
                let id = VcpuRegisterVcpuInfo { mfn: gfn(a).0, offset: u32::from(b) * 16, rsvd: 0 };
                let page = caller.lookup(self.world.hv, gfn(a)).map(|entry| entry.mfn);
                self.put(caller, ARGS, &id);
                let args = [VCPUOP_register_vcpu_info.into(), u64::from(c % 3), ARGS.0, 0, 0];
                if self.call(caller, __HYPERVISOR_vcpu_op, args) {
                    self.infos.entry(caller.id.raw()).or_default().extend(page);
                    self.note("vcpu_info placed");
                }
            }
            19 => {
                let cmd = u32::from(a % 9);
                let remote = SchedRemoteShutdown { domain_id: domid(b), _gap0: 0, reason: u32::from(c % 8) };
                let poll = SchedPoll {
                    ports: GuestHandle(LISTS.0),
                    nr_ports: u32::from(b % 4),
                    _gap0: 0,
                    timeout: d.into(),
                };
                match cmd {
                    SCHEDOP_remote_shutdown => self.op(caller, __HYPERVISOR_sched_op, cmd, &remote),
                    SCHEDOP_poll => self.op(caller, __HYPERVISOR_sched_op, cmd, &poll),
                    _ => self.op(caller, __HYPERVISOR_sched_op, cmd, &[u32::from(b % 4), u32::from(c % 8)]),
                };
            }
            20 => {
                let param = HvmParam { domid: domid(a), pad: 0, index: u32::from(b % 40), value: word(c) };
                self.op(caller, __HYPERVISOR_hvm_op, u32::from(d % 2), &param);
            }
            21 => self.multicall(caller, act),
            22 => {
                let mut op = Sysctl::new_zeroed();
                (op.cmd, op.interface_version) = (u32::from(a % 30), XEN_SYSCTL_INTERFACE_VERSION);
                op.u = core::array::from_fn(|n| word(act.with[n % 8].wrapping_add(n as u8)));
                self.put(caller, ARGS, &op);
                self.call(caller, __HYPERVISOR_sysctl, [ARGS.0, 0, 0, 0, 0]);
            }
            23 => {
                let mut op = PlatformOp::new_zeroed();
                (op.cmd, op.interface_version) =
                    (if b < 200 { 62 } else { b.into() }, XENPF_INTERFACE_VERSION);
                op.u = core::array::from_fn(|n| word(act.with[n % 8]));
                self.put(caller, ARGS, &op);
                self.call(caller, __HYPERVISOR_platform_op, [ARGS.0, 0, 0, 0, 0]);
            }
            _ => self.anything(caller, act),
        }
    }

    /// Reservations.
    fn extents(&mut self, caller: &Arc<Domain>, act: &Act) {
        let [a, b, c, d, e, f, g, _] = act.with;
        let list = [gfn(a), gfn(b), gfn(c)].map(|gfn| gfn.0);
        self.put(caller, LISTS, &list);
        let request = MemoryReservation {
            extent_start: GuestHandle(if g == 0 { word(f) } else { LISTS.0 }),
            nr_extents: if f == 0 { word(g) } else { u64::from(f % 4) },
            extent_order: order(d),
            mem_flags: 0,
            domid: domid(e),
            _gap0: [0; 3],
        };
        let cmd = if act.kind == 0 { XENMEM_populate_physmap } else { XENMEM_decrease_reservation };
        self.put(caller, ARGS, &request);
        let done = self.world.call(caller, __HYPERVISOR_memory_op.into(), [cmd.into(), ARGS.0, 0, 0, 0]);
        if done.is_ok_and(|done| done > 0) {
            self.note(if act.kind == 0 { "extent populated" } else { "extent given back" });
        }
    }

    /// Pages of others.
    fn batch(&mut self, caller: &Arc<Domain>, act: &Act) {
        let [a, b, c, d, e, f, g, h] = act.with;
        self.put(caller, LISTS, &[gfn(a).0, gfn(b).0]);
        self.put(caller, LISTS.plus(64), &[gfn(c).0, gfn(d).0]);
        let request = AddToPhysmapBatch {
            domid: if h < 200 { DOMID_SELF } else { domid(h) },
            space: if g < 230 { XENMAPSPACE_gmfn_foreign as u16 } else { u16::from(g % 6) },
            size: u16::from(f % 3),
            u: peer(e),
            idxs: GuestHandle(LISTS.0),
            gpfns: GuestHandle(LISTS.0 + 64),
            errs: GuestHandle(LISTS.0 + 128),
        };
        if self.op(caller, __HYPERVISOR_memory_op, XENMEM_add_to_physmap_batch, &request) {
            let mut errors = [1i32; 2];
            if self.read(caller, LISTS.plus(128), &mut errors) && request.size > 0 && errors[0] == 0 {
                self.note("foreign page mapped");
            }
        }
    }

    /// Domctls that change what there is.
    fn tools(&mut self, caller: &Arc<Domain>, act: &Act) {
        let [a, b, c, d, ..] = act.with;
        let target = peer(b);
        let done = match a % 16 {
            0 => self.domctl(caller, XEN_DOMCTL_destroydomain, target, &0u64),
            1 => self.domctl(
                caller,
                XEN_DOMCTL_max_mem,
                target,
                &MaxMem { max_memkb: u64::from(c) * 4 + 4000 * u64::from(d) },
            ),
            2 => {
                let size = PagingMempool { size: u64::from(c % 80) << 12 | u64::from(d == 0) };
                self.domctl(caller, XEN_DOMCTL_set_paging_mempool_size, target, &size)
            }
            3 => {
                let flush = Cacheflush { start_pfn: gfn(c).0, nr_pfns: u64::from(d) * 64 };
                self.domctl(caller, XEN_DOMCTL_cacheflush, target, &flush)
            }
            4 => self.domctl(caller, XEN_DOMCTL_pausedomain, target, &0u64),
            5 | 6 => self.domctl(caller, XEN_DOMCTL_unpausedomain, target, &0u64),
            7 => self.domctl(caller, XEN_DOMCTL_resumedomain, target, &0u64),
            8 => {
                let config = CreateDomain { common: World::config(), arch: FromZeros::new_zeroed() };
                let domid = if c < 200 { 1 + u16::from(c % 4) } else { domid(c) };
                self.domctl(caller, XEN_DOMCTL_createdomain, domid, &config)
            }
            9 => self.domctl(
                caller,
                XEN_DOMCTL_max_vcpus,
                1 + u16::from(b % 4),
                &MaxVcpus { max: u32::from(c % 3) },
            ),
            10 => {
                let ctxt = GuestHandle(if d % 2 == 0 { 0 } else { LISTS.0 });
                let context = VcpuContext { vcpu: u32::from(c % 3), _gap0: 0, ctxt };
                self.domctl(caller, XEN_DOMCTL_setvcpucontext, target, &context)
            }
            11 => {
                let mut pool = CpupoolOp::new_zeroed();
                (pool.op, pool.cpupool_id, pool.sched_id) =
                    (u32::from(c % 8), u32::from(d % 3), 6 + u32::from(d / 128) * 3);
                (pool.domid, pool.cpu) = (target.into(), u32::from(d % 5) % 3);
                self.sysctl(caller, XEN_SYSCTL_cpupool_op, &pool)
            }
            12 => {
                let mut claim = MemoryReservation::new_zeroed();
                (claim.domid, claim.nr_extents) = (target, u64::from(c) * 2 * u64::from(d % 4));
                self.op(caller, __HYPERVISOR_memory_op, XENMEM_claim_pages, &claim)
            }
            13 => {
                let done = self.domctl(caller, XEN_DOMCTL_soft_reset, target, &0u64);
                if done {
                    self.infos.remove(&target);
                    self.fifos.remove(&target);
                }
                done
            }
            14 => {
                let add = u32::from(d % 2);
                let mapping = MemoryMapping {
                    first_gfn: gfn(c).0,
                    first_mfn: DEVICE + u64::from(d % 8),
                    nr_mfns: u64::from(d % 5),
                    add_mapping: add,
                    padding: 0,
                };
                self.domctl(caller, XEN_DOMCTL_memory_mapping, target, &mapping)
            }
            // What it lets go of would have to be noted.
            _ if [XEN_DOMCTL_soft_reset, XEN_DOMCTL_soft_reset_cont].contains(&u32::from(c % 90)) => false,
            // The whole machine's memory takes long to clean.
            _ if u32::from(c % 90) == XEN_DOMCTL_set_paging_mempool_size => false,
            _ => {
                let payload: [u64; 16] =
                    core::array::from_fn(|n| word(act.with[n % 8].wrapping_add(n as u8)));
                self.domctl(caller, u32::from(c % 90), domid(b), &payload)
            }
        };
        if done {
            const WHAT: [&str; 15] = [
                "domain destroyed",
                "memory limited",
                "table pool set",
                "caches cleaned",
                "domain paused",
                "domain unpaused",
                "domain unpaused",
                "domain resumed",
                "domain created",
                "vCPUs made",
                "vCPU context set",
                "cpupools changed",
                "memory claimed",
                "domain reset",
                "registers mapped",
            ];
            self.note(WHAT.get(usize::from(a % 16)).unwrap_or(&"another domctl"));
        }
    }

    /// A list of calls, none of which takes pages for event channels.
    fn multicall(&self, caller: &Arc<Domain>, act: &Act) {
        let [a, b, ..] = act.with;
        const SAFE: [u32; 6] = [
            __HYPERVISOR_memory_op,
            __HYPERVISOR_multicall,
            __HYPERVISOR_xen_version,
            __HYPERVISOR_grant_table_op,
            __HYPERVISOR_vm_assist,
            __HYPERVISOR_hvm_op,
        ];
        for (n, with) in act.with.iter().enumerate() {
            let op = u64::from(SAFE[usize::from(*with) % SAFE.len()]);
            let args = core::array::from_fn(|i| word(with.wrapping_mul(i as u8 * 2 + 1)));
            self.put(caller, LISTS.plus(0x800 + n as u64 * 64), &MulticallEntry { op, result: 0, args });
        }
        let count = if b == 0 { word(a) } else { u64::from(a % 10) };
        // The list's end is within what was put, or not a list.
        self.call(caller, __HYPERVISOR_multicall, [LISTS.0 + 0x800, count.min(8), 0, 0, 0]);
    }

    /// A hypercall as it comes, but for those whose pages would have to be noted.
    fn anything(&self, caller: &Arc<Domain>, act: &Act) {
        let [a, b, c, d, e, f, g, h] = act.with;
        let number = u32::from(a % 64);
        let noted = [
            __HYPERVISOR_event_channel_op,
            __HYPERVISOR_vcpu_op,
            __HYPERVISOR_multicall,
            __HYPERVISOR_domctl,
        ];
        if noted.contains(&number) {
            return;
        }
        self.put(caller, ARGS, &[word(b), word(c), word(d), word(e), word(f), word(g), word(h), word(a)]);
        let arg = if h < 220 { ARGS.0 } else { word(h) };
        self.call(caller, number, [u64::from(b % 40), arg, word(c), word(d), word(e)]);
    }
}
