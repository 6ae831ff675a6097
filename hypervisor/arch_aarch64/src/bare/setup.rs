//! Setting the machine up: the calls that the image makes from entry to the first guest.
//!
//! In this order: [`Setup::new`], [`Setup::fdt`], [`Setup::console`], [`Setup::memory`],
//! [`Setup::gic_v2`] or [`Setup::gic_v3`], [`Setup::machine`], [`Setup::start_cpu`] for each other
//! CPU. Memory for the hypervisor itself comes from [`Setup::allocate`] until the core has its own
//! allocator, which starts with what [`Setup::free_memory`] then says.

use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hal::{MachineOps, Mfn, PcpuId};

use super::boot::Entry;
use super::cpu::{self, Features, Unfit};
use super::gic::{Gic, GicInfo, Redistributor, V3_FRAMES};
use super::machine::{Machine, MachineConfig, last_ran_words};
use super::memory::{clean_range, zero_pages};
use super::mmio::Mmio;
use super::smp::{self, StartError, StartMethod};
use super::tables::LiveTables;
use super::{console, power, sysreg as reg};
use crate::clock::Clock;
use crate::layout;
use crate::paging::{MapError, Use};
use crate::ram::{Bank, Banks, BootRam, Span, without_holes};

const PAGE: u64 = 4096;
/// log2 of the page size.
const PAGE_SHIFT: u32 = 12;
/// Ranges of device registers that are mapped, at most.
const MAX_DEVICES: usize = 8 + layout::MAX_CPUS;
/// How long a CPU has to come up.
const START_TIMEOUT_NS: u64 = 1_000_000_000;

/// What went wrong while the machine was set up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetupError {
    /// No memory left.
    NoMemory,
    /// A mapping failed.
    Map(MapError),
    /// Registers of a device lie in RAM, or RAM where registers are.
    DeviceInRam,
    /// More ranges of device registers than can be mapped.
    TooManyDevices,
    /// Not a device tree, or one that is too large.
    BadFdt,
    /// RAM beyond what the hypervisor can map.
    RamTooHigh,
    /// The first CPU cannot run guests.
    Unfit(Unfit),
    /// The counter's rate is missing or senseless.
    BadClock,
    /// The interrupt controller has no redistributor for the first CPU.
    NoRedistributor,
}

impl From<MapError> for SetupError {
    fn from(error: MapError) -> Self {
        match error {
            MapError::NoTable => Self::NoMemory,
            other => Self::Map(other),
        }
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoMemory => "out of memory",
            Self::Map(MapError::Occupied) => "two things are to be mapped at one address",
            Self::Map(_) => "an address or a size is not a multiple of the page size",
            Self::DeviceInRam => {
                "device registers and RAM overlap: check `reg` of the memory and device nodes"
            }
            Self::TooManyDevices => "too many ranges of device registers",
            Self::BadFdt => "no device tree, or one of more than 2 MiB",
            Self::RamTooHigh => "RAM at addresses of more than 47 bits",
            Self::Unfit(why) => return write!(f, "the CPU cannot be used: {why}"),
            Self::BadClock => "the system counter's rate is not known: firmware must set CNTFRQ_EL0",
            Self::NoRedistributor => "the interrupt controller has no redistributor for the first CPU",
        })
    }
}

/// The machine while it is set up. There is one.
pub struct Setup<'f> {
    entry: Entry,
    ram: Option<BootRam<'f>>,
    banks: &'f [Span],
    /// RAM that is not in the direct map, but for the image.
    unmapped: &'f [Span],
    devices: [Span; MAX_DEVICES],
    nr_devices: usize,
    /// The next address for device registers.
    device_va: u64,
    /// The address and length of the mapped device tree.
    fdt: Span,
    /// The most pCPUs.
    max_cpus: u32,
    /// Stacks mapped for pCPUs, the first one's included.
    stacks: u32,
    /// A CPU came up but did not finish.
    stuck: bool,
    machine: Option<&'static Machine>,
}

