//! The one table of hypercalls: numbers, names, sub-operations and how far each is built.
//!
//! It drives the dispatch, and `docs/features.md` is generated from it. A test calls every
//! sub-operation and compares the answer with what the table says.

use super::{Call, Outcome};
use crate::{event, grant};
use xen_abi::Errno;

/// How far a sub-operation is built.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Works as in Xen 4.17.
    Done,
    /// Works but for what is named.
    Partial(&'static str),
    /// Answers with Xen's error on purpose, for the reason given.
    Refused(&'static str),
    /// Not built yet: answers ENOSYS (EOPNOTSUPP where Xen's tools expect that).
    Missing,
    /// Answers ENOSYS, as Xen does on arm64.
    Absent,
}

/// Whether Xen 4.17 has a sub-operation on arm64.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InXen {
    /// Yes, as Debian builds it.
    Yes,
    /// Only when built or booted with the option named, which Debian's is not.
    Option(&'static str),
    /// No: it answers ENOSYS.
    No,
}

/// A sub-operation.
#[derive(Clone, Copy, Debug)]
pub struct SubOp {
    /// Its number.
    pub number: u32,
    /// Its name as in the header, without the prefix.
    pub name: &'static str,
    /// How far it is built.
    pub status: Status,
    /// Whether Xen has it.
    pub in_xen: InXen,
}

/// A hypercall.
#[derive(Clone, Copy, Debug)]
pub struct Hypercall {
    /// Its number (__HYPERVISOR_*, xen.h).
    pub number: u32,
    /// Its name as in the header.
    pub name: &'static str,
    /// How far it is built and whether Xen has it, for a call without sub-operations.
    pub whole: Option<(Status, InXen)>,
    /// Its sub-operations.
    pub ops: &'static [SubOp],
}

/// A handler.
pub(super) type Handler = fn(&Call<'_>) -> Outcome;

/// Stands where a number has no handler: a table without gaps needs no look before the jump.
fn unknown(_: &Call<'_>) -> Outcome {
    Err(Errno::ENOSYS)
}

/// Numbers below this can have a handler.
pub(super) const NR_HYPERCALLS: usize = 43;

macro_rules! status {
    (done) => {
        (Status::Done, InXen::Yes)
    };
    (partial $what:literal) => {
        (Status::Partial($what), InXen::Yes)
    };
    (refused $why:literal) => {
        (Status::Refused($why), InXen::Yes)
    };
    (missing) => {
        (Status::Missing, InXen::Yes)
    };
    (option $name:literal) => {
        (Status::Missing, InXen::Option($name))
    };
    (absent) => {
        (Status::Absent, InXen::No)
    };
    (extra) => {
        (Status::Done, InXen::No)
    };
}

macro_rules! hypercalls {
    ($($number:literal $name:ident $(: $whole:tt $($whole_why:literal)?)? $(= $handler:path)? {
        $($op:literal $op_name:ident $status:tt $($why:literal)?,)*
    })*) => {
        /// All hypercalls that Xen 4.17 has on arm64.
        pub const HYPERCALLS: &[Hypercall] = &[$(Hypercall {
            number: $number,
            name: stringify!($name),
            whole: hypercalls!(@whole $($whole $($whole_why)?)?),
            ops: &[$(SubOp {
                number: $op,
                name: stringify!($op_name),
                status: status!($status $($why)?).0,
                in_xen: status!($status $($why)?).1,
            },)*],
        },)*];

        /// The handlers by number.
        pub(super) static HANDLERS: [Handler; NR_HYPERCALLS] = {
            let mut table: [Handler; NR_HYPERCALLS] = [unknown; NR_HYPERCALLS];
            $($(table[$number] = $handler;)?)*
            table
        };
    };
    (@whole) => { None };
    (@whole $status:tt $($why:literal)?) => { Some(status!($status $($why)?)) };
}

hypercalls! {
    6 sched_op_compat: absent {}
    7 platform_op = super::misc::platform_op {
        17 settime32 absent,
        31 add_memtype absent,
        32 del_memtype absent,
        33 read_memtype absent,
        35 microcode_update absent,
        39 platform_quirk absent,
        48 get_cpu_version absent,
        49 efi_runtime_call absent,
        50 firmware_info absent,
        51 enter_acpi_sleep absent,
        52 change_freq absent,
        53 getidletime absent,
        54 set_processor_pminfo absent,
        55 get_cpuinfo absent,
        56 cpu_online absent,
        57 cpu_offline absent,
        58 cpu_hotadd absent,
        59 mem_hotadd absent,
        60 core_parking absent,
        61 resource_op absent,
        62 settime64 done,
        63 get_symbol absent,
        64 get_dom0_console absent,
    }
    12 memory_op = super::memory_op::memory_op {
        0 increase_reservation refused "a translated domain names its frames itself",
        1 decrease_reservation done,
        2 maximum_ram_page done,
        3 current_reservation done,
        4 maximum_reservation done,
        5 machphys_mfn_list absent,
        6 populate_physmap done,
        7 add_to_physmap done,
        9 memory_map absent,
        10 machine_memory_map absent,
        11 exchange refused "pages do not change owner on arm64 (EOPNOTSUPP, as Xen)",
        12 machphys_mapping absent,
        13 set_memory_map absent,
        14 maximum_gpfn done,
        15 remove_from_physmap done,
        16 set_pod_target extra,
        17 get_pod_target extra,
        18 get_sharing_freed_pages done,
        19 get_sharing_shared_pages done,
        20 paging_op absent,
        21 access_op option "MEM_ACCESS",
        22 sharing_op absent,
        23 add_to_physmap_batch done,
        24 claim_pages done,
        25 machphys_compat_mfn_list absent,
        26 get_vnumainfo done,
        27 reserved_device_memory_map done,
        28 acquire_resource done,
    }
    13 multicall: done = super::misc::multicall {}
    16 event_channel_op_compat: absent {}
    17 xen_version = super::version::xen_version {
        0 version done,
        1 extraversion done,
        2 compile_info done,
        3 capabilities done,
        4 changeset done,
        5 platform_parameters done,
        6 get_features done,
        7 pagesize done,
        8 guest_handle done,
        9 commandline done,
        10 build_id refused "the image carries no build id (ENODATA)",
    }
    18 console_io = super::misc::console_io {
        0 write done,
        1 read done,
    }
    19 physdev_op_compat: absent {}
    20 grant_table_op = grant::grant_table_op {
        0 map_grant_ref done,
        1 unmap_grant_ref done,
        2 setup_table done,
        3 dump_table absent,
        4 transfer refused "pages do not change owner on arm64 (a status of each element, as Xen)",
        5 copy done,
        6 query_size done,
        7 unmap_and_replace refused "not for translated domains (a status of each element, as Xen)",
        8 set_version done,
        9 get_status_frames refused "only version 1 tables on arm64 (a status, as Xen)",
        10 get_version done,
        11 swap_grant_ref done,
        12 cache_flush done,
    }
    21 vm_assist = super::misc::vm_assist {
        0 enable done,
        1 disable done,
    }
    24 vcpu_op = super::misc::vcpu_op {
        5 register_runstate_memory_area done,
        10 register_vcpu_info done,
    }
    27 xsm_op: option "flask=" {}
    29 sched_op = super::sched_op::sched_op {
        0 yield done,
        1 block done,
        2 shutdown done,
        3 poll done,
        4 remote_shutdown done,
        5 shutdown_code done,
        6 watchdog done,
        7 pin_override done,
    }
    32 event_channel_op = event::event_channel_op {
        0 bind_interdomain done,
        1 bind_virq done,
        2 bind_pirq refused "no physical interrupts through event channels on arm64",
        3 close done,
        4 send done,
        5 status done,
        6 alloc_unbound done,
        7 bind_ipi done,
        8 bind_vcpu done,
        9 unmask done,
        10 reset done,
        11 init_control done,
        12 expand_array done,
        13 set_priority done,
    }
    33 physdev_op {
        15 manage_pci_add option "HAS_PCI",
        16 manage_pci_remove option "HAS_PCI",
        20 manage_pci_add_ext option "HAS_PCI",
        25 pci_device_add option "HAS_PCI",
        26 pci_device_remove option "HAS_PCI",
    }
    34 hvm_op = super::misc::hvm_op {
        0 set_param done,
        1 get_param done,
        5 flush_tlbs absent,
        9 pagetable_dying absent,
        10 get_time absent,
        11 xentrace absent,
        15 get_mem_type absent,
        23 set_evtchn_upcall_vector absent,
        24 guest_request_vm_event done,
        25 altp2m absent,
    }
    35 sysctl = super::sysctl::sysctl {
        1 readconsole done,
        2 tbuf_op partial "there are no trace buffers: none can be made (EOPNOTSUPP) nor used",
        3 physinfo done,
        4 sched_id done,
        5 perfc_op option "PERF_COUNTERS",
        6 getdomaininfolist done,
        7 debug_keys done,
        8 getcpuinfo done,
        9 availheap done,
        10 get_pmstat absent,
        11 cpu_hotplug absent,
        12 pm_op absent,
        14 page_offline_op partial "tells the state; no page is taken out of use (EOPNOTSUPP)",
        15 lockprof_op option "DEBUG_LOCK_PROFILE",
        16 cputopoinfo done,
        17 numainfo done,
        18 cpupool_op done,
        19 scheduler_op done,
        20 coverage_op option "COVERAGE",
        21 psr_cmt_op absent,
        22 pcitopoinfo option "HAS_PCI",
        23 psr_alloc absent,
        25 get_cpu_levelling_caps absent,
        26 get_cpu_featureset absent,
        27 livepatch_op option "LIVEPATCH",
        29 get_cpu_policy absent,
    }
    36 domctl = super::domctl::domctl {
        1 createdomain done,
        2 destroydomain done,
        3 pausedomain done,
        4 unpausedomain done,
        5 getdomaininfo done,
        9 setvcpuaffinity done,
        10 shadow_op absent,
        11 max_mem done,
        12 setvcpucontext done,
        13 getvcpucontext done,
        14 getvcpuinfo done,
        15 max_vcpus done,
        16 scheduler_op done,
        17 setdomainhandle done,
        18 setdebugging done,
        19 irq_permission done,
        20 iomem_permission done,
        21 ioport_permission absent,
        22 hypercall_init absent,
        23 soft_reset_cont extra,
        24 settimeoffset done,
        25 getvcpuaffinity done,
        26 real_mode_area absent,
        27 resumedomain done,
        28 sendtrigger absent,
        29 subscribe done,
        33 gethvmcontext absent,
        34 sethvmcontext absent,
        35 set_address_size done,
        36 get_address_size absent,
        37 assign_device refused "there is no IOMMU (EOPNOTSUPP, as Xen without one)",
        38 bind_pt_irq done,
        39 memory_mapping done,
        40 ioport_mapping absent,
        42 set_ext_vcpucontext absent,
        43 get_ext_vcpucontext absent,
        44 set_opt_feature absent,
        45 test_assign_device refused "there is no IOMMU (EOPNOTSUPP, as Xen without one)",
        46 set_target done,
        47 deassign_device refused "there is no IOMMU (EOPNOTSUPP, as Xen without one)",
        48 unbind_pt_irq done,
        50 get_device_group option "HAS_PCI",
        54 debug_op absent,
        55 gethvmcontext_partial absent,
        56 vm_event_op partial "the version only: no agent can connect (EOPNOTSUPP)",
        57 mem_sharing_op absent,
        59 gettscinfo absent,
        60 settscinfo absent,
        61 getpageframeinfo3 absent,
        62 setvcpuextstate absent,
        63 getvcpuextstate absent,
        64 set_access_required option "MEM_ACCESS",
        65 audit_p2m absent,
        66 set_virq_handler done,
        67 set_broken_page_p2m absent,
        68 setnodeaffinity done,
        69 getnodeaffinity done,
        71 cacheflush done,
        72 get_vcpu_msrs absent,
        73 set_vcpu_msrs absent,
        74 setvnumainfo done,
        75 psr_cmt_op absent,
        77 monitor_op partial "says that no event can be watched",
        78 psr_alloc absent,
        79 soft_reset extra,
        81 vuart_op done,
        82 get_cpu_policy absent,
        83 set_cpu_policy absent,
        84 vmtrace_op absent,
        85 get_paging_mempool_size done,
        86 set_paging_mempool_size done,
        1000 gdbsx_guestmemio absent,
        1001 gdbsx_pausevcpu absent,
        1002 gdbsx_unpausevcpu absent,
        1003 gdbsx_domstatus absent,
    }
    39 argo_op {
        1 register_ring option "ARGO",
        2 unregister_ring option "ARGO",
        3 sendv option "ARGO",
        4 notify option "ARGO",
    }
    41 dm_op {
        1 create_ioreq_server option "IOREQ_SERVER",
        2 get_ioreq_server_info option "IOREQ_SERVER",
        3 map_io_range_to_ioreq_server option "IOREQ_SERVER",
        4 unmap_io_range_from_ioreq_server option "IOREQ_SERVER",
        5 set_ioreq_server_state option "IOREQ_SERVER",
        6 destroy_ioreq_server option "IOREQ_SERVER",
        19 set_irq_level option "IOREQ_SERVER",
        20 nr_vcpus option "IOREQ_SERVER",
    }
    42 hypfs_op = super::hypfs::hypfs_op {
        0 get_version done,
        1 read partial "no /buildinfo/config, no /cpupool, and the parameters that we have",
        2 write_contents refused "no parameter is changed at run time (EACCES, as Xen for what is read-only)",
    }
}
