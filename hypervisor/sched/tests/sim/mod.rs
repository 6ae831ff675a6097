//! A small discrete-event machine that drives a pool as a hypervisor would: pCPUs with one timer
//! each, kicks that arrive late, context switches that take time. It checks the crate's contract
//! at every step and measures run time by itself.
// Each test binary uses a part of this module.
#![allow(dead_code)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use sched::{CpuId, CpuMask, Decision, DomainParams, Pool, Removal, SchedKind, UnitId, UnitKey, UnitState};

pub const US: u64 = 1_000;
pub const MS: u64 = 1_000_000;
pub const SEC: u64 = 1_000_000_000;

pub fn cpu(n: usize) -> CpuId {
    CpuId::new(n).unwrap()
}

pub fn mask(cpus: &[usize]) -> CpuMask {
    let mut mask = CpuMask::EMPTY;
    for &n in cpus {
        mask.insert(cpu(n));
    }
    mask
}

/// How a vCPU spends its time.
#[derive(Clone, Copy, Debug)]
pub enum Load {
    /// Never blocks.
    Hog,
    /// Runs and sleeps for fixed times.
    Periodic { run: u64, sleep: u64 },
    /// Runs and sleeps for random times up to these.
    Random { run: u64, sleep: u64 },
    /// Never wakes by itself.
    Idle,
}

#[derive(Debug)]
pub struct SimUnit {
    pub id: UnitId,
    pub key: UnitKey,
    pub load: Load,
    pub alive: bool,
    pub paused: bool,
    pub blocked: bool,
    /// Run time left until it blocks.
    left: u64,
    /// Invalidates its old events.
    generation: u32,
    /// Run time by our own clock.
    pub ran: u64,
    /// Run time by pCPU.
    pub ran_on: Vec<u64>,
    /// Since when it is runnable and not running.
    pub waits_since: Option<u64>,
    pub longest_wait: u64,
    /// Switch-ins.
    pub turns: u64,
    yielded: bool,
}

impl SimUnit {
    fn runnable(&self) -> bool {
        self.alive && !self.paused && !self.blocked
    }
}

#[derive(Default)]
struct SimCpu {
    online: bool,
    running: Option<usize>,
    leaving: Option<usize>,
    switching: bool,
    pending: bool,
    timer: u32,
    /// When the running unit was switched in, and up to when it was measured.
    started: u64,
    since: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    SwitchDone(usize),
    Kick(usize),
    Timer(usize, u32),
    Block(usize, u32),
    Wake(usize, u32),
}

pub struct Sim {
    pub pool: Pool,
    pub now: u64,
    pub units: Vec<SimUnit>,
    cpus: Vec<SimCpu>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    seq: u64,
    rng: u64,
    /// Longest delay of a kick, and longest context switch.
    pub kick_ns: u64,
    pub switch_ns: u64,
    /// Check that pre-emption keeps the rate limit.
    pub check_ratelimit: bool,
    pub schedules: u64,
}

impl Sim {
    pub fn new(kind: SchedKind, cpus: usize, seed: u64) -> Self {
        Self::starting_at(kind, cpus, seed, 1_000)
    }

    pub fn starting_at(kind: SchedKind, cpus: usize, seed: u64, now: u64) -> Self {
        let mut sim = Self {
            pool: Pool::new(kind, 0, CpuMask::first_n(cpus), now).unwrap(),
            now,
            units: Vec::new(),
            cpus: (0..cpus).map(|_| SimCpu { online: true, ..SimCpu::default() }).collect(),
            events: BinaryHeap::new(),
            seq: 0,
            rng: seed | 1,
            kick_ns: 2 * US,
            switch_ns: US,
            check_ratelimit: false,
            schedules: 0,
        };
        for n in 0..cpus {
            sim.kick(CpuMask::single(cpu(n)));
        }
        sim
    }

    /// xorshift64*: reproducible, and independent of proptest's choices.
    pub fn random(&mut self, below: u64) -> u64 {
        self.rng ^= self.rng >> 12;
        self.rng ^= self.rng << 25;
        self.rng ^= self.rng >> 27;
        let value = self.rng.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
        if below == 0 { 0 } else { value % below }
    }

    fn post(&mut self, delay: u64, event: Event) {
        self.seq += 1;
        self.events.push(Reverse((self.now.saturating_add(delay), self.seq, event)));
    }

    pub fn kick(&mut self, mask: CpuMask) {
        for cpu in mask.iter() {
            let n = cpu.index();
            if !self.cpus[n].pending {
                self.cpus[n].pending = true;
                let delay = self.random(self.kick_ns + 1);
                self.post(delay, Event::Kick(n));
            }
        }
    }

