//! A handle over the fake host, and what tests ask of the requests.

use std::sync::Arc;

use xen_abi::domctl::Domctl;
use xen_abi::sysctl::Sysctl;
use xen_abi::xen::{__HYPERVISOR_domctl, __HYPERVISOR_sysctl};
use xen_dev::Domid;
use xen_dev::fake::{FakeCall, FakeXen};

use crate::{Cpu, XenCtrl};

/// The domain of the tests.
pub(crate) const GUEST: Domid = match Domid::new(5) {
    Some(domid) => domid,
    None => panic!("5 is a domain"),
};

/// A handle for 4.17 on a host that has recorded nothing yet and says yes to everything.
pub(crate) fn ctrl(cpu: Cpu) -> (XenCtrl, FakeXen) {
    ctrl_of_version(cpu, 0x15)
}

/// The same with another domctl version.
pub(crate) fn ctrl_of_version(cpu: Cpu, domctl: u32) -> (XenCtrl, FakeXen) {
    let xen = FakeXen::new(move |call| {
        if call.number != __HYPERVISOR_domctl || domctl_of(call).interface_version == domctl {
            Ok(0)
        } else {
            Err(xen_dev::Errno::ACCESS)
        }
    });
    let ctrl = XenCtrl::new(Arc::new(xen.clone()), cpu).unwrap();
    xen.take_calls();
    (ctrl, xen)
}

/// The domctl of a call.
pub(crate) fn domctl_of(call: &FakeCall) -> Domctl {
    assert_eq!((call.number, call.args[1..].to_vec()), (__HYPERVISOR_domctl, vec![0; 4]));
    call.read(call.args[0]).unwrap()
}

/// The sysctl of a call.
pub(crate) fn sysctl_of(call: &FakeCall) -> Sysctl {
    assert_eq!((call.number, call.args[1..].to_vec()), (__HYPERVISOR_sysctl, vec![0; 4]));
    call.read(call.args[0]).unwrap()
}

/// The only call since the last time.
pub(crate) fn only(xen: &FakeXen) -> FakeCall {
    let mut calls = xen.take_calls();
    assert_eq!(calls.len(), 1);
    calls.remove(0)
}

/// The bytes of the only domctl since the last time, which must be this operation on [`GUEST`].
pub(crate) fn domctl_bytes(xen: &FakeXen, cmd: u32) -> Vec<u8> {
    let call = only(xen);
    let op = domctl_of(&call);
    assert_eq!((op.cmd, op.interface_version, op.domain, op._pad), (cmd, 0x15, GUEST.get(), [0; 3]));
    call.buffers[0][16..].to_vec()
}
