//! What the machine records: operations, faults, and its end.

use hal::{Gfn, IrqConfig, Mfn, PcpuId, Stage2Root};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};

/// An operation of the core on the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(
    missing_docs,
    reason = "variants and fields are named after the operations of `MachineOps` and `ArmOps`"
)]
pub enum Op {
    CleanFrames { mfn: Mfn, count: u64 },
    PublishTables,
    FlushGfns { root: Stage2Root, gfn: Gfn, count: u64 },
    FlushTag { root: Stage2Root },
    SetTimer { deadline_ns: Option<u64> },
    Poke { cpu: PcpuId },
    Idle,
    Relax,
    Save,
    Load,
    SetStage2 { root: Stage2Root },
    IrqEnable { irq: u32 },
    IrqDisable { irq: u32 },
    IrqConfigure { irq: u32, config: IrqConfig },
    IrqRoute { irq: u32, cpu: PcpuId },
    IrqDeactivate { irq: u32 },
    SetActive { irq: u32, active: bool },
    PowerOff,
    Reboot,
}

/// An operation and the pCPU that it came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// The pCPU.
    pub cpu: PcpuId,
    /// What it did.
    pub op: Op,
}

/// Something that the core did against the machine's rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A table entry was replaced by one with another output, size or memory type while the TLB
    /// held what it replaces (Arm ARM, break-before-make).
    BreakBeforeMake {
        /// The domain's tag.
        tag: u16,
        /// The first guest frame of what the TLB holds.
        gfn: Gfn,
        /// The level of what the TLB holds.
        level: u32,
        /// The entry that the TLB holds.
        cached: u64,
        /// The entry that was stored.
        stored: u64,
    },
    /// A tag was used with another root while the TLB held entries of the former.
    TagReused {
        /// The tag.
        tag: u16,
        /// The root table of the entries.
        cached: Mfn,
        /// The root table used now.
        used: Mfn,
    },
    /// A tag is not below `nr_tags`.
    TagOutOfRange {
        /// The tag.
        tag: u16,
    },
    /// A root table is not aligned to the size of all root tables.
    RootMisaligned {
        /// The first root table.
        table: Mfn,
    },
    /// A table walk met an entry that the format never makes at its level, such as one of a table
    /// that was not cleared.
    MalformedEntry {
        /// The table.
        table: Mfn,
        /// The entry's number in it.
        index: usize,
        /// The table's level.
        level: u32,
        /// The entry.
        pte: u64,
    },
    /// Something was written to a table that is no longer linked but that the TLB can still walk
    /// through: it was reused before the flush.
    StaleTableWritten {
        /// The domain's tag.
        tag: u16,
        /// The table.
        table: Mfn,
    },
    /// A table walk was led to a frame where there is no RAM.
    TableOutsideRam {
        /// The frame.
        table: Mfn,
    },
    /// A guest could access a frame that the hypervisor keeps for itself.
    GuestReachedPrivate {
        /// The frame.
        mfn: Mfn,
    },
    /// Cache maintenance of frames that are not all RAM.
    CleanOutsideRam {
        /// The first frame.
        mfn: Mfn,
        /// The number of frames.
        count: u64,
    },
    /// A context was loaded while another pCPU had it loaded.
    ContextLoadedTwice {
        /// The pCPU that loaded it.
        cpu: PcpuId,
        /// The pCPU that has it.
        other: PcpuId,
    },
    /// A context was saved that was not the one loaded on the pCPU.
    SaveWithoutLoad {
        /// The pCPU.
        cpu: PcpuId,
    },
    /// A pCPU that does not exist was named.
    NoSuchCpu {
        /// Its number.
        cpu: PcpuId,
    },
    /// A line was named that the interrupt controller does not have.
    NoSuchIrq {
        /// Its number.
        irq: u32,
    },
    /// A list register was named that does not exist.
    NoSuchListRegister {
        /// Its number.
        n: usize,
    },
    /// An interrupt was deactivated that was not active.
    IrqNotActive {
        /// The line.
        irq: u32,
    },
    /// A line's signalling was changed while it was enabled (GIC: unpredictable).
    IrqConfiguredWhileEnabled {
        /// The line.
        irq: u32,
    },
}

/// How the machine, or the run of a pCPU, ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MachineEnd {
    /// `power_off` was called.
    PowerOff,
    /// `reboot` was called.
    Reboot,
    /// A pCPU waits, and nothing is pending (see [`crate::Idle::Unwind`]).
    Idle,
}

impl MachineEnd {
    /// Unwinds to [`catch_end`] with this as the payload; no panic message is printed.
    pub(crate) fn raise(self) -> ! {
        resume_unwind(Box::new(self))
    }
}

/// Runs code that may switch the machine off, or that may wait; `Err` says how it ended. Other panics pass through.
///
/// # Errors
/// The end that `power_off`, `reboot` or `idle` asked for.
pub fn catch_end<T>(f: impl FnOnce() -> T) -> Result<T, MachineEnd> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| match payload.downcast::<MachineEnd>() {
        Ok(end) => *end,
        Err(other) => resume_unwind(other),
    })
}

/// Stops at a fault when the machine is set to.
pub(crate) fn panic_with(fault: Fault) -> ! {
    panic_any(format!("the core broke a rule of the machine: {fault:?}"))
}
