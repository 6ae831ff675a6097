//! One CPU: what it is, and the control registers that make it run guests.

use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering};

use super::sysreg as reg;
use super::{power, vectors};
use crate::cpu_bugs::{Bugs, CpuIds, Hardening};
use crate::stage2;

/// The affinity fields of MPIDR_EL1.
pub const MPIDR_AFFINITY: u64 = 0xff_00ff_ffff;

/// HCR_EL2: stage 2 on (VM), interrupts and aborts to EL2 (FMO, IMO, AMO), EL1 is 64-bit (RW),
/// maintenance by guests reaches all pCPUs (FB, BSU inner), stage-1 walks of device memory fault
/// (PTW), set/way invalidation also cleans (SWIO); traps: implementation-defined registers (TIDCP),
/// SMC (TSC), ACTLR (TACR), ID registers (TID3), set/way operations (TSW), WFI and WFE (TWI, TWE).
const HCR: u64 = {
    const VM: u64 = 1 << 0;
    const SWIO: u64 = 1 << 1;
    const PTW: u64 = 1 << 2;
    const FMO: u64 = 1 << 3;
    const IMO: u64 = 1 << 4;
    const AMO: u64 = 1 << 5;
    const FB: u64 = 1 << 9;
    const BSU_INNER: u64 = 1 << 10;
    const TWI: u64 = 1 << 13;
    const TWE: u64 = 1 << 14;
    const TID3: u64 = 1 << 18;
    const TSC: u64 = 1 << 19;
    const TIDCP: u64 = 1 << 20;
    const TACR: u64 = 1 << 21;
    const TSW: u64 = 1 << 22;
    const RW: u64 = 1 << 31;
    VM | SWIO | PTW | FMO | IMO | AMO | FB | BSU_INNER | TWI | TWE | TID3 | TSC | TIDCP | TACR | TSW | RW
};
/// HCR_EL2.TWI and TWE.
const HCR_TRAP_WAITS: u64 = 3 << 13;
/// MDCR_EL2: debug registers (TDRA, TDOSA, TDA) and performance monitors (TPM, TPMCR) trap.
const MDCR: u64 = 1 << 11 | 1 << 10 | 1 << 9 | 1 << 6 | 1 << 5;
/// MDCR_EL2.HPMN: the number of event counters guests would have; kept from reset.
const MDCR_HPMN: u64 = 0x1f;
/// CPTR_EL2: trace (TTA), activity monitors (TAM), SVE and SME trap; floating point does not.
const CPTR: u64 = 1 << 30 | 1 << 20 | 0x33ff;
/// HSTR_EL2: accesses to coprocessor register c15 trap.
const HSTR: u64 = 1 << 15;
/// CNTHCTL_EL2: guests read the physical counter (EL1PCTEN); the physical timer traps.
const CNTHCTL: u64 = 1;
/// VTCR_EL2.VS: 16-bit VMIDs.
const VTCR_VS: u64 = 1 << 19;
/// The number of 8-bit VMIDs.
const VMIDS_8_BIT: u32 = 256;
/// The most VMIDs that are used of those that the CPU has; bounds a table for each pCPU.
const MAX_VMIDS: u32 = 4096;

/// The bugs of all pCPUs that are up.
static BUGS: AtomicU32 = AtomicU32::new(0);

/// This pCPU's index.
#[inline(always)]
pub fn this() -> u32 {
    reg::TPIDR_EL2.read() as u32
}

/// The same for an array of what each pCPU has.
#[inline(always)]
pub fn this_index() -> usize {
    reg::TPIDR_EL2.read() as usize
}

/// The bugs to work around on any pCPU.
#[inline(always)]
pub fn bugs() -> Bugs {
    Bugs::from_bits(BUGS.load(Ordering::Relaxed))
}

/// Stops this pCPU for good.
pub fn park() -> ! {
    loop {
        reg::hint(reg::WAIT_FOR_INTERRUPT);
    }
}

/// The caller's frame pointer.
#[inline(always)]
pub fn frame_pointer() -> u64 {
    let fp;
    // SAFETY: reads a register.
    unsafe { asm!("mov {v}, x29", v = out(reg) fp, options(nomem, nostack, preserves_flags)) };
    fp
}

/// Why a CPU cannot run guests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unfit {
    /// Physical addresses of fewer than 40 bits: guests' address space does not fit.
    AddressSize,
    /// No 4 KiB pages.
    Granule,
    /// Fewer TLB tags or physical address bits than the first pCPU.
    Different,
}

impl Unfit {
    pub(super) const ALL: [Self; 3] = [Self::AddressSize, Self::Granule, Self::Different];
}

impl core::fmt::Display for Unfit {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::AddressSize => "its physical addresses have fewer than 40 bits",
            Self::Granule => "it has no 4 KiB pages",
            Self::Different => "it has fewer TLB tags or address bits than the first CPU",
        })
    }
}

