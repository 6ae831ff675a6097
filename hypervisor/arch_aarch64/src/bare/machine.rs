//! The machine as the core sees it.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use arm_regs::{Context, PrivateIrqs};
use hal::{Gfn, IrqConfig, MachineOps, Maddr, Mfn, PcpuId, Stage2Root};
use lock::Once;

use super::cpu::{self, Features};
use super::frame::Frame;
use super::gic::{self, Gic};
use super::memory::{clean_range, zero_and_clean_pages};
use super::{console, power, smp, switch, sysreg as reg, tlb};
use crate::clock::Clock;
use crate::cpu_bugs::Bugs;
use crate::layout;
use crate::ram::Banks;
use crate::stage2::Stage2;

/// Stage-2 tables that map nothing: two concatenated root tables. They are never written; words that could be take no
/// place in the image.
#[repr(C, align(8192))]
struct EmptyRoot([AtomicU64; 1024]);
static EMPTY_ROOT: EmptyRoot = EmptyRoot([const { AtomicU64::new(0) }; 1024]);

static MACHINE: Once<Machine> = Once::new();

/// What is chosen when the machine is made.
#[derive(Clone, Copy, Debug)]
pub struct MachineConfig {
    /// The interrupts of each pCPU.
    pub irqs: PrivateIrqs,
    /// The counter's rate, if firmware has not told the CPU.
    pub clock_hz: Option<u64>,
    /// The most pCPUs there may be, the first included.
    pub max_cpus: usize,
    /// Whether WFI and WFE of guests trap.
    pub trap_waits: bool,
}

/// The machine that this hypervisor runs on.
pub struct Machine {
    banks: Banks,
    clock: Clock,
    gic: Gic,
    config: MachineConfig,
    features: Features,
    /// VTTBR_EL2 while no guest is selected.
    parked: u64,
    nr_cpus: AtomicU32,
    /// For each pCPU a row of bytes, one for each tag: the vCPU, plus one, that last ran there with
    /// the tag, or zero.
    last_ran: &'static [AtomicU64],
}

/// The machine, once [`super::Setup::machine`] has made it.
pub fn machine() -> Option<&'static Machine> {
    MACHINE.get()
}

