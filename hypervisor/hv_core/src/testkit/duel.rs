//! For tests: the core and the executable specification, side by side.
//!
//! A [`Duel`] is a world and a model of it. Each [`act`](Duel::act) is a few bytes that say who does what: mostly a
//! hypercall that nearly makes sense, sometimes what a guest does to its own memory. After every part of a call both
//! have to agree: on what it answers, on all bytes that it can have written, and on who owns, maps, holds and is bound
//! to what.
//!
//! A call that lets interrupts in is a chance for the next acts to come in between.

mod events;
mod grants;
mod memory;
mod tools;
mod wild;

use super::eyes::Eyes;
use super::words::{gfn, peer};
use super::{ARGS, FRAMES, GRANTS, GUEST_PAGES, GUEST_RAM, LISTS, World};
use crate::domain::Domain;
use crate::hypercall::{Call, Flow, dispatch};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use hal::{Domid, Gaddr, MachineOps as _, Mfn, Stage2Format as _};
use hv_spec::{Bytes, Limits, Model, NewDomain, Outcome, Reads, Verdict};
use machine::fake::{Meddling, catch_end};
use machine::{Stage2, fake};
#[cfg(test)]
use xen_abi::xen::__HYPERVISOR_event_channel_op;
use xen_abi::xen::__HYPERVISOR_multicall;
use xen_abi::{Errno, Plain};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Bytes of an act.
pub const ACT: usize = 12;
/// The domains beside dom0.
const OTHERS: [u16; 2] = [1, 2];
/// Pages that a domain may have: the machine has more than three times as many.
const MAX_PAGES: u64 = 0x1000;
/// Tables of the pool of a domain that is made at the start.
const TABLES: u64 = 32;
/// Kinds of acts from here on are those of lower numbers, with a guest that changes arguments while they are read.
const MEDDLED: u8 = 160;
/// Calls between two looks at everything.
const LOOK: u64 = 256;

/// The operands of an act.
type With = [u8; ACT - 2];

/// A world and the model of it.
pub struct Duel {
    /// The world.
    pub world: World,
    model: Model,
    /// Acts that are to come.
    acts: VecDeque<[u8; ACT]>,
    /// What the guest does to the arguments of the calls of this act while they are read.
    meddling: Option<Meddling>,
    /// A call is under way: what it finds in between is not again broken up.
    inside: bool,
    /// Channels that wait for a peer: domain, port, peer.
    unbound: Vec<(u16, u32, u16)>,
    /// Hypercalls that were issued, each part of one that goes on counted.
    calls: u64,
    done: BTreeMap<&'static str, u64>,
}

impl Default for Duel {
    fn default() -> Self {
        Self::new()
    }
}

impl Duel {
    /// Dom0 and two domains.
    pub fn new() -> Self {
        let world = World::quiet();
        world.hv.machine.set_log(false);
        Self::within(world)
    }

    /// The same, in the world of a duel that has ended, which has just been started anew.
    pub fn within(world: World) -> Self {
        let model = Self::model(&world);
        let (acts, unbound, done) = (VecDeque::new(), Vec::new(), BTreeMap::new());
        let mut duel = Self { world, model, acts, meddling: None, inside: false, unbound, calls: 0, done };
        duel.begin();
        duel
    }

    /// A model without domains.
    fn model(world: &World) -> Model {
        Model::new(Limits {
            grant_frames: world.hv.options.grant_frames,
            maptrack_frames: world.hv.options.maptrack_frames,
            frames: FRAMES,
            root_frames: 1 << Stage2::ROOT_ORDER,
        })
    }

    /// Tells the model of dom0, and makes the others.
    fn begin(&mut self) {
        self.adopt(0, 1);
        for id in OTHERS {
            self.world.domain(id, 2);
            self.adopt(id, 2);
        }
        self.look(true);
        for id in [0, 1, 2] {
            self.map_grant_table(id);
        }
    }

    /// The model does not know any more how things are: begins again with new domains.
    fn start_over(&mut self) {
        self.note("call that took its own arguments away");
        self.world.restart();
        self.model = Self::model(&self.world);
        self.unbound.clear();
        self.begin();
    }

    /// Tells the model of a domain that [`World::domain`] has made.
    fn adopt(&mut self, id: u16, vcpus: u32) {
        self.model.create(NewDomain {
            id,
            privileged: id == 0,
            max_vcpus: vcpus,
            max_port: u32::MAX,
            max_grant_frames: 4,
            max_maptrack: 2,
        });
        self.model.adopt_shared_info(id, &Eyes(&self.world));
        self.model.furnish(id, TABLES, GUEST_RAM.0, GUEST_PAGES, vcpus);
        self.model.limit_memory(id, MAX_PAGES);
        self.world.get(id).set_max_pages(MAX_PAGES as u32);
    }

    /// Does acts, which each are [`ACT`] bytes.
    #[track_caller]
    pub fn run(&mut self, bytes: &[u8]) {
        self.acts.extend(bytes.chunks_exact(ACT).map(|act| <[u8; ACT]>::try_from(act).expect("a chunk")));
        while let Some(act) = self.acts.pop_front() {
            self.act(act);
        }
        self.look(true);
    }

