//! The one table of hypercalls: numbers, names, sub-operations and how far each is built.
//!
//! It drives the dispatch, and `docs/features.md` is generated from it. A test calls every
//! sub-operation and compares the answer with what the table says.

use super::{Call, Outcome};
use crate::{event, grant};

/// How far a sub-operation is built.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Works as in Xen 4.17.
    Done,
    /// Answers with Xen's error on purpose, for the reason given.
    Refused(&'static str),
    /// Not built yet: answers ENOSYS (EOPNOTSUPP where Xen's tools expect that).
    Missing,
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
}

/// A hypercall.
#[derive(Clone, Copy, Debug)]
pub struct Hypercall {
    /// Its number (__HYPERVISOR_*, xen.h).
    pub number: u32,
    /// Its name as in the header.
    pub name: &'static str,
    /// Its sub-operations; none for a call that has no command, or that is not built.
    pub ops: &'static [SubOp],
}

/// A handler.
pub(super) type Handler = fn(&Call<'_>) -> Outcome;

/// Numbers below this can have a handler.
pub(super) const NR_HYPERCALLS: usize = 43;

macro_rules! status {
    (done) => {
        Status::Done
    };
    (missing) => {
        Status::Missing
    };
    (refused $why:literal) => {
        Status::Refused($why)
    };
}

macro_rules! hypercalls {
    ($($number:literal $name:ident = $handler:path {
        $($op:literal $op_name:ident $status:tt $($why:literal)?,)*
    })*) => {
        /// All hypercalls that have a handler.
        pub const HYPERCALLS: &[Hypercall] = &[$(Hypercall {
            number: $number,
            name: stringify!($name),
            ops: &[$(SubOp { number: $op, name: stringify!($op_name), status: status!($status $($why)?) },)*],
        },)*];

        /// The handlers by number.
        pub(super) static HANDLERS: [Option<Handler>; NR_HYPERCALLS] = {
            let mut table: [Option<Handler>; NR_HYPERCALLS] = [None; NR_HYPERCALLS];
            $(table[$number] = Some($handler);)*
            table
        };
    };
}

hypercalls! {
    7 platform_op = super::misc::platform_op {
        17 settime32 missing,
        62 settime64 done,
    }
    12 memory_op = super::memory_op::memory_op {
        0 increase_reservation refused "a translated domain names its frames itself",
        1 decrease_reservation done,
        2 maximum_ram_page done,
        3 current_reservation done,
        4 maximum_reservation done,
        6 populate_physmap done,
        7 add_to_physmap done,
        11 exchange missing,
        14 maximum_gpfn done,
        15 remove_from_physmap done,
        16 set_pod_target done,
        17 get_pod_target done,
        18 get_sharing_freed_pages missing,
        19 get_sharing_shared_pages missing,
        20 paging_op missing,
        21 access_op missing,
        22 sharing_op missing,
        23 add_to_physmap_batch done,
        24 claim_pages missing,
        26 get_vnumainfo missing,
        28 acquire_resource done,
    }
    13 multicall = super::misc::multicall {}
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
    20 grant_table_op = grant::grant_table_op {
        0 map_grant_ref done,
        1 unmap_grant_ref done,
        2 setup_table missing,
        3 dump_table missing,
        4 transfer refused "no guest of today uses it; Xen on arm64 has a stub",
        5 copy done,
        6 query_size done,
        7 unmap_and_replace missing,
        8 set_version done,
        9 get_status_frames refused "only version 1 tables on arm64",
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
    29 sched_op = super::sched_op::sched_op {
        0 yield done,
        1 block done,
        2 shutdown done,
        3 poll done,
        4 remote_shutdown done,
        5 shutdown_code done,
        6 watchdog done,
        7 pin_override missing,
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
    34 hvm_op = super::misc::hvm_op {
        0 set_param done,
        1 get_param done,
        5 flush_tlbs missing,
        24 guest_request_vm_event missing,
        25 altp2m missing,
    }
    35 sysctl = super::sysctl::sysctl {}
    36 domctl = super::domctl::domctl {}
}
