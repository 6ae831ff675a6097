//! What a machine can do for the core.
//!
//! The hypervisor runs with interrupts masked from the entry of a trap to the return into a guest;
//! they are taken there, or in [`MachineOps::idle`]. So no lock of the core is ever taken inside an
//! interrupt that broke into a holder, and every handler has to be short.

use crate::addr::{Gfn, Maddr, Mfn, PcpuId};
use crate::frame::FrameMem;

/// What a stage-2 leaf lets the guest do, and how the memory behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MapAttr {
    /// The guest may write.
    pub write: bool,
    /// The guest may fetch instructions.
    pub exec: bool,
    /// Device memory: uncached, unreordered.
    pub device: bool,
}

impl MapAttr {
    /// Ordinary memory with all rights.
    pub const RAM: Self = Self { write: true, exec: true, device: false };
    /// Ordinary memory that the guest may only read.
    pub const RAM_RO: Self = Self { write: false, exec: false, device: false };
    /// Ordinary memory without execution: pages of others, grant mappings.
    pub const DATA: Self = Self { write: true, exec: false, device: false };
    /// A device's registers.
    pub const DEVICE: Self = Self { write: true, exec: false, device: true };
}

/// A stage-2 entry taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PteView {
    /// Nothing there.
    Empty,
    /// The next level's table.
    Table(Mfn),
    /// A mapping of 512^level frames.
    Leaf {
        /// The first frame.
        mfn: Mfn,
        /// Rights and memory type.
        attr: MapAttr,
        /// The core's own four bits.
        soft: u8,
    },
}

/// The format of the tables that translate guest frames to machine frames.
///
/// Levels count from the leaf: level 0 maps 4 KiB, 1 maps 2 MiB, 2 maps 1 GiB. Tables have 512
/// entries of 64 bits; the root may be several tables in a row.
pub trait Stage2Format {
    /// log2 of the number of contiguous root tables.
    const ROOT_ORDER: u32;
    /// The level of the root tables' entries.
    const ROOT_LEVEL: u32;
    /// The highest level at which a leaf may stand.
    const MAX_LEAF_LEVEL: u32;
    /// Bits of a guest physical address.
    const GUEST_ADDR_BITS: u32;

    /// The entry for a leaf; `mfn` is aligned to the level. `soft` has four bits.
    fn leaf(mfn: Mfn, level: u32, attr: MapAttr, soft: u8) -> u64;
    /// The entry for a table of the next lower level.
    fn table(mfn: Mfn) -> u64;
    /// Takes an entry apart.
    fn view(pte: u64, level: u32) -> PteView;
}

/// A domain's stage-2 root: where its tables begin and the tag its TLB entries carry (VMID).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stage2Root {
    /// The first root table.
    pub table: Mfn,
    /// The TLB tag, below [`MachineOps::nr_tags`].
    pub tag: u16,
}

/// How a physical interrupt line signals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IrqConfig {
    /// Asserted while the device wants service.
    Level,
    /// Signalled by an edge.
    Edge,
}

/// A guest's general registers at a trap, as far as common code needs them.
pub trait GuestRegs {
    /// The hypercall's number.
    fn hypercall_number(&self) -> u64;
    /// The hypercall's five arguments.
    fn hypercall_args(&self) -> [u64; 5];
    /// Writes the hypercall's result.
    fn set_result(&mut self, value: u64);
    /// Arranges that the guest issues the same hypercall again when it next runs, with these
    /// arguments. Interrupts are taken in between.
    fn reissue(&mut self, args: [u64; 5]);
    /// Whether the trap came from the guest's kernel (not its user space).
    fn is_kernel(&self) -> bool;
}

/// All of a vCPU's register state while it is not loaded on a pCPU.
pub trait VcpuContext: Send {
    /// Its general registers.
    type Regs: GuestRegs + Clone;

    /// The general registers.
    fn regs(&self) -> &Self::Regs;
    /// The general registers, to change.
    fn regs_mut(&mut self) -> &mut Self::Regs;
}

/// What the core asks of the machine.
pub trait MachineOps: Sync {
    /// A handle on a frame.
    type Frame<'a>: FrameMem
    where
        Self: 'a;
    /// A vCPU's saved registers.
    type Context: VcpuContext;
    /// The format of stage-2 tables.
    type Stage2: Stage2Format;

