//! Hypercalls.

use core::arch::asm;
use xen_abi::hvm::hvm_op::{HVMOP_get_param, HVMOP_set_param, HvmParam};
use xen_abi::sched::SCHEDOP_yield;
use xen_abi::xen::__HYPERVISOR_sched_op;
use xen_abi::xen::{__HYPERVISOR_hvm_op, DOMID_SELF};

/// Makes a hypercall with up to five arguments.
#[inline]
pub fn call(number: u32, arguments: [u64; 5]) -> i64 {
    let [a, b, c, d, e] = arguments;
    let result: i64;
    // SAFETY: the hypervisor keeps all registers but those of the call. What memory it writes is named by the caller,
    // and without `nomem` the compiler takes all memory that was exposed as changed.
    unsafe {
        asm!(
            "hvc #0xea1",
            inlateout("x16") u64::from(number) => _,
            inlateout("x0") a => result,
            inlateout("x1") b => _,
            inlateout("x2") c => _,
            inlateout("x3") d => _,
            inlateout("x4") e => _,
            options(nostack),
        );
    }
    result
}

/// Makes a hypercall of the kind that takes a command and a pointer.
#[inline]
pub fn with<T>(number: u32, command: u32, argument: &mut T) -> i64 {
    call(number, [u64::from(command), address(argument), 0, 0, 0])
}

/// The address of what a hypercall reads or writes.
pub fn address<T: ?Sized>(value: &mut T) -> u64 {
    (&raw mut *value).cast::<u8>().expose_provenance() as u64
}

/// A parameter of this domain, or the error.
pub fn parameter(index: u32) -> Result<u64, i64> {
    let mut param = HvmParam { domid: DOMID_SELF, pad: 0, index, value: 0 };
    match with(__HYPERVISOR_hvm_op, HVMOP_get_param, &mut param) {
        0 => Ok(param.value),
        error => Err(error),
    }
}

/// Sets a parameter of this domain.
pub fn set_parameter(index: u32, value: u64) -> i64 {
    let mut param = HvmParam { domid: DOMID_SELF, pad: 0, index, value };
    with(__HYPERVISOR_hvm_op, HVMOP_set_param, &mut param)
}

/// Lets others run.
pub fn yield_now() -> i64 {
    call(__HYPERVISOR_sched_op, [u64::from(SCHEDOP_yield), 0, 0, 0, 0])
}
