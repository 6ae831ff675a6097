//! pCPUs: which one a thread plays, their timers and pokes, and the guest context each has loaded.

use crate::arm::{NS_PER_TICK, Trap};
use crate::config::{Config, Idle};
use crate::event::{Fault, MachineEnd, Op};
use crate::irq::{MAINTENANCE, TIMER, VIRTUAL_TIMER};
use crate::machine::{Machine, lock};
use crate::vif::VirtualInterface;
use arm_regs::{Context, FpRegs, GicRegs, SysRegs};
use core::cell::RefCell;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use hal::PcpuId;
use std::sync::{Condvar, Mutex, PoisonError};

/// How long a blocked idle pCPU waits in real time before its wake-up is taken as lost.
const LOST_WAKE_UP: Duration = Duration::from_secs(10);

/// Numbers for machines, so that a thread's pCPU of one is not taken for that of another.
static NEXT_ID: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The pCPU that this thread plays, for each machine where it is not pCPU 0; last used first.
    static PLAYS: RefCell<Vec<(u64, PcpuId)>> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn new_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

pub(crate) fn current(id: u64) -> PcpuId {
    PLAYS.with_borrow(|plays| plays.iter().find(|p| p.0 == id).map_or(PcpuId(0), |p| p.1))
}

pub(crate) fn set_current(id: u64, cpu: PcpuId) {
    PLAYS.with_borrow_mut(|plays| {
        plays.retain(|p| p.0 != id);
        if cpu != PcpuId(0) {
            plays.insert(0, (id, cpu));
        }
    });
}

/// The registers of a guest that are on a pCPU.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct LoadedRegs {
    /// System registers.
    pub sys: SysRegs,
    /// Floating-point registers.
    pub fp: FpRegs,
    /// Interrupt controller interface.
    pub gic: GicRegs,
}

/// CNTV_CTL_EL0: the timer compares; its interrupt is masked; the condition is met (read only).
const CNTV_ENABLE: u64 = 1 << 0;
const CNTV_IMASK: u64 = 1 << 1;
const CNTV_ISTATUS: u64 = 1 << 2;

pub(crate) struct CpuState {
    poked: bool,
    deadline_ns: Option<u64>,
    /// The context's address in memory; 0 for none.
    context: usize,
    pub(crate) regs: LoadedRegs,
    pub(crate) vif: VirtualInterface,
    pub(crate) trap: Trap,
    pub(crate) guest_aborted: bool,
}

impl CpuState {
    /// CNTV_CTL_EL0 as it reads at a time.
    fn virtual_timer(&self, now_ns: u64) -> u64 {
        let sys = &self.regs.sys;
        let control = sys.cntv_ctl_el0 & (CNTV_ENABLE | CNTV_IMASK);
        let count = (now_ns / NS_PER_TICK).wrapping_sub(sys.cntvoff_el2);
        let met = control & CNTV_ENABLE != 0 && count >= sys.cntv_cval_el0;
        control | if met { CNTV_ISTATUS } else { 0 }
    }

    /// Whether the virtual timer holds its line high at a time.
    pub(crate) fn virtual_timer_is_due(&self, now_ns: u64) -> bool {
        self.virtual_timer(now_ns) == CNTV_ENABLE | CNTV_ISTATUS
    }

    /// The private lines that timers and virtual CPU interface hold high at a time.
    fn lines(&self, now_ns: u64) -> u32 {
        let line = |irq: u32, high: bool| u32::from(high) << irq;
        line(TIMER, self.deadline_ns.is_some_and(|t| t <= now_ns))
            | line(VIRTUAL_TIMER, self.virtual_timer_is_due(now_ns))
            | line(MAINTENANCE, self.vif.wants_maintenance())
    }
}

pub(crate) struct Cpu {
    state: Mutex<CpuState>,
    wake: Condvar,
}