/// What this CPU is and has.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    /// MIDR_EL1.
    pub midr: u64,
    /// Bits of a physical address.
    pub pa_bits: u32,
    /// VMIDs that can be used for domains. The one above them is for when no guest is selected.
    pub vmids: u32,
    /// What it does against attacks on its branch predictor.
    pub hardening: Hardening,
    /// What was done about speculative store bypass.
    pub store_bypass: power::StoreBypass,
    /// Its bugs with a workaround at run time.
    pub bugs: Bugs,
}

impl Features {
    /// Looks at this CPU, and asks the firmware to protect it.
    pub fn detect() -> Result<Self, Unfit> {
        let mmfr0 = reg::ID_AA64MMFR0_EL1.read();
        let pa_bits = match mmfr0 & 15 {
            0 => 32,
            1 => 36,
            2 => 40,
            3 => 42,
            4 => 44,
            5 => 48,
            _ => 52,
        };
        if pa_bits < 40 {
            return Err(Unfit::AddressSize);
        }
        // TGran4 is zero where there are 4 KiB pages (or 1, with 52-bit addresses).
        if mmfr0 >> 28 & 15 > 1 {
            return Err(Unfit::Granule);
        }
        let midr = reg::MIDR_EL1.read();
        let ids = CpuIds {
            midr,
            pfr0: reg::ID_AA64PFR0_EL1.read(),
            mmfr1: reg::ID_AA64MMFR1_EL1.read(),
            isar2: reg::ID_AA64ISAR2_EL1.read(),
        };
        Ok(Self {
            midr,
            pa_bits,
            vmids: (if has_16_bit_vmids() { MAX_VMIDS } else { VMIDS_8_BIT }) - 1,
            hardening: Hardening::choose(
                ids,
                power::has_workaround(power::WORKAROUND_1),
                power::has_workaround(power::WORKAROUND_3),
            ),
            store_bypass: power::stop_store_bypass(),
            bugs: Bugs::of(midr),
        })
    }
}

fn has_16_bit_vmids() -> bool {
    reg::ID_AA64MMFR1_EL1.read() >> 4 & 15 == 2
}

/// Makes this CPU ready to run guests; none is selected. With `trap_waits`, WFI and WFE of guests
/// trap.
///
/// # Safety
/// `parked` is the physical address of an empty stage-2 root that stays empty, with the VMID that
/// no domain has.
pub(super) unsafe fn set_up(features: &Features, parked: u64, trap_waits: bool) {
    BUGS.fetch_or(features.bugs.bits(), Ordering::Relaxed);
    let mmfr0 = reg::ID_AA64MMFR0_EL1.read();
    let mmfr1 = reg::ID_AA64MMFR1_EL1.read();
    // PS follows PARange up to 48 bits.
    let mut vtcr = stage2::VTCR | (mmfr0 & 15).min(5) << 16;
    if features.vmids >= VMIDS_8_BIT {
        vtcr |= VTCR_VS;
    }
    let vectors: &'static u8 = match features.hardening {
        Hardening::NotNeeded | Hardening::Missing => &vectors::guest_vectors,
        Hardening::BranchLoop(n) => {
            vectors::HARDENING_LOOPS.fetch_max(n, Ordering::Relaxed);
            &vectors::guest_vectors_loop
        }
        Hardening::ClearInstruction => &vectors::guest_vectors_clear,
        Hardening::Firmware1 => {
            vectors::HARDENING_FUNCTION.store(power::WORKAROUND_1, Ordering::Relaxed);
            &vectors::guest_vectors_firmware
        }
        Hardening::Firmware3 => {
            vectors::HARDENING_FUNCTION.store(power::WORKAROUND_3, Ordering::Relaxed);
            &vectors::guest_vectors_firmware
        }
    };
    // Fine-grained traps and the extended HCR are not reset: without them nothing more traps.
    if mmfr0 >> 56 & 15 != 0 {
        reg::HFGRTR_EL2.write(0);
        reg::HFGWTR_EL2.write(0);
        reg::HFGITR_EL2.write(0);
        reg::HDFGRTR_EL2.write(0);
        reg::HDFGWTR_EL2.write(0);
    }
    if mmfr1 >> 40 & 15 != 0 {
        reg::HCRX_EL2.write(0);
    }
    reg::MDCR_EL2.write(MDCR | reg::MDCR_EL2.read() & MDCR_HPMN);
    reg::HSTR_EL2.write(HSTR);
    reg::CNTHCTL_EL2.write(CNTHCTL);
    reg::CNTHP_CTL_EL2.write(0);
    reg::CNTV_CTL_EL0.write(0);
    reg::VPIDR_EL2.write(features.midr);
    // SAFETY: the values are those described above; the vectors are the image's; guests' tables
    // are the empty ones that the caller vouches for.
    unsafe {
        reg::VBAR_EL2.write(core::ptr::from_ref(vectors).addr() as u64);
        reg::CPTR_EL2.write(CPTR);
        reg::VTCR_EL2.write(vtcr);
        reg::VTTBR_EL2.write(parked);
        reg::HCR_EL2.write(if trap_waits { HCR } else { HCR & !HCR_TRAP_WAITS });
    }
    reg::isb();
    // Nothing that was cached, or speculated, before stage 2 was on.
    reg::TLBI_ALLE1.run(0);
    reg::dsb(reg::NSH);
    reg::isb();
}
