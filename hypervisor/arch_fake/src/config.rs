//! What a fake machine has, and how hostile it is.

use hal::Mfn;

/// What [`hal::MachineOps::idle`] does when no interrupt is pending.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Idle {
    /// Return at once, as after a spurious wake-up.
    Return,
    /// Move the clock to the pCPU's timer and return; return at once if the timer is stopped.
    Advance,
    /// Wait for another thread to cause an interrupt; a wait of ten real seconds panics, since the
    /// wake-up is then taken as lost.
    Block,
    /// Unwind to [`crate::catch_end`] with [`crate::MachineEnd::Idle`], so that a thread that plays
    /// several pCPUs can go on with another.
    Unwind,
}

/// The machine to make.
#[derive(Clone, Debug)]
pub struct Config {
    /// RAM: first frame and number of frames of each region; regions may not overlap. A frame
    /// costs host memory only once it is used.
    pub ram: Vec<(Mfn, u64)>,
    /// The number of pCPUs.
    pub cpus: u32,
    /// The number of TLB tags.
    pub tags: u32,
    /// Each word of RAM that was never written. The default is junk that is neither zero nor a
    /// sound stage-2 entry.
    pub fill: u64,
    /// The interrupt controller's version: 2 or 3.
    pub gic_version: u32,
    /// The number of interrupt lines, private ones included.
    pub gic_lines: u32,
    /// The number of list registers.
    pub list_registers: usize,
    /// Nanoseconds that the clock moves at each look at it.
    pub clock_step_ns: u64,
    /// What an idle pCPU does.
    pub idle: Idle,
    /// The virtual address at which a guest sees its physical address 0
    /// (see [`hal::MachineOps::translate`]).
    pub va_base: u64,
    /// The TLB loads every valid entry of a running guest's tables at once, as speculation may,
    /// not only those that the guest uses.
    pub speculate: bool,
    /// Table walks see a changed entry only after `publish_tables` or a flush.
    pub delay_tables: bool,
    /// Written cache lines are kept from uncached observers until `clean_frames`.
    pub caches: bool,
    /// Operations are recorded for [`crate::Machine::take_log`].
    pub log: bool,
    /// A fault panics where it happens instead of being recorded.
    pub panic_on_fault: bool,
}

impl Config {
    /// The default machine with every hostile feature on.
    pub fn hostile() -> Self {
        Self { speculate: true, delay_tables: true, caches: true, log: true, ..Self::default() }
    }
}

impl Default for Config {
    /// Two pCPUs, 128 MiB of RAM at 1 GiB, 256 tags, a GICv3 with 288 lines and four list registers; of
    /// the hostile features only the TLB.
    fn default() -> Self {
        Self {
            ram: vec![(Mfn(0x40000), 0x8000)],
            cpus: 2,
            tags: 256,
            fill: 0xd5d5_d5d5_d5d5_d5d5,
            gic_version: 3,
            gic_lines: 288,
            list_registers: 4,
            clock_step_ns: 0,
            idle: Idle::Return,
            va_base: 0,
            speculate: false,
            delay_tables: false,
            caches: false,
            log: false,
            panic_on_fault: false,
        }
    }
}
