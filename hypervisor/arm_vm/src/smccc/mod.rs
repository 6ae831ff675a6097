//! Calls of the SMC calling convention (Arm DEN0028) from a guest, by HVC #0 or SMC #0: architecture services, PSCI, and
//! the hypervisor's own identification.
//!
//! [`call`] decodes and answers what needs no knowledge of the domain; the rest it returns as an [`Action`], after
//! which the core calls [`complete_cpu_on`] or [`complete_affinity_info`] for the guest's registers.

mod psci;

pub use psci::{CpuOnError, Dialect, SYSTEM_OFF_RETURN, complete_affinity_info, complete_cpu_on};

use crate::VcpuSet;
use xen_abi::arch_arm::{
    SSSC_SMCCC_MAJOR_REVISION, SSSC_SMCCC_MINOR_REVISION, SSSC_SMCCC_UID, XEN_SMCCC_MAJOR_REVISION,
    XEN_SMCCC_MINOR_REVISION, XEN_SMCCC_UID,
};

/// Function is not known, or not offered.
pub const NOT_SUPPORTED: u64 = -1i64 as u64;
/// The mitigation is not needed on this CPU.
const NOT_REQUIRED: u64 = -2i64 as u64;

const SMCCC_VERSION: u32 = 0x8000_0000;
const SMCCC_ARCH_FEATURES: u32 = 0x8000_0001;
const ARCH_WORKAROUND_1: u32 = 0x8000_8000;
const ARCH_WORKAROUND_2: u32 = 0x8000_7fff;
const ARCH_WORKAROUND_3: u32 = 0x8000_3fff;
/// Version 1.1 of the convention.
const VERSION_1_1: u64 = 0x1_0001;

const STANDARD_CALL_COUNT: u32 = 0x8400_ff00;
const STANDARD_UID: u32 = 0x8400_ff01;
const STANDARD_REVISION: u32 = 0x8400_ff03;
const HYPERVISOR_CALL_COUNT: u32 = 0x8600_ff00;
const HYPERVISOR_UID: u32 = 0x8600_ff01;
const HYPERVISOR_REVISION: u32 = 0x8600_ff03;

/// Functions of the standard service as Xen 4.17 counts them: twelve of PSCI and three of identification.
const STANDARD_FUNCTIONS: u64 = 15;
/// Functions of the hypervisor service.
const HYPERVISOR_FUNCTIONS: u64 = 3;

/// Speculative store bypass (ARCH_WORKAROUND_2) as the firmware offers it for this CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ssbd {
    /// Not offered.
    #[default]
    NotSupported,
    /// Always on, or the CPU is not affected.
    NotRequired,
    /// The guest may switch it.
    Switchable,
}

/// What a call needs to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Number of vCPUs of the domain.
    pub nr_vcpus: usize,
    /// The branch predictor is hardened on every entry to the hypervisor (ARCH_WORKAROUND_1).
    pub workaround_1: bool,
    /// Speculative store bypass.
    pub ssbd: Ssbd,
    /// The branch history is mitigated on every entry to the hypervisor (ARCH_WORKAROUND_3).
    pub workaround_3: bool,
}

/// Values for the first general registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    values: [u64; 4],
    count: usize,
}

impl Reply {
    /// x0 alone.
    pub const fn one(x0: u64) -> Self {
        Self { values: [x0, 0, 0, 0], count: 1 }
    }

    /// No register changes.
    pub const NOTHING: Self = Self { values: [0; 4], count: 0 };

    /// Values for x0 and up.
    pub fn values(&self) -> &[u64] {
        self.values.get(..self.count).unwrap_or(&[])
    }
}

/// What a call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Only this.
    Return(Reply),
    /// Start a vCPU from [`crate::reset::vcpu`]; then [`complete_cpu_on`].
    CpuOn {
        /// The vCPU, which exists.
        vcpu: usize,
        /// First program counter, a guest physical address.
        entry: u64,
        /// First x0.
        context: u64,
        /// To be given to [`complete_cpu_on`].
        dialect: Dialect,
    },
    /// Take the calling vCPU offline; it does not return.
    CpuOff,
    /// Like WFI, but woken by any interrupt that is pending and enabled, whatever the guest's CPU interface says.
    /// x0 is 0 afterwards.
    Suspend,
    /// Shut the domain down for power-off. Should the vCPU ever run on, x0 is [`SYSTEM_OFF_RETURN`].
    SystemOff,
    /// Shut the domain down for reboot. Should the vCPU ever run on, x0 is [`SYSTEM_OFF_RETURN`].
    SystemReset,
    /// Find out whether any of these is online; then [`complete_affinity_info`].
    AffinityInfo {
        /// The vCPUs that the guest's affinity stands for.
        members: VcpuSet,
    },
    /// Switch the speculative store bypass mitigation of the calling vCPU. No register changes.
    SetSsbd {
        /// On.
        enabled: bool,
    },
}