    // Memory.

    /// Access to a frame of RAM; `None` when there is no RAM at `mfn` or the hypervisor keeps the
    /// frame for itself (image, heap, stacks, own page tables). Who keeps the handle owns the frame, and
    /// forgets the handle before the frame is given back.
    fn frame(&self, mfn: Mfn) -> Option<Self::Frame<'_>>;
    /// Makes what was written to `count` frames visible to observers without caches, and drops
    /// stale instructions: cleans and invalidates data caches to the point of coherency.
    fn clean_frames(&self, mfn: Mfn, count: u64);
    /// Zeroes `count` frames, but for those that [`frame`](Self::frame) does not give, and then does what
    /// [`clean_frames`](Self::clean_frames) does.
    fn zero_and_clean_frames(&self, mfn: Mfn, count: u64) {
        (0..count).filter_map(|n| self.frame(mfn.plus(n))).for_each(|frame| frame.zero());
        self.clean_frames(mfn, count);
    }

    // Stage-2 translation.

    /// The number of TLB tags that domains can have.
    fn nr_tags(&self) -> u32;
    /// Completes preceding stores to stage-2 tables before what follows; no stale entry is removed.
    fn publish_tables(&self);
    /// Completes preceding stores to stage-2 tables, and then removes all TLB entries of `count` guest frames from
    /// `gfn`, on all pCPUs, before it returns.
    fn flush_gfns(&self, root: Stage2Root, gfn: Gfn, count: u64);
    /// The same for guest frames here and there.
    fn flush_pages(&self, root: Stage2Root, gfns: &[Gfn]);
    /// Completes preceding stores to stage-2 tables, and then removes all TLB entries of a tag, on all pCPUs, before it returns.
    fn flush_tag(&self, root: Stage2Root);
    /// Translates a virtual address of the guest that trapped on this pCPU, as its kernel (or its
    /// user space, where the kernel may not be meant) would see it; `None` if it has no right.
    fn translate(&self, va: u64, write: bool) -> Option<Maddr>;

    // CPUs and time.

    /// The pCPU this code runs on.
    fn this_cpu(&self) -> PcpuId;
    /// The number of pCPUs that are up.
    fn nr_cpus(&self) -> u32;
    /// Nanoseconds since the machine's counter started; the same on all pCPUs.
    fn now_ns(&self) -> u64;
    /// The machine's counter, which [`now_ns`](Self::now_ns) is made of.
    fn ticks(&self) -> u64;
    /// Sets this pCPU's timer interrupt to `deadline_ns`, or stops it.
    fn set_timer(&self, deadline_ns: Option<u64>);
    /// Makes another pCPU leave its guest, or its idle wait, and look at its work.
    fn poke(&self, cpu: PcpuId);
    /// Waits until an interrupt is pending on this pCPU; it is taken by the caller afterwards.
    fn idle(&self);
    /// A hint in a loop that waits for another pCPU.
    fn relax(&self) {
        lock::pause();
    }

    // vCPU contexts.

    /// Stores the system registers of the guest loaded on this pCPU, and selects an empty translation
    /// in place of its own; the general registers are the caller's.
    fn save(&self, context: &mut Self::Context);
    /// Loads a guest's system registers onto this pCPU.
    fn load(&self, context: &Self::Context);
    /// Selects the translation that the guest on this pCPU runs under.
    fn set_stage2(&self, root: Stage2Root);

    // Physical interrupts; numbers are the interrupt controller's.

    /// Lets a line interrupt.
    fn irq_enable(&self, irq: u32);
    /// Stops a line from interrupting.
    fn irq_disable(&self, irq: u32);
    /// Sets how a line signals.
    fn irq_configure(&self, irq: u32, config: IrqConfig);
    /// Sends a shared line to a pCPU.
    fn irq_route(&self, irq: u32, cpu: PcpuId);
    /// Ends an interrupt that was acknowledged and then left active.
    fn irq_deactivate(&self, irq: u32);

    // Console and end.

    /// Writes to the machine's console, unbuffered.
    fn console_write(&self, bytes: &[u8]);
    /// Switches the machine off.
    fn power_off(&self) -> !;
    /// Restarts the machine.
    fn reboot(&self) -> !;
}
