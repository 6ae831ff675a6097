//! What of the core can be seen from outside it, and whether it is as the model has it.

use crate::events::State;
use crate::p2m::Kind;
use crate::{Model, PAGE, PageId};
use std::collections::BTreeMap;

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
    /// Numbers of all domains, or of those with low numbers.
    fn domains(&self, all: bool) -> Vec<u16>;
    /// A domain's limit of pages, its pauses, whether it is dying, whether it has shut down.
    fn life(&self, id: u16) -> (u64, u32, bool, bool);
    /// Table frames of a domain's pool, in use and free.
    fn tables(&self, id: u16) -> u64;
    /// A domain's grants: all, or what comes first of them (see [`FEW_GRANTS`]).
    fn grants(&self, id: u16, all: bool) -> Grants;
    /// The frame of a domain's shared information page.
    fn shared_info(&self, id: u16) -> Option<u64>;
    /// All ports of a domain.
    fn ports(&self, id: u16) -> Vec<Port>;
    /// Whether a domain uses the FIFO interface.
    fn is_fifo(&self, id: u16) -> bool;
    /// vCPUs whose upcall line is up, as bits.
    fn upcalls(&self, id: u16) -> u64;
}

/// Numbers below this are low ones.
pub const LOW_DOMAINS: u16 = 16;
/// Grants that are looked at each time.
pub const FEW_GRANTS: u32 = 64;

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

/// A domain's grants.
#[derive(Debug)]
pub struct Grants {
    /// The frames of its entries.
    pub frames: Vec<u64>,
    /// Those that others use.
    pub uses: Vec<Use>,
    /// What it maps of others.
    pub mappings: Vec<Mapping>,
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
    pub fn compare(&mut self, core: &dyn Subject, all: bool) {
        let mut domains = self.domains();
        domains.retain(|id| all || *id < LOW_DOMAINS);
        assert_eq!(core.domains(all), domains, "domains");
        for id in self.domains() {
            self.compare_map(id, core, all);
            self.compare_grants(id, core, all);
            self.compare_events(id, core);
            let domain = self.dom(id);
            let life = (domain.max_pages, domain.pauses, domain.dying, domain.shut_down);
            assert_eq!(core.life(id), life, "d{id}: limit, pauses, dying, shut down");
        }
        self.compare_pages(core, all);
    }

    fn compare_map(&mut self, id: u16, core: &dyn Subject, all: bool) {
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

    fn compare_grants(&mut self, id: u16, core: &dyn Subject, all: bool) {
        let frames = self.dom(id).grants.frames.clone();
        let mut seen = core.grants(id, all);
        self.bind_all(&frames, &seen.frames);
        let uses = self.dom(id).grants.uses.iter().filter(|(gref, _)| all || **gref < FEW_GRANTS);
        let mut uses: Vec<Use> =
            uses.map(|(gref, u)| Use { gref: *gref, readers: u.readers, writers: u.writers }).collect();
        uses.sort_unstable();
        seen.uses.sort_unstable();
        assert_eq!(seen.uses, uses, "d{id}: grants that others use");
        let mut seen = seen.mappings;
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

    fn compare_events(&mut self, id: u16, core: &dyn Subject) {
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

    /// References, owners and bytes of pages, and how many frames are free.
    fn compare_pages(&mut self, core: &dyn Subject, all: bool) {
        if all {
            self.pages.recount();
            self.domains.values().for_each(|domain| domain.p2m.recount());
        }
        let kept: BTreeMap<PageId, u64> = self.kept();
        let shared = self.shared_pages();
        for (id, written) in self.take_touched(all, &kept) {
            let count = self.holders(id, &kept);
            assert!(count > 0, "{id:?} is held by nobody");
            let page = self.pages.get(id);
            let mfn = page.mfn.unwrap_or_else(|| panic!("{id:?} is nowhere"));
            let there = Frame { count, owner: page.owner, charged: page.charged };
            assert_eq!(core.frame(mfn), there, "the record of frame {mfn:x}");
            // The hypervisor writes to those that it shares by itself.
            if !written && !shared.contains(&id) {
                continue;
            }
            let (here, mut seen) = (page.bytes(), [0; PAGE]);
            core.load(mfn, 0, &mut seen);
            if *here != seen {
                let at = (0..PAGE).find(|at| here[*at] != seen[*at]).unwrap_or(0) & !7;
                let (owner, end) = (page.owner, at + 8);
                panic!(
                    "d{owner}'s frame {mfn:x} has {:x?} at {at:#x}, and should have {:x?}",
                    &seen[at..end],
                    &here[at..end]
                );
            }
        }
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
