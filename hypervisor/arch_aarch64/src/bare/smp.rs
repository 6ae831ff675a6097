//! Starting the other CPUs, one at a time.

use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::cpu::Unfit;
use super::power;

/// What the assembly reads on a CPU that starts; see `boot.S`.
#[repr(C)]
pub(super) struct StartRecord {
    /// The affinity of the CPU that may go on. It puts [`ARRIVED`] here; any other stops.
    pub(super) mpidr: AtomicU64,
    /// The top of its stack.
    pub(super) stack_top: AtomicU64,
    /// Its index.
    pub(super) cpu: AtomicU64,
}

/// In [`StartRecord::mpidr`]: the CPU has come.
pub(super) const ARRIVED: u64 = u64::MAX;
/// In [`StartRecord::mpidr`]: no CPU is expected.
const NOBODY: u64 = u64::MAX - 1;

pub(super) static START_RECORD: StartRecord =
    StartRecord { mpidr: AtomicU64::new(NOBODY), stack_top: AtomicU64::new(0), cpu: AtomicU64::new(0) };

const WAITING: u32 = 0;
const UP: u32 = 1;
const UNFIT: u32 = 2;

/// What the CPU last started says: [`WAITING`], [`UP`] or [`UNFIT`] plus the reason.
static ANSWER: AtomicU32 = AtomicU32::new(WAITING);

/// How a CPU is started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartMethod {
    /// By the firmware's CPU_ON with this function number.
    Psci(u32),
    /// By writing an address to this physical address.
    SpinTable(u64),
}

/// Why a CPU was left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartError {
    /// There are as many as can be.
    TooMany,
    /// The interrupt controller has no redistributor for it.
    NoRedistributor,
    /// No memory for its stack.
    NoMemory,
    /// The firmware refused, with this PSCI error.
    Firmware(i32),
    /// It did not come.
    TimedOut,
    /// It came but did not finish; no other can be started after it.
    Stuck,
    /// It cannot run guests, or not as the first pCPU does.
    Unfit(Unfit),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => f.write_str("there are too many"),
            Self::NoRedistributor => f.write_str("the interrupt controller has no redistributor for it"),
            Self::NoMemory => f.write_str("there is no memory for its stack"),
            Self::Firmware(code) => write!(f, "the firmware refused (PSCI error {code})"),
            Self::TimedOut => f.write_str("it did not come up within a second"),
            Self::Stuck => f.write_str("it came up but stopped on the way"),
            Self::Unfit(why) => write!(f, "{why}"),
        }
    }
}

/// Writes the record for the next CPU.
pub(super) fn expect(mpidr: u64, stack_top: u64, cpu: u32) {
    ANSWER.store(WAITING, Ordering::Relaxed);
    START_RECORD.stack_top.store(stack_top, Ordering::Relaxed);
    START_RECORD.cpu.store(u64::from(cpu), Ordering::Relaxed);
    START_RECORD.mpidr.store(mpidr, Ordering::Release);
}

/// Stops expecting a CPU. `Err` when it has come after all.
pub(super) fn stop_expecting(mpidr: u64) -> Result<(), StartError> {
    match START_RECORD.mpidr.compare_exchange(mpidr, NOBODY, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Ok(()),
        Err(_) => Err(StartError::Stuck),
    }
}

/// Tells the boot CPU how the start went.
pub(super) fn answer(result: Result<(), Unfit>) {
    let answer = match result {
        Ok(()) => UP,
        Err(why) => UNFIT + why as u32,
    };
    ANSWER.store(answer, Ordering::Release);
}

/// What the CPU last started has answered.
pub(super) fn answered() -> Option<Result<(), StartError>> {
    match ANSWER.load(Ordering::Acquire) {
        WAITING => None,
        UP => Some(Ok(())),
        other => {
            let why = Unfit::ALL.into_iter().find(|&why| why as u32 == other - UNFIT);
            Some(Err(why.map_or(StartError::Stuck, StartError::Unfit)))
        }
    }
}

/// Starts the CPU `mpidr` at the physical address `entry`; for a spin table, `release` writes it.
pub(super) fn kick(
    method: StartMethod,
    mpidr: u64,
    entry: u64,
    release: impl FnOnce(u64) -> Result<(), StartError>,
) -> Result<(), StartError> {
    match method {
        StartMethod::Psci(function) => power::start_cpu(function, mpidr, entry).map_err(StartError::Firmware),
        StartMethod::SpinTable(at) => release(at),
    }
}
