//! Why a guest stopped: ESR_EL2, FAR_EL2 and HPFAR_EL2 decoded into one value (Arm ARM DDI 0487, D24.2 "ESR_EL2").
//!
//! Decoding is total: every bit pattern gives an [`Exit`], unknown classes give [`Exit::Unknown`].

use xen_abi::arch_arm::XEN_HYPERCALL_TAG;

/// ESR_EL2 of a hypercall: HVC from AArch64 (class 0x16, 4-byte instruction) with Xen's immediate. Lets the trap path
/// recognise the most frequent exit with one comparison.
pub const ESR_HYPERCALL: u64 = (0x16 << 26) | IL | XEN_HYPERCALL_TAG as u64;

/// Instruction length bit: set for 4-byte instructions.
const IL: u64 = 1 << 25;

/// What made the guest stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// HVC instruction; the program counter is already behind it.
    Hvc {
        /// Immediate operand.
        imm: u16,
    },
    /// SMC instruction, trapped: the program counter still points at it.
    Smc {
        /// Immediate operand.
        imm: u16,
    },
    /// Wait for interrupt.
    Wfi,
    /// Wait for event, or one of the waits with a timeout, which may always end early.
    Wfe,
    /// MSR or MRS of a trapped register.
    SysReg(SysRegAccess),
    /// Load, store or cache maintenance that stage 2 refused.
    DataAbort(DataAbort),
    /// Instruction fetch that stage 2 refused.
    InstrAbort(InstrAbort),
    /// AArch32 access to coprocessor 15 (system registers).
    Cp15,
    /// AArch32 access to coprocessor 14 (debug and trace) or 10 (floating point identification).
    Cp14,
    /// Floating point, SIMD, SVE or SME instruction, trapped.
    FpTrap,
    /// Software breakpoint: BRK, or BKPT from AArch32.
    Brk,
    /// Anything else: nothing that a guest can cause with the traps that are set, or an instruction it does not have.
    Unknown {
        /// Exception class, ESR_EL2 bits 31 to 26.
        class: u8,
    },
}

/// Encoding of an AArch64 system register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SysReg(u16);

impl SysReg {
    /// From the five fields of MRS and MSR; each is cut to its width.
    #[inline]
    pub const fn new(op0: u8, op1: u8, crn: u8, crm: u8, op2: u8) -> Self {
        Self(
            ((op0 as u16 & 3) << 14)
                | ((op1 as u16 & 7) << 11)
                | ((crn as u16 & 15) << 7)
                | ((crm as u16 & 15) << 3)
                | (op2 as u16 & 7),
        )
    }

    /// Field op0.
    pub const fn op0(self) -> u8 {
        (self.0 >> 14) as u8
    }

    /// Field op1.
    pub const fn op1(self) -> u8 {
        (self.0 >> 11) as u8 & 7
    }

    /// Field CRn.
    pub const fn crn(self) -> u8 {
        (self.0 >> 7) as u8 & 15
    }

    /// Field CRm.
    pub const fn crm(self) -> u8 {
        (self.0 >> 3) as u8 & 15
    }

    /// Field op2.
    pub const fn op2(self) -> u8 {
        self.0 as u8 & 7
    }
}

/// A trapped MSR or MRS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SysRegAccess {
    /// The register.
    pub reg: SysReg,
    /// General register that gets or gives the value; 31 is the zero register.
    pub rt: u8,
    /// MRS (read) rather than MSR.
    pub is_read: bool,
}

/// Width of a memory access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessSize {
    /// 1 byte.
    Byte,
    /// 2 bytes.
    Half,
    /// 4 bytes.
    Word,
    /// 8 bytes.
    Double,
}

impl AccessSize {
    /// Number of bytes.
    #[inline]
    pub const fn bytes(self) -> u32 {
        match self {
            Self::Byte => 1,
            Self::Half => 2,
            Self::Word => 4,
            Self::Double => 8,
        }
    }

    /// All bits of a value of this width.
    #[inline]
    pub const fn mask(self) -> u64 {
        match self {
            Self::Byte => 0xff,
            Self::Half => 0xffff,
            Self::Word => 0xffff_ffff,
            Self::Double => u64::MAX,
        }
    }

    /// Whether an address is a multiple of the width.
    #[inline]
    pub const fn is_aligned(self, address: u64) -> bool {
        address & (self.bytes() as u64).wrapping_sub(1) == 0
    }
}

