//! PSCI 1.1 (Arm DEN0022), and the two bare function numbers of PSCI 0.1 that Xen always had.

use super::{Action, Reply};
use crate::affinity;
use crate::vcpu_set::VcpuSet;
use arm_psci::{AffinityInfo, ErrorCode, FunctionId, MigrateInfoType};
use xen_abi::arch_arm::{PSCI_cpu_off, PSCI_cpu_on};

/// Version 1.1.
const VERSION: u64 = 0x1_0001;
/// SMCCC_VERSION, the one function of another service that PSCI_FEATURES knows.
const SMCCC_VERSION: u32 = 0x8000_0000;

/// x0 of a vCPU that runs on after SYSTEM_OFF or SYSTEM_RESET: internal failure.
pub const SYSTEM_OFF_RETURN: u64 = ErrorCode::InternalFailure as i32 as i64 as u64;

/// How results are spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// PSCI 0.1: fewer error codes.
    Bare,
    /// PSCI 0.2 and up.
    Standard,
}

/// Why a vCPU was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuOnError {
    /// It is online.
    AlreadyOn,
    /// The core could not, for example for lack of memory.
    Denied,
}

/// The guest's registers after [`Action::CpuOn`].
pub fn complete_cpu_on(result: Result<(), CpuOnError>, dialect: Dialect) -> Reply {
    match result {
        Ok(()) => Reply::one(0),
        Err(CpuOnError::AlreadyOn) => error(ErrorCode::AlreadyOn, dialect),
        Err(CpuOnError::Denied) => error(ErrorCode::Denied, dialect),
    }
}

/// The guest's registers after [`Action::AffinityInfo`].
pub fn complete_affinity_info(any_online: bool) -> Reply {
    let info = if any_online { AffinityInfo::On } else { AffinityInfo::Off };
    Reply::one(u32::from(info).into())
}

fn error(code: ErrorCode, dialect: Dialect) -> Reply {
    let code = match (dialect, code) {
        (Dialect::Bare, ErrorCode::AlreadyOn | ErrorCode::InvalidAddress) => ErrorCode::InvalidParameters,
        _ => code,
    };
    Reply::one(u64::from(code))
}

/// A PSCI call; `None` when it is none, or none that is offered.
pub(super) fn call(fid: u32, x: [u64; 4], nr_vcpus: usize) -> Option<Action> {
    let [_, x1, x2, x3] = x;
    if fid == PSCI_cpu_off {
        return Some(Action::CpuOff);
    }
    if fid == PSCI_cpu_on {
        return Some(cpu_on(x1 & 0xffff_ffff, x2, 0, nr_vcpus, Dialect::Bare));
    }
    Some(match FunctionId::try_from(fid).ok()? {
        FunctionId::PsciVersion => Action::Return(Reply::one(VERSION)),
        FunctionId::CpuSuspend32 | FunctionId::CpuSuspend64 => Action::Suspend,
        FunctionId::CpuOff => Action::CpuOff,
        FunctionId::CpuOn32 => {
            let low = |value: u64| value & 0xffff_ffff;
            cpu_on(low(x1), low(x2), low(x3), nr_vcpus, Dialect::Standard)
        }
        FunctionId::CpuOn64 => cpu_on(x1, x2, x3, nr_vcpus, Dialect::Standard),
        FunctionId::AffinityInfo32 => affinity_info(x1 & 0xffff_ffff, x2, nr_vcpus),
        FunctionId::AffinityInfo64 => affinity_info(x1, x2, nr_vcpus),
        FunctionId::MigrateInfoType => {
            Action::Return(Reply::one(u32::from(MigrateInfoType::MigrationNotRequired).into()))
        }
        FunctionId::SystemOff => Action::SystemOff,
        FunctionId::SystemReset => Action::SystemReset,
        FunctionId::PsciFeatures => Action::Return(features(x1 as u32)),
        _ => return None,
    })
}

fn cpu_on(target: u64, entry: u64, context: u64, nr_vcpus: usize, dialect: Dialect) -> Action {
    let Some(vcpu) = affinity::to_vcpu(target).filter(|vcpu| *vcpu < nr_vcpus) else {
        return Action::Return(error(ErrorCode::InvalidParameters, dialect));
    };
    // An odd address means Thumb, which EL1 does not have here.
    if entry & 1 != 0 {
        return Action::Return(error(ErrorCode::InvalidAddress, dialect));
    }
    Action::CpuOn { vcpu, entry, context, dialect }
}

fn affinity_info(target: u64, lowest_level: u64, nr_vcpus: usize) -> Action {
    let mut members = VcpuSet::EMPTY;
    for vcpu in VcpuSet::first(nr_vcpus) {
        match affinity::same_group(target, affinity::of_vcpu(vcpu), lowest_level & 0xffff_ffff) {
            Some(true) => members.insert(vcpu),
            Some(false) => {}
            None => return Action::Return(error(ErrorCode::InvalidParameters, Dialect::Standard)),
        }
    }
    Action::AffinityInfo { members }
}

/// PSCI_FEATURES: no flags for what is offered.
fn features(fid: u32) -> Reply {
    let offered = fid == SMCCC_VERSION
        || matches!(
            FunctionId::try_from(fid),
            Ok(FunctionId::PsciVersion
                | FunctionId::CpuSuspend32
                | FunctionId::CpuSuspend64
                | FunctionId::CpuOff
                | FunctionId::CpuOn32
                | FunctionId::CpuOn64
                | FunctionId::AffinityInfo32
                | FunctionId::AffinityInfo64
                | FunctionId::MigrateInfoType
                | FunctionId::SystemOff
                | FunctionId::SystemReset
                | FunctionId::PsciFeatures)
        );
    if offered { Reply::one(0) } else { error(ErrorCode::NotSupported, Dialect::Standard) }
}