    /// Ends all domains and looks for what is left. The world has a dom0 again.
    #[track_caller]
    pub fn finish(self) -> World {
        self.world.restart();
        self.world
    }

    /// Looks at everything.
    #[track_caller]
    pub fn check(&mut self) {
        self.look(true);
    }

    /// How many hypercalls were issued.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// How often each thing was done.
    pub fn done(&self) -> &BTreeMap<&'static str, u64> {
        &self.done
    }

    fn note(&mut self, what: &'static str) {
        *self.done.entry(what).or_default() += 1;
    }

    fn look(&mut self, all: bool) {
        self.model.compare(&Eyes(&self.world), all);
        self.world.hv.machine.assert_no_faults();
    }

    /// The domain that acts: alive, and with a vCPU.
    fn caller(&self, id: u16) -> Option<Arc<Domain>> {
        let domain = self.world.hv.domains.get(Domid::new(id)?)?;
        (!domain.is_dying() && domain.vcpu(0).is_some()).then_some(domain)
    }

    /// Does an act.
    fn act(&mut self, act: [u8; ACT]) {
        let [who, kind, with @ ..] = act;
        let id = peer(who);
        if self.caller(id).is_none() {
            self.revive(id, with);
            return;
        }
        let meddled = (kind >= MEDDLED).then(|| {
            let [.., len, ahead, after, bits] = with;
            let after = usize::from(if after < 200 { after % 6 } else { after - 200 });
            Meddling {
                frames: Vec::new(),
                after,
                ahead: usize::from(ahead % 16) * 4,
                len: 1 + usize::from(len % 32),
                bits: bits | 1,
            }
        });
        let before = core::mem::replace(&mut self.meddling, meddled);
        self.carry_out(id, kind, with);
        self.meddling = before;
    }

    /// The same, with what the guest does to its memory meanwhile.
    fn carry_out(&mut self, id: u16, kind: u8, with: With) {
        match kind % 40 {
            0..3 => self.extents(id, with),
            3 => self.add_to_physmap(id, with),
            4 => self.remove(id, with),
            5 => self.foreign(id, with),
            6 => self.acquire(id, with),
            7 => self.query(id, with),
            8 | 9 => self.grant(id, with),
            10..13 => self.map(id, with),
            13 => self.unmap(id, with),
            14 => self.copy(id, with),
            15 => self.other_grant_op(id, with),
            16..22 => self.events(id, with),
            22..25 => self.send_some(id, with),
            25 => self.guest_events(id, with),
            26..29 => self.fifo(id, with),
            29 => self.vcpu(id, with),
            30 => self.wait_or_stop(id, with),
            31 => self.param(id, with),
            32 | 33 => self.multicall(id, with),
            34 | 35 => self.tools(id, with),
            36 => self.scribble(id, with),
            37 => self.wild(id, with),
            _ => self.repair(id, with),
        }
    }

    /// The guest stores to its memory.
    fn put<T: IntoBytes + Immutable>(&mut self, id: u16, at: Gaddr, value: &T) {
        let can = self.model.guest_store(id, at.0, value.as_bytes());
        let root = self.world.get(id).root;
        let did = self.world.hv.machine.guest_write(root, at, value.as_bytes()).is_ok();
        assert_eq!(did, can, "d{id} stores to {:x}", at.0);
    }

    /// The guest loads from its memory.
    fn take<T: FromBytes + IntoBytes>(&mut self, id: u16, at: Gaddr) -> Option<T> {
        let mut value = T::new_zeroed();
        self.model.guest_load(id, at.0, value.as_mut_bytes()).then_some(value)
    }

    /// A list in the caller's memory, and its address.
    fn list<T: IntoBytes + Immutable>(&mut self, id: u16, offset: u64, items: &[T]) -> u64 {
        let at = LISTS.plus(offset);
        for (n, item) in items.iter().enumerate() {
            self.put(id, at.plus((n * size_of::<T>()) as u64), item);
        }
        at.0
    }

    /// Issues one part of a hypercall to the core.
    fn issue(
        &mut self,
        caller: &Arc<Domain>,
        number: u64,
        args: [u64; 5],
        meddling: Option<Meddling>,
    ) -> (Outcome, Reads) {
        let hv = self.world.hv;
        hv.machine.set_stage2(caller.root);
        self.calls += 1;
        hv.machine.record_reads(meddling);
        let call = Call { hv, domain: caller, vcpu: caller.vcpu(0).expect("a caller has a vCPU"), args };
        let outcome = match catch_end(|| dispatch(&call, number)).expect("nobody ends the machine") {
            Ok(Flow::Done(value)) => Outcome::Done(value),
            Ok(Flow::Again(args)) => Outcome::Again(args),
            Err(errno) => Outcome::Failed(errno),
        };
        let reads = hv.machine.take_reads();
        self.world.reap();
        let bytes = |read: fake::Bytes| Bytes { mfn: read.mfn.0, offset: read.offset, bytes: read.bytes };
        let reads = Reads {
            list: reads.list.into_iter().map(bytes).collect(),
            stored: reads.stored.into_iter().map(bytes).collect(),
        };
        if !reads.stored.is_empty() {
            self.note("arguments changed while they were read");
        }
        (outcome, reads)
    }

    /// Tells the model what the core did, and looks at the core.
    fn judge(&mut self, id: u16, number: u64, args: [u64; 5], outcome: &Outcome, reads: &Reads) {
        let call = hv_spec::Call { caller: id, vcpu: 0, number, args };
        if self.model.call(&call, outcome, reads, &Eyes(&self.world)) == Verdict::Unknown {
            self.start_over();
            return;
        }
        self.look(self.calls.is_multiple_of(LOOK));
    }

    /// Issues a hypercall, and tells the model that the core read all of that `times` times.
    #[cfg(test)]
    pub(crate) fn call_that_reads(&mut self, times: usize) {
        use xen_abi::event_channel::{EVTCHNOP_send, EvtchnSend};
        self.put(1, ARGS, &EvtchnSend { port: 1 });
        let caller = self.caller(1).expect("d1 is there");
        let (number, args) = (__HYPERVISOR_event_channel_op.into(), [EVTCHNOP_send.into(), ARGS.0, 0, 0, 0]);
        let (outcome, mut reads) = self.issue(&caller, number, args, None);
        reads.list = vec![core::mem::take(&mut reads.list); times].concat();
        self.judge(1, number, args, &outcome, &reads);
    }

    /// Issues a hypercall until it ends, with acts in between. `None` when the caller ended first.
    fn call(&mut self, id: u16, number: u32, args: [u64; 5]) -> Option<Result<u64, Errno>> {
        let mut args = args;
        for _ in 0..10_000 {
            let caller = self.caller(id)?;
            // A list of calls may have anything for arguments, its own answers too.
            let meddling = self.meddling.clone().filter(|_| number != __HYPERVISOR_multicall);
            let meddling = meddling.map(|how| {
                let frames = self.model.argument_frames(id, LISTS.frame().0..ARGS.frame().0 + 1);
                Meddling { frames: frames.into_iter().map(Mfn).collect(), ..how }
            });
            let (outcome, reads) = self.issue(&caller, number.into(), args, meddling);
            self.judge(id, number.into(), args, &outcome, &reads);
            match outcome {
                Outcome::Done(value) => return Some(Ok(value)),
                Outcome::Failed(errno) => return Some(Err(errno)),
                Outcome::Again(more) => args = more,
            }
            if !self.inside
                && let Some(act) = self.acts.pop_front()
            {
                self.note("act in the middle of a call");
                self.inside = true;
                self.act(act);
                self.inside = false;
            }
        }
        panic!("hypercall {number} with {args:x?} never ends");
    }

    /// Issues a hypercall whose progress cannot be seen, to its end; only the end is judged.
    fn call_whole(&mut self, id: u16, number: u32, args: [u64; 5]) -> Option<Result<u64, Errno>> {
        let mut next = args;
        for _ in 0..10_000 {
            let caller = self.caller(id)?;
            let (outcome, reads) = self.issue(&caller, number.into(), next, None);
            if let Outcome::Again(more) = outcome {
                next = more;
                continue;
            }
            self.judge(id, number.into(), args, &outcome, &reads);
            return Some(match outcome {
                Outcome::Done(value) => Ok(value),
                Outcome::Failed(errno) => Err(errno),
                Outcome::Again(_) => return None,
            });
        }
        panic!("hypercall {number} with {args:x?} never ends");
    }

    /// Issues a hypercall whose second argument points to a structure; whether it succeeded.
    fn op<T: Plain>(&mut self, id: u16, number: u32, cmd: u32, arg: &T) -> bool {
        self.put(id, ARGS, arg);
        matches!(self.call(id, number, [cmd.into(), ARGS.0, 1, 0, 0]), Some(Ok(_)))
    }

    /// The guest takes the upcalls of its vCPUs.
    fn take_upcalls(&mut self, id: u16) {
        let there = self.model.take_upcalls(id);
        let seen = World::guest(&self.world.get(id)).upcalls.swap(0, Ordering::SeqCst);
        assert_eq!(seen, there, "upcalls of d{id}");
    }

    /// A guest frame of a domain that is mapped, or any.
    fn pick_gfn(&self, id: u16, n: u8, any: u8) -> u64 {
        if any > 200 {
            return gfn(n).0;
        }
        let memory = self.model.domain(id).map_or(Vec::new(), |domain| domain.memory(48));
        memory.get(usize::from(n) % memory.len().max(1)).copied().unwrap_or(gfn(n).0)
    }

    fn map_grant_table(&mut self, id: u16) {
        self.place_shared(id, xen_abi::memory::XENMAPSPACE_grant_table, 0, GRANTS.0);
    }
}