/// Decodes a call from x0 to x3.
pub fn call(x: [u64; 4], policy: &Policy) -> Action {
    let [x0, x1, ..] = x;
    // Only 32 bits of the function number count.
    let fid = x0 as u32;
    let reply = match fid {
        SMCCC_VERSION => Reply::one(VERSION_1_1),
        SMCCC_ARCH_FEATURES => Reply::one(arch_feature(x1 as u32, policy)),
        // Entering the hypervisor has done it already.
        ARCH_WORKAROUND_1 | ARCH_WORKAROUND_3 => Reply::NOTHING,
        ARCH_WORKAROUND_2 => match policy.ssbd {
            Ssbd::Switchable => return Action::SetSsbd { enabled: x1 as u32 != 0 },
            Ssbd::NotSupported | Ssbd::NotRequired => Reply::NOTHING,
        },
        HYPERVISOR_CALL_COUNT => Reply::one(HYPERVISOR_FUNCTIONS),
        HYPERVISOR_UID => uid(&XEN_SMCCC_UID),
        STANDARD_CALL_COUNT => Reply::one(STANDARD_FUNCTIONS),
        STANDARD_UID => uid(&SSSC_SMCCC_UID),
        HYPERVISOR_REVISION => revision(XEN_SMCCC_MAJOR_REVISION, XEN_SMCCC_MINOR_REVISION),
        STANDARD_REVISION => revision(SSSC_SMCCC_MAJOR_REVISION, SSSC_SMCCC_MINOR_REVISION),
        _ => return psci::call(fid, x, policy.nr_vcpus).unwrap_or(Action::Return(Reply::one(NOT_SUPPORTED))),
    };
    Action::Return(reply)
}

fn arch_feature(fid: u32, policy: &Policy) -> u64 {
    let offered = match fid {
        ARCH_WORKAROUND_1 => policy.workaround_1 || policy.workaround_3,
        ARCH_WORKAROUND_2 => match policy.ssbd {
            Ssbd::NotRequired => return NOT_REQUIRED,
            Ssbd::Switchable => true,
            Ssbd::NotSupported => false,
        },
        ARCH_WORKAROUND_3 => policy.workaround_3,
        _ => false,
    };
    if offered { 0 } else { NOT_SUPPORTED }
}

fn revision(major: u32, minor: u32) -> Reply {
    Reply { values: [major.into(), minor.into(), 0, 0], count: 2 }
}

/// An identifier, four bytes in each register, the first byte lowest.
fn uid(bytes: &[u8; 16]) -> Reply {
    let mut values = [0; 4];
    for (value, word) in values.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *value = u32::from_le_bytes(*word).into();
    }
    Reply { values, count: 4 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(x0: u64, x1: u64, policy: &Policy) -> u64 {
        match call([x0, x1, 0, 0], policy) {
            Action::Return(reply) if reply.count == 1 => reply.values[0],
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn version_and_features_follow_the_policy() {
        let none = Policy::default();
        assert_eq!(one(0x8000_0000, 0, &none), 0x1_0001);
        for workaround in [0x8000_8000, 0x8000_7fff, 0x8000_3fff, 0x8000_0000, 0x1234] {
            assert_eq!(one(0x8000_0001, workaround, &none), NOT_SUPPORTED);
        }
        let first = Policy { workaround_1: true, ..none };
        assert_eq!(one(0x8000_0001, 0x8000_8000, &first), 0);
        assert_eq!(one(0x8000_0001, 0x8000_3fff, &first), NOT_SUPPORTED);
        let third = Policy { workaround_3: true, ..none };
        assert_eq!(one(0x8000_0001, 0x8000_8000, &third), 0, "the third covers the first");
        assert_eq!(one(0x8000_0001, 0x8000_3fff, &third), 0);
    }

    #[test]
    fn store_bypass_is_switched_only_when_offered() {
        let policy = |ssbd| Policy { ssbd, ..Policy::default() };
        assert_eq!(one(0x8000_0001, 0x8000_7fff, &policy(Ssbd::Switchable)), 0);
        assert_eq!(one(0x8000_0001, 0x8000_7fff, &policy(Ssbd::NotRequired)), -2i64 as u64);
        let ask = [0x8000_7fff, 1, 0, 0];
        assert_eq!(call(ask, &policy(Ssbd::Switchable)), Action::SetSsbd { enabled: true });
        assert_eq!(call(ask, &policy(Ssbd::NotRequired)), Action::Return(Reply::NOTHING));
        assert!(Reply::NOTHING.values().is_empty());
    }

    #[test]
    fn services_identify_themselves() {
        let values = |fid| match call([fid, 0, 0, 0], &Policy::default()) {
            Action::Return(reply) => reply.values().to_vec(),
            other => panic!("{other:?}"),
        };
        assert_eq!(values(0x8600_ff00), [3]);
        assert_eq!(values(0x8600_ff01), [0xdc12_18a7, 0x6943_98c6, 0xd179_cf9a, 0x67e6_de8d]);
        assert_eq!(values(0x8400_ff01), [0x6f38_63f8, 0xbd4c_394b, 0x16ce_2092, 0x6f9f_e541]);
        assert_eq!(values(0x8400_ff00), [15]);
        assert_eq!(values(0x8400_ff03), [0, 1]);
        assert_eq!(values(0x8600_ff03), [0, 1]);
    }

    #[test]
    fn unknown_functions_are_refused_whatever_the_upper_half_holds() {
        for fid in [0u64, 3, 0x8400_0005, 0x8600_0000, 0xbf00_ff01, 0xc400_000a, 0xffff_ffff] {
            assert_eq!(one(fid | 0xdead_0000_0000_0000, 0, &Policy::default()), NOT_SUPPORTED, "{fid:#x}");
        }
        assert_eq!(one(0xdead_0000_8000_0000, 0, &Policy::default()), 0x1_0001);
    }
}
