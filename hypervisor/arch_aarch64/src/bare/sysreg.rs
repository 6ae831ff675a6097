//! System registers, system instructions and barriers.
//!
//! One generic access serves all registers: a register is a constant that carries its encoding
//! (op0, op1, CRn, CRm, op2) and whether a write can harm the hypervisor itself.

use core::arch::asm;

/// A system register by its encoding; `GUEST` is true for registers whose value cannot affect the
/// hypervisor's own execution or memory.
#[derive(Clone, Copy)]
pub struct Reg<const CODE: u32, const GUEST: bool>;

/// A register that only concerns guests, time or interrupts.
type Guest<const CODE: u32> = Reg<CODE, true>;
/// A register that steers the hypervisor's own execution, or what memory guests can reach.
type Own<const CODE: u32> = Reg<CODE, false>;

/// A register's number from its encoding.
pub const fn code(op0: u32, op1: u32, crn: u32, crm: u32, op2: u32) -> u32 {
    op0 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2
}

impl<const CODE: u32, const GUEST: bool> Reg<CODE, GUEST> {
    /// Reads the register.
    #[inline(always)]
    pub fn read(self) -> u64 {
        let value;
        // SAFETY: every constant of this module names a readable register of EL2 without read
        // side effects on memory.
        unsafe {
            asm!(
                "mrs {v}, S{op0}_{op1}_C{crn}_C{crm}_{op2}",
                v = out(reg) value,
                op0 = const CODE >> 14 & 3,
                op1 = const CODE >> 11 & 7,
                crn = const CODE >> 7 & 15,
                crm = const CODE >> 3 & 15,
                op2 = const CODE & 7,
                options(nomem, nostack, preserves_flags)
            );
        }
        value
    }

    #[inline(always)]
    fn write_any(self, value: u64) {
        // SAFETY: the two callers below are for registers that cannot harm the hypervisor, and for
        // callers that promised not to.
        unsafe {
            asm!(
                "msr S{op0}_{op1}_C{crn}_C{crm}_{op2}, {v}",
                v = in(reg) value,
                op0 = const CODE >> 14 & 3,
                op1 = const CODE >> 11 & 7,
                crn = const CODE >> 7 & 15,
                crm = const CODE >> 3 & 15,
                op2 = const CODE & 7,
                options(nostack, preserves_flags)
            );
        }
    }
}

impl<const CODE: u32> Reg<CODE, true> {
    /// Writes the register.
    #[inline(always)]
    pub fn write(self, value: u64) {
        self.write_any(value);
    }
}

impl<const CODE: u32> Reg<CODE, false> {
    /// Writes the register.
    ///
    /// # Safety
    /// With the new value the hypervisor's own translation and exceptions stay as the program
    /// assumes, and no guest reaches memory that it does not own.
    #[inline(always)]
    pub unsafe fn write(self, value: u64) {
        self.write_any(value);
    }
}

macro_rules! registers {
    ($($name:ident: $kind:ident($op0:literal, $op1:literal, $crn:literal, $crm:literal, $op2:literal);)*) => {
        $(
            #[doc = concat!("The register ", stringify!($name), ".")]
            pub const $name: $kind<{ code($op0, $op1, $crn, $crm, $op2) }> = Reg;
        )*
    };
}