    pub fn add_domain(&mut self, domid: u16, weight: u16) {
        self.pool.add_domain(domid, self.now).unwrap();
        if self.pool.kind() == SchedKind::Credit2 {
            self.set_params(domid, weight, 0);
        }
    }

    pub fn set_params(&mut self, domid: u16, weight: u16, cap: u16) {
        let params = DomainParams { weight, cap };
        let kick = self.pool.set_domain_params(domid, params, self.now).unwrap();
        self.kick(kick);
    }

    pub fn add_unit(&mut self, domid: u16, vcpu: u16, hard: CpuMask, soft: CpuMask, load: Load) -> usize {
        let key = UnitKey { domid, vcpu };
        let id = self.pool.add_unit(key, hard, soft).unwrap();
        self.units.push(SimUnit {
            id,
            key,
            load,
            alive: true,
            paused: false,
            blocked: true,
            left: 0,
            generation: 0,
            ran: 0,
            ran_on: vec![0; self.cpus.len()],
            waits_since: None,
            longest_wait: 0,
            turns: 0,
            yielded: false,
        });
        let unit = self.units.len() - 1;
        if !matches!(load, Load::Idle) {
            self.wake(unit);
        }
        unit
    }

    /// A one-vCPU domain that may run anywhere.
    pub fn add_simple(&mut self, domid: u16, weight: u16, load: Load) -> usize {
        self.add_domain(domid, weight);
        self.add_unit(domid, 0, CpuMask::ALL, CpuMask::ALL, load)
    }

    pub fn wake(&mut self, unit: usize) {
        let left = match self.units[unit].load {
            Load::Hog | Load::Idle => u64::MAX,
            Load::Periodic { run, .. } => run,
            Load::Random { run, .. } => 1 + self.random(run),
        };
        let u = &mut self.units[unit];
        u.blocked = false;
        u.left = left;
        self.resume(unit);
    }

    fn resume(&mut self, unit: usize) {
        let u = &mut self.units[unit];
        if !u.runnable() {
            return;
        }
        u.waits_since.get_or_insert(self.now);
        let id = u.id;
        let kick = self.pool.wake(id, self.now);
        self.kick(kick.into());
    }

    pub fn pause(&mut self, unit: usize) {
        if self.units[unit].alive && !self.units[unit].paused {
            self.units[unit].paused = true;
            let kick = self.pool.sleep(self.units[unit].id);
            self.settle_waits(unit);
            self.kick(kick.into());
        }
    }

    pub fn unpause(&mut self, unit: usize) {
        if self.units[unit].alive && self.units[unit].paused {
            self.units[unit].paused = false;
            self.resume(unit);
        }
    }

    pub fn remove(&mut self, unit: usize) {
        if !self.units[unit].alive {
            return;
        }
        self.units[unit].alive = false;
        self.settle_waits(unit);
        let kick = match self.pool.remove_unit(self.units[unit].id).unwrap() {
            Removal::Done(kick) => kick,
            Removal::Pending(cpu) => Some(cpu),
        };
        self.kick(kick.into());
    }

    pub fn set_affinity(&mut self, unit: usize, hard: CpuMask, soft: CpuMask) {
        if self.units[unit].alive
            && let Ok(kick) = self.pool.set_affinity(self.units[unit].id, hard, soft, self.now)
        {
            self.kick(kick);
        }
    }

    pub fn remove_cpu(&mut self, n: usize) {
        if let Ok(outcome) = self.pool.remove_cpu(cpu(n), self.now) {
            self.cpus[n].online = false;
            self.kick(outcome.kick);
            if outcome.done {
                assert!(self.cpus[n].running.is_none() && self.cpus[n].leaving.is_none());
            }
        }
    }

    pub fn add_cpu(&mut self, n: usize) {
        if let Ok(kick) = self.pool.add_cpu(cpu(n), self.now) {
            self.cpus[n].online = true;
            self.kick(kick);
        }
    }

    /// The pCPU's unit yields, unless the pCPU is switching. Returns whether it scheduled.
    pub fn yield_cpu(&mut self, n: usize) -> bool {
        let Some(unit) = self.cpus[n].running else { return false };
        let yields = !self.cpus[n].switching && self.pool.yield_now(cpu(n));
        if yields {
            self.units[unit].yielded = true;
            self.schedule(n);
        }
        yields
    }

    pub fn running(&self, n: usize) -> Option<usize> {
        self.cpus[n].running
    }

    fn settle_waits(&mut self, unit: usize) {
        let now = self.now;
        let u = &mut self.units[unit];
        if let Some(since) = u.waits_since.take() {
            u.longest_wait = u.longest_wait.max(now - since);
        }
    }

