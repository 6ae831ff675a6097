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
use hal::{Domid, Gaddr, MachineOps as _, Stage2Format as _};
use hv_spec::{Limits, Model, NewDomain, Outcome, Verdict};
use machine::Stage2;
use machine::fake::catch_end;
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
/// Acts between two looks at everything.
const LOOK: u64 = 64;

/// The operands of an act.
type With = [u8; ACT - 2];

/// A world and the model of it.
pub struct Duel {
    /// The world.
    pub world: World,
    model: Model,
    /// Acts that are to come.
    acts: VecDeque<[u8; ACT]>,
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
        let mut duel = Self { world, model, acts, inside: false, unbound, calls: 0, done };
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
    fn issue(&mut self, caller: &Arc<Domain>, number: u64, args: [u64; 5]) -> Outcome {
        let hv = self.world.hv;
        hv.machine.set_stage2(caller.root);
        self.calls += 1;
        let call = Call { hv, domain: caller, vcpu: caller.vcpu(0).expect("a caller has a vCPU"), args };
        let outcome = match catch_end(|| dispatch(&call, number)).expect("nobody ends the machine") {
            Ok(Flow::Done(value)) => Outcome::Done(value),
            Ok(Flow::Again(args)) => Outcome::Again(args),
            Err(errno) => Outcome::Failed(errno),
        };
        self.world.reap();
        outcome
    }

    /// Tells the model what the core did, and looks at the core.
    fn judge(&mut self, id: u16, number: u64, args: [u64; 5], outcome: &Outcome) {
        let call = hv_spec::Call { caller: id, vcpu: 0, number, args };
        if self.model.call(&call, outcome, &Eyes(&self.world)) == Verdict::Unknown {
            self.start_over();
            return;
        }
        self.look(self.calls.is_multiple_of(LOOK));
    }

    /// Issues a hypercall until it ends, with acts in between. `None` when the caller ended first.
    fn call(&mut self, id: u16, number: u32, args: [u64; 5]) -> Option<Result<u64, Errno>> {
        let mut args = args;
        for _ in 0..10_000 {
            let caller = self.caller(id)?;
            let outcome = self.issue(&caller, number.into(), args);
            self.judge(id, number.into(), args, &outcome);
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
            let outcome = self.issue(&caller, number.into(), next);
            if let Outcome::Again(more) = outcome {
                next = more;
                continue;
            }
            self.judge(id, number.into(), args, &outcome);
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
        let mapped = self.model.domain(id).map_or(Vec::new(), |domain| domain.mapped());
        let memory: Vec<u64> =
            mapped.iter().filter(|m| m.1 == hv_spec::Kind::Ram).map(|m| m.0).take(48).collect();
        memory.get(usize::from(n) % memory.len().max(1)).copied().unwrap_or(gfn(n).0)
    }

    fn map_grant_table(&mut self, id: u16) {
        self.place_shared(id, xen_abi::memory::XENMAPSPACE_grant_table, 0, GRANTS.0);
    }
}
