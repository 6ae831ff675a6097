//! The life of a domain: what it is, its limits, pause, resume, shut down, destroy.

use xen_abi::domctl::v4_17::{self, DominfFlags, GetDomainInfoCommon, XEN_INVALID_MAX_VCPU_ID};
use xen_abi::domctl::*;
use xen_abi::sched::*;
use xen_abi::sysctl::{GetDomainInfoList, XEN_SYSCTL_getdomaininfolist};
use xen_abi::xen::{__HYPERVISOR_sched_op, DOMID_FIRST_RESERVED, DomainHandle};
use xen_abi::{Arm64, X86_64};
use xen_dev::{Domid, Errno, Port};
use zerocopy::{FromBytes, FromZeros};

use crate::{Cpu, CtrlError, XenCtrl};

/// Domains asked for at a time.
const BATCH: usize = 128;

/// A domain as it is now (`xen_domctl_getdomaininfo`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DomainInfo {
    /// Its id.
    pub domid: Domid,
    /// Its state.
    pub flags: DominfFlags,
    /// Pages that it has.
    pub total_pages: u64,
    /// Pages that it may have.
    pub max_pages: u64,
    /// Pages claimed for it and not yet allocated.
    pub outstanding_pages: u64,
    /// Pages that it shares.
    pub shared_pages: u64,
    /// Pages that are paged out.
    pub paged_pages: u64,
    /// Guest frame of the shared information page, if it is mapped.
    pub shared_info_gfn: Option<u64>,
    /// CPU time in nanoseconds.
    pub cpu_time_ns: u64,
    /// vCPUs that are online.
    pub online_vcpus: u32,
    /// Largest vCPU id, if it has vCPUs.
    pub max_vcpu_id: Option<u32>,
    /// Security label.
    pub ssidref: u32,
    /// UUID.
    pub handle: DomainHandle,
    /// CPU pool.
    pub cpupool: u32,
    /// Width of guest physical addresses in bits.
    pub gpaddr_bits: u8,
}

/// Why a domain shut down (`SHUTDOWN_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownReason {
    /// It powered off.
    Poweroff,
    /// It asks for a restart.
    Reboot,
    /// It suspended itself, to be saved.
    Suspend,
    /// It crashed.
    Crash,
    /// Its watchdog expired.
    Watchdog,
    /// It asks for a reset that keeps memory and vCPU state.
    SoftReset,
    /// A reason that the interface does not name.
    Unknown(u8),
}

impl ShutdownReason {
    /// The reason with this number.
    pub fn from_code(code: u32) -> Self {
        match code {
            SHUTDOWN_poweroff => Self::Poweroff,
            SHUTDOWN_reboot => Self::Reboot,
            SHUTDOWN_suspend => Self::Suspend,
            SHUTDOWN_crash => Self::Crash,
            SHUTDOWN_watchdog => Self::Watchdog,
            SHUTDOWN_soft_reset => Self::SoftReset,
            other => Self::Unknown(other as u8),
        }
    }

    /// Its number.
    pub fn code(self) -> u32 {
        match self {
            Self::Poweroff => SHUTDOWN_poweroff,
            Self::Reboot => SHUTDOWN_reboot,
            Self::Suspend => SHUTDOWN_suspend,
            Self::Crash => SHUTDOWN_crash,
            Self::Watchdog => SHUTDOWN_watchdog,
            Self::SoftReset => SHUTDOWN_soft_reset,
            Self::Unknown(code) => code.into(),
        }
    }
}

impl DomainInfo {
    fn new(common: GetDomainInfoCommon) -> Option<Self> {
        Some(Self {
            domid: Domid::new(common.domain)?,
            flags: DominfFlags::from_bits_retain(common.flags),
            total_pages: common.tot_pages,
            max_pages: common.max_pages,
            outstanding_pages: common.outstanding_pages,
            shared_pages: common.shr_pages,
            paged_pages: common.paged_pages,
            shared_info_gfn: Some(common.shared_info_frame).filter(|&gfn| gfn != u64::MAX),
            cpu_time_ns: common.cpu_time,
            online_vcpus: common.nr_online_vcpus,
            max_vcpu_id: Some(common.max_vcpu_id).filter(|&id| id != XEN_INVALID_MAX_VCPU_ID),
            ssidref: common.ssidref,
            handle: common.handle,
            cpupool: common.cpupool,
            gpaddr_bits: common.gpaddr_bits,
        })
    }

    /// Why the domain shut down, if it did.
    pub fn shutdown_reason(&self) -> Option<ShutdownReason> {
        let down = self.flags.contains(DominfFlags::SHUTDOWN);
        down.then(|| ShutdownReason::from_code(self.flags.shutdown_code()))
    }
}