impl Cpu {
    pub(crate) fn new(config: &Config) -> Self {
        let state = CpuState {
            poked: false,
            deadline_ns: None,
            context: 0,
            regs: LoadedRegs::default(),
            vif: VirtualInterface::new(config.gic_version, config.list_registers),
            trap: Trap::default(),
            guest_aborted: false,
        };
        Self { state: Mutex::new(state), wake: Condvar::new() }
    }
}

/// Returns the thread to a pCPU when dropped.
struct Back {
    id: u64,
    cpu: PcpuId,
}

impl Drop for Back {
    fn drop(&mut self) {
        set_current(self.id, self.cpu);
    }
}

fn address(context: &Context) -> usize {
    core::ptr::from_ref(context).addr()
}

impl Machine {
    /// Makes the calling thread play a pCPU of this machine; at first it plays pCPU 0. Panics when
    /// there is no such pCPU.
    pub fn on_cpu(&self, cpu: PcpuId) {
        assert!(cpu.index() < self.cpus.len(), "the machine has no pCPU {}", cpu.0);
        set_current(self.id, cpu);
    }

    /// Runs code as another pCPU, and returns to the present one, also when the code unwinds.
    pub fn run_on<T>(&self, cpu: PcpuId, f: impl FnOnce() -> T) -> T {
        let _back = Back { id: self.id, cpu: current(self.id) };
        self.on_cpu(cpu);
        f()
    }

    /// A pCPU's record, or a fault for a number that none has.
    fn cpu(&self, cpu: PcpuId) -> Option<&Cpu> {
        let found = self.cpus.get(cpu.index());
        if found.is_none() {
            self.faults.record(Fault::NoSuchCpu { cpu });
        }
        found
    }

    fn this(&self) -> &Cpu {
        &self.cpus[current(self.id).index()]
    }

    /// Looks at, or changes, a pCPU's state. Panics when there is no such pCPU.
    pub(crate) fn with_cpu<T>(&self, cpu: PcpuId, f: impl FnOnce(&mut CpuState) -> T) -> T {
        f(&mut lock(&self.cpus[cpu.index()].state))
    }

    /// The private lines of a pCPU that something inside the CPU holds high.
    pub(crate) fn private_lines(&self, cpu: PcpuId) -> u32 {
        let now = self.clock.load(Ordering::SeqCst);
        self.with_cpu(cpu, |state| state.lines(now))
    }

    /// Whether the pCPU was poked since the last call.
    pub fn take_poke(&self, cpu: PcpuId) -> bool {
        self.cpu(cpu).is_some_and(|c| core::mem::take(&mut lock(&c.state).poked))
    }

    fn waits(&self, cpu: PcpuId, state: &CpuState) -> bool {
        let now = self.clock.load(Ordering::SeqCst);
        state.poked || self.irq_pending(cpu, state.lines(now))
    }

    /// Whether an interrupt waits for a pCPU, so that it leaves its guest or its idle wait. Panics
    /// when there is no such pCPU.
    pub fn interrupt_waits(&self, cpu: PcpuId) -> bool {
        self.with_cpu(cpu, |state| self.waits(cpu, state))
    }

    /// The pCPU's timer, in nanoseconds of [`hal::MachineOps::now_ns`]; `None` when it is stopped.
    pub fn timer_of(&self, cpu: PcpuId) -> Option<u64> {
        lock(&self.cpu(cpu)?.state).deadline_ns
    }

    /// Whether the pCPU's timer interrupt is pending; it stays so until the timer is set anew.
    pub fn timer_due(&self, cpu: PcpuId) -> bool {
        self.timer_of(cpu).is_some_and(|t| t <= self.clock.load(Ordering::SeqCst))
    }

    /// Moves the clock forward.
    pub fn advance(&self, ns: u64) {
        self.clock.fetch_add(ns, Ordering::SeqCst);
        self.wake_all();
    }