registers! {
    MIDR_EL1: Guest(3, 0, 0, 0, 0);
    MPIDR_EL1: Guest(3, 0, 0, 0, 5);
    ID_AA64PFR0_EL1: Guest(3, 0, 0, 4, 0);
    ID_AA64MMFR0_EL1: Guest(3, 0, 0, 7, 0);
    ID_AA64MMFR1_EL1: Guest(3, 0, 0, 7, 1);
    ID_AA64ISAR2_EL1: Guest(3, 0, 0, 6, 2);

    PAR_EL1: Guest(3, 0, 7, 4, 0);
    VPIDR_EL2: Guest(3, 4, 0, 0, 0);
    VMPIDR_EL2: Guest(3, 4, 0, 0, 5);
    TPIDR_EL2: Own(3, 4, 13, 0, 2);
    HCR_EL2: Own(3, 4, 1, 1, 0);
    MDCR_EL2: Guest(3, 4, 1, 1, 1);
    CPTR_EL2: Own(3, 4, 1, 1, 2);
    HSTR_EL2: Guest(3, 4, 1, 1, 3);
    HFGRTR_EL2: Guest(3, 4, 1, 1, 4);
    HFGWTR_EL2: Guest(3, 4, 1, 1, 5);
    HFGITR_EL2: Guest(3, 4, 1, 1, 6);
    HCRX_EL2: Guest(3, 4, 1, 2, 2);
    HDFGRTR_EL2: Guest(3, 4, 3, 1, 4);
    HDFGWTR_EL2: Guest(3, 4, 3, 1, 5);
    VTTBR_EL2: Own(3, 4, 2, 1, 0);
    VTCR_EL2: Own(3, 4, 2, 1, 2);
    ESR_EL2: Guest(3, 4, 5, 2, 0);
    FAR_EL2: Guest(3, 4, 6, 0, 0);
    HPFAR_EL2: Guest(3, 4, 6, 0, 4);
    VBAR_EL2: Own(3, 4, 12, 0, 0);

    CNTFRQ_EL0: Guest(3, 3, 14, 0, 0);
    CNTPCT_EL0: Guest(3, 3, 14, 0, 1);
    CNTV_CTL_EL0: Guest(3, 3, 14, 3, 1);
    CNTHCTL_EL2: Guest(3, 4, 14, 1, 0);
    CNTHP_CTL_EL2: Guest(3, 4, 14, 2, 1);
    CNTHP_CVAL_EL2: Guest(3, 4, 14, 2, 2);

    ICC_PMR_EL1: Guest(3, 0, 4, 6, 0);
    ICC_DIR_EL1: Guest(3, 0, 12, 11, 1);
    ICC_SGI1R_EL1: Guest(3, 0, 12, 11, 5);
    ICC_IAR1_EL1: Guest(3, 0, 12, 12, 0);
    ICC_EOIR1_EL1: Guest(3, 0, 12, 12, 1);
    ICC_BPR1_EL1: Guest(3, 0, 12, 12, 3);
    ICC_CTLR_EL1: Guest(3, 0, 12, 12, 4);
    ICC_SRE_EL1: Guest(3, 0, 12, 12, 5);
    ICC_IGRPEN1_EL1: Guest(3, 0, 12, 12, 7);
    ICC_SRE_EL2: Guest(3, 4, 12, 9, 5);
    ICH_AP0R0_EL2: Guest(3, 4, 12, 8, 0);
    ICH_AP0R1_EL2: Guest(3, 4, 12, 8, 1);
    ICH_AP0R2_EL2: Guest(3, 4, 12, 8, 2);
    ICH_AP0R3_EL2: Guest(3, 4, 12, 8, 3);
    ICH_AP1R0_EL2: Guest(3, 4, 12, 9, 0);
    ICH_AP1R1_EL2: Guest(3, 4, 12, 9, 1);
    ICH_AP1R2_EL2: Guest(3, 4, 12, 9, 2);
    ICH_AP1R3_EL2: Guest(3, 4, 12, 9, 3);
    ICH_HCR_EL2: Guest(3, 4, 12, 11, 0);
    ICH_VTR_EL2: Guest(3, 4, 12, 11, 1);
    ICH_VMCR_EL2: Guest(3, 4, 12, 11, 7);
    ICH_LR0_EL2: Guest(3, 4, 12, 12, 0);
    ICH_LR1_EL2: Guest(3, 4, 12, 12, 1);
    ICH_LR2_EL2: Guest(3, 4, 12, 12, 2);
    ICH_LR3_EL2: Guest(3, 4, 12, 12, 3);
    ICH_LR4_EL2: Guest(3, 4, 12, 12, 4);
    ICH_LR5_EL2: Guest(3, 4, 12, 12, 5);
    ICH_LR6_EL2: Guest(3, 4, 12, 12, 6);
    ICH_LR7_EL2: Guest(3, 4, 12, 12, 7);
    ICH_LR8_EL2: Guest(3, 4, 12, 13, 0);
    ICH_LR9_EL2: Guest(3, 4, 12, 13, 1);
    ICH_LR10_EL2: Guest(3, 4, 12, 13, 2);
    ICH_LR11_EL2: Guest(3, 4, 12, 13, 3);
    ICH_LR12_EL2: Guest(3, 4, 12, 13, 4);
    ICH_LR13_EL2: Guest(3, 4, 12, 13, 5);
    ICH_LR14_EL2: Guest(3, 4, 12, 13, 6);
    ICH_LR15_EL2: Guest(3, 4, 12, 13, 7);
}

