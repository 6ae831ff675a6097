//! Domains: what belongs to each, and how they come and go.

use crate::events::{Events, VcpuInfo};
use crate::grants::{Grants, Mapped};
use crate::p2m::{Kind, P2m};
use crate::{Model, PageId, Subject};
use std::collections::BTreeMap;
use xen_abi::xen::{NR_VIRQS, VIRQ_DOM_EXC};

/// A domain.
#[derive(Debug, Default)]
pub struct Domain {
    /// It manages the others.
    pub privileged: bool,
    /// It is being destroyed: what is left are pages that others hold.
    pub dying: bool,
    /// It has shut down.
    pub shut_down: bool,
    /// How often the tools have paused it.
    pub pauses: u32,
    /// vCPUs that it may have.
    pub max_vcpus: u32,
    /// vCPUs that it has, and whether each is up.
    pub(crate) vcpus: Vec<Vcpu>,
    /// Pages that it may have.
    pub max_pages: u64,
    pub(crate) p2m: P2m,
    pub(crate) grants: Grants,
    /// Pages of maptrack that it may have.
    pub(crate) max_maptrack: u32,
    /// What it maps of others' grants, by handle.
    pub(crate) mappings: BTreeMap<u32, Mapped>,
    pub(crate) shared_info: Option<PageId>,
    pub(crate) events: Events,
    /// vCPUs whose upcall line was raised, as bits.
    pub upcalls: u64,
    pub(crate) params: BTreeMap<u32, u64>,
}

/// A vCPU.
#[derive(Debug, Default)]
pub(crate) struct Vcpu {
    pub(crate) up: bool,
    /// Where it had its vcpu_info moved to.
    pub(crate) info: Option<VcpuInfo>,
}

/// What a domain is made with.
#[derive(Clone, Copy, Debug)]
pub struct NewDomain {
    /// Its number.
    pub id: u16,
    /// It manages the others.
    pub privileged: bool,
    /// vCPUs that it may have.
    pub max_vcpus: u32,
    /// Its highest port.
    pub max_port: u32,
    /// Pages of grant entries that it may have.
    pub max_grant_frames: u32,
    /// Pages of maptrack that it may have.
    pub max_maptrack: u32,
}

/// Who hears of the machine's virtual interrupts; dom0 unless the tools chose another.
#[derive(Debug, Default)]
pub(crate) struct VirqHandlers(BTreeMap<u32, u16>);

impl VirqHandlers {
    pub(crate) fn get(&self, virq: u32) -> u16 {
        self.0.get(&virq).copied().unwrap_or(0)
    }

    pub(crate) fn set(&mut self, virq: u32, id: u16) {
        self.0.insert(virq, id);
    }

    fn forget(&mut self, id: u16) {
        self.0.retain(|_, handler| *handler != id);
    }
}

impl Domain {
    /// Pages that the hypervisor holds for the domain.
    pub(crate) fn held(&self) -> Vec<PageId> {
        let infos = self.vcpus.iter().filter_map(|v| v.info.as_ref()).map(|info| info.page);
        let fifo = self.events.fifo.iter().flat_map(|fifo| fifo.held());
        self.shared_info
            .into_iter()
            .chain(self.grants.frames.iter().copied())
            .chain(infos)
            .chain(fifo)
            .collect()
    }

    /// How many vCPUs it has.
    pub fn vcpus(&self) -> usize {
        self.vcpus.len()
    }

    /// Guest frames that are mapped, and what each is.
    pub fn mapped(&self) -> Vec<(u64, Kind)> {
        self.p2m.entries().map(|(gfn, entry)| (gfn, entry.kind)).collect()
    }

    /// The first guest frames that are its own memory, `most` at most.
    pub fn memory(&self, most: usize) -> Vec<u64> {
        let memory = self.p2m.entries().filter(|(_, entry)| entry.kind == Kind::Ram);
        memory.map(|(gfn, _)| gfn).take(most).collect()
    }

    /// What it maps of others' grants: handle and guest frame.
    pub fn handles(&self) -> Vec<(u32, u64)> {
        self.mappings.iter().map(|(handle, m)| (*handle, m.gfn)).collect()
    }

    /// Ports that are open.
    pub fn open_ports(&self) -> Vec<u32> {
        (0..).zip(&self.events.ports).filter(|(_, port)| port.state.is_open()).map(|(port, _)| port).collect()
    }

