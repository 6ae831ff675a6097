//! What can be changed while a domain runs: memory and vCPUs, also for when it is made again; and keys sent to its
//! kernel.

use xen_ctrl::DomainInfo;
use xen_dev::Domid;
use xenstore_client::Operations;
use xl_config::{MemorySize, Uuid};

use crate::nodes::{self, home};
use crate::{DomainError, Toolstack};

/// Memory beyond what a domain was given that it may have, in KiB: for what the tools put into it (as with libxl).
pub(crate) const SLACK_KIB: u64 = 1024;
/// Dom0 needs at least this much, in KiB (as with libxl).
const DOM0_MIN_KIB: u64 = 128 << 10;

impl Toolstack {
    /// Tells a domain's balloon driver how much memory it shall have, in KiB, and allows it no more.
    ///
    /// # Errors
    /// [`DomainError::TooMuch`] when the domain was not created for so much.
    pub fn set_memory_target(&mut self, domid: Domid, kib: u64) -> Result<(), DomainError> {
        let info = self.running(domid)?;
        let limit = match self.number(domid, "memory/static-max") {
            // Dom0 has the node only after tools of libxl wrote it.
            Err(DomainError::Node { .. }) if domid == Domid::DOM0 => info.max_pages.saturating_mul(4),
            other => other?,
        };
        if kib > limit {
            return Err(DomainError::TooMuch { domid, what: "memory in KiB", asked: kib, limit });
        }
        if domid == Domid::DOM0 && kib < DOM0_MIN_KIB {
            return Err(DomainError::Dom0("left with less than 128 MiB"));
        }
        self.ctrl.set_max_memory(domid, kib.saturating_add(SLACK_KIB))?;
        let uuid = Uuid(info.handle);
        self.store.transaction(|store| {
            store.write(&format!("{}/memory/target", home(domid)), kib.to_string())?;
            store.write(&format!("/vm/{uuid}/memory"), (kib / 1024).to_string())
        })?;
        self.change_kept(domid, |config| {
            config.memory = MemorySize::from_kib(kib).unwrap_or(config.memory).min(config.maxmem);
        })
    }

    /// Limits a domain's memory, in KiB, and notes the limit.
    ///
    /// # Errors
    /// When there is no such domain, or the hypervisor refuses.
    pub fn set_memory_max(&mut self, domid: Domid, kib: u64) -> Result<(), DomainError> {
        self.running(domid)?;
        self.ctrl.set_max_memory(domid, kib.saturating_add(SLACK_KIB))?;
        let path = format!("{}/memory/static-max", home(domid));
        self.store.write(&path, kib.to_string())?;
        self.change_kept(domid, |config| {
            config.maxmem = MemorySize::from_kib(kib).unwrap_or(config.maxmem).max(config.memory);
        })
    }

    /// Lets a domain use its first `count` vCPUs and no other.
    ///
    /// # Errors
    /// [`DomainError::TooMuch`] when it has fewer.
    pub fn set_vcpus(&mut self, domid: Domid, count: u32) -> Result<(), DomainError> {
        let has = vcpus(&self.running(domid)?);
        if count > has {
            let (asked, limit) = (count.into(), has.into());
            return Err(DomainError::TooMuch { domid, what: "number of vCPUs", asked, limit });
        }
        let states: Vec<_> = (0..has).map(|vcpu| (vcpu, availability(vcpu < count))).collect();
        self.store.transaction(|store| {
            states.iter().try_for_each(|(vcpu, state)| {
                store.write(&format!("{}/cpu/{vcpu}/availability", home(domid)), state)
            })
        })?;
        self.change_kept(domid, |config| config.vcpus = count.clamp(1, config.maxvcpus))
    }

    /// Sends a key to the guest kernel's SysRq.
    ///
    /// # Errors
    /// When there is no such domain.
    pub fn send_sysrq(&mut self, domid: Domid, key: char) -> Result<(), DomainError> {
        self.running(domid)?;
        Ok(self.store.write(&format!("{}/control/sysrq", home(domid)), key.to_string())?)
    }

    /// When the domain was created, in seconds since 1970, if that is noted.
    ///
    /// # Errors
    /// When xenstore refuses.
    pub fn start_time(&mut self, uuid: Uuid) -> Result<Option<u64>, DomainError> {
        let text = nodes::text(&mut self.store, &format!("/vm/{uuid}/start_time"))?;
        Ok(text.and_then(|text| text.split('.').next()?.parse().ok()))
    }

    fn number(&mut self, domid: Domid, name: &str) -> Result<u64, DomainError> {
        let path = format!("{}/{name}", home(domid));
        let text = nodes::text(&mut self.store, &path)?;
        text.and_then(|text| text.parse().ok()).ok_or(DomainError::Node { domid, path })
    }
}

/// vCPUs that a domain has, online or not.
pub fn vcpus(info: &DomainInfo) -> u32 {
    info.max_vcpu_id.map_or(0, |id| id.saturating_add(1))
}

/// What xenstore says of a vCPU.
pub(crate) fn availability(online: bool) -> &'static str {
    if online { "online" } else { "offline" }
}