/// The load or store behind a data abort, when the CPU describes it (ESR_EL2.ISV).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MmioAccess {
    /// Width.
    pub size: AccessSize,
    /// General register that gets or gives the value; 31 is the zero register.
    pub rt: u8,
    /// A load extends the sign of the value.
    pub sign_extend: bool,
    /// The general register is used as 64 bits wide, otherwise as 32.
    pub sixty_four: bool,
}

impl MmioAccess {
    /// What a load puts into the general register, given what the device answered.
    #[inline]
    pub const fn loaded(self, value: u64) -> u64 {
        let value = value & self.size.mask();
        if !self.sign_extend {
            return value;
        }
        let extended = match self.size {
            AccessSize::Byte => value as u8 as i8 as i64 as u64,
            AccessSize::Half => value as u16 as i16 as i64 as u64,
            AccessSize::Word => value as u32 as i32 as i64 as u64,
            AccessSize::Double => value,
        };
        if self.sixty_four { extended } else { extended & 0xffff_ffff }
    }

    /// What a store gives to the device, given the general register.
    #[inline]
    pub const fn stored(self, register: u64) -> u64 {
        register & self.size.mask()
    }
}

/// What stage 2 (or the memory system) objected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Address beyond the configured size.
    AddressSize,
    /// Nothing mapped.
    Translation,
    /// Access flag clear.
    AccessFlag,
    /// Mapped, but not for this kind of access.
    Permission,
    /// The memory system reported an error.
    External,
    /// Alignment, TLB conflict, atomic update and the rest.
    Other,
}

/// Fault status code, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What was wrong.
    pub kind: FaultKind,
    /// Level of the table walk, 0 to 3, where the kind has one; else 0.
    pub level: u8,
}

/// A refused load, store or cache maintenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataAbort {
    /// Virtual address.
    pub va: u64,
    /// Guest physical address when the CPU reports it. `None`: translate `va` first (permission faults, external
    /// aborts). With `s1ptw` it is the page of the table entry, offset 0.
    pub gpa: Option<u64>,
    /// Store, or cache maintenance.
    pub write: bool,
    /// The instruction, when the CPU describes it and it can be emulated.
    pub access: Option<MmioAccess>,
    /// The walk of the guest's own tables was refused, not the access itself.
    pub s1ptw: bool,
    /// Cache maintenance by address.
    pub cache_op: bool,
    /// What was wrong.
    pub fault: Fault,
}

/// A refused instruction fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstrAbort {
    /// Virtual address.
    pub va: u64,
    /// As in [`DataAbort::gpa`].
    pub gpa: Option<u64>,
    /// As in [`DataAbort::s1ptw`].
    pub s1ptw: bool,
    /// What was wrong.
    pub fault: Fault,
}

/// Exception class of a data abort from a lower level.
const DATA_ABORT: u64 = 0x24;
const S1PTW: u64 = 1 << 7;

/// Whether the exit may be an HVC or SMC that follows the SMC calling convention, is a hypercall, or is neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// HVC with Xen's immediate: hypercall number in x16.
    Hypercall,
    /// Immediate 0: SMC calling convention, function in x0.
    Smccc,
    /// Undefined instruction for the guest.
    Undefined,
}

impl CallKind {
    /// Kind of an HVC by its immediate.
    pub const fn of_hvc(imm: u16) -> Self {
        match imm as u32 {
            XEN_HYPERCALL_TAG => Self::Hypercall,
            0 => Self::Smccc,
            _ => Self::Undefined,
        }
    }

    /// Kind of an SMC by its immediate.
    pub const fn of_smc(imm: u16) -> Self {
        if imm == 0 { Self::Smccc } else { Self::Undefined }
    }
}

/// Bytes of the trapped instruction: 2 (16-bit Thumb, from AArch32 EL0 only) or 4.
pub const fn instruction_len(esr: u64) -> u64 {
    if esr & IL != 0 { 4 } else { 2 }
}

/// Whether the exit is a [`DataAbort`].
#[inline]
pub const fn is_data_abort(esr: u64) -> bool {
    esr >> 26 & 0x3f == DATA_ABORT
}

/// Decodes the syndrome. `far` and `hpfar` are looked at for aborts only.
pub fn decode(esr: u64, far: u64, hpfar: u64) -> Exit {
    let class = esr >> 26 & 0x3f;
    match class {
        0x16 => Exit::Hvc { imm: esr as u16 },
        DATA_ABORT => Exit::DataAbort(data_abort(esr, far, hpfar)),
        0x01 => match esr & 3 {
            0 => Exit::Wfi,
            _ => Exit::Wfe,
        },
        0x18 => Exit::SysReg(sys_reg(esr)),
        0x20 => {
            let fault = fault(esr);
            let s1ptw = esr & S1PTW != 0;
            Exit::InstrAbort(InstrAbort {
                va: far,
                gpa: faulting_gpa(fault, s1ptw, far, hpfar),
                s1ptw,
                fault,
            })
        }
        0x17 => Exit::Smc { imm: esr as u16 },
        0x03 | 0x04 => Exit::Cp15,
        0x05 | 0x06 | 0x08 | 0x0c => Exit::Cp14,
        0x07 | 0x19 | 0x1d => Exit::FpTrap,
        0x38 | 0x3c => Exit::Brk,
        _ => Exit::Unknown { class: class as u8 },
    }
}

