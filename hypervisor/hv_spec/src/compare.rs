//! What of the core can be seen from outside it, and whether it is as the model has it.

use crate::events::State;
use crate::p2m::Kind;
use crate::{Model, PAGE, PageId};
use std::collections::{BTreeMap, BTreeSet};

/// The core, as far as the model looks at it. All of it is state; nothing here acts.
pub trait Subject {
    /// Copies bytes out of a frame.
    fn load(&self, mfn: u64, offset: usize, buf: &mut [u8]);
    /// What a domain's guest frame maps to: frame, kind, whether in a block.
    fn lookup(&self, id: u16, gfn: u64) -> Option<(u64, Kind, bool)>;
    /// How many guest frames a domain maps, if all are counted.
    fn mapped(&self, id: u16) -> usize;
    /// A frame's record.
    fn frame(&self, mfn: u64) -> Frame;
    /// Frames that are free.
    fn free_frames(&self) -> u64;
    /// Numbers of all domains.
    fn domains(&self) -> Vec<u16>;
    /// A domain's limit of pages, its pauses, whether it is dying, whether it has shut down.
    fn life(&self, id: u16) -> (u64, u32, bool, bool);
    /// Table frames of a domain's pool, in use and free.
    fn tables(&self, id: u16) -> u64;
    /// The frames of a domain's grant entries.
    fn grant_frames(&self, id: u16) -> Vec<u64>;
    /// A domain's grants that others use.
    fn uses(&self, id: u16) -> Vec<Use>;
    /// What a domain maps of others' grants.
    fn mappings(&self, id: u16) -> Vec<Mapping>;
    /// The frame of a domain's shared information page.
    fn shared_info(&self, id: u16) -> Option<u64>;
    /// All ports of a domain.
    fn ports(&self, id: u16) -> Vec<Port>;
    /// Whether a domain uses the FIFO interface.
    fn is_fifo(&self, id: u16) -> bool;
    /// vCPUs whose upcall line is up, as bits.
    fn upcalls(&self, id: u16) -> u64;
}

/// A frame's record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame {
    /// References to it.
    pub count: u64,
    /// Whose it is.
    pub owner: u16,
    /// Whether it counts as the owner's memory.
    pub charged: bool,
}

/// A grant that is used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Use {
    /// The grant.
    pub gref: u32,
    /// Who only reads.
    pub readers: u32,
    /// Who writes.
    pub writers: u32,
}

/// A mapping of another's grant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Mapping {
    /// Its handle.
    pub handle: u32,
    /// Who granted.
    pub owner: u16,
    /// The grant.
    pub gref: u32,
    /// It may not be written.
    pub read_only: bool,
    /// Where it is.
    pub gfn: u64,
    /// The frame.
    pub mfn: u64,
}

/// What a port is bound to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PortKind {
    /// Nothing, or it is port 0.
    Closed,
    /// It waits for a domain.
    Unbound(u16),
    /// A port of a domain.
    Interdomain(u16, u32),
    /// A virtual interrupt.
    Virq(u32),
    /// A vCPU.
    Ipi,
}

/// A port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Port {
    /// What it is bound to.
    pub kind: PortKind,
    /// The vCPU that it notifies; of a closed one that of the next binding.
    pub vcpu: u32,
}

impl Model {
    /// Panics where the core is not as the model has it. `all` looks at everything, otherwise only at what can have
    /// changed since the last look.
    #[track_caller]
    pub fn compare(&mut self, core: &impl Subject, all: bool) {
        assert_eq!(core.domains(), self.domains(), "domains");
        for id in self.domains() {
            self.compare_map(id, core, all);
            self.compare_grants(id, core);
            self.compare_events(id, core);
            let domain = self.dom(id);
            let life = (domain.max_pages, domain.pauses, domain.dying, domain.shut_down);
            assert_eq!(core.life(id), life, "d{id}: limit, pauses, dying, shut down");
        }
        self.compare_pages(core, all);
    }

    fn compare_map(&mut self, id: u16, core: &impl Subject, all: bool) {
        let changed = core::mem::take(&mut self.dom_mut(id).p2m.changed);
        let gfns: Vec<u64> = if all {
            assert_eq!(
                core.mapped(id),
                self.dom(id).p2m.entries().count(),
                "d{id}: guest frames that are mapped"
            );
            self.dom(id).p2m.entries().map(|(gfn, _)| gfn).collect()
        } else {
            changed.into_iter().collect()
        };
        for gfn in gfns {
            let seen = core.lookup(id, gfn);
            match self.dom(id).p2m.get(gfn) {
                None => assert_eq!(seen, None, "d{id} has nothing at {gfn:x}"),
                Some(entry) => {
                    let (mfn, kind, block) = seen.unwrap_or_else(|| panic!("d{id} has {entry:?} at {gfn:x}"));
                    assert_eq!((kind, block), (entry.kind, entry.block), "d{id} at {gfn:x}");
                    self.pages.bind(entry.page, mfn);
                }
            }
        }
    }