impl<'f> Setup<'f> {
    /// Starts, with what the boot loader passed to the image's `main`. Only once.
    pub fn new(entry: Entry) -> Self {
        static STARTED: AtomicBool = AtomicBool::new(false);
        assert!(!STARTED.swap(true, Ordering::Relaxed), "the machine is set up once");
        Self {
            entry,
            ram: None,
            banks: &[],
            unmapped: &[],
            devices: [Span::default(); MAX_DEVICES],
            nr_devices: 0,
            device_va: layout::DEVICE_BASE,
            fdt: Span::default(),
            max_cpus: 1,
            stacks: 1,
            stuck: false,
            machine: None,
        }
    }

    /// What the boot loader passed.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    fn tables(&mut self) -> LiveTables<'_, 'f> {
        LiveTables::new(self.entry, self.ram.as_mut())
    }

    /// Maps the device tree, read-only. `total_size` tells its length from its first 40 bytes.
    /// The memory must not be written as long as the bytes are in use.
    pub fn fdt(
        &mut self,
        total_size: impl FnOnce(&[u8]) -> Option<usize>,
    ) -> Result<&'static [u8], SetupError> {
        const HEADER: usize = 40;
        let pa = self.entry.fdt;
        if pa == 0 || !pa.is_multiple_of(8) || pa >= layout::DIRECT_LIMIT {
            return Err(SetupError::BadFdt);
        }
        let first = pa & !(PAGE - 1);
        let inside = pa - first;
        // The header may reach into a second page.
        self.tables().map(layout::FDT_WINDOW, first, 2 * PAGE, Use::ReadOnly)?;
        let va = layout::FDT_WINDOW + inside;
        // SAFETY: mapped just now, for good, and read-only; the header lies in the two pages. What
        // the boot loader put there nobody changes, by the caller's word.
        let header = unsafe { bytes_at(va, HEADER) };
        let len =
            total_size(header).filter(|&len| len as u64 <= layout::FDT_MAX).ok_or(SetupError::BadFdt)?;
        let end = (inside + len as u64).next_multiple_of(PAGE);
        if end > 2 * PAGE {
            let (va, first) = (layout::FDT_WINDOW + 2 * PAGE, first + 2 * PAGE);
            self.tables().map(va, first, end - 2 * PAGE, Use::ReadOnly)?;
        }
        self.fdt = Span { start: pa, end: pa + len as u64 };
        // SAFETY: as above, for the whole length.
        Ok(unsafe { bytes_at(va, len) })
    }

    /// The physical memory that the device tree lies in.
    pub fn fdt_span(&self) -> Span {
        self.fdt
    }

    /// Unmaps the device tree and gives its frames to guests' use.
    ///
    /// # Safety
    /// Nothing refers to the bytes that [`Setup::fdt`] returned any more.
    pub unsafe fn forget_fdt(&mut self) -> Span {
        let span = self.fdt;
        let first = span.start & !(PAGE - 1);
        let len = (span.end - first).next_multiple_of(PAGE).max(2 * PAGE);
        self.tables().unmap_pages(layout::FDT_WINDOW, len);
        if let Some(machine) = self.machine {
            // SAFETY: with the window gone nothing of the hypervisor's refers to these frames.
            unsafe { machine.set_private(Mfn(first >> PAGE_SHIFT), len_in_frames(first, span.end), false) };
        }
        Span { start: first, end: span.end.next_multiple_of(PAGE) }
    }

    /// Reads a word of physical memory, before RAM is mapped.
    pub fn peek(&mut self, pa: u64) -> Option<u32> {
        // The last page of the device tree's window is never part of it.
        const WINDOW: u64 = layout::FDT_WINDOW + (4 << 20) - PAGE;
        if pa >= layout::DIRECT_LIMIT || !pa.is_multiple_of(4) {
            return None;
        }
        self.tables().map(WINDOW, pa & !(PAGE - 1), PAGE, Use::ReadOnly).ok()?;
        let at = core::ptr::with_exposed_provenance::<u32>((WINDOW + pa % PAGE) as usize);
        // SAFETY: mapped just now.
        let value = unsafe { at.read_volatile() };
        self.tables().unmap_pages(WINDOW, PAGE);
        Some(value)
    }

    /// Maps device registers. Refused where RAM is.
    fn device(&mut self, registers: Span) -> Result<Mmio, SetupError> {
        let first = registers.start & !(PAGE - 1);
        let end = registers.end.checked_next_multiple_of(PAGE).ok_or(SetupError::DeviceInRam)?;
        if self.banks.iter().any(|bank| bank.start < end && first < bank.end) {
            return Err(SetupError::DeviceInRam);
        }
        let slot = self.devices.get_mut(self.nr_devices).ok_or(SetupError::TooManyDevices)?;
        if self.device_va + (end - first) > layout::DEVICE_END {
            return Err(SetupError::TooManyDevices);
        }
        *slot = Span { start: first, end };
        self.nr_devices += 1;
        let va = self.device_va;
        self.device_va += end - first;
        self.tables().map(va, first, end - first, Use::Device)?;
        let len = registers.len() as usize;
        // SAFETY: mapped as device memory for good, apart from RAM; the devices mapped here, UART
        // and interrupt controller, do not write to memory by the registers used.
        Ok(unsafe { Mmio::new((va + (registers.start - first)) as usize, len) })
    }

    /// Uses a PL011 as the console; `full` is false for the SBSA subset.
    pub fn console(&mut self, registers: Span, full: bool) -> Result<(), SetupError> {
        let registers = self.device(registers)?;
        console::start(registers, full);
        Ok(())
    }

    /// Notes that there is firmware to call by SMC; see [`power::init`].
    pub fn firmware(&mut self, fixed_ids: bool) {
        power::init(fixed_ids);
    }

    /// Maps RAM. `banks` is all RAM in whole pages; `unmapped` the parts that must not be mapped,
    /// the image excepted, of which the same is known here; `free` the parts that nobody uses, in
    /// ascending order: not the image, nor the device tree, nor what the boot loader loaded.
    ///
    /// # Safety
    /// The ranges are what they are said to be.
    pub unsafe fn memory(
        &mut self,
        banks: &'f [Span],
        unmapped: &'f [Span],
        free: &'f mut [Span],
    ) -> Result<(), SetupError> {
        if banks.iter().any(|bank| bank.end > layout::DIRECT_LIMIT) {
            return Err(SetupError::RamTooHigh);
        }
        let devices = &self.devices[..self.nr_devices];
        if devices.iter().any(|device| banks.iter().any(|b| b.start < device.end && device.start < b.end)) {
            return Err(SetupError::DeviceInRam);
        }
        self.banks = banks;
        self.unmapped = unmapped;
        // Tables for the rest come from the top of the free memory, so that goes first.
        const FIRST: u64 = 2 << 20;
        let top = free.iter().rev().find(|span| span.len() >= FIRST).ok_or(SetupError::NoMemory)?;
        let first = Span { start: ((top.end - FIRST) & !(FIRST - 1)).max(top.start), end: top.end };
        self.tables().map(layout::direct(first.start), first.start, first.len(), Use::Data)?;
        self.ram = Some(BootRam::new(free));
        let image = self.entry.image_span();
        for &bank in banks {
            without_holes(bank, unmapped, &mut |piece| {
                without_holes(piece, &[image, first], &mut |piece| {
                    self.tables().map(layout::direct(piece.start), piece.start, piece.len(), Use::Data)
                })
            })?;
        }
        Ok(())
    }

    /// Takes memory for the hypervisor, zeroed. It is never given back.
    pub fn allocate(&mut self, len: u64, align: u64) -> Option<Span> {
        let piece = self.ram.as_mut()?.take(len, align)?;
        let at = core::ptr::with_exposed_provenance_mut::<u8>(layout::direct(piece.start) as usize);
        // SAFETY: fresh memory in the direct map that only we have, in whole pages.
        unsafe { zero_pages(at, at.wrapping_add(piece.len() as usize)) };
        self.keep(piece);
        Some(piece)
    }

    /// Takes memory for `count` words, zeroed. It is never given back.
    pub fn allocate_words(&mut self, count: usize) -> Option<&'static [AtomicU64]> {
        let piece = self.allocate(count as u64 * 8, PAGE)?;
        let at = core::ptr::with_exposed_provenance(layout::direct(piece.start) as usize);
        // SAFETY: memory in the direct map that was just taken for good, zeroed, long and aligned
        // enough for the words, and reached only through them.
        Some(unsafe { core::slice::from_raw_parts(at, count) })
    }

    /// Makes memory the hypervisor's own.
    fn keep(&self, span: Span) {
        if let Some(machine) = self.machine {
            // SAFETY: taken from memory that nobody used, so nobody has a handle on it.
            unsafe {
                machine.set_private(Mfn(span.start >> PAGE_SHIFT), len_in_frames(span.start, span.end), true)
            };
        }
    }

    /// The memory that nobody uses, as it is now. What is missing from what [`Setup::memory`] was
    /// told has been kept for the hypervisor.
    pub fn free_memory(&self) -> &[Span] {
        self.ram.as_ref().map_or(&[], |ram| ram.free())
    }

    /// The bytes that the hypervisor took for itself, the image excepted.
    pub fn taken(&self) -> u64 {
        self.ram.as_ref().map_or(0, BootRam::taken)
    }

    /// Maps a GICv2's distributor, CPU interface and virtual interface control.
    pub fn gic_v2(&mut self, distributor: Span, cpu: Span, hypervisor: Span) -> Result<GicInfo, SetupError> {
        Ok(GicInfo::V2 {
            distributor: self.device(distributor)?,
            cpu: self.device(cpu)?,
            hypervisor: self.device(hypervisor)?,
        })
    }

    /// Maps a GICv3's distributor, and looks for the redistributors in `regions`; `stride` is their
    /// distance if it is not the usual one.
    pub fn gic_v3(
        &mut self,
        distributor: Span,
        regions: &[Span],
        stride: Option<u64>,
    ) -> Result<GicInfo, SetupError> {
        let distributor = self.device(distributor)?;
        let mut redistributors = Vec::new();
        for region in regions {
            let mut at = region.start;
            while region.end.saturating_sub(at) >= V3_FRAMES {
                redistributors.try_reserve(1).map_err(|_| SetupError::NoMemory)?;
                let one = Redistributor::new(self.device(Span { start: at, end: at + V3_FRAMES })?);
                redistributors.push(one);
                if one.is_last() {
                    break;
                }
                at += stride.unwrap_or(one.stride()).max(V3_FRAMES);
            }
        }
        Ok(GicInfo::V3 { distributor, redistributors })
    }

    /// Makes the machine, with this CPU as pCPU 0.
    pub fn machine(&mut self, gic: GicInfo, config: MachineConfig) -> Result<&'static Machine, SetupError> {
        let features = Features::detect().map_err(SetupError::Unfit)?;
        let hz = config.clock_hz.unwrap_or(reg::CNTFRQ_EL0.read());
        let clock = Clock::new(hz).ok_or(SetupError::BadClock)?;
        let gic = Gic::new(gic);
        if !gic.has_cpu(reg::MPIDR_EL1.read() & cpu::MPIDR_AFFINITY) {
            return Err(SetupError::NoRedistributor);
        }
        let banks = self.make_banks()?;
        // What is not mapped, or in use already, is out of reach.
        for bank in self.banks {
            banks.set_private(bank.start >> PAGE_SHIFT, len_in_frames(bank.start, bank.end), true);
        }
        for &bank in self.banks {
            let Ok(()) = without_holes(bank, self.unmapped, &mut |piece| {
                without_holes(piece, &[self.entry.image_span(), self.fdt], &mut |piece| {
                    banks.set_private(
                        piece.start >> PAGE_SHIFT,
                        len_in_frames(piece.start, piece.end),
                        false,
                    );
                    Ok::<(), core::convert::Infallible>(())
                })
            });
        }
        let image_offset = layout::IMAGE_BASE - self.entry.image;
        self.max_cpus = config.max_cpus.clamp(1, layout::MAX_CPUS) as u32;
        let words = last_ran_words(&features, self.max_cpus as usize);
        let last_ran = self.allocate_words(words).ok_or(SetupError::NoMemory)?;
        let machine = Machine::start(banks, clock, gic, config, features, image_offset, last_ran);
        self.machine = Some(machine);
        self.ram.iter().for_each(|ram| ram.each_taken(&mut |piece| self.keep(piece)));
        Ok(machine)
    }

    fn make_banks(&mut self) -> Result<Banks, SetupError> {
        let mut list = Vec::new();
        list.try_reserve_exact(self.banks.len()).map_err(|_| SetupError::NoMemory)?;
        for &bank in self.banks {
            let words = Bank::words(bank.len()) as usize;
            let bitmap = self.allocate_words(words).ok_or(SetupError::NoMemory)?;
            list.push(Bank::new(bank, bitmap));
        }
        Ok(Banks::new(list.leak()))
    }

    /// Starts another CPU, which enters the image's `secondary`; it calls [`Machine::join`] there.
    /// Returns when it has done so, or with the reason why it is left out.
    pub fn start_cpu(&mut self, mpidr: u64, method: StartMethod) -> Result<PcpuId, StartError> {
        let machine = self.machine.ok_or(StartError::Stuck)?;
        let index = machine.nr_cpus();
        if index >= self.max_cpus {
            return Err(StartError::TooMany);
        }
        if self.stuck {
            return Err(StartError::Stuck);
        }
        if !machine.gic().has_cpu(mpidr) {
            return Err(StartError::NoRedistributor);
        }
        if index == self.stacks {
            let stack = self.allocate(layout::STACK_SIZE, 0).ok_or(StartError::NoMemory)?;
            let bottom = layout::stack_bottom(index);
            let mapped = self.tables().map(bottom, stack.start, layout::STACK_SIZE, Use::Data);
            mapped.map_err(|_| StartError::NoMemory)?;
            self.stacks += 1;
        }
        smp::expect(mpidr, layout::stack_top(index), index);
        let entry = self.entry.secondary_start();
        let started = smp::kick(method, mpidr, entry, |at| self.release(at, entry));
        let result = started.and_then(|()| {
            let deadline = machine.now_ns() + START_TIMEOUT_NS;
            loop {
                match smp::answered() {
                    Some(answer) => return answer,
                    None if machine.now_ns() > deadline => return Err(StartError::TimedOut),
                    None => lock::pause(),
                }
            }
        });
        match result {
            Ok(()) => Ok(PcpuId(index)),
            Err(error @ StartError::Unfit(_)) => Err(error),
            Err(error) => {
                let late = smp::stop_expecting(mpidr);
                self.stuck = late.is_err();
                Err(late.err().unwrap_or(error))
            }
        }
    }

    /// Writes the address that a CPU in a spin table waits for, where it sees it with caches off.
    fn release(&mut self, at: u64, address: u64) -> Result<(), StartError> {
        const WINDOW: u64 = layout::FDT_WINDOW + (4 << 20) - 2 * PAGE;
        if at >= layout::DIRECT_LIMIT || !at.is_multiple_of(8) {
            return Err(StartError::TimedOut);
        }
        let mapped = self.tables().map(WINDOW, at & !(PAGE - 1), PAGE, Use::Data);
        mapped.map_err(|_| StartError::NoMemory)?;
        let word = core::ptr::with_exposed_provenance_mut::<u64>((WINDOW + at % PAGE) as usize);
        // SAFETY: mapped just now; the device tree says that the word is there for this.
        unsafe {
            word.write_volatile(address);
            clean_range(word.cast(), word.wrapping_add(1).cast());
        }
        reg::hint(reg::SEND_EVENT);
        self.tables().unmap_pages(WINDOW, PAGE);
        Ok(())
    }
}

/// The frames from the one of `start` to the one before `end`.
fn len_in_frames(start: u64, end: u64) -> u64 {
    end.div_ceil(PAGE) - start / PAGE
}

/// # Safety
/// `len` bytes are mapped there for good and not written.
unsafe fn bytes_at(va: u64, len: usize) -> &'static [u8] {
    let at = core::ptr::with_exposed_provenance(va as usize);
    // SAFETY: the caller's promise.
    unsafe { core::slice::from_raw_parts(at, len) }
}
