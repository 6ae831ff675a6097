//! The executable specification: a slow and obvious model of what hypercalls do to memory, grants and event channels.
//!
//! It is written from the meaning of the ABI (Xen's public headers, the project's pages), and shares no code with the
//! core. It keeps whole page contents, so it needs nothing of the core to say what a call answers and what it leaves
//! behind. A test issues a call to the core, tells the model what was called and how the core answered
//! ([`Model::call`]), and then lets the model look at the core ([`Model::compare`]). Both panic with what differs.
//!
//! Where the ABI leaves a choice (which frame, which handle, where a long call lets interrupts in), the model takes the
//! core's, having checked that the choice was open to it. Everything else it decides alone.
//!
//! Nothing here is quick: lists are searched, counts are counted anew, tables are taken apart.
#![forbid(unsafe_code)]
#![allow(non_upper_case_globals, reason = "constants of the ABI keep their header spelling")]

mod calls;
mod compare;
mod deliver;
mod domain;
mod domctl;
mod events;
mod fifo;
mod grants;
mod guest;
mod memory_op;
mod p2m;
mod pages;
mod reads;

pub use compare::{FEW_GRANTS, Frame, Grants, LOW_DOMAINS, Mapping, Port, PortKind, Subject, Use};
pub use domain::{Domain, NewDomain};
pub use p2m::{Entry, Kind};
pub use pages::PageId;
pub use reads::{Bytes, Reads};

use core::cell::RefCell;
use domain::VirqHandlers;
use pages::Pages;
use std::collections::{BTreeMap, BTreeSet};
use xen_abi::Errno;

/// Bytes of a page.
pub const PAGE: usize = 4096;
/// Guest frames of a guest's address space.
pub const GUEST_FRAMES: u64 = 1 << 28;

/// What a handler made of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is finished.
    Done(u64),
    /// It let interrupts in, and is to be issued again with these arguments.
    Again([u64; 5]),
    /// It was refused.
    Failed(Errno),
}

/// What a step of the model ends with.
type Answer = Result<u64, Errno>;

/// A hypercall of a vCPU.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// The domain that calls.
    pub caller: u16,
    /// Its vCPU.
    pub vcpu: u32,
    /// The number of the hypercall.
    pub number: u64,
    /// The arguments.
    pub args: [u64; 5],
}

/// The machine as the specification sees it.
#[derive(Debug, Default)]
pub struct Model {
    domains: BTreeMap<u16, Domain>,
    pages: Pages,
    handlers: VirqHandlers,
    limits: Limits,
    /// Guest frames in which the call under way has looked for arguments.
    argued: RefCell<BTreeSet<(u16, u64)>>,
    /// What the core read in the call under way.
    ledger: RefCell<reads::Ledger>,
    /// The call under way has changed them.
    tangled: bool,
    /// What first was not as it should be in the call under way.
    disagreement: Option<String>,
}

/// What the model says to a call.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The core did what it had to.
    Agreed,
    /// The call took its own arguments away while it ran. When it noticed that is left to the core, so that the model
    /// does not know what it did, and is of no use any more.
    Unknown,
}

/// Limits of the machine that a domain gets when it does not ask for less.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Pages of grant entries.
    pub grant_frames: u32,
    /// Pages of maptrack.
    pub maptrack_frames: u32,
    /// Frames of RAM.
    pub frames: u64,
    /// Frames of a domain's root tables.
    pub root_frames: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { grant_frames: 64, maptrack_frames: 1024, frames: 0x4000, root_frames: 2 }
    }
}

impl Model {
    /// A machine without domains.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// The domain of that number, which is there.
    fn dom(&self, id: u16) -> &Domain {
        self.domains.get(&id).expect("the domain is there")
    }

    /// The same, to be changed.
    fn dom_mut(&mut self, id: u16) -> &mut Domain {
        self.domains.get_mut(&id).expect("the domain is there")
    }

    /// The domain of that number.
    pub fn domain(&self, id: u16) -> Option<&Domain> {
        self.domains.get(&id)
    }

    /// Numbers of all domains.
    pub fn domains(&self) -> Vec<u16> {
        self.domains.keys().copied().collect()
    }
}