    /// Measures what the pCPU's unit ran.
    fn measure(&mut self, n: usize) {
        if let Some(unit) = self.cpus[n].running {
            let ran = self.now - self.cpus[n].since;
            let u = &mut self.units[unit];
            u.ran += ran;
            u.ran_on[n] += ran;
            if u.left != u64::MAX {
                u.left = u.left.saturating_sub(ran);
            }
        }
        self.cpus[n].since = self.now;
    }

    fn schedule(&mut self, n: usize) {
        if self.cpus[n].switching {
            // As an interrupt that is taken after the switch.
            self.cpus[n].pending = true;
            return;
        }
        self.schedules += 1;
        self.cpus[n].pending = false;
        self.measure(n);
        let prev = self.cpus[n].running;
        let decision = self.pool.schedule(cpu(n), self.now);
        let next = self.unit_of(&decision);
        self.check_decision(n, prev, next, &decision);

        self.cpus[n].timer += 1;
        let timer = self.cpus[n].timer;
        if let Some(deadline) = decision.deadline {
            self.post(deadline.saturating_sub(self.now), Event::Timer(n, timer));
        }
        if let Some(unit) = prev {
            self.units[unit].yielded = false;
            self.units[unit].generation += 1;
        }
        if prev != next {
            self.cpus[n].running = next;
            self.cpus[n].started = self.now;
            self.cpus[n].leaving = prev;
            if let Some(unit) = prev
                && self.units[unit].runnable()
            {
                self.units[unit].waits_since = Some(self.now);
            }
            self.cpus[n].switching = true;
            let delay = self.random(self.switch_ns + 1);
            self.post(delay, Event::SwitchDone(n));
        }
        if let Some(unit) = next {
            self.settle_waits(unit);
            let u = &mut self.units[unit];
            u.turns += u64::from(prev != next);
            let (left, generation) = (u.left, u.generation);
            if left != u64::MAX {
                self.post(left, Event::Block(unit, generation));
            }
        }
        self.kick(decision.kick);
    }

    fn unit_of(&self, decision: &Decision) -> Option<usize> {
        let (id, key) = decision.next?;
        let unit = self.units.iter().rposition(|unit| unit.id == id).expect("unknown unit chosen");
        assert_eq!(self.units[unit].key, key);
        Some(unit)
    }

    fn check_decision(&self, n: usize, prev: Option<usize>, next: Option<usize>, decision: &Decision) {
        assert_eq!(decision.switch, prev != next);
        assert!(decision.deadline.is_none_or(|deadline| deadline > self.now), "deadline in the past");
        if let Some(unit) = next {
            let u = &self.units[unit];
            assert!(u.runnable(), "chose a unit that is not runnable");
            let info = self.pool.unit_info(u.id, self.now).unwrap();
            assert!(info.hard.contains(cpu(n)), "hard affinity violated");
            assert!(self.pool.cpus().contains(cpu(n)), "runs on a pCPU that left the pool");
            assert_eq!(info.state, UnitState::Running(cpu(n)));
            for (other, state) in self.cpus.iter().enumerate() {
                let here = other == n;
                assert!(here || state.running != next, "runs on two pCPUs");
                assert!(state.leaving != next, "chosen while its context is being saved");
            }
        }
        if let Some(unit) = prev
            && self.check_ratelimit
            && prev != next
        {
            let u = &self.units[unit];
            let info = self.pool.unit_info(u.id, self.now);
            let allowed = info.is_some_and(|info| info.hard.and(self.pool.cpus()).contains(cpu(n)));
            let capped = self.pool.domain_params(u.key.domid).is_ok_and(|params| params.cap != 0);
            if u.runnable() && allowed && !u.yielded && !capped {
                let limit = u64::from(self.pool.ratelimit_us().unwrap()) * US;
                let ran = self.now - self.cpus[n].started;
                assert!(ran >= limit, "pre-empted after {ran} ns");
            }
        }
    }

