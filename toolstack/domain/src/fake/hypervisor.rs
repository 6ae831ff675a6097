//! A hypervisor of version 4.17 on arm64 that keeps domains and does nothing with them.
#![allow(non_upper_case_globals, reason = "the ABI's constants keep their header spelling, in patterns too")]

use std::collections::BTreeMap;
use std::mem::offset_of;

use xen_abi::domctl::v4_17::arm64::{CreateDomain, GetDomainInfo};
use xen_abi::domctl::v4_17::{DominfFlags, GetDomainInfoCommon};
use xen_abi::domctl::*;
use xen_abi::event_channel::EvtchnAllocUnbound;
use xen_abi::memory::*;
use xen_abi::sysctl::*;
use xen_abi::version::XENVER_build_id;
use xen_abi::xen::*;
use xen_dev::fake::{FakeCall, FakeXen};
use xen_dev::{Domid, Errno};
use zerocopy::FromZeros;

use super::pools::Pools;

/// Pages of the host.
const HOST_PAGES: u64 = 1 << 20;

/// A domain.
#[derive(Clone, Debug)]
pub struct FakeDomain {
    /// UUID.
    pub handle: [u8; 16],
    /// How often it was paused.
    pub pauses: u32,
    /// Why it shut down.
    pub shutdown: Option<u32>,
    /// It is being destroyed, and others hold memory of it.
    pub dying: bool,
    /// vCPUs.
    pub vcpus: u32,
    /// Pages that it has.
    pub pages: u64,
    /// Limit of its memory in KiB.
    pub max_kib: u64,
    /// Size of the pool for its page tables, in bytes.
    pub paging_pool: u64,
    /// Event channels that wait for others.
    pub ports: u32,
    /// Weight and cap under credit2.
    pub credit2: SchedCredit2,
    /// The vCPU that was pinned last, and the first eight of its CPUs.
    pub pinned: (u32, u8),
    /// Its CPU pool.
    pub cpupool: u32,
    /// Operations on it, by the numbers of domctl.
    pub domctls: Vec<u32>,
}

impl FakeDomain {
    /// A domain that runs.
    pub fn new(handle: [u8; 16]) -> Self {
        Self { vcpus: 2, pages: 1 << 15, max_kib: 1 << 17, ..Self::empty(handle) }
    }

    /// A domain that was just created, but for its pause.
    fn empty(handle: [u8; 16]) -> Self {
        Self {
            handle,
            pauses: 0,
            shutdown: None,
            dying: false,
            vcpus: 0,
            pages: 0,
            max_kib: 0,
            paging_pool: 0,
            ports: 0,
            credit2: SchedCredit2 { weight: 256, cap: 0 },
            pinned: (0, 0),
            cpupool: 0,
            domctls: Vec::new(),
        }
    }

    fn info(&self, domid: u16) -> GetDomainInfoCommon {
        let mut flags = DominfFlags::HVM_GUEST | DominfFlags::HAP;
        flags.set(DominfFlags::PAUSED, self.pauses > 0);
        flags.set(DominfFlags::BLOCKED, self.pauses == 0);
        if let Some(reason) = self.shutdown {
            flags = (flags | DominfFlags::SHUTDOWN).with_shutdown_code(reason);
        }
        flags.set(DominfFlags::DYING, self.dying);
        let mut info = GetDomainInfoCommon::new_zeroed();
        info.domain = domid;
        info.flags = flags.bits();
        info.tot_pages = self.pages;
        info.max_pages = self.max_kib / 4;
        info.nr_online_vcpus = self.vcpus;
        info.max_vcpu_id = self.vcpus.wrapping_sub(1);
        info.handle = self.handle;
        info.cpu_time = 1_500_000_000;
        info.cpupool = self.cpupool;
        info.gpaddr_bits = 40;
        info
    }
}

pub(super) struct Hypervisor {
    pub(super) domains: BTreeMap<u16, FakeDomain>,
    pools: Pools,
    pub(super) fail_after: Option<u32>,
    pub(super) die_after: Option<u32>,
    pub(super) keys: String,
    console: String,
    next_domid: u16,
}

impl Hypervisor {
    pub(super) fn new() -> Self {
        let domains = BTreeMap::from([(0, FakeDomain::new([0; 16]))]);
        Self {
            domains,
            pools: Pools::new(),
            fail_after: None,
            die_after: None,
            keys: String::new(),
            console: "(XEN) Xenoxide\n".to_owned(),
            next_domid: 1,
        }
    }

