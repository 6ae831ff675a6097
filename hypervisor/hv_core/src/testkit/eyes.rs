//! The core as the executable specification looks at it.

use super::World;
use super::check::count_mapped;
use crate::domain::Domain;
use crate::memory::Kind;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use hal::{Domid, Gfn, Mfn};
use hv_spec::{FEW_GRANTS, Frame, LOW_DOMAINS, Mapping, Port, Subject, Use};

/// Looks at a world.
pub(super) struct Eyes<'a>(pub(super) &'a World);

impl Eyes<'_> {
    fn domain(&self, id: u16) -> Arc<Domain> {
        self.find(id).expect("the domain is there")
    }

    fn find(&self, id: u16) -> Option<Arc<Domain>> {
        Domid::new(id).and_then(|id| self.0.hv.domains.get(id))
    }
}

impl Subject for Eyes<'_> {
    fn load(&self, mfn: u64, offset: usize, buf: &mut [u8]) {
        self.0.hv.machine.peek(Mfn(mfn).addr().plus(offset as u64), buf);
    }

    fn lookup(&self, id: u16, gfn: u64) -> Option<(u64, hv_spec::Kind, bool)> {
        let entry = self.domain(id).lookup(self.0.hv, Gfn(gfn))?;
        let kind = match entry.kind {
            Kind::Ram => hv_spec::Kind::Ram,
            Kind::Shared => hv_spec::Kind::Shared,
            Kind::Foreign => hv_spec::Kind::Foreign,
            Kind::Grant => hv_spec::Kind::Grant { read_only: false },
            Kind::GrantRo => hv_spec::Kind::Grant { read_only: true },
            Kind::ForeignRo | Kind::Mmio | Kind::Reserved => panic!("{entry:?} is not modelled"),
        };
        Some((entry.mfn.0, kind, entry.level > 0))
    }

    fn mapped(&self, id: u16) -> usize {
        count_mapped(self.0, &self.domain(id))
    }

    fn frame(&self, mfn: u64) -> Frame {
        let record = self.0.hv.frames.inspect_one(Mfn(mfn));
        Frame { count: record.count, owner: record.owner, charged: record.charged }
    }

    fn free_frames(&self) -> u64 {
        self.0.hv.frames.free_frames()
    }

    fn domains(&self, all: bool) -> Vec<u16> {
        if !all {
            return (0..LOW_DOMAINS).filter(|id| self.find(*id).is_some()).collect();
        }
        let next = |from: &u16| self.0.hv.domains.first_from(from + 1).map(|domain| domain.id.raw());
        core::iter::successors(self.0.hv.domains.first_from(0).map(|domain| domain.id.raw()), next).collect()
    }

    fn life(&self, id: u16) -> (u64, u32, bool, bool) {
        let domain = self.domain(id);
        let pauses = domain.controller_pauses();
        (domain.max_pages().into(), pauses, domain.is_dying(), domain.is_shut_down())
    }

    fn tables(&self, id: u16) -> u64 {
        self.domain(id).memory.lock().pool.total()
    }

    fn grants(&self, id: u16, all: bool) -> hv_spec::Grants {
        let seen = self.domain(id).grants.inspect(if all { usize::MAX } else { FEW_GRANTS as usize });
        let mapping = |m: crate::grant::InspectedMapping| Mapping {
            handle: m.handle,
            owner: m.owner,
            gref: m.gref,
            read_only: m.read_only,
            gfn: m.gfn.0,
            mfn: m.mfn.0,
        };
        hv_spec::Grants {
            frames: seen.frames.into_iter().map(|mfn| mfn.0).collect(),
            uses: seen
                .active
                .iter()
                .map(|a| Use { gref: a.gref, readers: a.readers, writers: a.writers })
                .collect(),
            mappings: seen.mappings.into_iter().map(mapping).collect(),
        }
    }

    fn shared_info(&self, id: u16) -> Option<u64> {
        let domain = self.domain(id);
        let page = domain.events.shared_info_page(self.0.hv, domain.id)?;
        Some(page.mfn().0)
    }

    fn ports(&self, id: u16) -> Vec<Port> {
        self.domain(id).events.inspect()
    }

    fn is_fifo(&self, id: u16) -> bool {
        self.domain(id).events.uses_fifo()
    }

    fn upcalls(&self, id: u16) -> u64 {
        World::guest(&self.domain(id)).upcalls.load(Ordering::SeqCst)
    }
}
