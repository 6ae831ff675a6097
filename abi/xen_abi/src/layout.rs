//! What this crate says about each structure and constant, as data: the layout test compares it with the C
//! headers.

/// CPUs for which an entry holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cpu {
    /// The same on arm64 and x86_64.
    Both,
    /// Only in the arm64 view of the headers.
    Arm64,
    /// Only in the x86_64 view of the headers.
    X86_64,
}

/// One field. A name that starts with `_gap` is padding that C leaves implicit; a trailing `_` avoids a
/// keyword.
#[derive(Clone, Copy, Debug)]
pub struct FieldLayout {
    /// Member name in C, apart from the two exceptions above.
    pub name: &'static str,
    /// Offset in bytes.
    pub offset: usize,
    /// Size in bytes.
    pub size: usize,
}

/// One structure.
#[derive(Clone, Copy, Debug)]
pub struct StructLayout {
    /// C type, such as `struct evtchn_send`.
    pub c_type: &'static str,
    /// CPUs for which the layout holds.
    pub cpu: Cpu,
    /// Size in bytes.
    pub size: usize,
    /// Alignment in bytes.
    pub align: usize,
    /// Fields in order.
    pub fields: &'static [FieldLayout],
}

/// One constant.
#[derive(Clone, Copy, Debug)]
pub struct ConstValue {
    /// Name, the same in C.
    pub name: &'static str,
    /// CPUs for which the value holds.
    pub cpu: Cpu,
    /// Its value.
    pub value: i128,
}

/// What one module declares.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// Public header, relative to the directory of `xen.h`.
    pub name: &'static str,
    /// Tables of its structures.
    pub structs: &'static [&'static [StructLayout]],
    /// Tables of its constants.
    pub consts: &'static [&'static [ConstValue]],
}

/// All headers of this crate.
pub const HEADERS: &[Header] = {
    use crate::{
        arch_arm, arch_x86, argo, callback, device_tree_defs, domctl, elfnote, event_channel, features,
        grant_table, hvm, hypfs, io, kexec, memory, nmi, physdev, platform, pmu, sched, sysctl, vcpu,
        version, vm_event, xen, xsm,
    };
    &[
        header("xen.h", &[xen::STRUCTS], &[xen::HYPERCALLS, xen::CONSTS]),
        header("arch-arm.h", &[arch_arm::STRUCTS], &[arch_arm::CONSTS]),
        header("arch-x86/xen.h", &[arch_x86::STRUCTS], &[arch_x86::CONSTS]),
        header("argo.h", &[], &[argo::CONSTS]),
        header("callback.h", &[callback::STRUCTS], &[callback::CONSTS]),
        header("device_tree_defs.h", &[], &[device_tree_defs::CONSTS]),
        header(
            "domctl.h",
            &[
                domctl::STRUCTS,
                domctl::DEVICE_STRUCTS,
                domctl::MEMORY_STRUCTS,
                domctl::MISC_STRUCTS,
                domctl::MISC_STRUCTS_X86_64,
                domctl::SCHED_STRUCTS,
                domctl::VCPU_STRUCTS,
                domctl::VCPU_STRUCTS_ARM64,
                domctl::VCPU_STRUCTS_X86_64,
                domctl::v4_17::STRUCTS,
                domctl::v4_17::arm64::STRUCTS,
                domctl::v4_17::x86_64::STRUCTS,
            ],
            &[
                domctl::CONSTS,
                domctl::DEVICE_CONSTS,
                domctl::MEMORY_CONSTS,
                domctl::MISC_CONSTS,
                domctl::SCHED_CONSTS,
                domctl::VCPU_CONSTS,
                domctl::v4_17::CONSTS,
            ],
        ),
        header("elfnote.h", &[], &[elfnote::CONSTS]),
        header("event_channel.h", &[event_channel::STRUCTS], &[event_channel::CONSTS]),
        header("features.h", &[], &[features::CONSTS]),
        header("grant_table.h", &[grant_table::STRUCTS], &[grant_table::ENTRY_CONSTS, grant_table::CONSTS]),
        header("hvm/dm_op.h", &[hvm::dm_op::STRUCTS], &[hvm::dm_op::CONSTS]),
        header(
            "hvm/hvm_op.h",
            &[hvm::hvm_op::STRUCTS, hvm::hvm_op::STRUCTS_X86_64],
            &[hvm::hvm_op::CONSTS, hvm::hvm_op::CONSTS_X86_64],
        ),
        header("hvm/ioreq.h", &[hvm::ioreq::STRUCTS], &[hvm::ioreq::CONSTS]),
        header(
            "hvm/params.h",
            &[],
            &[hvm::params::CONSTS, hvm::params::CONSTS_ARM64, hvm::params::CONSTS_X86_64],
        ),
        header("hvm/save.h", &[hvm::save::STRUCTS], &[]),
        header("hypfs.h", &[hypfs::STRUCTS], &[hypfs::CONSTS]),
        header("io/blkif.h", &[io::blkif::STRUCTS, io::ring::STRUCTS], &[io::blkif::CONSTS]),
        header("io/console.h", &[io::console::STRUCTS], &[]),
        header("io/libxenvchan.h", &[io::libxenvchan::STRUCTS], &[io::libxenvchan::CONSTS]),
        header("io/netif.h", &[io::netif::STRUCTS], &[io::netif::CONSTS]),
        header("io/xenbus.h", &[], &[io::xenbus::CONSTS]),
        header("io/xs_wire.h", &[io::xs_wire::STRUCTS], &[io::xs_wire::CONSTS]),
        header("kexec.h", &[], &[kexec::CONSTS]),
        header("memory.h", &[memory::STRUCTS], &[memory::CONSTS]),
        header("nmi.h", &[nmi::STRUCTS], &[nmi::CONSTS]),
        header("physdev.h", &[physdev::STRUCTS], &[physdev::CONSTS]),
        header("platform.h", &[platform::STRUCTS], &[platform::CONSTS]),
        header("pmu.h", &[pmu::STRUCTS], &[pmu::CONSTS]),
        header("sched.h", &[sched::STRUCTS], &[sched::CONSTS]),
        header(
            "sysctl.h",
            &[
                sysctl::STRUCTS,
                sysctl::DEBUG_STRUCTS,
                sysctl::DEBUG_STRUCTS_X86_64,
                sysctl::HOST_STRUCTS,
                sysctl::LIVEPATCH_STRUCTS,
                sysctl::POWER_STRUCTS,
                sysctl::SCHED_STRUCTS,
            ],
            &[
                sysctl::CONSTS,
                sysctl::DEBUG_CONSTS,
                sysctl::DEBUG_CONSTS_X86_64,
                sysctl::HOST_CONSTS,
                sysctl::LIVEPATCH_CONSTS,
                sysctl::POWER_CONSTS,
                sysctl::SCHED_CONSTS,
            ],
        ),
        header("vcpu.h", &[vcpu::STRUCTS], &[vcpu::CONSTS]),
        header("version.h", &[version::STRUCTS], &[version::CONSTS]),
        header("vm_event.h", &[], &[vm_event::CONSTS]),
        header("xsm/flask_op.h", &[], &[xsm::flask_op::CONSTS]),
    ]
};

/// Shortens the table above.
const fn header(
    name: &'static str,
    structs: &'static [&'static [StructLayout]],
    consts: &'static [&'static [ConstValue]],
) -> Header {
    Header { name, structs, consts }
}