impl XenCtrl {
    /// Describes a domain; `ESRCH` when there is none of that id.
    pub fn domain(&self, domid: Domid) -> Result<DomainInfo, CtrlError> {
        const CALL: &str = "XEN_DOMCTL_getdomaininfo";
        let mut bytes = [0u64; 16];
        self.domctl(CALL, XEN_DOMCTL_getdomaininfo, domid, &mut bytes, &mut [])?;
        let info = common(zerocopy::IntoBytes::as_bytes(&bytes)).and_then(DomainInfo::new);
        // Before 4.18 the hypervisor answers with the next domain when there is none of that id.
        info.filter(|info| info.domid == domid).ok_or(CtrlError::Call {
            call: CALL,
            domid: Some(domid),
            errno: Errno::SRCH,
        })
    }

    /// Describes all domains, by rising id.
    pub fn domains(&self) -> Result<Vec<DomainInfo>, CtrlError> {
        const CALL: &str = "XEN_SYSCTL_getdomaininfolist";
        let answer = |what| CtrlError::Answer { call: CALL, domid: None, what };
        let stride = match self.cpu {
            Cpu::Arm64 => size_of::<v4_17::arm64::GetDomainInfo>(),
            Cpu::X86 => size_of::<v4_17::x86_64::GetDomainInfo>(),
        };
        let mut buffer = vec![0; stride * BATCH];
        let mut domains: Vec<DomainInfo> = Vec::new();
        let mut first = 0;
        while first < DOMID_FIRST_RESERVED {
            let mut list = GetDomainInfoList::new_zeroed();
            list.first_domain = first;
            list.max_domains = BATCH as u32;
            let pointed = &mut [(std::mem::offset_of!(GetDomainInfoList, buffer), buffer.as_mut_slice())];
            self.sysctl(CALL, XEN_SYSCTL_getdomaininfolist, &mut list, pointed)?;
            let found = list.num_domains as usize;
            if found > BATCH {
                return Err(answer("more domains than asked for"));
            }
            for bytes in buffer.chunks_exact(stride).take(found) {
                let info = common(bytes).and_then(DomainInfo::new).ok_or(answer("a reserved domain id"))?;
                if info.domid.get() < first {
                    return Err(answer("domains out of order"));
                }
                first = info.domid.get() + 1;
                domains.push(info);
            }
            if found < BATCH {
                break;
            }
        }
        Ok(domains)
    }

    /// Creates the domain's vCPUs; the number must be that of its creation.
    pub fn set_max_vcpus(&self, domid: Domid, vcpus: u32) -> Result<(), CtrlError> {
        let mut max = MaxVcpus { max: vcpus };
        self.domctl("XEN_DOMCTL_max_vcpus", XEN_DOMCTL_max_vcpus, domid, &mut max, &mut [])
    }

    /// Limits the domain's memory, in KiB.
    pub fn set_max_memory(&self, domid: Domid, kib: u64) -> Result<(), CtrlError> {
        let mut max = MaxMem { max_memkb: kib };
        self.domctl("XEN_DOMCTL_max_mem", XEN_DOMCTL_max_mem, domid, &mut max, &mut [])
    }

    /// Pauses the domain. Pauses count, and a domain is created with one.
    pub fn pause(&self, domid: Domid) -> Result<(), CtrlError> {
        self.bare("XEN_DOMCTL_pausedomain", XEN_DOMCTL_pausedomain, domid)
    }

    /// Undoes one pause.
    pub fn unpause(&self, domid: Domid) -> Result<(), CtrlError> {
        self.bare("XEN_DOMCTL_unpausedomain", XEN_DOMCTL_unpausedomain, domid)
    }

    /// Destroys the domain. It stays as dying while others hold its memory.
    pub fn destroy(&self, domid: Domid) -> Result<(), CtrlError> {
        self.bare("XEN_DOMCTL_destroydomain", XEN_DOMCTL_destroydomain, domid)
    }

    /// Lets a domain that shut down run on.
    pub fn resume(&self, domid: Domid) -> Result<(), CtrlError> {
        self.bare("XEN_DOMCTL_resumedomain", XEN_DOMCTL_resumedomain, domid)
    }

    fn bare(&self, call: &'static str, cmd: u32, domid: Domid) -> Result<(), CtrlError> {
        self.domctl(call, cmd, domid, &mut [0u64; 0], &mut [])
    }

    /// Shuts the domain down at once, without asking it.
    pub fn shut_down(&self, domid: Domid, reason: ShutdownReason) -> Result<(), CtrlError> {
        let mut shutdown = SchedRemoteShutdown { domain_id: domid.get(), _gap0: 0, reason: reason.code() };
        self.operate(__HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, &mut shutdown, &mut [])
            .map(drop)
            .map_err(|errno| CtrlError::Call { call: "SCHEDOP_remote_shutdown", domid: Some(domid), errno })
    }

