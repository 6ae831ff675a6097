//! Creating a domain from its configuration, completely or not at all.

mod announce;
mod build;
mod files;
mod wanted;

use xen_abi::arch_arm::{XEN_DOMCTL_CONFIG_GIC_NATIVE, XEN_DOMCTL_CONFIG_GIC_V2, XEN_DOMCTL_CONFIG_GIC_V3};
use xen_abi::domctl::VcpuAffinityFlags;
use xen_abi::domctl::v4_17::{CreateFlags, DominfFlags};
use xen_abi::sysctl::PhyscapFlags;
use xen_ctrl::{Affinity, ArchConfig, Bitmap, CreateConfig, Created, DomainInfo};
use xen_dev::Domid;
use xl_config::{Affinity as CpuLists, CpuList, DomainConfig, GicVersion, Uuid};

use self::files::Files;
pub(crate) use self::wanted::Wanted;
use crate::device::bring_up::Pending;
use crate::kept::complete;
use crate::tune::SLACK_KIB;
use crate::{DomainError, Toolstack};

/// Largest event channel port of a domain whose configuration does not say, as with libxl.
const EVENT_CHANNELS: u32 = 1023;
/// `XEN_DOMCTL_CONFIG_TEE_NONE`
const NO_TEE: u16 = 0;
/// KiB of a page.
const PAGE_KIB: u64 = 4;

impl Toolstack {
    /// Creates a domain: with memory, kernel, devices and all nodes, paused. After an error nothing is left of it. Its
    /// configuration is kept: see [`Toolstack::kept_config`].
    ///
    /// # Errors
    /// What the configuration asks for and cannot be had, or the step that failed.
    pub fn create(&mut self, config: &DomainConfig) -> Result<Domid, DomainError> {
        let wanted = Wanted::new(config)?;
        let files = Files::open(config)?;
        let uuid = match config.uuid {
            Some(uuid) => self.refuse_uuid(uuid)?,
            None => crate::random::uuid()?,
        };
        self.refuse_memory(config)?;
        let config = &complete(config, uuid, &wanted)?;
        let pending = self.prepare_devices(&wanted.disks, &wanted.vifs)?;
        let create_config = self.create_config(config, uuid)?;
        let created = self.ctrl.create(None, &create_config)?;
        let furnished = self.furnish(config, &files, uuid, &created, pending);
        furnished.map_err(|error| error.undone(self.destroy(created.domid)))?;
        Ok(created.domid)
    }

    /// The steps between an empty domain and one that can run.
    fn furnish(
        &mut self,
        config: &DomainConfig,
        files: &Files,
        uuid: Uuid,
        created: &Created,
        pending: Pending,
    ) -> Result<(), DomainError> {
        let domid = created.domid;
        self.announce(domid, config.name.as_str(), uuid)?;
        self.ctrl.set_max_vcpus(domid, config.maxvcpus)?;
        self.set_affinity(domid, config)?;
        self.ctrl.set_max_memory(domid, config.maxmem.kib().saturating_add(SLACK_KIB))?;
        self.ctrl.set_paging_pool(domid, paging_pool(config))?;
        let rings = self.build(config, files, created)?;
        self.set_share(domid, config)?;
        self.complete(domid, config, uuid, &rings, &pending)?;
        let store = rings.xenstore;
        self.store.introduce(xenstore_wire::Domid(domid.get()), store.gfn, store.port)?;
        self.bring_up_devices(domid, pending)?;
        self.keep_new(domid, uuid, config)
    }

    fn create_config(&mut self, config: &DomainConfig, uuid: Uuid) -> Result<CreateConfig, DomainError> {
        let capabilities = PhyscapFlags::from_bits_retain(self.ctrl.physinfo()?.capabilities);
        let grant_version = match config.max_grant_version {
            Some(version) => version.into(),
            None if capabilities.contains(PhyscapFlags::GNTTAB_V2) => 2,
            None if capabilities.contains(PhyscapFlags::GNTTAB_V1) => 1,
            None => 0,
        };
        let gic_version = match config.gic_version {
            None | Some(GicVersion::Default) => XEN_DOMCTL_CONFIG_GIC_NATIVE,
            Some(GicVersion::V2) => XEN_DOMCTL_CONFIG_GIC_V2,
            Some(GicVersion::V3) => XEN_DOMCTL_CONFIG_GIC_V3,
        };
        // The serial port has the first of the shared interrupts.
        let nr_spis = config.vuart.map_or(0, |_| 1);
        Ok(CreateConfig {
            handle: uuid.0,
            flags: CreateFlags::HVM | CreateFlags::HAP,
            iommu_opts: 0,
            max_vcpus: config.maxvcpus,
            max_event_port: config.max_event_channels.unwrap_or(EVENT_CHANNELS),
            max_grant_frames: config.max_grant_frames,
            max_maptrack_frames: config.max_maptrack_frames,
            max_grant_version: grant_version,
            cpupool: self.pool(config)?,
            ssidref: 0,
            arch: ArchConfig::Arm64 { gic_version, tee_type: NO_TEE, nr_spis },
        })
    }

