//! The machine and its contract with the core.

use crate::arm::{CORTEX_A57, NS_PER_TICK};
use crate::cache::Caches;
use crate::config::{Config, Idle};
use crate::cpu::{Cpu, current, new_id, set_current};
use crate::event::{Event, Fault, MachineEnd, Op, panic_with};
use crate::frame::Frame;
use crate::guest::TranslateRules;
use crate::hold::Holds;
use crate::irq::Lines;
use crate::ram::{PRIVATE, Ram, TABLE};
use crate::reads::Recorder;
use crate::stage2::FakeStage2;
use crate::tlb::{Env, Tlb, TlbEntry};
use crate::watch::Watches;
use core::cell::Cell;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use hal::{Gfn, IrqConfig, MachineOps, Maddr, Mfn, PcpuId, Stage2Root};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Distinct faults that are kept; a broken core can make endless ones.
const MAX_FAULTS: usize = 1000;

type Hook = Arc<dyn Fn(&Machine, &Event) + Send + Sync>;

thread_local! {
    /// This thread is in a hook, where no further hook is called.
    static IN_HOOK: Cell<bool> = const { Cell::new(false) };
}

/// Locks, also after a panic elsewhere: a test may go on after one.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The faults of a machine.
pub(crate) struct Faults {
    list: Mutex<Vec<Fault>>,
    panic: bool,
}

impl Faults {
    pub(crate) fn record(&self, fault: Fault) {
        if self.panic {
            panic_with(fault);
        }
        let mut list = lock(&self.list);
        if list.len() < MAX_FAULTS && !list.contains(&fault) {
            list.push(fault);
        }
    }
}

/// A simulated machine. See the crate's documentation.
///
/// Dropping a machine whose faults were not taken panics, unless the thread panics already.
pub struct Machine {
    pub(crate) id: u64,
    pub(crate) ram: Ram,
    pub(crate) cpus: Vec<Cpu>,
    pub(crate) faults: Faults,
    pub(crate) clock: AtomicU64,
    pub(crate) idle: Idle,
    pub(crate) irqs: Mutex<Lines>,
    pub(crate) gic_version: u32,
    pub(crate) gic_lines: u32,
    pub(crate) id_registers: Mutex<BTreeMap<[u8; 5], u64>>,
    pub(crate) console_input: Mutex<VecDeque<u8>>,
    pub(crate) tlb: Mutex<Tlb>,
    pub(crate) caches: Caches,
    pub(crate) watches: Mutex<Watches>,
    pub(crate) recorder: Recorder,
    pub(crate) holds: Holds,
    pub(crate) translate_rules: TranslateRules,
    tags: u32,
    clock_step_ns: u64,
    speculate: bool,
    delay_tables: bool,
    logging: AtomicBool,
    log: Mutex<Vec<Event>>,
    hooked: AtomicBool,
    hook: Mutex<Option<Hook>>,
    console: Mutex<Vec<u8>>,
}

impl Machine {
    /// Makes a machine. Panics when the configuration makes no sense.
    pub fn new(config: Config) -> Self {
        assert!(config.cpus > 0, "a machine needs a pCPU");
        assert!([2, 3].contains(&config.gic_version), "a GIC has version 2 or 3");
        assert!((1..=16).contains(&config.list_registers), "a GIC has 1 to 16 list registers");
        assert!(config.tags > 0 && config.tags <= 1 << 16, "tags have 16 bits");
        Self {
            id: new_id(),
            ram: Ram::new(&config.ram, config.fill),
            cpus: (0..config.cpus).map(|_| Cpu::new(&config)).collect(),
            faults: Faults { list: Mutex::new(Vec::new()), panic: config.panic_on_fault },
            clock: AtomicU64::new(0),
            idle: config.idle,
            irqs: Mutex::new(Lines::new()),
            gic_version: config.gic_version,
            gic_lines: config.gic_lines,
            id_registers: Mutex::new(CORTEX_A57.iter().copied().collect()),
            console_input: Mutex::new(VecDeque::new()),
            tlb: Mutex::new(Tlb::new(config.cpus as usize)),
            caches: Caches::new(config.caches),
            watches: Mutex::new(Watches::default()),
            recorder: Recorder::default(),
            holds: Holds::default(),
            translate_rules: TranslateRules::new(config.va_base),
            tags: config.tags,
            clock_step_ns: config.clock_step_ns,
            speculate: config.speculate,
            delay_tables: config.delay_tables,
            logging: AtomicBool::new(config.log),
            log: Mutex::new(Vec::new()),
            hooked: AtomicBool::new(false),
            hook: Mutex::new(None),
            console: Mutex::new(Vec::new()),
        }
    }