    /// Moves the clock forward to the earliest timer that is not due; returns its pCPU, or `None`
    /// when there is none.
    pub fn advance_to_timer(&self) -> Option<PcpuId> {
        let now = self.clock.load(Ordering::SeqCst);
        let timers = (0..self.cpus.len() as u32).filter_map(|n| Some((self.timer_of(PcpuId(n))?, n)));
        let (deadline, cpu) = timers.filter(|&(t, _)| t > now).min()?;
        self.clock.fetch_max(deadline, Ordering::SeqCst);
        self.wake_all();
        Some(PcpuId(cpu))
    }

    pub(crate) fn wake_all(&self) {
        for cpu in &self.cpus {
            // Holding the lock once makes sure that no waiter is between its check and its wait.
            drop(lock(&cpu.state));
            cpu.wake.notify_all();
        }
    }

    pub(crate) fn set_timer_impl(&self, deadline_ns: Option<u64>) {
        self.event(Op::SetTimer { deadline_ns });
        lock(&self.this().state).deadline_ns = deadline_ns;
    }

    pub(crate) fn poke_impl(&self, target: PcpuId) {
        self.event(Op::Poke { cpu: target });
        if let Some(cpu) = self.cpu(target) {
            lock(&cpu.state).poked = true;
            cpu.wake.notify_all();
        }
    }

    pub(crate) fn idle_impl(&self) {
        self.event(Op::Idle);
        let me = current(self.id);
        let cpu = self.this();
        let pending = |state: &CpuState| self.waits(me, state);
        let state = lock(&cpu.state);
        if pending(&state) {
            return;
        }
        match self.idle {
            Idle::Return => {}
            Idle::Unwind => {
                drop(state);
                MachineEnd::Idle.raise();
            }
            Idle::Advance => {
                let deadline = state.deadline_ns;
                drop(state);
                if let Some(deadline) = deadline {
                    self.clock.fetch_max(deadline, Ordering::SeqCst);
                    self.wake_all();
                }
            }
            Idle::Block => {
                let (state, wait) = cpu
                    .wake
                    .wait_timeout_while(state, LOST_WAKE_UP, |state| !pending(state))
                    .unwrap_or_else(PoisonError::into_inner);
                drop(state);
                assert!(!wait.timed_out(), "pCPU {} was not woken: {:?}", me.0, self.timer_of(me));
            }
        }
    }

    /// As on the machine, no translation is selected afterwards.
    pub(crate) fn save_impl(&self, context: &mut Context) {
        self.event(Op::Save);
        lock(&self.tlb).deactivate(current(self.id));
        let mut state = lock(&self.this().state);
        if state.context != address(context) {
            self.faults.record(Fault::SaveWithoutLoad { cpu: current(self.id) });
        }
        state.context = 0;
        let LoadedRegs { sys, fp, gic } = state.regs.clone();
        (context.sys, context.fp, context.gic) = (sys, fp, gic);
        // The guest's timer and virtual CPU interface are off until a guest is loaded.
        context.sys.cntv_ctl_el0 = state.virtual_timer(self.clock.load(Ordering::SeqCst));
        state.regs.sys.cntv_ctl_el0 = 0;
        state.vif.hcr = 0;
    }

    pub(crate) fn load_impl(&self, context: &Context) {
        self.event(Op::Load);
        let me = current(self.id);
        for (other, cpu) in (0..).map(PcpuId).zip(&self.cpus) {
            if other != me && lock(&cpu.state).context == address(context) {
                self.faults.record(Fault::ContextLoadedTwice { cpu: me, other });
            }
        }
        let mut state = lock(&self.this().state);
        state.context = address(context);
        state.regs =
            LoadedRegs { sys: context.sys.clone(), fp: context.fp.clone(), gic: context.gic.clone() };
    }

    /// Whether a context is loaded on a pCPU, and which.
    pub fn loaded_on(&self, context: &Context) -> Option<PcpuId> {
        let on = |cpu: &&Cpu| lock(&cpu.state).context == address(context);
        self.cpus.iter().position(|cpu| on(&cpu)).map(|n| PcpuId(n as u32))
    }

