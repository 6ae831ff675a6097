//! What users of the crate rely on: structures can be copied from and to bytes, and unions read as each of
//! their forms.

use proptest::prelude::*;
use xen_abi::domctl::{
    BindPtIrq, BindPtIrqMsi, BindPtIrqSpi, Domctl, SchedCredit2, SchedRtds, SchedulerOp, v4_17,
};
use xen_abi::event_channel::{EvtchnStatus, EvtchnStatusInterdomain, EvtchnStatusUnbound};
use xen_abi::sysctl::{Physinfo, Sysctl};
use xen_abi::zerocopy::{FromZeros, IntoBytes};
use xen_abi::{GuestHandle, Plain, arch_arm, arch_x86, grant_table, memory};

/// Any bytes are a valid value, and the value is exactly those bytes.
fn survives<T: Plain>(seed: &[u8]) -> bool {
    let bytes: Vec<u8> = seed.iter().copied().cycle().take(size_of::<T>()).collect();
    T::read_from_bytes(&bytes).is_ok_and(|value| value.as_bytes() == bytes)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_bytes_are_a_value_and_come_back(seed in proptest::collection::vec(any::<u8>(), 1..97)) {
        prop_assert!(survives::<Domctl>(&seed));
        prop_assert!(survives::<Sysctl>(&seed));
        prop_assert!(survives::<GuestHandle>(&seed));
        prop_assert!(survives::<EvtchnStatus>(&seed));
        prop_assert!(survives::<memory::MemAcquireResource>(&seed));
        prop_assert!(survives::<grant_table::GnttabCopy>(&seed));
        prop_assert!(survives::<arch_arm::VcpuGuestContext>(&seed));
        prop_assert!(survives::<arch_arm::SharedInfo>(&seed));
        prop_assert!(survives::<arch_x86::VcpuGuestContext>(&seed));
        prop_assert!(survives::<arch_x86::SharedInfo>(&seed));
        prop_assert!(survives::<v4_17::arm64::GetDomainInfo>(&seed));
        prop_assert!(survives::<v4_17::x86_64::GetDomainInfo>(&seed));
    }

    #[test]
    fn payload_write_changes_only_its_own_bytes(before: [u64; 16], weight: u16, cap: u16) {
        let mut call = Domctl::new_zeroed();
        call.u = before;
        let params = SchedCredit2 { weight, cap };
        call.write_payload(&params);
        prop_assert_eq!(call.read_payload::<SchedCredit2>(), params);
        prop_assert_eq!(&call.u.as_bytes()[4..], &before.as_bytes()[4..]);
        prop_assert_eq!((call.cmd, call.interface_version, call.domain), (0, 0, 0));
    }
}

#[test]
fn union_inside_a_payload_survives_two_levels() {
    let mut op = SchedulerOp::new_zeroed();
    op.write_payload(&SchedRtds { period: 10_000, budget: 4_000, flags: 1 });
    let mut call = Domctl::new_zeroed();
    call.write_payload(&op);
    let rtds: SchedRtds = call.read_payload::<SchedulerOp>().read_payload();
    assert_eq!((rtds.period, rtds.budget, rtds.flags), (10_000, 4_000, 1));
}

#[test]
fn port_status_reads_by_its_state() {
    let mut status = EvtchnStatus::new_zeroed();
    status.write_payload(&EvtchnStatusInterdomain { dom: 7, _gap0: 0, port: 21 });
    assert_eq!(status.u, [7, 21]);
    assert_eq!(status.read_payload::<EvtchnStatusUnbound>().dom, 7);
    status.write_payload(&3_u32);
    assert_eq!(status.read_payload::<u32>(), 3);
}

#[test]
fn passed_through_interrupt_reads_by_its_type() {
    let mut bind = BindPtIrq::new_zeroed();
    bind.write_payload(&BindPtIrqSpi { spi: 112 });
    assert_eq!(bind.read_payload::<BindPtIrqSpi>().spi, 112);
    let msi = BindPtIrqMsi { gvec: 0x31, _gap0: [0; 3], gflags: 0x1_0000, gtable: 0xfebf_0000 };
    bind.write_payload(&msi);
    assert_eq!(bind.read_payload::<BindPtIrqMsi>(), msi);
}

#[test]
fn the_largest_sysctl_answer_fits_its_envelope() {
    let mut info = Physinfo::new_zeroed();
    info.max_mfn = 0x8_0000;
    info.hw_cap[7] = 9;
    let mut call = Sysctl::new_zeroed();
    call.write_payload(&info);
    assert_eq!(call.read_payload::<Physinfo>(), info);
}