#[cfg(test)]
mod tests {
    use super::super::{Policy, call};
    use super::*;

    fn psci(x0: u64, x1: u64, x2: u64, x3: u64) -> Action {
        call([x0, x1, x2, x3], &Policy { nr_vcpus: 20, ..Policy::default() })
    }

    fn returned(action: Action) -> i64 {
        match action {
            Action::Return(reply) => reply.values()[0] as i64,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn cpu_on_names_a_vcpu_by_its_affinity() {
        let expected = Action::CpuOn { vcpu: 18, entry: 0x4000_0000, context: 7, dialect: Dialect::Standard };
        assert_eq!(psci(0xc400_0003, 0x102, 0x4000_0000, 7), expected);
        assert_eq!(psci(0x8400_0003, 0xffff_0000_0000_0102, 0x4000_0000, 7), expected, "32-bit arguments");
    }

    #[test]
    fn cpu_on_refuses_what_cannot_be_started() {
        for target in [20, 0x104, 0x1_0000, 0x1_0000_0000, 0x10] {
            assert_eq!(returned(psci(0xc400_0003, target, 0, 0)), -2, "{target:#x}");
        }
        assert_eq!(returned(psci(0xc400_0003, 1, 0x4000_0001, 0)), -9);
        assert_eq!(returned(psci(0xc400_0003, 20, 0x4000_0001, 0)), -2);
    }

    #[test]
    fn results_of_cpu_on_are_spelled_in_the_callers_dialect() {
        let x0 = |result, dialect| complete_cpu_on(result, dialect).values()[0] as i64;
        assert_eq!(x0(Ok(()), Dialect::Standard), 0);
        assert_eq!(x0(Err(CpuOnError::AlreadyOn), Dialect::Standard), -4);
        assert_eq!(x0(Err(CpuOnError::AlreadyOn), Dialect::Bare), -2);
        assert_eq!(x0(Err(CpuOnError::Denied), Dialect::Bare), -3);
        assert_eq!(
            psci(2, 1, 0x8000, 9),
            Action::CpuOn { vcpu: 1, entry: 0x8000, context: 0, dialect: Dialect::Bare }
        );
        assert_eq!(returned(psci(2, 1, 0x8001, 0)), -2);
        assert_eq!(psci(1, 0, 0, 0), Action::CpuOff);
    }

    #[test]
    fn affinity_info_asks_about_a_group() {
        assert_eq!(psci(0xc400_0004, 0x103, 0, 0), Action::AffinityInfo { members: VcpuSet::single(19) });
        let Action::AffinityInfo { members } = psci(0x8400_0004, 0x100, 1, 0) else { panic!() };
        assert_eq!(members.collect::<Vec<_>>(), [16, 17, 18, 19]);
        let Action::AffinityInfo { members } = psci(0xc400_0004, 0, 3, 0) else { panic!() };
        assert_eq!(members.len(), 20);
        assert_eq!(psci(0xc400_0004, 0x200, 0, 0), Action::AffinityInfo { members: VcpuSet::EMPTY });
        assert_eq!(returned(psci(0xc400_0004, 0, 4, 0)), -2);
        assert_eq!(complete_affinity_info(true).values(), [0]);
        assert_eq!(complete_affinity_info(false).values(), [1]);
    }

    #[test]
    fn simple_calls_are_answered_or_passed_on() {
        assert_eq!(returned(psci(0x8400_0000, 0, 0, 0)), 0x1_0001);
        assert_eq!(returned(psci(0x8400_0006, 0, 0, 0)), 2);
        assert_eq!(psci(0x8400_0001, u64::MAX, 0, 0), Action::Suspend, "any power state");
        assert_eq!(psci(0xc400_0001, 0, 0, 0), Action::Suspend);
        assert_eq!(psci(0x8400_0002, 0, 0, 0), Action::CpuOff);
        assert_eq!(psci(0x8400_0008, 0, 0, 0), Action::SystemOff);
        assert_eq!(psci(0x8400_0009, 0, 0, 0), Action::SystemReset);
        assert_eq!(SYSTEM_OFF_RETURN as i64, -6);
    }

    #[test]
    fn features_lists_exactly_what_is_offered() {
        let offered = |fid: u64| returned(psci(0x8400_000a, fid, 0, 0)) == 0;
        let known = [
            0x8000_0000u64,
            0x8400_0000,
            0x8400_0001,
            0xc400_0001,
            0x8400_0002,
            0x8400_0003,
            0xc400_0003,
            0x8400_0004,
            0xc400_0004,
            0x8400_0006,
            0x8400_0008,
            0x8400_0009,
            0x8400_000a,
        ];
        for fid in
            (0x8400_0000..0x8400_0020).chain(0xc400_0000..0xc400_0020).chain([0x8000_0000, 0x8000_0001])
        {
            assert_eq!(offered(fid), known.contains(&fid), "{fid:#x}");
            if !known.contains(&fid) && fid != 0x8000_0001 {
                assert_eq!(returned(psci(fid, 0, 0, 0)), -1, "{fid:#x} is not offered either");
            }
        }
    }
}