    /// Gives frames to the hypervisor itself, so that [`MachineOps::frame`] refuses them, or takes
    /// them back. Panics where there is no RAM.
    pub fn set_private(&self, mfn: Mfn, count: u64, private: bool) {
        for n in 0..count {
            self.ram.slot(mfn.plus(n)).expect("private frames are RAM").set(PRIVATE, private);
        }
    }

    /// The faults since the last call, each once.
    pub fn take_faults(&self) -> Vec<Fault> {
        core::mem::take(&mut lock(&self.faults.list))
    }

    /// Panics when the core broke a rule of the machine.
    #[track_caller]
    pub fn assert_no_faults(&self) {
        let faults = self.take_faults();
        assert!(faults.is_empty(), "the core broke rules of the machine: {faults:#?}");
    }

    /// Starts or stops recording operations.
    pub fn set_log(&self, on: bool) {
        self.logging.store(on, Ordering::SeqCst);
    }

    /// The operations recorded since the last call.
    pub fn take_log(&self) -> Vec<Event> {
        core::mem::take(&mut lock(&self.log))
    }

    /// Calls `hook` before each operation takes effect, so that a test can let another pCPU or a
    /// guest act just there; operations inside the hook call no hook. The hook may not enter locks
    /// that the operation's caller holds.
    pub fn set_hook(&self, hook: impl Fn(&Machine, &Event) + Send + Sync + 'static) {
        *lock(&self.hook) = Some(Arc::new(hook));
        self.hooked.store(true, Ordering::SeqCst);
    }

    /// Removes the hook.
    pub fn clear_hook(&self) {
        self.hooked.store(false, Ordering::SeqCst);
        *lock(&self.hook) = None;
    }

    /// Records an operation and calls the hook.
    pub(crate) fn event(&self, op: Op) {
        let logging = self.logging.load(Ordering::Relaxed);
        let hooked = self.hooked.load(Ordering::Relaxed);
        if !logging && !hooked {
            return;
        }
        let event = Event { cpu: current(self.id), op };
        if logging {
            lock(&self.log).push(event);
        }
        if hooked && !IN_HOOK.get() {
            let hook = lock(&self.hook).clone();
            if let Some(hook) = hook {
                let _inside = InHook::enter();
                hook(self, &event);
            }
        }
    }

    /// Whether a frame has bytes that an observer without caches does not see; never with
    /// [`Config::caches`] off.
    pub fn is_dirty(&self, mfn: Mfn) -> bool {
        self.caches.is_dirty(mfn)
    }

    /// What was written to the console since the last call.
    pub fn take_console(&self) -> String {
        String::from_utf8_lossy(&core::mem::take(&mut *lock(&self.console))).into_owned()
    }

    pub(crate) fn env(&self) -> Env<'_> {
        Env { ram: &self.ram, faults: &self.faults, speculate: self.speculate, delay: self.delay_tables }
    }

    /// All that the TLB holds.
    pub fn tlb_entries(&self) -> Vec<TlbEntry> {
        lock(&self.tlb).list(&self.ram, false)
    }

    /// What the TLB holds and the tables in memory no longer say. Between two hypercalls there
    /// should be nothing.
    pub fn all_stale_entries(&self) -> Vec<TlbEntry> {
        lock(&self.tlb).list(&self.ram, true)
    }

    /// The stale entries through which a frame could still be reached, as guest memory or as a table.
    /// For a frame that was freed or given to another there should be none.
    pub fn stale_entries(&self, mfn: Mfn) -> Vec<TlbEntry> {
        self.all_stale_entries().into_iter().filter(|e| e.reaches(mfn)).collect()
    }

    /// pCPUs whose guest runs under a root of which this frame is a table.
    pub fn root_users(&self, mfn: Mfn) -> Vec<PcpuId> {
        lock(&self.tlb).users(mfn)
    }

    /// The root that a pCPU's guest runs under.
    pub fn stage2_of(&self, cpu: PcpuId) -> Option<Stage2Root> {
        lock(&self.tlb).active(cpu)
    }

    pub(crate) fn check_tag(&self, root: Stage2Root) {
        if u32::from(root.tag) >= self.tags {
            self.faults.record(Fault::TagOutOfRange { tag: root.tag });
        }
    }

    pub(crate) fn frame_any(&self, mfn: Mfn) -> Option<Frame<'_>> {
        let slot = self.ram.slot(mfn)?;
        Some(Frame { machine: self, slot, page: self.ram.page(slot), mfn })
    }

    /// A write to a frame that is a table, or with caches on.
    pub(crate) fn checked_update(
        &self,
        frame: &Frame<'_>,
        index: usize,
        mut f: impl FnMut(u64) -> Option<u64>,
    ) -> Result<u64, u64> {
        self.caches.before_write(frame.mfn, frame.page, index);
        // The TLB's lock makes the store and what walks make of it one step.
        let tlb = (frame.slot.flags() & TABLE != 0).then(|| lock(&self.tlb));
        let mut new = 0;
        let old = frame.page.update(index, |word| {
            let value = f(word)?;
            new = value;
            Some(value)
        })?;
        if let Some(mut tlb) = tlb {
            let word = Maddr(frame.mfn.addr().0 + index as u64 * 8);
            tlb.stored(self.env(), frame.slot, word, (old, new), current(self.id));
        }
        Ok(old)
    }
}

