//! Putting an exception into a guest: the register changes that EL1 would see had its own CPU taken it
//! (Arm ARM DDI 0487, pseudocode `AArch64.TakeException`).
//!
//! EL1 is AArch64; EL0 may be AArch32. [`serror`] does not wait until the guest unmasks SErrors: one that comes while they
//! are masked breaks into an exception's entry, which the guest does not survive, and it is told so.

/// What decides where an exception goes: read from the stopped vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Program counter to return to: of the instruction itself for synchronous exceptions. For a refused HVC that is 4
    /// less than ELR_EL2.
    pub pc: u64,
    /// Processor state, as in SPSR_EL2.
    pub spsr: u64,
    /// VBAR_EL1.
    pub vbar_el1: u64,
    /// SCTLR_EL1: SPAN and DSSBS shape the new processor state.
    pub sctlr_el1: u64,
}

/// The registers to write. `far_el1` stays as it is when `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injected {
    /// New program counter.
    pub pc: u64,
    /// New processor state.
    pub spsr: u64,
    /// ELR_EL1.
    pub elr_el1: u64,
    /// SPSR_EL1.
    pub spsr_el1: u64,
    /// ESR_EL1.
    pub esr_el1: u64,
    /// FAR_EL1.
    pub far_el1: Option<u64>,
}

/// Instruction length bit of ESR_EL1.
const IL: u64 = 1 << 25;
/// Synchronous external abort, not on a table walk.
const FSC_EXTERNAL: u64 = 0x10;

const CLASS_UNKNOWN: u64 = 0x00;
const CLASS_INSTR_ABORT_LOWER: u64 = 0x20;
const CLASS_DATA_ABORT_LOWER: u64 = 0x24;
const CLASS_SERROR: u64 = 0x2f;

/// Processor state bits of an AArch64 SPSR.
mod psr {
    pub const NZCV: u64 = 0xf << 28;
    pub const DIT: u64 = 1 << 24;
    pub const PAN: u64 = 1 << 22;
    pub const SSBS: u64 = 1 << 12;
    pub const DAIF: u64 = 0xf << 6;
    pub const AARCH32: u64 = 1 << 4;
    pub const EL1H: u64 = 5;
    pub const EL1T: u64 = 4;
    /// Position of DIT in the SPSR of an AArch32 state.
    pub const DIT_AARCH32: u64 = 1 << 21;
}

impl Origin {
    /// Whether the guest was at EL0.
    pub const fn from_el0(&self) -> bool {
        self.spsr & psr::AARCH32 != 0 || self.spsr & 0xc == 0
    }

    fn vector(&self) -> u64 {
        let table = if self.spsr & psr::AARCH32 != 0 {
            0x600
        } else if self.from_el0() {
            0x400
        } else if self.spsr & 0xf == psr::EL1T {
            0x000
        } else {
            0x200
        };
        // VBAR_EL1 bits 10 to 0 are reserved; a guest may have set them all the same.
        (self.vbar_el1 & !0x7ff) | table
    }

    fn new_spsr(&self) -> u64 {
        const SPAN: u64 = 1 << 23;
        const DSSBS: u64 = 1 << 44;
        let dit = if self.spsr & psr::AARCH32 != 0 { psr::DIT_AARCH32 } else { psr::DIT };
        let mut spsr = (self.spsr & psr::NZCV) | (self.spsr & psr::PAN) | psr::DAIF | psr::EL1H;
        if self.spsr & dit != 0 {
            spsr |= psr::DIT;
        }
        if self.sctlr_el1 & SPAN == 0 {
            spsr |= psr::PAN;
        }
        if self.sctlr_el1 & DSSBS != 0 {
            spsr |= psr::SSBS;
        }
        spsr
    }

    fn take(&self, offset: u64, esr_el1: u64, far_el1: Option<u64>) -> Injected {
        Injected {
            pc: self.vector() | offset,
            spsr: self.new_spsr(),
            elr_el1: self.pc,
            spsr_el1: self.spsr,
            esr_el1,
            far_el1,
        }
    }

    /// The class of an abort: the "lower level" code from EL0, the "same level" code, one above, from EL1.
    const fn abort_class(&self, lower: u64) -> u64 {
        if self.from_el0() { lower } else { lower | 1 }
    }
}

const fn il_of(four_bytes: bool) -> u64 {
    if four_bytes { IL } else { 0 }
}

