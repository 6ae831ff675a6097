//! Register files of an arm64 vCPU, as plain data.
//!
//! [`GuestRegs`] is what the trap entry stores and the return restores; [`SysRegs`] and [`FpRegs`]
//! change hands only when another vCPU is loaded. The layouts are `repr(C)` because assembly
//! addresses the fields.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod ops;

pub use ops::{ArmOps, PrivateIrqs};

/// The register in which a hypercall's number travels (arch-arm.h: x16).
const HYPERCALL_REG: usize = 16;
/// PSTATE.M[3:2]: the exception level the guest ran at.
const SPSR_EL_MASK: u64 = 0xc;
/// Length of an A64 instruction.
const INSTRUCTION: u64 = 4;

/// General registers at a trap.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
#[repr(C, align(16))]
pub struct GuestRegs {
    /// x0 to x30.
    pub x: [u64; 31],
    /// The instruction to return to (ELR_EL2).
    pub pc: u64,
    /// The processor state to return to (SPSR_EL2).
    pub spsr: u64,
    _pad: u64,
}

impl GuestRegs {
    /// Reads register `n`; 31 is the zero register.
    pub fn read(&self, n: u8) -> u64 {
        self.x.get(usize::from(n)).copied().unwrap_or(0)
    }

    /// Writes register `n`; a write to 31 is lost.
    pub fn write(&mut self, n: u8, value: u64) {
        if let Some(x) = self.x.get_mut(usize::from(n)) {
            *x = value;
        }
    }

    /// Steps over the trapped instruction.
    pub fn skip_instruction(&mut self) {
        self.pc = self.pc.wrapping_add(INSTRUCTION);
    }
}

impl hal::GuestRegs for GuestRegs {
    fn hypercall_number(&self) -> u64 {
        self.x[HYPERCALL_REG]
    }

    fn hypercall_args(&self) -> [u64; 5] {
        [self.x[0], self.x[1], self.x[2], self.x[3], self.x[4]]
    }

    fn set_result(&mut self, value: u64) {
        self.x[0] = value;
    }

    fn reissue(&mut self, args: [u64; 5]) {
        self.x[..5].copy_from_slice(&args);
        self.pc = self.pc.wrapping_sub(INSTRUCTION);
    }

    fn is_kernel(&self) -> bool {
        self.spsr & SPSR_EL_MASK != 0
    }
}

/// EL1 and EL0 system registers that belong to the guest.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
#[repr(C)]
#[allow(missing_docs, reason = "the fields are the architecture's register names")]
pub struct SysRegs {
    pub sp_el0: u64,
    pub sp_el1: u64,
    pub elr_el1: u64,
    pub spsr_el1: u64,
    pub sctlr_el1: u64,
    pub cpacr_el1: u64,
    pub ttbr0_el1: u64,
    pub ttbr1_el1: u64,
    pub tcr_el1: u64,
    pub mair_el1: u64,
    pub amair_el1: u64,
    pub vbar_el1: u64,
    pub esr_el1: u64,
    pub far_el1: u64,
    pub afsr0_el1: u64,
    pub afsr1_el1: u64,
    pub par_el1: u64,
    pub contextidr_el1: u64,
    pub tpidr_el0: u64,
    pub tpidrro_el0: u64,
    pub tpidr_el1: u64,
    pub csselr_el1: u64,
    pub cntkctl_el1: u64,
    pub cntv_ctl_el0: u64,
    pub cntv_cval_el0: u64,
    /// What the guest reads as MPIDR_EL1.
    pub vmpidr_el2: u64,
    /// The counter value at which the guest's virtual counter reads zero.
    pub cntvoff_el2: u64,
}

/// Floating-point and SIMD registers.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
#[repr(C, align(16))]
pub struct FpRegs {
    /// q0 to q31.
    pub q: [u128; 32],
    /// Status.
    pub fpsr: u64,
    /// Control.
    pub fpcr: u64,
}

/// The virtual CPU interface of the interrupt controller while the vCPU is not loaded. List
/// registers are not here: they are folded into the model before a vCPU is put away.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct GicRegs {
    /// ICH_VMCR_EL2 or GICH_VMCR.
    pub vmcr: u64,
    /// ICH_AP0R<n>_EL2.
    pub ap0r: [u32; 4],
    /// ICH_AP1R<n>_EL2, or GICH_APR in the first.
    pub ap1r: [u32; 4],
}

/// A vCPU that is not loaded.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct Context {
    /// General registers.
    pub regs: GuestRegs,
    /// Floating-point registers.
    pub fp: FpRegs,
    /// System registers.
    pub sys: SysRegs,
    /// Interrupt controller interface.
    pub gic: GicRegs,
}

impl hal::VcpuContext for Context {
    type Regs = GuestRegs;

    fn regs(&self) -> &GuestRegs {
        &self.regs
    }

    fn regs_mut(&mut self) -> &mut GuestRegs {
        &mut self.regs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hal::{GuestRegs as _, VcpuContext as _};

    #[test]
    fn register_31_reads_zero_and_ignores_writes() {
        let mut regs = GuestRegs::default();
        regs.write(31, 7);
        regs.write(30, 9);
        assert_eq!((regs.read(31), regs.read(30)), (0, 9));
    }

    #[test]
    fn reissued_hypercall_points_back_at_its_instruction() {
        let mut context = Context::default();
        context.regs_mut().pc = 0x1004;
        context.regs_mut().reissue([1, 2, 3, 4, 5]);
        assert_eq!(context.regs().pc, 0x1000);
        assert_eq!(context.regs().hypercall_args(), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn user_space_is_told_from_the_kernel() {
        let mut regs = GuestRegs { spsr: 0x1c5, ..GuestRegs::default() };
        assert!(regs.is_kernel());
        regs.spsr = 0;
        assert!(!regs.is_kernel());
    }
}