    pub(super) fn answer(&mut self, call: &mut FakeCall, memory: &FakeXen) -> Result<u32, Errno> {
        match &mut self.die_after {
            Some(0) => {
                self.die_after = None;
                // A panic without a message.
                std::panic::resume_unwind(Box::new("the program dies here, for the test"));
            }
            Some(left) => *left -= 1,
            None => {}
        }
        let spared = call.number == __HYPERVISOR_domctl
            && matches!(
                call.read::<Domctl>(call.args[0])?.cmd,
                XEN_DOMCTL_destroydomain | XEN_DOMCTL_pausedomain
            );
        match (&mut self.fail_after, spared) {
            (Some(0), false) => {
                self.fail_after = None;
                return Err(Errno::NOMEM);
            }
            (Some(left), false) => *left -= 1,
            _ => {}
        }
        match call.number {
            __HYPERVISOR_domctl => self.domctl(call),
            __HYPERVISOR_sysctl => self.sysctl(call),
            __HYPERVISOR_memory_op => self.memory_op(call, memory),
            __HYPERVISOR_event_channel_op => {
                let mut op: EvtchnAllocUnbound = call.read(call.args[1])?;
                let domain = self.domains.get_mut(&op.dom).ok_or(Errno::SRCH)?;
                domain.ports += 1;
                op.port = domain.ports;
                call.write(call.args[1], &op)?;
                Ok(0)
            }
            __HYPERVISOR_hvm_op => Ok(0),
            __HYPERVISOR_xen_version if call.args[0] == u64::from(XENVER_build_id) => Err(Errno::NODATA),
            __HYPERVISOR_xen_version => Ok((4 << 16) | 17),
            _ => Err(Errno::NOSYS),
        }
    }

    fn domctl(&mut self, call: &mut FakeCall) -> Result<u32, Errno> {
        let mut op: Domctl = call.read(call.args[0])?;
        if op.interface_version != 0x15 {
            return Err(Errno::ACCESS);
        }
        if op.cmd == XEN_DOMCTL_createdomain {
            let mut create: CreateDomain = op.read_payload();
            create.arch.gic_version = xen_abi::arch_arm::XEN_DOMCTL_CONFIG_GIC_V3;
            op.domain = self.next_domid;
            self.next_domid += 1;
            let domain = FakeDomain { pauses: 1, ..FakeDomain::empty(create.common.handle) };
            self.domains.insert(op.domain, domain);
            op.write_payload(&create);
            call.write(call.args[0], &op)?;
            return Ok(0);
        }
        let domain = self.domains.get_mut(&op.domain).ok_or(Errno::SRCH)?;
        domain.domctls.push(op.cmd);
        match op.cmd {
            XEN_DOMCTL_destroydomain => drop(self.domains.remove(&op.domain)),
            XEN_DOMCTL_pausedomain => domain.pauses += 1,
            XEN_DOMCTL_unpausedomain => domain.pauses = domain.pauses.checked_sub(1).ok_or(Errno::INVAL)?,
            XEN_DOMCTL_getdomaininfo => op.write_payload(&domain.info(op.domain)),
            XEN_DOMCTL_setdomainhandle => domain.handle = op.read_payload::<SetDomainHandle>().handle,
            XEN_DOMCTL_max_vcpus => domain.vcpus = op.read_payload::<MaxVcpus>().max,
            XEN_DOMCTL_max_mem => domain.max_kib = op.read_payload::<MaxMem>().max_memkb,
            XEN_DOMCTL_set_paging_mempool_size => {
                domain.paging_pool = op.read_payload::<PagingMempool>().size;
            }
            XEN_DOMCTL_getvcpuinfo => {
                let mut info: GetVcpuInfo = op.read_payload();
                (info.online, info.blocked, info.cpu_time) = (1, 1, 500_000_000);
                info.cpu = info.vcpu;
                op.write_payload(&info);
            }
            XEN_DOMCTL_getvcpuaffinity => {
                let affinity: VcpuAffinity = op.read_payload();
                call.bytes_at_mut(affinity.cpumap_hard.bitmap.0)?[0] = 0b0110;
                call.bytes_at_mut(affinity.cpumap_soft.bitmap.0)?.fill(0xff);
            }
            XEN_DOMCTL_setvcpuaffinity => {
                let affinity: VcpuAffinity = op.read_payload();
                domain.pinned = (affinity.vcpu, call.bytes_at(affinity.cpumap_hard.bitmap.0)?[0]);
            }
            XEN_DOMCTL_scheduler_op => {
                let mut sched: xen_abi::domctl::SchedulerOp = op.read_payload();
                if sched.cmd == XEN_DOMCTL_SCHEDOP_putinfo {
                    domain.credit2 = sched.read_payload();
                }
                sched.write_payload(&domain.credit2);
                op.write_payload(&sched);
            }
            _ => {}
        }
        call.write(call.args[0], &op)?;
        Ok(0)
    }

