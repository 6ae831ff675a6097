//! The firmware: power calls (PSCI, Arm DEN0022) and CPU workarounds (SMCCC, Arm DEN0028).

use core::sync::atomic::{AtomicU32, Ordering};

use smccc::{Hvc, Smc, psci};

use super::{cpu, machine};

/// SMCCC_ARCH_WORKAROUND_1: protects against branch target injection.
pub(super) const WORKAROUND_1: u32 = 0x8000_8000;
/// SMCCC_ARCH_WORKAROUND_2: switches speculative store bypass.
const WORKAROUND_2: u32 = 0x8000_7fff;
/// SMCCC_ARCH_WORKAROUND_3: also protects against branch history injection.
pub(super) const WORKAROUND_3: u32 = 0x8000_3fff;
/// SMCCC_VERSION.
const SMCCC_VERSION: u32 = 0x8000_0000;

/// No firmware.
const ABSENT: u32 = 0;
/// PSCI 0.1: only the calls of the device tree.
const STARTS_CPUS: u32 = 1;
/// PSCI 0.2 or later.
const HAS_POWER: u32 = 2;
/// SMCCC 1.1 or later as well.
const HAS_ARCH_CALLS: u32 = 3;

static FIRMWARE: AtomicU32 = AtomicU32::new(ABSENT);

/// Notes that there is firmware to call by SMC; `fixed_ids` from PSCI 0.2 on. Asks it for its
/// versions.
pub fn init(fixed_ids: bool) {
    let mut level = STARTS_CPUS;
    if fixed_ids {
        level = HAS_POWER;
        let v1 = psci::version::<Smc>().is_ok_and(|version| version.major >= 1);
        if v1
            && psci::psci_features::<Smc>(SMCCC_VERSION).is_ok()
            && smccc::arch::version::<Smc>().is_ok_and(|v| (v.major, v.minor) >= (1, 1))
        {
            level = HAS_ARCH_CALLS;
        }
    }
    FIRMWARE.store(level, Ordering::Relaxed);
}

/// Whether the firmware offers an SMCCC_ARCH_WORKAROUND on this CPU.
pub(super) fn has_workaround(function: u32) -> bool {
    FIRMWARE.load(Ordering::Relaxed) == HAS_ARCH_CALLS && smccc::arch::features::<Smc>(function).is_ok()
}

/// What the firmware does about speculative store bypass on this CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreBypass {
    /// It does not say.
    Unknown,
    /// The CPU is not affected, or always protected.
    Safe,
    /// Protected from now on: the firmware was asked to.
    SwitchedOff,
}

/// Has the firmware switch speculative store bypass off on this CPU where it can be switched.
pub(super) fn stop_store_bypass() -> StoreBypass {
    if FIRMWARE.load(Ordering::Relaxed) != HAS_ARCH_CALLS {
        return StoreBypass::Unknown;
    }
    match smccc::arch::features::<Smc>(WORKAROUND_2) {
        Ok(0) if smccc::arch::arch_workaround_2::<Smc>(true).is_ok() => StoreBypass::SwitchedOff,
        // 1: there is such a CPU in the machine, but it is not this one. NOT_REQUIRED: none is.
        Ok(1) | Err(smccc::arch::Error::NotRequired) => StoreBypass::Safe,
        _ => StoreBypass::Unknown,
    }
}

/// Starts a CPU at a physical address with PSCI's CPU_ON, whose function number is `function`.
/// `Err` has PSCI's code; -1 (not supported) also when there is no firmware.
pub(super) fn start_cpu(function: u32, mpidr: u64, entry: u64) -> Result<(), i32> {
    const NOT_SUPPORTED: i32 = -1;
    if FIRMWARE.load(Ordering::Relaxed) == ABSENT {
        return Err(NOT_SUPPORTED);
    }
    let mut arguments = [0; 17];
    (arguments[0], arguments[1]) = (mpidr, entry);
    match smccc::smc64(function, arguments)[0] as i32 {
        0 => Ok(()),
        error => Err(error),
    }
}

/// Switches the machine off; without firmware for that, stops all pCPUs.
pub fn off() -> ! {
    if FIRMWARE.load(Ordering::Relaxed) >= HAS_POWER {
        let _ = psci::system_off::<Smc>();
    }
    stop()
}

/// Restarts the machine; without firmware for that, stops all pCPUs.
pub fn reboot() -> ! {
    if FIRMWARE.load(Ordering::Relaxed) >= HAS_POWER {
        let _ = psci::system_reset::<Smc>();
    }
    stop()
}

fn stop() -> ! {
    if let Some(machine) = machine::machine() {
        machine.stop_others();
    }
    cpu::park()
}

/// Switches the machine off when the hypervisor was not entered at EL2 and HVC calls the firmware.
pub fn off_by_hvc() -> ! {
    let _ = psci::system_off::<Hvc>();
    cpu::park()
}