impl Machine {
    /// Makes the machine; the pCPU that calls this becomes number 0. `last_ran` has
    /// [`last_ran_words`] words.
    pub(super) fn start(
        banks: Banks,
        clock: Clock,
        gic: Gic,
        config: MachineConfig,
        features: Features,
        image_offset: u64,
        last_ran: &'static [AtomicU64],
    ) -> &'static Self {
        let empty = core::ptr::from_ref(&EMPTY_ROOT).addr() as u64 - image_offset;
        let parked = tlb::vttbr(Stage2Root { table: Maddr(empty).frame(), tag: features.vmids as u16 });
        let machine = MACHINE.call_once(|| Self {
            banks,
            clock,
            gic,
            config,
            features,
            parked,
            nr_cpus: AtomicU32::new(0),
            last_ran,
        });
        machine.start_cpu(&features);
        machine
    }

    /// Makes this pCPU part of the machine. On one that was started by
    /// [`super::Setup::start_cpu`] this is the first thing to do; it does not return when the CPU
    /// cannot be used.
    pub fn join(&self) {
        let fit = Features::detect().and_then(|features| {
            let same = features.vmids >= self.features.vmids && features.pa_bits >= self.features.pa_bits;
            // All pCPUs use VMIDs of one size.
            let features = Features { vmids: self.features.vmids, ..features };
            if same { Ok(features) } else { Err(cpu::Unfit::Different) }
        });
        match fit {
            Ok(features) => {
                self.start_cpu(&features);
                smp::answer(Ok(()));
            }
            Err(why) => {
                smp::answer(Err(why));
                cpu::park();
            }
        }
    }

    fn start_cpu(&self, features: &Features) {
        // SAFETY: `parked` has the empty root, which is never written, and the tag after the last
        // that domains can have.
        unsafe { cpu::set_up(features, self.parked, self.config.trap_waits) };
        self.gic.init_cpu(cpu::this(), self.own_affinity());
        let irqs = self.config.irqs;
        for irq in [irqs.timer, irqs.virtual_timer, irqs.maintenance] {
            self.gic.configure(irq, IrqConfig::Level);
            self.gic.enable(irq);
        }
        self.nr_cpus.fetch_add(1, Ordering::Release);
    }

    /// Makes frames unreachable through [`MachineOps::frame`], or reachable again.
    ///
    /// # Safety
    /// Frames made private: nobody holds or keeps a [`Frame`] of them. Frames made reachable: they
    /// are RAM in the direct map, and the hypervisor has no reference into them and makes none.
    pub unsafe fn set_private(&self, mfn: Mfn, count: u64, private: bool) {
        self.banks.set_private(mfn.0, count, private);
    }

    /// Stops all other pCPUs, as soon as each takes an interrupt.
    pub(super) fn stop_others(&self) {
        self.send_to_others(gic::SGI_STOP);
    }

    /// Sends a software-generated interrupt to all other pCPUs.
    pub(super) fn send_to_others(&self, sgi: u32) {
        for cpu in (0..self.nr_cpus()).filter(|&cpu| cpu != cpu::this()) {
            self.gic.send(sgi, cpu);
        }
    }

    /// Calls `clean` with the bounds of the frames that guests may share among these, in pieces; it cleans data caches.
    /// Then drops stale instructions.
    fn clean_runs(&self, mfn: Mfn, count: u64, clean: impl Fn(*mut u8, *mut u8)) {
        let place =
            |mfn: u64| core::ptr::with_exposed_provenance_mut(layout::direct(Mfn(mfn).addr().0) as usize);
        let (mut next, end) = (mfn.0, mfn.0.saturating_add(count));
        while next < end {
            let run = self.banks.shareable_run(next, end - next);
            if run > 0 {
                clean(place(next), place(next + run));
            }
            // A frame that the hypervisor keeps, or that is no RAM, is passed over.
            next += run.max(1);
        }
        reg::dsb(reg::ISH);
        reg::IC_IALLUIS.run(0);
        reg::dsb(reg::ISH);
        reg::isb();
    }

    /// The hypervisor's address of a RAM frame; what may be done there depends on whose it is.
    pub fn direct_map(&self, mfn: Mfn) -> Option<*mut u8> {
        self.banks
            .is_ram(mfn.0)
            .then(|| core::ptr::with_exposed_provenance_mut(layout::direct(mfn.addr().0) as usize))
    }

    /// The frame behind an address of the direct map.
    pub fn frame_of(&self, at: *mut u8) -> Option<Mfn> {
        let mfn = Maddr((at.addr() as u64).checked_sub(layout::direct(0))?).frame();
        self.banks.is_ram(mfn.0).then_some(mfn)
    }

    /// The interrupt controller.
    #[inline(always)]
    pub fn gic(&self) -> &Gic {
        &self.gic
    }

    /// The interrupt numbers of what each pCPU has of its own.
    #[inline(always)]
    pub fn irqs(&self) -> PrivateIrqs {
        self.config.irqs
    }

    /// The affinity of the pCPU that asks, as in MPIDR_EL1.
    pub fn own_affinity(&self) -> u64 {
        reg::MPIDR_EL1.read() & cpu::MPIDR_AFFINITY
    }

    /// What the first pCPU is and has.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// The rate of the system counter.
    #[inline(always)]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The system counter (CNTPCT_EL0).
    #[inline]
    pub(super) fn count(&self) -> u64 {
        reg::isb();
        let count = reg::CNTPCT_EL0.read();
        if cpu::bugs().has(Bugs::COUNTER_READ) {
            // The reading is wrong only just as the low half overflows; the earlier of two with
            // different high halves is then right.
            let again = reg::CNTPCT_EL0.read();
            return if (count ^ again) >> 32 & 1 != 0 { count } else { again };
        }
        count
    }
}

/// The tags that a row of [`Machine::last_ran`] has: those of domains and the parked one's, a
/// multiple of the tags in a word.
fn tags_in_row(features: &Features) -> usize {
    features.vmids as usize + 1
}

/// The words that [`Machine::start`] needs for this number of pCPUs.
pub(super) fn last_ran_words(features: &Features, cpus: usize) -> usize {
    cpus * tags_in_row(features) / 8
}

/// The physical address that PAR_EL1 has for `va`; `None` after a failed translation.
#[inline(always)]
pub(super) fn page_of(par: u64, va: u64) -> Option<u64> {
    const FAILED: u64 = 1;
    const PAGE: u64 = 0x0000_ffff_ffff_f000;
    (par & FAILED == 0).then_some(par & PAGE | va & 0xfff)
}

/// Runs an address translation and returns its result; PAR_EL1, which is the guest's, is kept.
#[inline(always)]
pub(super) fn with_par(translate: impl Fn()) -> u64 {
    let translated = || {
        let kept = reg::PAR_EL1.read();
        translate();
        reg::isb();
        let par = reg::PAR_EL1.read();
        reg::PAR_EL1.write(kept);
        par
    };
    if cpu::bugs().has(Bugs::PAR_READ) {
        reg::dmb(reg::SY);
        let par = translated();
        reg::dmb(reg::SY);
        return par;
    }
    translated()
}

impl MachineOps for Machine {
    type Frame<'a> = Frame<'a>;
    type Context = Context;
    type Stage2 = Stage2;