fn sys_reg(esr: u64) -> SysRegAccess {
    let field = |shift: u32| (esr >> shift) as u8;
    SysRegAccess {
        reg: SysReg::new(field(20), field(14), field(10), field(1), field(17)),
        rt: field(5) & 31,
        is_read: esr & 1 != 0,
    }
}

/// Decodes the syndrome of a [`DataAbort`].
#[inline]
pub fn data_abort(esr: u64, far: u64, hpfar: u64) -> DataAbort {
    const ISV: u64 = 1 << 24;
    const SSE: u64 = 1 << 21;
    const SF: u64 = 1 << 15;
    const CM: u64 = 1 << 8;
    const WNR: u64 = 1 << 6;
    let fault = fault(esr);
    let s1ptw = esr & S1PTW != 0;
    let access = (esr & (ISV | S1PTW) == ISV).then_some(MmioAccess {
        size: match (esr >> 22) & 3 {
            0 => AccessSize::Byte,
            1 => AccessSize::Half,
            2 => AccessSize::Word,
            _ => AccessSize::Double,
        },
        rt: (esr >> 16) as u8 & 31,
        sign_extend: esr & SSE != 0,
        sixty_four: esr & SF != 0,
    });
    DataAbort {
        va: far,
        gpa: faulting_gpa(fault, s1ptw, far, hpfar),
        write: esr & WNR != 0,
        access,
        s1ptw,
        cache_op: esr & CM != 0,
        fault,
    }
}

fn fault(esr: u64) -> Fault {
    let code = esr as u8 & 0x3f;
    let kind = match code {
        0x00..=0x03 | 0x29 => FaultKind::AddressSize,
        0x04..=0x07 | 0x2b => FaultKind::Translation,
        0x08..=0x0b => FaultKind::AccessFlag,
        0x0c..=0x0f => FaultKind::Permission,
        0x10 | 0x13..=0x18 | 0x1b..=0x1f => FaultKind::External,
        _ => FaultKind::Other,
    };
    // Level -1 has codes of its own, and is reported as 0.
    let level = if code < 0x10 || matches!(code, 0x14..=0x17 | 0x1c..=0x1f) { code & 3 } else { 0 };
    Fault { kind, level }
}