/// External data abort at `va`. `esr` is the trapped ESR_EL2: instruction length and direction are taken from it.
pub fn data_abort(origin: &Origin, va: u64, esr: u64) -> Injected {
    const WNR: u64 = 1 << 6;
    let class = origin.abort_class(CLASS_DATA_ABORT_LOWER) << 26;
    origin.take(0, class | (esr & IL) | (esr & WNR) | FSC_EXTERNAL, Some(va))
}

/// External instruction abort at `va`.
pub fn instr_abort(origin: &Origin, va: u64) -> Injected {
    let class = origin.abort_class(CLASS_INSTR_ABORT_LOWER) << 26;
    origin.take(0, class | IL | FSC_EXTERNAL, Some(va))
}

/// Undefined instruction. `four_bytes` is false for a 16-bit Thumb instruction only.
pub fn undefined(origin: &Origin, four_bytes: bool) -> Injected {
    origin.take(0, (CLASS_UNKNOWN << 26) | il_of(four_bytes), None)
}

/// SError with the given syndrome (ESR_EL1 bits 24 to 0).
pub fn serror(origin: &Origin, syndrome: u32) -> Injected {
    origin.take(0x180, (CLASS_SERROR << 26) | IL | (syndrome as u64 & 0x1ff_ffff), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VBAR: u64 = 0xffff_8000_0801_0800;
    const SPAN: u64 = 1 << 23;

    fn origin(spsr: u64) -> Origin {
        Origin { pc: 0x1000, spsr, vbar_el1: VBAR, sctlr_el1: SPAN }
    }

    #[test]
    fn vector_follows_the_level_and_the_stack_in_use() {
        for (spsr, offset) in [(0x5, 0x200), (0x4, 0x000), (0x0, 0x400), (0x10, 0x600), (0x1f, 0x600)] {
            assert_eq!(undefined(&origin(spsr), true).pc, VBAR + offset, "{spsr:#x}");
            assert_eq!(serror(&origin(spsr), 0).pc, VBAR + offset + 0x180, "{spsr:#x}");
        }
    }

    #[test]
    fn return_state_is_kept_and_interrupts_are_masked() {
        let injected = undefined(&origin(0x6000_0000), true);
        assert_eq!(injected.elr_el1, 0x1000);
        assert_eq!(injected.spsr_el1, 0x6000_0000);
        assert_eq!(injected.spsr, 0x6000_03c5);
        assert_eq!(injected.esr_el1, 1 << 25);
        assert_eq!(injected.far_el1, None);
        assert_eq!(undefined(&origin(0x30), false).esr_el1, 0);
    }

    #[test]
    fn aborts_name_the_level_they_came_from() {
        let write = (1 << 25) | (1 << 6);
        let from_el0 = data_abort(&origin(0), 0xdead, write);
        assert_eq!(from_el0.esr_el1, 0x9200_0050);
        assert_eq!(from_el0.far_el1, Some(0xdead));
        assert_eq!(data_abort(&origin(5), 0, 1 << 25).esr_el1, 0x9600_0010);
        assert_eq!(instr_abort(&origin(0), 4).esr_el1, 0x8200_0010);
        assert_eq!(instr_abort(&origin(5), 4).esr_el1, 0x8600_0010);
        assert_eq!(serror(&origin(5), 2).esr_el1, 0xbe00_0002);
    }

    #[test]
    fn control_bits_shape_the_new_state() {
        let mut at = origin(5);
        at.sctlr_el1 = 0;
        assert_eq!(undefined(&at, true).spsr, 0x3c5 | (1 << 22), "PAN is set unless SPAN says otherwise");
        at.sctlr_el1 = SPAN | (1 << 44);
        assert_eq!(undefined(&at, true).spsr, 0x3c5 | (1 << 12), "SSBS comes from DSSBS");
        at = origin(0x10 | (1 << 21));
        assert_eq!(undefined(&at, true).spsr, 0x3c5 | (1 << 24), "DIT moves between the formats");
        at = origin(5 | (1 << 21) | (1 << 20) | (1 << 10));
        assert_eq!(
            undefined(&at, true).spsr,
            0x3c5,
            "single step, illegal state and branch type are cleared"
        );
    }

    #[test]
    fn reserved_vector_base_bits_do_not_leak_into_the_program_counter() {
        let mut at = origin(5);
        at.vbar_el1 |= 0x7f;
        assert_eq!(undefined(&at, true).pc, VBAR + 0x200);
    }
}
