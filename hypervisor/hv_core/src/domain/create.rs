//! How a domain comes to be.

use super::state::{Domain, DomainConfig};
use super::table::InsertError;
use super::watchdog::TIMERS_PER_DOMAIN;
use crate::Hypervisor;
use crate::memory::{HeldPage, Use};
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use hal::{Domid, MachineOps as _, Mfn, Stage2Format as _, Stage2Root};
use machine::Stage2;
use xen_abi::Errno;
use xen_abi::hvm::params::HVM_PARAM_CALLBACK_IRQ;

/// Why a domain could not be created, as the ABI's errno.
pub type CreateError = Errno;

impl From<InsertError> for Errno {
    fn from(e: InsertError) -> Self {
        match e {
            InsertError::Exists => Errno::EEXIST,
            InsertError::Full | InsertError::NoMemory => Errno::ENOMEM,
        }
    }
}

impl Hypervisor {
    /// Creates a domain with no vCPUs and no memory, paused, and enters it in the table. `arch` is
    /// the ABI's arch_domainconfig. Creation is serialised by the caller's domctl lock.
    ///
    /// # Errors
    /// EEXIST for a number in use, EINVAL for a configuration that cannot be had, ENOMEM; ESRCH for a
    /// cpupool that is not there, ENODEV for one without pCPUs.
    pub fn create_domain(&self, config: &DomainConfig, arch: &[u8]) -> Result<Arc<Domain>, Errno> {
        if !self.reserve_timers(TIMERS_PER_DOMAIN) {
            return Err(Errno::ENOMEM);
        }
        let created = self.build_domain(config, arch);
        if created.is_err() {
            self.release_timers(TIMERS_PER_DOMAIN);
        }
        created
    }

    fn build_domain(&self, config: &DomainConfig, arch: &[u8]) -> Result<Arc<Domain>, Errno> {
        let guest = self.platform.new_guest(self, config, arch)?;
        let root = match self.new_root(config.id) {
            Ok(root) => root,
            Err(e) => {
                guest.release(self, config.id);
                return Err(e);
            }
        };
        let domain = match Domain::new(config, root, guest) {
            Ok(domain) => domain,
            Err(e) => {
                self.free_root(root);
                return Err(e);
            }
        };
        let callback = self.platform.callback_irq(config.privileged);
        if let Some(param) = domain.params.get(HVM_PARAM_CALLBACK_IRQ as usize) {
            param.store(callback, Ordering::Relaxed);
        }
        let entered = domain
            .events
            .init(self, &domain)
            .and_then(|()| self.platform.finish_guest(self, &domain))
            .and_then(|()| self.pools.add_domain(self, &domain, config.cpupool))
            .and_then(|()| Ok(self.domains.insert(Arc::clone(&domain))?));
        if let Err(e) = entered {
            self.undo_create(&domain);
            return Err(e);
        }
        Ok(domain)
    }

    /// Takes apart a domain that never was in the table.
    fn undo_create(&self, domain: &Domain) {
        domain.set_dying();
        while !domain.events.teardown(self, domain, u64::MAX) {}
        while !domain.teardown_p2m(self, u64::MAX) {}
        while !domain.teardown_pool(self, u64::MAX) {}
        self.pools.remove_domain(self, domain);
        domain.guest.release(self, domain.id);
        self.free_root(domain.root);
    }

    /// Root tables and a TLB tag for a domain.
    fn new_root(&self, owner: Domid) -> Result<Stage2Root, Errno> {
        let tag = {
            let mut tags = self.tags.lock();
            let tag = tags.first().ok_or(Errno::ENOMEM)?;
            tags.clear(tag);
            tag as u16
        };
        match self.frames.alloc(self.machine, Stage2::ROOT_ORDER, owner, Use::Table) {
            Some(table) => {
                self.machine.publish_tables();
                Ok(Stage2Root { table, tag })
            }
            None => {
                self.tags.lock().set(usize::from(tag));
                Err(Errno::ENOMEM)
            }
        }
    }

    /// Gives back what [`new_root`](Self::new_root) gave, after a flush: the tag is reused.
    pub(super) fn free_root(&self, root: Stage2Root) {
        self.machine.flush_tag(root);
        for i in 0..1 << Stage2::ROOT_ORDER {
            self.frames.free_table(root.table.plus(i));
        }
        self.tags.lock().set(usize::from(root.tag));
    }

    /// A zeroed page that the hypervisor shares with `owner`.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn new_shared_page(&self, owner: Domid) -> Result<HeldPage, Errno> {
        let mfn: Mfn = self.frames.alloc(self.machine, 0, owner, Use::Shared).ok_or(Errno::ENOMEM)?;
        Ok(HeldPage::from_allocation(mfn))
    }
}