    /// Looks at, or changes, the guest registers on a pCPU, as the running guest would.
    pub fn with_loaded<T>(&self, cpu: PcpuId, f: impl FnOnce(&mut LoadedRegs) -> T) -> Option<T> {
        self.cpu(cpu).map(|c| f(&mut lock(&c.state).regs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catch_end;
    use hal::{MachineOps, Mfn, Stage2Root};

    fn machine(idle: Idle) -> Machine {
        Machine::new(Config { cpus: 3, idle, ..Config::default() })
    }

    #[test]
    fn each_thread_plays_its_own_pcpu_of_each_machine() {
        let (a, b) = (machine(Idle::Return), machine(Idle::Return));
        a.on_cpu(PcpuId(2));
        b.on_cpu(PcpuId(1));
        assert_eq!((a.this_cpu(), b.this_cpu()), (PcpuId(2), PcpuId(1)));
        std::thread::scope(|s| {
            s.spawn(|| {
                assert_eq!(a.this_cpu(), PcpuId(0));
                a.on_cpu(PcpuId(1));
                a.set_timer(Some(5));
            });
        });
        assert_eq!(a.this_cpu(), PcpuId(2));
        assert_eq!((a.timer_of(PcpuId(1)), a.timer_of(PcpuId(2))), (Some(5), None));
    }

    #[test]
    fn run_on_returns_to_the_pcpu_before_even_when_the_machine_ends() {
        let m = machine(Idle::Return);
        m.on_cpu(PcpuId(1));
        assert_eq!(m.run_on(PcpuId(2), || m.this_cpu()), PcpuId(2));
        assert_eq!(catch_end(|| m.run_on(PcpuId(2), || m.reboot())), Err(MachineEnd::Reboot));
        assert_eq!(m.this_cpu(), PcpuId(1));
    }

    #[test]
    #[should_panic(expected = "no pCPU 3")]
    fn pcpu_that_does_not_exist_cannot_be_played() {
        machine(Idle::Return).on_cpu(PcpuId(3));
    }

    #[test]
    fn poke_is_kept_until_taken_and_a_wrong_target_is_a_fault() {
        let m = machine(Idle::Return);
        m.poke(PcpuId(1));
        assert!(!m.take_poke(PcpuId(0)));
        assert!(m.take_poke(PcpuId(1)));
        assert!(!m.take_poke(PcpuId(1)));
        m.poke(PcpuId(3));
        assert_eq!(m.take_faults(), [Fault::NoSuchCpu { cpu: PcpuId(3) }]);
    }

    #[test]
    fn timer_becomes_due_when_the_clock_reaches_it() {
        let m = machine(Idle::Return);
        m.run_on(PcpuId(1), || m.set_timer(Some(100)));
        m.run_on(PcpuId(2), || m.set_timer(Some(70)));
        m.advance(69);
        assert!(!m.timer_due(PcpuId(2)));
        assert_eq!(m.advance_to_timer(), Some(PcpuId(2)));
        assert_eq!(m.now_ns(), 70);
        assert!(m.timer_due(PcpuId(2)) && !m.timer_due(PcpuId(1)));
        assert_eq!(m.advance_to_timer(), Some(PcpuId(1)));
        assert_eq!(m.advance_to_timer(), None);
        m.run_on(PcpuId(1), || m.set_timer(None));
        assert!(!m.timer_due(PcpuId(1)));
    }

    #[test]
    fn clock_moves_at_each_look_when_asked_to() {
        let m = Machine::new(Config { clock_step_ns: 3, ..Config::default() });
        assert_eq!((m.now_ns(), m.now_ns(), m.now_ns()), (0, 3, 6));
    }

    #[test]
    fn idle_advances_to_the_timer_unless_an_interrupt_is_pending() {
        let m = machine(Idle::Advance);
        m.set_timer(Some(50));
        m.poke(PcpuId(0));
        m.idle();
        assert_eq!(m.now_ns(), 0);
        assert!(m.take_poke(PcpuId(0)));
        m.idle();
        assert_eq!(m.now_ns(), 50);
        m.set_timer(None);
        m.idle();
        assert_eq!(m.now_ns(), 50);
    }

    #[test]
    fn idle_unwinds_when_asked_to_and_nothing_waits() {
        let m = machine(Idle::Unwind);
        assert_eq!(catch_end(|| m.idle()), Err(MachineEnd::Idle));
        m.poke(PcpuId(0));
        assert!(m.interrupt_waits(PcpuId(0)) && !m.interrupt_waits(PcpuId(1)));
        assert_eq!(catch_end(|| m.idle()), Ok(()));
    }

    #[test]
    fn blocked_idle_is_woken_by_poke_clock_and_interrupt() {
        let m = machine(Idle::Block);
        m.irq_enable(40);
        m.irq_route(40, PcpuId(1));
        std::thread::scope(|s| {
            let waiter = s.spawn(|| {
                m.on_cpu(PcpuId(1));
                m.idle();
                assert!(m.take_poke(PcpuId(1)));
                m.set_timer(Some(10));
                m.poke(PcpuId(2));
                m.idle();
                assert!(m.timer_due(PcpuId(1)));
                m.set_timer(None);
                m.poke(PcpuId(2));
                m.idle();
                assert_eq!(m.take_irq(PcpuId(1)), Some(40));
            });
            m.on_cpu(PcpuId(2));
            m.poke(PcpuId(1));
            m.idle();
            assert!(m.take_poke(PcpuId(2)));
            m.advance(10);
            m.idle();
            m.raise_irq(40);
            waiter.join().unwrap();
        });
    }

    #[test]
    fn registers_follow_the_context_from_pcpu_to_pcpu() {
        let m = machine(Idle::Return);
        let mut context = Context::default();
        context.sys.ttbr0_el1 = 7;
        m.load(&context);
        assert_eq!(m.loaded_on(&context), Some(PcpuId(0)));
        m.with_loaded(PcpuId(0), |regs| {
            assert_eq!(regs.sys.ttbr0_el1, 7);
            regs.sys.ttbr0_el1 = 8;
            regs.fp.fpcr = 9;
        });
        assert_eq!(context.sys.ttbr0_el1, 7);
        m.set_stage2(Stage2Root { table: Mfn(0x40000), tag: 1 });
        m.save(&mut context);
        assert_eq!((context.sys.ttbr0_el1, context.fp.fpcr), (8, 9));
        assert_eq!(m.stage2_of(PcpuId(0)), None);
        m.run_on(PcpuId(1), || m.load(&context));
        assert_eq!(m.loaded_on(&context), Some(PcpuId(1)));
        m.assert_no_faults();
    }

    #[test]
    fn context_on_two_pcpus_is_a_fault() {
        let m = machine(Idle::Return);
        let context = Context::default();
        m.load(&context);
        m.load(&context);
        m.assert_no_faults();
        m.run_on(PcpuId(1), || m.load(&context));
        assert_eq!(m.take_faults(), [Fault::ContextLoadedTwice { cpu: PcpuId(1), other: PcpuId(0) }]);
    }

    #[test]
    fn save_of_a_context_that_is_not_loaded_here_is_a_fault() {
        let m = machine(Idle::Return);
        let mut contexts = [Context::default(), Context::default()];
        let wrong = [Fault::SaveWithoutLoad { cpu: PcpuId(0) }];
        m.save(&mut contexts[0]);
        assert_eq!(m.take_faults(), wrong);
        m.load(&contexts[0]);
        m.save(&mut contexts[1]);
        assert_eq!(m.take_faults(), wrong);
        m.load(&contexts[0]);
        m.save(&mut contexts[0]);
        m.assert_no_faults();
        m.save(&mut contexts[0]);
        assert_eq!(m.take_faults(), wrong);
    }
}
