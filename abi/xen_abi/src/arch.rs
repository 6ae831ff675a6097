//! Which layouts belong to which CPU, so that common code can say `A: Arch` instead of testing for a CPU.

use core::mem::offset_of;

use crate::{Plain, arch_arm, arch_x86};

/// The CPU-dependent part of the ABI. Implemented by [`Arm64`] and [`X86_64`] only.
pub trait Arch: Copy + 'static {
    /// vCPUs that have a `vcpu_info` in the shared information page; the others must register one.
    const LEGACY_MAX_VCPUS: u32;
    /// Layout of `struct vcpu_info`.
    type VcpuInfo: Plain;
    /// Layout of `struct shared_info`.
    type SharedInfo: Plain;
    /// Layout of `struct vcpu_guest_context`.
    type VcpuGuestContext: Plain;

    /// Offset of `evtchn_upcall_pending` (one byte) in `vcpu_info`.
    const VCPU_INFO_UPCALL_PENDING: usize;
    /// Offset of `evtchn_upcall_mask` (one byte) in `vcpu_info`, on CPUs that have it.
    const VCPU_INFO_UPCALL_MASK: Option<usize>;
    /// Offset of `evtchn_pending_sel` (one word) in `vcpu_info`.
    const VCPU_INFO_PENDING_SEL: usize;
    /// Offset of `time` in `vcpu_info`.
    const VCPU_INFO_TIME: usize;
    /// Offset of `evtchn_pending` (64 words) in `shared_info`; `vcpu_info` number 0 is at offset 0.
    const SHARED_INFO_EVTCHN_PENDING: usize;
    /// Offset of `evtchn_mask` (64 words) in `shared_info`.
    const SHARED_INFO_EVTCHN_MASK: usize;
    /// Offset of `wc_version`, `wc_sec`, `wc_nsec` and `wc_sec_hi` (32 bits each) in `shared_info`.
    const SHARED_INFO_WC_VERSION: usize;
}

/// The arm64 layouts.
#[derive(Clone, Copy, Debug)]
pub struct Arm64;

/// The x86_64 layouts.
#[derive(Clone, Copy, Debug)]
pub struct X86_64;

impl Arch for Arm64 {
    const LEGACY_MAX_VCPUS: u32 = arch_arm::XEN_LEGACY_MAX_VCPUS;
    type VcpuInfo = arch_arm::VcpuInfo;
    type SharedInfo = arch_arm::SharedInfo;
    type VcpuGuestContext = arch_arm::VcpuGuestContext;

    const VCPU_INFO_UPCALL_PENDING: usize = offset_of!(arch_arm::VcpuInfo, evtchn_upcall_pending);
    const VCPU_INFO_UPCALL_MASK: Option<usize> = None;
    const VCPU_INFO_PENDING_SEL: usize = offset_of!(arch_arm::VcpuInfo, evtchn_pending_sel);
    const VCPU_INFO_TIME: usize = offset_of!(arch_arm::VcpuInfo, time);
    const SHARED_INFO_EVTCHN_PENDING: usize = offset_of!(arch_arm::SharedInfo, evtchn_pending);
    const SHARED_INFO_EVTCHN_MASK: usize = offset_of!(arch_arm::SharedInfo, evtchn_mask);
    const SHARED_INFO_WC_VERSION: usize = offset_of!(arch_arm::SharedInfo, wc_version);
}

impl Arch for X86_64 {
    const LEGACY_MAX_VCPUS: u32 = arch_x86::XEN_LEGACY_MAX_VCPUS;
    type VcpuInfo = arch_x86::VcpuInfo;
    type SharedInfo = arch_x86::SharedInfo;
    type VcpuGuestContext = arch_x86::VcpuGuestContext;

    const VCPU_INFO_UPCALL_PENDING: usize = offset_of!(arch_x86::VcpuInfo, evtchn_upcall_pending);
    const VCPU_INFO_UPCALL_MASK: Option<usize> = Some(offset_of!(arch_x86::VcpuInfo, evtchn_upcall_mask));
    const VCPU_INFO_PENDING_SEL: usize = offset_of!(arch_x86::VcpuInfo, evtchn_pending_sel);
    const VCPU_INFO_TIME: usize = offset_of!(arch_x86::VcpuInfo, time);
    const SHARED_INFO_EVTCHN_PENDING: usize = offset_of!(arch_x86::SharedInfo, evtchn_pending);
    const SHARED_INFO_EVTCHN_MASK: usize = offset_of!(arch_x86::SharedInfo, evtchn_mask);
    const SHARED_INFO_WC_VERSION: usize = offset_of!(arch_x86::SharedInfo, wc_version);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_slots_end_where_the_pending_bits_begin() {
        fn check<A: Arch>() {
            let slots = A::LEGACY_MAX_VCPUS as usize * size_of::<A::VcpuInfo>();
            assert_eq!(slots, A::SHARED_INFO_EVTCHN_PENDING);
        }
        check::<Arm64>();
        check::<X86_64>();
    }
}
