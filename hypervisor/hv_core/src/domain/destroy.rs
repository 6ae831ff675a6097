//! How a domain ends: step by step, each with a budget, until nothing of it is left.

use super::state::Domain;
use super::watchdog::TIMERS_PER_DOMAIN;
use crate::Hypervisor;
use alloc::sync::Arc;
use hal::MachineOps as _;
use xen_abi::Errno;
use xen_abi::xen::VIRQ_DOM_EXC;

/// Frames (or channels, or grants) that one step of a teardown handles at most.
const STEP: u64 = 512;

/// How far the teardown of a domain has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Teardown {
    /// It is alive.
    #[default]
    Alive,
    /// Paused for good; its vCPUs are leaving their pCPUs.
    Stopping,
    /// Stopped; its event channels are being closed.
    Events,
    /// What it maps of others, and its own grant frames.
    Grants,
    /// Its stage-2 mappings.
    Memory,
    /// Its table pool.
    Pool,
    /// Done but for pages that others still map.
    Drained,
}

impl Hypervisor {
    /// One step of XEN_DOMCTL_destroydomain; true when the caller need not come back.
    ///
    /// # Errors
    /// EINVAL for dom0.
    pub fn destroy_domain(&self, domain: &Arc<Domain>) -> Result<bool, Errno> {
        if domain.privileged { Err(Errno::EINVAL) } else { Ok(self.teardown_step(domain)) }
    }

    /// One step of a teardown; true when the caller need not come back.
    pub(crate) fn teardown_step(&self, domain: &Arc<Domain>) -> bool {
        let Some(mut life) = domain.life.try_lock() else { return false };
        life.teardown = match life.teardown {
            Teardown::Alive => {
                domain.set_dying();
                // Nothing is an error about giving up.
                let _ = domain.claim_pages(self, 0);
                *domain.vnuma.lock() = None;
                for vcpu in domain.vcpus() {
                    self.pause_vcpu(vcpu);
                }
                Teardown::Stopping
            }
            // Looked at, not waited for: a vCPU may need the lock that is held here before it leaves.
            Teardown::Stopping if domain.vcpus().all(|vcpu| !self.is_held(vcpu)) => {
                // From here on no translation of the domain can enter a TLB.
                self.machine.flush_tag(domain.root);
                Teardown::Events
            }
            Teardown::Events if domain.events.teardown(self, domain, STEP) => Teardown::Grants,
            Teardown::Grants if domain.grants.teardown(self, domain, STEP) => Teardown::Memory,
            Teardown::Memory if domain.teardown_p2m(self, STEP) => Teardown::Pool,
            Teardown::Pool if domain.teardown_pool(self, STEP) => {
                domain.remove_vcpus(self);
                domain.watchdogs.stop(self);
                self.release_timers(TIMERS_PER_DOMAIN);
                domain.guest.release(self, domain.id);
                self.pools.remove_domain(self, domain);
                self.free_root(domain.root);
                Teardown::Drained
            }
            unfinished => unfinished,
        };
        let drained = life.teardown == Teardown::Drained;
        drop(life);
        if drained {
            // Those who still map its pages hear of it, and let go.
            self.send_global_virq(VIRQ_DOM_EXC);
            self.bury(domain);
        }
        drained
    }

    /// Removes a drained domain whose last page is free; its last holder frees the rest.
    fn bury(&self, domain: &Arc<Domain>) {
        let done = domain.life.lock().teardown == Teardown::Drained && domain.tot_pages() == 0;
        if done && self.domains.remove(domain.id).is_some() {
            self.send_global_virq(VIRQ_DOM_EXC);
        }
    }

    /// Finishes drained domains whose last page went after their teardown.
    pub(crate) fn reap(&self) {
        let mut from = 1;
        while let Some(domain) = self.domains.first_from(from) {
            from = domain.id.raw() + 1;
            if domain.is_dying() {
                self.bury(&domain);
            }
        }
    }
}

impl Domain {
    /// Whether nothing is left of it but pages that others still map.
    pub fn is_drained(&self) -> bool {
        self.life.lock().teardown == Teardown::Drained
    }

    pub(super) fn teardown_p2m(&self, hv: &Hypervisor, budget: u64) -> bool {
        let mut memory = self.memory.lock();
        let memory = &mut *memory;
        memory.p2m.teardown(hv, &mut memory.pool, budget)
    }

    pub(super) fn teardown_pool(&self, hv: &Hypervisor, budget: u64) -> bool {
        let mut memory = self.memory.lock();
        for _ in 0..budget {
            if !memory.pool.shrink(hv) {
                return true;
            }
        }
        false
    }
}