    /// Tables in use and tables that it may have.
    pub fn tables(&self) -> (u64, Option<u64>) {
        (self.p2m.tables(), self.p2m.pool)
    }
}

impl Model {
    /// A new domain: paused, without memory or vCPUs.
    pub fn create(&mut self, new: NewDomain) {
        let shared_info = self.pages.alloc(new.id, false);
        let domain = Domain {
            privileged: new.privileged,
            pauses: 1,
            max_vcpus: new.max_vcpus,
            max_pages: u64::from(u32::MAX),
            p2m: P2m::new((!new.privileged).then_some(0)),
            grants: Grants { max_frames: new.max_grant_frames, ..Grants::default() },
            max_maptrack: new.max_maptrack,
            shared_info: Some(shared_info),
            events: Events::new(new.max_port),
            ..Domain::default()
        };
        let before = self.domains.insert(new.id, domain);
        assert!(before.is_none(), "there is a d{} already", new.id);
    }

    /// The hypervisor has written into a domain's new shared page what it says about time: that is not modelled, and
    /// taken as it is.
    pub fn adopt_shared_info(&mut self, id: u16, core: &dyn Subject) {
        let page = self.dom(id).shared_info.expect("a living domain has a shared page");
        let mfn = core.shared_info(id).expect("a living domain has a shared page");
        self.pages.bind(page, mfn);
        let mut bytes = [0; crate::PAGE];
        core.load(mfn, 0, &mut bytes);
        self.pages.write(page, 0, &bytes);
    }

    /// What a builder of test domains does: tables, memory from `first` on, vCPUs that are up, not paused.
    pub fn furnish(&mut self, id: u16, tables: u64, first: u64, pages: u64, vcpus: u32) {
        let domain = self.dom_mut(id);
        domain.p2m.pool = domain.p2m.pool.map(|pool| pool + tables);
        domain.vcpus = (0..vcpus).map(|_| Vcpu { up: true, info: None }).collect();
        domain.pauses -= 1;
        for gfn in first..first + pages {
            let page = self.pages.alloc(id, true);
            self.dom_mut(id).p2m.insert(gfn, &[page], Kind::Ram).expect("room for a test domain");
        }
    }

    /// The tools limit a domain's memory.
    pub fn limit_memory(&mut self, id: u16, pages: u64) {
        self.dom_mut(id).max_pages = pages;
    }

    /// Raises a virtual interrupt of the machine in the domain that hears of it.
    pub(crate) fn global_virq(&mut self, virq: u32) {
        debug_assert!(virq < NR_VIRQS);
        let id = self.handlers.get(virq);
        let port = self.domains.get(&id).and_then(|d| d.events.virqs.get(&(virq, 0)).copied());
        if let Some(port) = port {
            self.raise(id, port);
        }
    }

    /// The end of a domain: its channels are closed, what it maps is let go, and its memory goes but for pages that
    /// others hold.
    pub(crate) fn destroy(&mut self, id: u16) {
        self.dom_mut(id).dying = true;
        self.close_all(id);
        self.handlers.forget(id);
        let handles: Vec<u32> = self.dom(id).mappings.keys().copied().collect();
        for handle in handles {
            self.end_mapping(id, handle);
        }
        let domain = self.dom_mut(id);
        domain.events.fifo = None;
        domain.vcpus.iter_mut().for_each(|vcpu| vcpu.info = None);
        domain.shared_info = None;
        domain.grants.frames.clear();
        domain.grants.uses.clear();
        domain.p2m.clear();
        domain.p2m.pool = Some(0);
        self.collect();
        self.global_virq(VIRQ_DOM_EXC);
        self.bury(id);
    }

    /// A dying domain without pages is gone.
    fn bury(&mut self, id: u16) {
        if self.pages.charged_to(id) == 0 {
            self.domains.remove(&id);
            self.global_virq(VIRQ_DOM_EXC);
        }
    }

    /// Dying domains whose last page has gone since go too.
    pub fn reap(&mut self) {
        let dying: Vec<u16> = self.domains.iter().filter(|(_, d)| d.dying).map(|(id, _)| *id).collect();
        dying.into_iter().for_each(|id| self.bury(id));
    }

    /// Shuts a domain down, of which the tools hear.
    pub(crate) fn shut_down(&mut self, id: u16) {
        if !core::mem::replace(&mut self.dom_mut(id).shut_down, true) {
            self.global_virq(VIRQ_DOM_EXC);
        }
    }
}