/// Marks the thread as inside a hook while it lives.
struct InHook;

impl InHook {
    fn enter() -> Self {
        IN_HOOK.set(true);
        Self
    }
}

impl Drop for InHook {
    fn drop(&mut self) {
        IN_HOOK.set(false);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        set_current(self.id, PcpuId(0));
        if !std::thread::panicking() {
            self.assert_no_faults();
        }
    }
}

impl MachineOps for Machine {
    type Frame<'a> = Frame<'a>;
    type Context = arm_regs::Context;
    type Stage2 = FakeStage2;

    fn frame(&self, mfn: Mfn) -> Option<Frame<'_>> {
        self.frame_any(mfn).filter(|f| f.slot.flags() & PRIVATE == 0)
    }

    fn clean_frames(&self, mfn: Mfn, count: u64) {
        self.event(Op::CleanFrames { mfn, count });
        if !(0..count).all(|n| self.ram.slot(mfn.plus(n)).is_some()) {
            self.faults.record(Fault::CleanOutsideRam { mfn, count });
        }
        self.caches.clean(mfn, count);
    }

    fn nr_tags(&self) -> u32 {
        self.tags
    }

    fn publish_tables(&self) {
        self.event(Op::PublishTables);
        lock(&self.tlb).publish(self.env(), current(self.id));
    }

    fn flush_gfns(&self, root: Stage2Root, gfn: Gfn, count: u64) {
        self.event(Op::FlushGfns { root, gfn, count });
        self.check_tag(root);
        let mut tlb = lock(&self.tlb);
        tlb.publish(self.env(), current(self.id));
        tlb.flush_gfns(self.env(), root, gfn, count);
    }

    fn flush_pages(&self, root: Stage2Root, gfns: &[Gfn]) {
        for &gfn in gfns {
            self.flush_gfns(root, gfn, 1);
        }
    }

    fn flush_tag(&self, root: Stage2Root) {
        self.event(Op::FlushTag { root });
        self.check_tag(root);
        let mut tlb = lock(&self.tlb);
        tlb.publish(self.env(), current(self.id));
        tlb.flush_tag(self.env(), root);
    }

    fn translate(&self, va: u64, write: bool) -> Option<Maddr> {
        self.translate_impl(va, write)
    }

    fn this_cpu(&self) -> PcpuId {
        current(self.id)
    }

    fn nr_cpus(&self) -> u32 {
        self.cpus.len() as u32
    }

    fn now_ns(&self) -> u64 {
        if self.clock_step_ns == 0 {
            self.clock.load(Ordering::SeqCst)
        } else {
            self.clock.fetch_add(self.clock_step_ns, Ordering::SeqCst)
        }
    }

    fn ticks(&self) -> u64 {
        self.now_ns() / NS_PER_TICK
    }

    fn set_timer(&self, deadline_ns: Option<u64>) {
        self.set_timer_impl(deadline_ns);
    }

    fn poke(&self, cpu: PcpuId) {
        self.poke_impl(cpu);
    }

    fn idle(&self) {
        self.idle_impl();
    }

    fn relax(&self) {
        self.event(Op::Relax);
        std::thread::yield_now();
    }

    fn save(&self, context: &mut arm_regs::Context) {
        self.save_impl(context);
    }

    fn load(&self, context: &arm_regs::Context) {
        self.load_impl(context);
    }

    fn set_stage2(&self, root: Stage2Root) {
        self.event(Op::SetStage2 { root });
        self.check_tag(root);
        lock(&self.tlb).activate(self.env(), current(self.id), root);
    }

    fn irq_enable(&self, irq: u32) {
        self.change_irq(irq, Op::IrqEnable { irq }, |line| {
            line.enabled = true;
            None
        });
    }

    fn irq_disable(&self, irq: u32) {
        self.change_irq(irq, Op::IrqDisable { irq }, |line| {
            line.enabled = false;
            None
        });
    }

    fn irq_configure(&self, irq: u32, config: IrqConfig) {
        self.change_irq(irq, Op::IrqConfigure { irq, config }, |line| {
            let changed = core::mem::replace(&mut line.config, config) != config;
            (changed && line.enabled).then_some(Fault::IrqConfiguredWhileEnabled { irq })
        });
    }

    fn irq_route(&self, irq: u32, cpu: PcpuId) {
        let exists = cpu.index() < self.cpus.len();
        self.change_irq(irq, Op::IrqRoute { irq, cpu }, |line| {
            line.cpu = cpu;
            (!exists).then_some(Fault::NoSuchCpu { cpu })
        });
    }

    fn irq_deactivate(&self, irq: u32) {
        self.change_irq(irq, Op::IrqDeactivate { irq }, |line| {
            let was = core::mem::replace(&mut line.active, false);
            (!was).then_some(Fault::IrqNotActive { irq })
        });
    }

    fn console_write(&self, bytes: &[u8]) {
        lock(&self.console).extend_from_slice(bytes);
    }

    fn power_off(&self) -> ! {
        self.event(Op::PowerOff);
        MachineEnd::PowerOff.raise()
    }

    fn reboot(&self) -> ! {
        self.event(Op::Reboot);
        MachineEnd::Reboot.raise()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catch_end;
    use hal::FrameMem;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    const ROOT: Stage2Root = Stage2Root { table: Mfn(0x40000), tag: 1 };

    #[test]
    fn operations_are_logged_with_their_pcpu_while_the_log_is_on() {
        let m = Machine::new(Config::default());
        m.publish_tables();
        m.set_log(true);
        m.run_on(PcpuId(1), || m.irq_enable(33));
        m.flush_tag(ROOT);
        m.set_log(false);
        m.publish_tables();
        let events = [
            Event { cpu: PcpuId(1), op: Op::IrqEnable { irq: 33 } },
            Event { cpu: PcpuId(0), op: Op::FlushTag { root: ROOT } },
        ];
        assert_eq!(m.take_log(), events);
        assert_eq!(m.take_log(), []);
    }

    #[test]
    fn hook_acts_before_the_operation_and_is_not_called_for_its_own() {
        let m = Machine::new(Config::default());
        m.set_hook(|m, event| {
            if let Op::SetTimer { deadline_ns } = event.op {
                assert_eq!((deadline_ns, m.timer_of(PcpuId(0))), (Some(1), None));
                m.run_on(PcpuId(1), || m.set_timer(Some(9)));
            }
        });
        m.set_timer(Some(1));
        assert_eq!((m.timer_of(PcpuId(0)), m.timer_of(PcpuId(1))), (Some(1), Some(9)));
        m.clear_hook();
        m.set_timer(Some(2));
        assert_eq!(m.timer_of(PcpuId(1)), Some(9));
    }

    #[test]
    fn end_of_the_machine_is_caught_by_its_kind_and_other_panics_pass() {
        let m = Machine::new(Config { log: true, ..Config::default() });
        assert_eq!(catch_end(|| m.power_off()), Err(MachineEnd::PowerOff));
        assert_eq!(catch_end(|| m.reboot()), Err(MachineEnd::Reboot));
        assert_eq!(catch_end(|| 5), Ok(5));
        assert_eq!(m.take_log().iter().map(|e| e.op).collect::<Vec<_>>(), [Op::PowerOff, Op::Reboot]);
        let other = catch_unwind(|| catch_end(|| std::panic::resume_unwind(Box::new(3))));
        assert_eq!(other.unwrap_err().downcast_ref(), Some(&3));
    }

    #[test]
    fn console_keeps_what_was_written() {
        let m = Machine::new(Config::default());
        m.console_write(b"(XEN) ");
        m.console_write(b"hello\n");
        assert_eq!(m.take_console(), "(XEN) hello\n");
        assert_eq!(m.take_console(), "");
    }

    #[test]
    fn machine_dropped_with_faults_panics() {
        let m = Machine::new(Config::default());
        m.irq_deactivate(3);
        m.irq_deactivate(3);
        assert!(catch_unwind(AssertUnwindSafe(|| drop(m))).is_err());
        let m = Machine::new(Config::default());
        m.irq_deactivate(3);
        m.irq_deactivate(3);
        assert_eq!(m.take_faults(), [Fault::IrqNotActive { irq: 3 }]);
    }

    #[test]
    fn fault_panics_at_once_when_asked_to() {
        let m = Machine::new(Config { panic_on_fault: true, ..Config::default() });
        let payload = catch_unwind(AssertUnwindSafe(|| m.irq_deactivate(3))).unwrap_err();
        assert!(payload.downcast_ref::<String>().is_some_and(|text| text.contains("IrqNotActive")));
        assert_eq!(m.take_faults(), []);
    }

    #[test]
    fn machines_do_not_share_ram() {
        let (a, b) = (Machine::new(Config::default()), Machine::new(Config::default()));
        a.frame(Mfn(0x40000)).unwrap().store64(0, 1);
        assert_eq!(b.frame(Mfn(0x40000)).unwrap().load64(0), Config::default().fill);
        assert!(a.frame(Mfn(0x3ffff)).is_none());
        assert_eq!((a.nr_cpus(), a.nr_tags(), a.this_cpu()), (2, 256, PcpuId(0)));
    }
}