    /// The pool that the configuration names, by name or number.
    fn pool(&mut self, config: &DomainConfig) -> Result<u32, DomainError> {
        let Some(wanted) = &config.pool else { return Ok(0) };
        match self.find_pool(wanted.as_str()) {
            Ok(pool) => Ok(pool.id),
            Err(error @ DomainError::NoSuchPool(_)) => {
                Err(DomainError::Key { key: "pool", why: error.to_string() })
            }
            Err(error) => Err(error),
        }
    }

    fn set_affinity(&mut self, domid: Domid, config: &DomainConfig) -> Result<(), DomainError> {
        let lists = [
            ("cpus", &config.cpus, VcpuAffinityFlags::HARD),
            ("cpus_soft", &config.cpus_soft, VcpuAffinityFlags::SOFT),
        ];
        for (key, lists, flag) in lists {
            let Some(lists) = lists else { continue };
            for vcpu in 0..config.maxvcpus {
                let list = match lists {
                    CpuLists::Every(list) => Some(list),
                    CpuLists::PerVcpu(lists) => lists.get(vcpu as usize),
                };
                if let Some(list) = list {
                    let cpus = self.cpus(list).map_err(|why| DomainError::Key { key, why })?;
                    let affinity = Affinity { hard: cpus.clone(), soft: cpus };
                    self.ctrl.set_vcpu_affinity(domid, vcpu, flag, &affinity)?;
                }
            }
        }
        Ok(())
    }

    /// The host's CPUs that a list means.
    ///
    /// # Errors
    /// What is wrong with the list on this host.
    pub fn cpus(&self, list: &CpuList) -> Result<Bitmap, String> {
        let topology = self.ctrl.cpu_topology().map_err(|error| error.to_string())?;
        // CPUs that are not online are of no node.
        let nodes: Vec<u32> = topology.iter().map(|cpu| cpu.map_or(u32::MAX, |cpu| cpu.node)).collect();
        let chosen = list.resolve(&nodes).map_err(|error| error.to_string())?;
        let mut cpus = Bitmap::default();
        for (cpu, _) in (0..).zip(&chosen).filter(|(_, chosen)| **chosen) {
            if !cpus.insert(cpu) {
                return Err(format!("CPU {cpu} is beyond what the tools can name"));
            }
        }
        Ok(cpus)
    }

    /// Sets the share of CPU time, where the configuration says something of it.
    fn set_share(&mut self, domid: Domid, config: &DomainConfig) -> Result<(), DomainError> {
        if config.cpu_weight.is_none() && config.cap.is_none() {
            return Ok(());
        }
        let mut params = self.ctrl.credit2(domid)?;
        params.weight = config.cpu_weight.unwrap_or(params.weight);
        // More than 16 bits of percent are no limit on any host.
        params.cap = config.cap.map_or(params.cap, |cap| u16::try_from(cap).unwrap_or(0));
        Ok(self.ctrl.set_credit2(domid, params)?)
    }

    fn refuse_uuid(&mut self, uuid: Uuid) -> Result<Uuid, DomainError> {
        // One that is on its way out may stay for a while, as long as others hold memory of it.
        let is_there = |info: &&DomainInfo| info.handle == uuid.0 && !info.flags.contains(DominfFlags::DYING);
        match self.ctrl.domains()?.iter().find(is_there) {
            Some(info) => Err(DomainError::UuidTaken { uuid, domid: info.domid }),
            None => Ok(uuid),
        }
    }

    /// Says early that memory will not do, rather than late and less clearly.
    fn refuse_memory(&self, config: &DomainConfig) -> Result<(), DomainError> {
        let info = self.ctrl.physinfo()?;
        let free_kib = info.free_pages.saturating_sub(info.outstanding_pages).saturating_mul(PAGE_KIB);
        let needed_kib = config.maxmem.kib().saturating_add(paging_pool(config) >> 10);
        if needed_kib > free_kib {
            let (needed_mib, free_mib) = (needed_kib.div_ceil(1024), free_kib / 1024);
            return Err(DomainError::Memory { needed_mib, free_mib });
        }
        Ok(())
    }
}

/// Bytes for the domain's page tables: as libxl, 1 MiB for each vCPU and 8 KiB for each MiB.
fn paging_pool(config: &DomainConfig) -> u64 {
    let kib = 4 * (256 * u64::from(config.maxvcpus) + 2 * (config.maxmem.kib() / 1024));
    kib << 10
}