    /// Sets the domain's UUID.
    pub fn set_handle(&self, domid: Domid, handle: DomainHandle) -> Result<(), CtrlError> {
        let mut handle = SetDomainHandle { handle };
        self.domctl("XEN_DOMCTL_setdomainhandle", XEN_DOMCTL_setdomainhandle, domid, &mut handle, &mut [])
    }

    /// Makes a new domain a 32-bit or a 64-bit one: `bits` is 32 or 64.
    pub fn set_address_size(&self, domid: Domid, bits: u32) -> Result<(), CtrlError> {
        let mut size = AddressSize { size: bits };
        self.domctl("XEN_DOMCTL_set_address_size", XEN_DOMCTL_set_address_size, domid, &mut size, &mut [])
    }

    /// Whether the domain is a 32-bit or a 64-bit one; `ENOSYS` on arm64.
    pub fn address_size(&self, domid: Domid) -> Result<u32, CtrlError> {
        let mut size = AddressSize { size: 0 };
        self.domctl("XEN_DOMCTL_get_address_size", XEN_DOMCTL_get_address_size, domid, &mut size, &mut [])?;
        Ok(size.size)
    }

    /// Sets the size of the pool for the domain's page tables, in bytes, a multiple of 4096.
    pub fn set_paging_pool(&self, domid: Domid, bytes: u64) -> Result<(), CtrlError> {
        const CALL: &str = "XEN_DOMCTL_set_paging_mempool_size";
        let mut pool = PagingMempool { size: bytes };
        self.domctl(CALL, XEN_DOMCTL_set_paging_mempool_size, domid, &mut pool, &mut [])
    }

    /// The size of the pool for the domain's page tables, in bytes.
    pub fn paging_pool(&self, domid: Domid) -> Result<u64, CtrlError> {
        const CALL: &str = "XEN_DOMCTL_get_paging_mempool_size";
        let mut pool = PagingMempool { size: 0 };
        self.domctl(CALL, XEN_DOMCTL_get_paging_mempool_size, domid, &mut pool, &mut [])?;
        Ok(pool.size)
    }

    /// Sends a button or an interrupt (`XEN_DOMCTL_SENDTRIGGER_*`) to a vCPU.
    pub fn send_trigger(&self, domid: Domid, trigger: u32, vcpu: u32) -> Result<(), CtrlError> {
        let mut send = SendTrigger { trigger, vcpu };
        self.domctl("XEN_DOMCTL_sendtrigger", XEN_DOMCTL_sendtrigger, domid, &mut send, &mut [])
    }

    /// Sets how far the domain's clock is from UTC, in seconds.
    pub fn set_time_offset(&self, domid: Domid, seconds: i64) -> Result<(), CtrlError> {
        let mut offset = SetTimeOffset { time_offset_seconds: seconds };
        self.domctl("XEN_DOMCTL_settimeoffset", XEN_DOMCTL_settimeoffset, domid, &mut offset, &mut [])
    }

    /// Gives an arm64 domain an emulated PL011 whose ring is at `gfn`, served by Dom0. Returns the port to which Dom0
    /// connects. `EINVAL` when the domain was created without the shared interrupt that it needs (`GUEST_VPL011_SPI`).
    pub fn init_vuart(&self, domid: Domid, gfn: u64) -> Result<Port, CtrlError> {
        let mut vuart = VuartOp::new_zeroed();
        vuart.cmd = XEN_DOMCTL_VUART_OP_INIT;
        vuart.type_ = XEN_DOMCTL_VUART_TYPE_VPL011;
        vuart.gfn = gfn;
        vuart.console_domid = Domid::DOM0.get();
        self.domctl("XEN_DOMCTL_vuart_op", XEN_DOMCTL_vuart_op, domid, &mut vuart, &mut [])?;
        Ok(vuart.evtchn)
    }
}

/// The part of `getdomaininfo` that is the same on both CPUs and in all versions.
fn common(bytes: &[u8]) -> Option<GetDomainInfoCommon> {
    GetDomainInfoCommon::read_from_prefix(bytes).ok().map(|(common, _)| common)
}

// The common part is the first of both layouts, as `common` takes for granted.
const _: () = {
    assert!(std::mem::offset_of!(<Arm64 as v4_17::DomctlArch>::GetDomainInfo, common) == 0);
    assert!(std::mem::offset_of!(<X86_64 as v4_17::DomctlArch>::GetDomainInfo, common) == 0);
};

#[cfg(test)]
#[path = "domain_tests.rs"]
mod tests;