/// HPFAR_EL2 holds the page for these kinds only; for a permission fault of the access itself it is not written.
fn faulting_gpa(fault: Fault, s1ptw: bool, far: u64, hpfar: u64) -> Option<u64> {
    let page = (hpfar & 0x0fff_ffff_fff0) << 8;
    match fault.kind {
        FaultKind::External | FaultKind::Other => None,
        _ if s1ptw => Some(page),
        FaultKind::Permission => None,
        FaultKind::AddressSize | FaultKind::Translation | FaultKind::AccessFlag => Some(page | (far & 0xfff)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn esr(class: u64, iss: u64) -> u64 {
        (class << 26) | (1 << 25) | iss
    }

    #[test]
    fn calls_carry_their_immediate() {
        assert_eq!(ESR_HYPERCALL, 0x5a00_0ea1);
        assert_eq!(decode(ESR_HYPERCALL, 0, 0), Exit::Hvc { imm: 0xea1 });
        assert_eq!(decode(esr(0x17, 7), 0, 0), Exit::Smc { imm: 7 });
        assert_eq!(CallKind::of_hvc(0xea1), CallKind::Hypercall);
        assert_eq!(CallKind::of_hvc(0), CallKind::Smccc);
        assert_eq!(CallKind::of_hvc(0xea2), CallKind::Undefined);
        assert_eq!(CallKind::of_smc(0xea1), CallKind::Undefined);
        assert_eq!(CallKind::of_smc(0), CallKind::Smccc);
    }

    #[test]
    fn waits_are_told_apart_and_timed_waits_never_block() {
        assert_eq!(decode(esr(1, 0), 0, 0), Exit::Wfi);
        for ti in 1..4 {
            assert_eq!(decode(esr(1, ti), 0, 0), Exit::Wfe);
        }
    }

    #[test]
    fn sysreg_fields_are_extracted() {
        // MRS x7, CNTP_CVAL_EL0 = op0 3, op1 3, CRn 14, CRm 2, op2 2.
        let iss = (3 << 20) | (2 << 17) | (3 << 14) | (14 << 10) | (7 << 5) | (2 << 1) | 1;
        let Exit::SysReg(access) = decode(esr(0x18, iss), 0, 0) else { panic!() };
        assert_eq!(access.reg, SysReg::new(3, 3, 14, 2, 2));
        assert_eq!((access.rt, access.is_read), (7, true));
        let reg = access.reg;
        assert_eq!((reg.op0(), reg.op1(), reg.crn(), reg.crm(), reg.op2()), (3, 3, 14, 2, 2));
    }

    #[test]
    fn mmio_store_gives_address_width_and_register() {
        // STRH w3, translation fault at level 2.
        let iss = (1 << 24) | (1 << 22) | (3 << 16) | (1 << 6) | 0x06;
        let Exit::DataAbort(abort) = decode(esr(0x24, iss), 0xffff_0000_1234_5678, 0x8_0120) else {
            panic!()
        };
        assert_eq!(abort.gpa, Some(0x801_2678));
        assert!(abort.write && !abort.s1ptw && !abort.cache_op);
        assert_eq!(abort.fault, Fault { kind: FaultKind::Translation, level: 2 });
        let access = abort.access.unwrap();
        assert_eq!((access.size, access.rt), (AccessSize::Half, 3));
        assert_eq!(access.stored(0xdead_beef), 0xbeef);
    }

    #[test]
    fn permission_fault_has_no_gpa_unless_it_hit_a_table_walk() {
        let Exit::DataAbort(abort) = decode(esr(0x24, 0x0f), 0x1000, 0x10) else { panic!() };
        assert_eq!(abort.gpa, None);
        assert_eq!(abort.access, None);
        let Exit::DataAbort(abort) = decode(esr(0x24, 0x8f), 0x1234, 0x10) else { panic!() };
        assert_eq!(abort.gpa, Some(0x1000));
        assert!(abort.s1ptw);
    }

    #[test]
    fn instruction_abort_is_decoded() {
        let Exit::InstrAbort(abort) = decode(esr(0x20, 0x07), 0x4000_0004, 0x40_0000) else { panic!() };
        assert_eq!(abort.gpa, Some(0x4000_0004));
        assert_eq!(abort.fault, Fault { kind: FaultKind::Translation, level: 3 });
        let Exit::InstrAbort(abort) = decode(esr(0x20, 0x10), 0, 0) else { panic!() };
        assert_eq!((abort.fault.kind, abort.gpa), (FaultKind::External, None));
    }

    #[test]
    fn loads_extend_as_the_instruction_says() {
        let access = |size, sign_extend, sixty_four| MmioAccess { size, rt: 0, sign_extend, sixty_four };
        assert_eq!(access(AccessSize::Byte, true, true).loaded(0x180), 0xffff_ffff_ffff_ff80);
        assert_eq!(access(AccessSize::Byte, true, false).loaded(0x80), 0xffff_ff80);
        assert_eq!(access(AccessSize::Half, false, true).loaded(0x1_8000), 0x8000);
        assert_eq!(access(AccessSize::Word, true, true).loaded(0x8000_0000), 0xffff_ffff_8000_0000);
        assert_eq!(access(AccessSize::Double, true, true).loaded(u64::MAX), u64::MAX);
    }

    #[test]
    fn other_classes_are_named_or_unknown() {
        assert_eq!(decode(esr(0x03, 0), 0, 0), Exit::Cp15);
        assert_eq!(decode(esr(0x0c, 0), 0, 0), Exit::Cp14);
        assert_eq!(decode(esr(0x19, 0), 0, 0), Exit::FpTrap);
        assert_eq!(decode(esr(0x3c, 0), 0, 0), Exit::Brk);
        assert_eq!(decode(esr(0x0e, 0), 0, 0), Exit::Unknown { class: 0x0e });
        assert_eq!(instruction_len(esr(3, 0)), 4);
        assert_eq!(instruction_len(3 << 26), 2);
    }

    proptest! {
        #[test]
        fn any_syndrome_decodes(esr: u64, far: u64, hpfar: u64) {
            match decode(esr, far, hpfar) {
                Exit::DataAbort(abort) => {
                    prop_assert!(abort.fault.level < 4);
                    prop_assert!(abort.access.is_none_or(|access| access.rt < 32));
                }
                Exit::SysReg(access) => prop_assert!(access.rt < 32),
                _ => {}
            }
        }
    }
}