    fn sysctl(&mut self, call: &mut FakeCall) -> Result<u32, Errno> {
        let mut op: Sysctl = call.read(call.args[0])?;
        match op.cmd {
            XEN_SYSCTL_getdomaininfolist => {
                let mut list: GetDomainInfoList = op.read_payload();
                let bytes = call.bytes_at_mut(list.buffer.0)?;
                let found = self.domains.range(list.first_domain..).take(list.max_domains as usize);
                let mut count = 0;
                for ((domid, domain), room) in found.zip(bytes.chunks_exact_mut(size_of::<GetDomainInfo>())) {
                    let mut info = GetDomainInfo::new_zeroed();
                    info.common = domain.info(*domid);
                    room.copy_from_slice(zerocopy::IntoBytes::as_bytes(&info));
                    count += 1;
                }
                list.num_domains = count;
                op.write_payload(&list);
            }
            XEN_SYSCTL_physinfo => {
                let mut info = Physinfo::new_zeroed();
                info.nr_cpus = 4;
                info.max_cpu_id = 3;
                info.nr_nodes = 1;
                info.total_pages = HOST_PAGES;
                let used: u64 = self.domains.values().map(|domain| domain.pages).sum();
                info.free_pages = HOST_PAGES.saturating_sub(used);
                op.write_payload(&info);
            }
            XEN_SYSCTL_cputopoinfo => {
                let mut info: CpuTopoInfo = op.read_payload();
                info.num_cpus = 4;
                op.write_payload(&info);
            }
            XEN_SYSCTL_cpupool_op => {
                let mut pool: CpupoolOp = op.read_payload();
                if let Some(cpus) = self.pools.op(&mut pool, &mut self.domains)? {
                    call.bytes_at_mut(pool.cpumap.bitmap.0)?[0] = cpus;
                }
                op.write_payload(&pool);
            }
            XEN_SYSCTL_readconsole => {
                let mut read: Readconsole = op.read_payload();
                let text = self.console.as_bytes().get(read.index as usize..).unwrap_or_default();
                call.bytes_at_mut(read.buffer.0)?[..text.len()].copy_from_slice(text);
                read.count = text.len() as u32;
                read.index += read.count;
                if read.clear != 0 {
                    self.console.clear();
                }
                op.write_payload(&read);
            }
            XEN_SYSCTL_sched_id => {
                let mut id = SchedId::new_zeroed();
                id.sched_id = XEN_SCHEDULER_CREDIT2;
                op.write_payload(&id);
            }
            XEN_SYSCTL_debug_keys => {
                let keys: DebugKeys = op.read_payload();
                self.keys = String::from_utf8_lossy(call.bytes_at(keys.keys.0)?).into_owned();
            }
            _ => {}
        }
        call.write(call.args[0], &op)?;
        Ok(0)
    }

    fn memory_op(&mut self, call: &mut FakeCall, memory: &FakeXen) -> Result<u32, Errno> {
        if call.args[0] != u64::from(XENMEM_populate_physmap) {
            return Ok(0);
        }
        let op: MemoryReservation = call.read(call.args[1])?;
        let domain = self.domains.get_mut(&op.domid).ok_or(Errno::SRCH)?;
        let domid = Domid::new(op.domid).ok_or(Errno::SRCH)?;
        let frames = call.bytes_at(op.extent_start.0)?.to_vec();
        for gfn in frames.chunks_exact(8).take(op.nr_extents as usize) {
            let gfn = u64::from_ne_bytes(gfn.try_into().map_err(|_| Errno::FAULT)?);
            let pages = 1u64 << op.extent_order;
            if domain.pages + pages > domain.max_kib / 4 {
                return Err(Errno::NOMEM);
            }
            domain.pages += pages;
            memory.add_frames(domid, gfn, pages);
        }
        Ok(op.nr_extents as u32)
    }
}

const _: () = assert!(offset_of!(GetDomainInfo, common) == 0);