    fn bind_all(&mut self, pages: &[PageId], frames: &[u64]) {
        assert_eq!(pages.len(), frames.len(), "frames for {pages:?}");
        pages.iter().zip(frames).for_each(|(page, mfn)| self.pages.bind(*page, *mfn));
    }

    fn compare_grants(&mut self, id: u16, core: &impl Subject) {
        let frames = self.dom(id).grants.frames.clone();
        self.bind_all(&frames, &core.grant_frames(id));
        let uses = self.dom(id).grants.uses.iter();
        let mut uses: Vec<Use> =
            uses.map(|(gref, u)| Use { gref: *gref, readers: u.readers, writers: u.writers }).collect();
        let mut seen = core.uses(id);
        uses.sort_unstable();
        seen.sort_unstable();
        assert_eq!(seen, uses, "d{id}: grants that others use");
        let mut seen = core.mappings(id);
        seen.sort_unstable();
        let mappings: Vec<_> = self.dom(id).mappings.iter().map(|(handle, m)| (*handle, *m)).collect();
        assert_eq!(seen.len(), mappings.len(), "d{id}: mappings of grants: {seen:x?}");
        for (seen, (handle, m)) in seen.into_iter().zip(mappings) {
            let there = Mapping {
                handle,
                owner: m.owner,
                gref: m.gref,
                read_only: m.read_only,
                gfn: m.gfn,
                mfn: seen.mfn,
            };
            assert_eq!(seen, there, "a mapping of d{id}");
            self.pages.bind(m.page, seen.mfn);
        }
    }

    fn compare_events(&mut self, id: u16, core: &impl Subject) {
        let domain = self.dom(id);
        let shared: Vec<PageId> = domain.shared_info.into_iter().collect();
        let ports: Vec<Port> = domain
            .events
            .ports
            .iter()
            .map(|port| {
                let kind = match port.state {
                    State::Free | State::Reserved => PortKind::Closed,
                    State::Unbound { remote } => PortKind::Unbound(remote),
                    State::Interdomain { remote, port } => PortKind::Interdomain(remote, port),
                    State::Virq(virq) => PortKind::Virq(virq),
                    State::Ipi => PortKind::Ipi,
                };
                Port { kind, vcpu: port.vcpu }
            })
            .collect();
        let seen = core.ports(id);
        assert_eq!(seen.len(), ports.len(), "d{id}: ports of the table");
        for (port, (seen, there)) in seen.iter().zip(&ports).enumerate() {
            assert_eq!(seen, there, "port {port} of d{id}");
        }
        assert_eq!(core.is_fifo(id), domain.events.fifo.is_some(), "d{id}: the FIFO interface is used");
        assert_eq!(core.upcalls(id), domain.upcalls, "d{id}: upcalls");
        self.bind_all(&shared, &core.shared_info(id).into_iter().collect::<Vec<_>>());
    }

    /// References, owners and bytes of all pages, and how many frames are free.
    fn compare_pages(&mut self, core: &impl Subject, all: bool) {
        let held: BTreeMap<PageId, u64> = self.holders();
        // The hypervisor writes to these by itself.
        let shared: BTreeSet<PageId> = self.domains.values().flat_map(|domain| domain.held()).collect();
        let mut clean = Vec::new();
        for (id, page) in self.pages.iter() {
            let mfn = page.mfn.unwrap_or_else(|| panic!("{id:?} is nowhere: {page:?}"));
            let there = Frame { count: held[&id], owner: page.owner, charged: page.charged };
            assert_eq!(core.frame(mfn), there, "the record of frame {mfn:x}");
            if all || page.dirty || shared.contains(&id) {
                let (mut here, mut seen) = ([0; PAGE], [0; PAGE]);
                self.pages.read(id, 0, &mut here);
                core.load(mfn, 0, &mut seen);
                if let Some(at) = (0..PAGE).find(|at| here[*at] != seen[*at]) {
                    let (at, owner) = (at & !7, page.owner);
                    let end = at + 8;
                    panic!(
                        "d{owner}'s frame {mfn:x} has {:x?} at {at:#x}, and should have {:x?}",
                        &seen[at..end],
                        &here[at..end]
                    );
                }
                clean.push(id);
            }
        }
        clean.into_iter().for_each(|id| self.pages.set_clean(id));
        let tables: u64 = self
            .domains()
            .into_iter()
            .map(|id| {
                let domain = self.dom(id);
                let (used, total) = (domain.p2m.tables(), core.tables(id));
                assert!(total >= used, "d{id}: {total} tables for {used}");
                if let Some(pool) = domain.p2m.pool {
                    assert_eq!(total, pool, "d{id}: tables of its pool");
                }
                total + if domain.dying { 0 } else { self.limits.root_frames }
            })
            .sum();
        let used = self.limits.frames - core.free_frames();
        assert_eq!(used, tables + self.pages.len() as u64, "frames in use: {tables} tables and the pages");
    }

    /// The page of a frame, for messages of tests.
    pub fn page_of(&self, mfn: u64) -> Option<PageId> {
        self.pages.by_mfn(mfn)
    }
}