    /// No unit may wait while a pCPU that it may use idles, unless one of its pCPUs is about to
    /// decide.
    fn check_idle(&self) {
        let mut idle = CpuMask::EMPTY;
        let mut soon = CpuMask::EMPTY;
        for (n, state) in self.cpus.iter().enumerate() {
            if state.online && state.running.is_none() && !state.switching && !state.pending {
                idle.insert(cpu(n));
            }
            if state.pending {
                soon.insert(cpu(n));
            }
        }
        if idle.is_empty() {
            return;
        }
        let null = self.pool.kind() == SchedKind::Null;
        for unit in self.units.iter().filter(|unit| unit.runnable()) {
            let info = self.pool.unit_info(unit.id, self.now).unwrap();
            // Under the null scheduler an idle pCPU may belong to a blocked vCPU.
            if info.state == UnitState::Waiting && !null && !info.hard.intersects(soon) {
                assert!(!info.hard.intersects(idle), "{:?} waits while {idle} idle", unit.key);
            }
        }
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Kick(n) => {
                if self.cpus[n].pending {
                    self.schedule(n);
                }
            }
            Event::Timer(n, timer) => {
                if self.cpus[n].timer == timer {
                    self.schedule(n);
                }
            }
            Event::SwitchDone(n) => {
                self.cpus[n].switching = false;
                self.cpus[n].leaving = None;
                let kick = self.pool.switched_out(cpu(n), self.now);
                self.kick(kick);
                if self.cpus[n].pending {
                    self.schedule(n);
                }
            }
            Event::Block(unit, generation) => {
                let u = &mut self.units[unit];
                let Some(n) = self.cpus.iter().position(|cpu| cpu.running == Some(unit)) else { return };
                if u.generation != generation || !u.alive {
                    return;
                }
                u.blocked = true;
                let (load, id) = (u.load, u.id);
                self.pool.sleep(id);
                let sleep = match load {
                    // It was something else until now.
                    Load::Hog => 1,
                    Load::Idle => u64::MAX,
                    Load::Periodic { sleep, .. } => sleep,
                    Load::Random { sleep, .. } => 1 + self.random(sleep),
                };
                self.post(sleep, Event::Wake(unit, generation));
                self.schedule(n);
            }
            Event::Wake(unit, _) => {
                if self.units[unit].blocked && self.units[unit].alive {
                    self.wake(unit);
                }
            }
        }
    }

    /// Runs for this long, checking as it goes.
    pub fn run(&mut self, time: u64) {
        let end = self.now.saturating_add(time);
        while let Some(Reverse((at, _, event))) = self.events.peek().copied() {
            // At the end of time nothing comes later.
            if at > end || at == u64::MAX {
                break;
            }
            self.events.pop();
            self.now = at;
            self.step(event);
            self.check_idle();
        }
        self.now = end;
        for n in 0..self.cpus.len() {
            self.measure(n);
        }
        for unit in 0..self.units.len() {
            if let Some(since) = self.units[unit].waits_since {
                let wait = self.now - since;
                self.units[unit].longest_wait = self.units[unit].longest_wait.max(wait);
            }
        }
        self.check_runtimes();
    }

    fn check_runtimes(&self) {
        for unit in self.units.iter().filter(|unit| unit.alive) {
            let info = self.pool.unit_info(unit.id, self.now).unwrap();
            assert_eq!(info.runtime_ns, unit.ran, "run time of {:?}", unit.key);
        }
    }

    /// Forgets what was measured so far.
    pub fn reset_measures(&mut self) {
        for unit in &mut self.units {
            unit.ran_on.fill(0);
            unit.longest_wait = 0;
            unit.turns = 0;
            unit.waits_since = unit.waits_since.map(|_| self.now);
        }
        self.schedules = 0;
    }

    /// Run times over a span of this length, by unit.
    pub fn measure_span(&mut self, time: u64) -> Vec<u64> {
        let before: Vec<u64> = self.units.iter().map(|unit| unit.ran).collect();
        self.reset_measures();
        self.run(time);
        self.units.iter().zip(before).map(|(unit, before)| unit.ran - before).collect()
    }
}

/// Ideal shares of units that always want to run, each on one pCPU at most: by weight, what one
/// cannot use going to the others. In ns of `time`.
pub fn ideal_shares(weights: &[u16], cpus: usize, time: u64) -> Vec<f64> {
    let mut shares = vec![0.0; weights.len()];
    let mut open: Vec<usize> = (0..weights.len()).collect();
    let mut left = cpus as f64;
    loop {
        let sum: f64 = open.iter().map(|&i| f64::from(weights[i])).sum();
        let (full, rest): (Vec<usize>, Vec<usize>) =
            open.iter().partition(|&&i| f64::from(weights[i]) * left / sum >= 1.0);
        if full.is_empty() || left <= 0.0 {
            for &i in &rest {
                shares[i] = f64::from(weights[i]) * left / sum;
            }
            break;
        }
        for &i in &full {
            shares[i] = 1.0;
            left -= 1.0;
        }
        open = rest;
        if open.is_empty() {
            break;
        }
    }
    shares.iter().map(|share| share * time as f64).collect()
}

/// Asserts that `got` is within `percent` of `wanted`.
pub fn assert_near(got: u64, wanted: f64, percent: f64, what: &str) {
    let off = (got as f64 - wanted).abs() / wanted * 100.0;
    assert!(off <= percent, "{what}: {got} instead of {wanted:.0}, off by {off:.1} %");
}
