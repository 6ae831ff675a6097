//! First state of a vCPU: what boot, PSCI CPU_ON and the tools start from.

use crate::affinity;
use xen_abi::arch_arm::{PSR_GUEST64_INIT, SCTLR_GUEST_INIT};

/// State of a vCPU before its first instruction. General registers other than x0, and the floating point registers
/// with FPCR and FPSR, are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VcpuReset {
    /// Program counter.
    pub pc: u64,
    /// Processor state: EL1 with its own stack, SError, IRQ and FIQ masked.
    pub spsr: u64,
    /// Device tree address at boot, context argument of CPU_ON.
    pub x0: u64,
    /// What the guest reads as MPIDR_EL1.
    pub vmpidr_el2: u64,
    /// EL1 and EL0 system registers.
    pub el1: El1Registers,
}

/// System registers of EL1 and EL0 that belong to a vCPU. Those that the architecture leaves unknown at reset start as
/// 0 as well, so that no guest sees another one's values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields are the architecture's register names")]
pub struct El1Registers {
    pub sctlr_el1: u64,
    pub ttbr0_el1: u64,
    pub ttbr1_el1: u64,
    pub tcr_el1: u64,
    pub mair_el1: u64,
    pub amair_el1: u64,
    pub vbar_el1: u64,
    pub elr_el1: u64,
    pub spsr_el1: u64,
    pub esr_el1: u64,
    pub far_el1: u64,
    pub par_el1: u64,
    pub afsr0_el1: u64,
    pub afsr1_el1: u64,
    pub cpacr_el1: u64,
    pub contextidr_el1: u64,
    pub csselr_el1: u64,
    pub cntkctl_el1: u64,
    pub cntv_ctl_el0: u64,
    pub cntv_cval_el0: u64,
    pub tpidr_el0: u64,
    pub tpidrro_el0: u64,
    pub tpidr_el1: u64,
    pub sp_el0: u64,
    pub sp_el1: u64,
}

/// State in which `vcpu` starts at `entry` with `x0`: caches, MMU and alignment checks off, little endian.
pub fn vcpu(vcpu: usize, entry: u64, x0: u64) -> VcpuReset {
    VcpuReset {
        pc: entry,
        spsr: PSR_GUEST64_INIT,
        x0,
        vmpidr_el2: affinity::vmpidr(vcpu),
        el1: El1Registers { sctlr_el1: SCTLR_GUEST_INIT, ..El1Registers::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vcpu_starts_masked_with_the_mmu_off() {
        let state = vcpu(18, 0x4008_0000, 0x4800_0000);
        assert_eq!(state.spsr, 0x1c5);
        assert_eq!(state.el1.sctlr_el1, 0x00c5_0078);
        assert_eq!(state.el1.sctlr_el1 & 0x1005, 0, "MMU, data and instruction cache");
        assert_eq!(state.vmpidr_el2, 0x8000_0102);
        assert_eq!((state.pc, state.x0), (0x4008_0000, 0x4800_0000));
        let cleared = El1Registers { sctlr_el1: 0, ..state.el1 };
        assert_eq!(cleared, El1Registers::default());
    }
}