    #[inline(always)]
    fn frame(&self, mfn: Mfn) -> Option<Frame<'_>> {
        if !self.banks.is_shareable(mfn.0) {
            return None;
        }
        // SAFETY: RAM in the direct map that the hypervisor does not keep for itself.
        Some(unsafe { Frame::new(mfn) })
    }

    fn clean_frames(&self, mfn: Mfn, count: u64) {
        // SAFETY: RAM in the direct map; the contents stay.
        self.clean_runs(mfn, count, |at, end| unsafe { clean_range(at, end) });
    }

    fn zero_and_clean_frames(&self, mfn: Mfn, count: u64) {
        // SAFETY: whole pages of RAM in the direct map that the hypervisor does not keep for itself.
        self.clean_runs(mfn, count, |at, end| unsafe { zero_and_clean_pages(at, end) });
    }

    fn nr_tags(&self) -> u32 {
        self.features.vmids
    }

    #[inline]
    fn publish_tables(&self) {
        reg::dsb(reg::ISHST);
    }

    fn flush_gfns(&self, root: Stage2Root, _: Gfn, _: u64) {
        tlb::flush_tag(self.parked, root);
    }

    #[inline]
    fn flush_pages(&self, root: Stage2Root, _: &[Gfn]) {
        tlb::flush_tag(self.parked, root);
    }

    fn flush_tag(&self, root: Stage2Root) {
        tlb::flush_tag(self.parked, root);
    }

    #[inline(always)]
    fn translate(&self, va: u64, write: bool) -> Option<Maddr> {
        let par = with_par(|| if write { reg::AT_S12E1W.run(va) } else { reg::AT_S12E1R.run(va) });
        page_of(par, va).map(Maddr)
    }

    #[inline(always)]
    fn this_cpu(&self) -> PcpuId {
        PcpuId(cpu::this())
    }

    fn nr_cpus(&self) -> u32 {
        self.nr_cpus.load(Ordering::Acquire)
    }

    #[inline]
    fn now_ns(&self) -> u64 {
        self.clock.ns(self.count())
    }

    #[inline]
    fn ticks(&self) -> u64 {
        self.count()
    }

    fn set_timer(&self, deadline_ns: Option<u64>) {
        match deadline_ns {
            Some(ns) => {
                reg::CNTHP_CVAL_EL2.write(self.clock.ticks(ns));
                reg::CNTHP_CTL_EL2.write(1);
            }
            None => reg::CNTHP_CTL_EL2.write(0),
        }
        reg::isb();
    }

    fn poke(&self, cpu: PcpuId) {
        self.gic.send(gic::SGI_POKE, cpu.0);
    }

    fn idle(&self) {
        reg::dsb(reg::SY);
        reg::hint(reg::WAIT_FOR_INTERRUPT);
    }

    /// Also selects the empty translation: a pCPU without a guest walks nobody's tables, and none
    /// are walked while the registers change (errata 1165522, 1319367, 1319537, 1530923).
    fn save(&self, context: &mut Context) {
        // SAFETY: the empty tables map nothing.
        unsafe { reg::VTTBR_EL2.write(self.parked) };
        reg::isb();
        let fenced = cpu::bugs().has(Bugs::PAR_READ);
        if fenced {
            reg::dmb(reg::SY);
        }
        switch::save_guest(context);
        if fenced {
            reg::dmb(reg::SY);
        }
        self.gic.save(&mut context.gic);
    }

    /// [`MachineOps::set_stage2`] has to follow.
    fn load(&self, context: &Context) {
        switch::load_guest(context);
        self.gic.load(&context.gic);
    }

    /// To be called after [`MachineOps::load`]: the vCPU loaded then is the one that runs.
    fn set_stage2(&self, root: Stage2Root) {
        // SAFETY: the core gives its domains' own tables.
        unsafe { reg::VTTBR_EL2.write(tlb::vttbr(root)) };
        reg::isb();
        // Two vCPUs of a domain share its VMID but may use the same ASID for different things.
        let affinity = reg::VMPIDR_EL2.read();
        let vcpu = affinity & 15 | affinity >> 4 & 0x70;
        let slot = cpu::this() as usize * tags_in_row(&self.features) + usize::from(root.tag);
        let Some(word) = self.last_ran.get(slot / 8) else { return };
        let shift = slot % 8 * 8;
        // The row is this pCPU's alone, so the word does not change in between.
        let row = word.load(Ordering::Relaxed);
        let before = row >> shift & 0xff;
        if before != vcpu + 1 {
            word.store(row & !(0xff << shift) | (vcpu + 1) << shift, Ordering::Relaxed);
            if before != 0 {
                tlb::flush_stage1_here();
            }
        }
    }

    fn irq_enable(&self, irq: u32) {
        self.gic.enable(irq);
    }

    fn irq_disable(&self, irq: u32) {
        self.gic.disable(irq);
    }

    fn irq_configure(&self, irq: u32, config: IrqConfig) {
        self.gic.configure(irq, config);
    }

    fn irq_route(&self, irq: u32, cpu: PcpuId) {
        self.gic.route(irq, cpu.0);
    }

    #[inline]
    fn irq_deactivate(&self, irq: u32) {
        self.gic.deactivate(irq);
    }

    fn console_write(&self, bytes: &[u8]) {
        console::write(bytes);
    }

    fn power_off(&self) -> ! {
        power::off()
    }

    fn reboot(&self) -> ! {
        power::reboot()
    }
}