/// A system instruction that maintains TLBs or instruction caches, or translates an address: it
/// changes no memory and no register but PAR_EL1.
#[derive(Clone, Copy)]
pub struct Maintenance<const CODE: u32>;

impl<const CODE: u32> Maintenance<CODE> {
    /// Executes it with an argument; instructions that take none ignore it.
    #[inline(always)]
    pub fn run(self, argument: u64) {
        // SAFETY: every constant of this type removes cached state or writes PAR_EL1, no more.
        unsafe {
            asm!(
                "sys #{op1}, C{crn}, C{crm}, #{op2}, {v}",
                v = in(reg) argument,
                op1 = const CODE >> 11 & 7,
                crn = const CODE >> 7 & 15,
                crm = const CODE >> 3 & 15,
                op2 = const CODE & 7,
                options(nostack, preserves_flags)
            );
        }
    }
}

macro_rules! instructions {
    ($($name:ident($op1:literal, $crn:literal, $crm:literal, $op2:literal): $what:literal;)*) => {
        $(
            #[doc = $what]
            pub const $name: Maintenance<{ code(1, $op1, $crn, $crm, $op2) }> = Maintenance;
        )*
    };
}

instructions! {
    TLBI_VMALLE1(0, 8, 7, 0): "Removes stage-1 entries of the current VMID, on this pCPU.";
    TLBI_VMALLS12E1IS(4, 8, 3, 6): "Removes all entries of the current VMID, everywhere.";
    TLBI_ALLE1(4, 8, 7, 4): "Removes all entries of all guests, on this pCPU.";
    TLBI_VAE2IS(4, 8, 3, 1): "Removes the hypervisor's entries of a page, everywhere.";
    TLBI_VALE2IS(4, 8, 3, 5): "Removes the hypervisor's last-level entries of a page, everywhere.";
    IC_IALLUIS(0, 7, 1, 0): "Drops all cached instructions, everywhere.";
    AT_S1E1R(0, 7, 8, 0): "Translates a read by the guest's kernel, stage 1 only.";
    AT_S12E1R(4, 7, 8, 4): "Translates a read by the guest's kernel, both stages.";
    AT_S12E1W(4, 7, 8, 5): "Translates a write by the guest's kernel, both stages.";
}

/// Which accesses a data barrier orders: the architecture's DSB and DMB options.
#[derive(Clone, Copy)]
pub struct Scope<const OPTION: u32>;

/// Non-shareable.
pub const NSH: Scope<0b0111> = Scope;
/// Inner shareable, stores.
pub const ISHST: Scope<0b1010> = Scope;
/// Inner shareable.
pub const ISH: Scope<0b1011> = Scope;
/// Full system.
pub const SY: Scope<0b1111> = Scope;

/// Waits for all earlier accesses in the scope.
#[inline(always)]
pub fn dsb<const OPTION: u32>(_: Scope<OPTION>) {
    // SAFETY: a barrier.
    unsafe { asm!("dsb #{o}", o = const OPTION, options(nostack, preserves_flags)) };
}

/// Orders earlier accesses in the scope before later ones.
#[inline(always)]
pub fn dmb<const OPTION: u32>(_: Scope<OPTION>) {
    // SAFETY: a barrier.
    unsafe { asm!("dmb #{o}", o = const OPTION, options(nostack, preserves_flags)) };
}

/// Makes earlier register writes take effect for later instructions.
#[inline(always)]
pub fn isb() {
    // SAFETY: a barrier.
    unsafe { asm!("isb", options(nostack, preserves_flags)) };
}

/// A hint instruction.
#[derive(Clone, Copy)]
pub struct Hint<const NUMBER: u32>;

/// WFI: waits for an interrupt, masked or not.
pub const WAIT_FOR_INTERRUPT: Hint<3> = Hint;
/// SEV: ends the others' WFE.
pub const SEND_EVENT: Hint<4> = Hint;

/// Executes a hint. A wait may also end without its reason.
#[inline(always)]
pub fn hint<const NUMBER: u32>(_: Hint<NUMBER>) {
    // SAFETY: a hint.
    unsafe { asm!("hint #{h}", h = const NUMBER, options(nostack, preserves_flags)) };
}
