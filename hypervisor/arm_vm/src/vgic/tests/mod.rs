//! Tests of the whole controller against an imitation of the hardware's virtual CPU interface.

mod concurrency;
mod delivery;
mod ledger;
mod limits;
mod mmio;
mod power;
mod property;

use super::lr::{self, ACTIVE, Link, Lr, PENDING};
use super::*;
use std::collections::BTreeSet;

pub const DIST: u64 = 0x0300_1000;
pub const REDIST: u64 = 0x0302_0000;
/// Private interrupts of the test domains.
pub const TIMER: u32 = 27;
pub const PHYS_TIMER: u32 = 30;
pub const EVENT: u32 = 31;

/// A physical CPU's side: list registers as the hardware has them, and what the guest does to them.
pub struct Cpu {
    version: Version,
    pub hw: [u64; MAX_LRS],
    pub ci: CpuInterface,
    /// Physical interrupts that deactivations of the guest deactivated.
    pub guest_deactivated: Vec<u16>,
    /// Physical interrupts that the model asked to deactivate.
    pub model_deactivated: Vec<u16>,
    /// Levels that the sampling callback reports.
    pub levels: u32,
    /// Priorities of what the guest has acknowledged and not ended.
    running: Vec<(u32, u8)>,
}

impl Cpu {
    fn new(version: Version, nr_lrs: usize) -> Self {
        Self {
            version,
            hw: [0; MAX_LRS],
            ci: CpuInterface::new(nr_lrs),
            guest_deactivated: vec![],
            model_deactivated: vec![],
            levels: 0,
            running: vec![],
        }
    }

    pub fn registers(&self) -> impl Iterator<Item = (usize, Lr)> + '_ {
        (0..MAX_LRS)
            .filter(|slot| lr::state(self.version, self.hw[*slot]) != 0)
            .map(|slot| (slot, Lr::decode(self.version, self.hw[slot])))
    }

    /// The register of an interrupt.
    pub fn find(&self, intid: u32) -> Option<Lr> {
        self.registers().map(|(_, lr)| lr).find(|lr| u32::from(lr.intid) == intid)
    }

    /// The guest reads its acknowledge register. Returns the interrupt and, with version 2, its sender.
    pub fn acknowledge(&mut self) -> Option<(u32, u8)> {
        let floor = self.running.iter().map(|(_, priority)| *priority).min().unwrap_or(0xff);
        let (slot, lr) = self
            .registers()
            .filter(|(_, lr)| lr.pending && !lr.active && lr.priority < floor)
            .min_by_key(|(slot, lr)| (lr.priority, lr.intid, *slot))?;
        self.hw[slot] = lr::with_state(self.version, self.hw[slot], ACTIVE);
        self.running.push((lr.intid.into(), lr.priority));
        let source = match lr.link {
            Link::Software { source, .. } => source,
            Link::Hardware { .. } => 0,
        };
        Some((lr.intid.into(), source))
    }

    /// The guest ends an interrupt: priority drop and deactivation.
    pub fn end(&mut self, intid: u32) {
        if let Some(at) = self.running.iter().rposition(|(running, _)| *running == intid) {
            self.running.remove(at);
        }
        let Some((slot, lr)) = self.registers().find(|(_, lr)| u32::from(lr.intid) == intid && lr.active)
        else {
            // Nobody reads the count otherwise, and it starts anew when this is set.
            if self.ci.hcr & hcr::LRENPIE != 0 {
                self.ci.eoi_count = (self.ci.eoi_count + 1).min(31);
            }
            return;
        };
        let state = if lr.pending { PENDING } else { 0 };
        self.hw[slot] = lr::with_state(self.version, self.hw[slot], state);
        if let Link::Hardware { phys } = lr.link {
            self.guest_deactivated.push(phys);
        }
    }

    /// Whether the maintenance interrupt is raised.
    pub fn maintenance(&self) -> bool {
        let ended = (0..self.ci.nr_lrs()).any(|slot| {
            lr::state(self.version, self.hw[slot]) == 0 && lr::has_eoi(self.version, self.hw[slot])
        });
        let none_pending = !self.registers().any(|(_, lr)| lr.pending && !lr.active);
        ended
            || (self.ci.hcr & hcr::NPIE != 0 && none_pending)
            || (self.ci.hcr & hcr::LRENPIE != 0 && self.ci.eoi_count != 0)
    }

    fn read_back(&mut self) {
        for slot in 0..MAX_LRS {
            if self.ci.used & (1 << slot) != 0 {
                self.ci.lrs[slot] = self.hw[slot];
            }
        }
    }

    fn write(&mut self) {
        let dirty = self.ci.take_dirty();
        for slot in 0..MAX_LRS {
            if dirty & (1 << slot) != 0 {
                self.hw[slot] = self.ci.lrs[slot];
            }
            let used = self.ci.used & (1 << slot) != 0;
            assert_eq!(used, lr::state(self.version, self.hw[slot]) != 0, "slot {slot}");
            assert!(!used || self.hw[slot] == self.ci.lrs[slot], "slot {slot}");
        }
        self.model_deactivated.extend(self.ci.take_deactivate());
    }
}

type Read = Box<dyn FnOnce() -> u64>;
type Level = Box<dyn FnOnce(u32) -> bool>;

/// [`Vgic::refresh_again`] as one of the short ways.
pub fn refresh_again(vgic: &Vgic, vcpu: usize, _: &mut CpuInterface, first: Read, _: Level) -> Option<u64> {
    vgic.refresh_again(vcpu, first)
}

/// A domain with one imitated CPU for each vCPU.
pub struct Rig {
    pub vgic: Vgic,
    pub cpus: Vec<Cpu>,
    /// The short ways are tried first, as the core does.
    pub short: bool,
}

impl Rig {
    pub fn new(version: Version, nr_vcpus: usize, nr_lrs: usize) -> Self {
        let vgic = Vgic::new(&config(version, nr_vcpus)).unwrap();
        let cpus = (0..nr_vcpus).map(|_| Cpu::new(version, nr_lrs)).collect();
        let rig = Self { vgic, cpus, short: true };
        for vcpu in 0..nr_vcpus {
            rig.vgic.vcpu_on(vcpu, &mut |_| {});
        }
        rig
    }

    /// A domain whose guest has enabled the distributor and every interrupt.
    pub fn enabled(version: Version, nr_vcpus: usize, nr_lrs: usize) -> Self {
        let mut rig = Self::new(version, nr_vcpus, nr_lrs);
        rig.dist(0, 3);
        for vcpu in 0..nr_vcpus {
            match version {
                Version::V2 => drop(rig.write(vcpu, Region::Dist, 0x100, u32::MAX)),
                Version::V3 => drop(rig.write(vcpu, Region::Redist { vcpu }, 0x1_0100, u32::MAX)),
            }
        }
        for index in 1..=rig.vgic.nr_spis() as u32 / 32 {
            rig.dist(0x100 + 4 * index, u32::MAX);
        }
        rig.refresh_all();
        rig
    }

    pub fn write(&self, vcpu: usize, region: Region, offset: u32, value: u32) -> Effects {
        self.vgic.write(vcpu, region, offset, AccessSize::Word, value.into()).unwrap()
    }

    pub fn read(&self, vcpu: usize, region: Region, offset: u32) -> u32 {
        self.vgic.read(vcpu, region, offset, AccessSize::Word).unwrap() as u32
    }

    /// vCPU 0 writes a word of the distributor.
    pub fn dist(&self, offset: u32, value: u32) -> Effects {
        self.write(0, Region::Dist, offset, value)
    }

    /// Exit and entry with a refresh.
    pub fn refresh(&mut self, vcpu: usize) -> VcpuSet {
        let cpu = &mut self.cpus[vcpu];
        cpu.read_back();
        let levels = cpu.levels;
        let kicks = self.vgic.refresh(vcpu, &mut cpu.ci, &mut |n| levels & (1 << n) != 0);
        cpu.write();
        self.check();
        kicks
    }

    /// Exit that only takes over the state.
    pub fn sync(&mut self, vcpu: usize) {
        let cpu = &mut self.cpus[vcpu];
        cpu.read_back();
        let levels = cpu.levels;
        self.vgic.sync(vcpu, &mut cpu.ci, &mut |n| levels & (1 << n) != 0);
    }

    /// Entry as the core does it: refresh only if asked to.
    pub fn enter(&mut self, vcpu: usize) {
        if self.cpus[vcpu].maintenance() {
            self.vgic.request_refresh(vcpu);
        }
        if self.vgic.has_work(vcpu)
            && !self.present(vcpu, refresh_again)
            && !self.present(vcpu, Vgic::refresh_single)
        {
            self.refresh(vcpu);
        }
    }

    /// One of the short ways; false if it is not for now.
    fn present(
        &mut self,
        vcpu: usize,
        way: impl FnOnce(&Vgic, usize, &mut CpuInterface, Read, Level) -> Option<u64>,
    ) -> bool {
        if !self.short {
            return false;
        }
        let Cpu { hw, ci, levels, .. } = &mut self.cpus[vcpu];
        let (first, levels) = (hw[0], *levels);
        let value =
            way(&self.vgic, vcpu, ci, Box::new(move || first), Box::new(move |n| levels & (1 << n) != 0));
        if let Some(value) = value {
            hw[0] = value;
            self.cpus[vcpu].write();
            self.check();
        }
        value.is_some()
    }

    /// The timer interrupts the vCPU, which is then entered.
    pub fn timer(&mut self, vcpu: usize) {
        let again = |vgic: &Vgic, vcpu: usize, _: &mut CpuInterface, first: Read, _: Level| {
            vgic.inject_hw_ppi_again(vcpu, TIMER, first)
        };
        let now = |vgic: &Vgic, vcpu: usize, ci: &mut CpuInterface, first: Read, level: Level| {
            vgic.inject_hw_ppi_now(vcpu, TIMER, ci, first, level)
        };
        if !self.present(vcpu, again) && !self.present(vcpu, now) {
            self.vgic.inject_hw_ppi(vcpu, TIMER);
        }
        self.enter(vcpu);
    }

    pub fn refresh_all(&mut self) {
        for vcpu in 0..self.cpus.len() {
            self.refresh(vcpu);
        }
    }

    /// Acknowledges and ends one interrupt, entering before and after.
    pub fn take(&mut self, vcpu: usize) -> Option<u32> {
        self.enter(vcpu);
        let (intid, _) = self.cpus[vcpu].acknowledge()?;
        self.enter(vcpu);
        self.cpus[vcpu].end(intid);
        self.enter(vcpu);
        Some(intid)
    }

    /// Takes interrupts until none is left.
    pub fn take_all(&mut self, vcpu: usize) -> Vec<u32> {
        let mut taken = vec![];
        while let Some(intid) = self.take(vcpu) {
            taken.push(intid);
            assert!(taken.len() < 3000, "interrupts without end");
        }
        taken
    }

    /// No SPI is in two places, no interrupt twice on one vCPU.
    pub fn check(&self) {
        let mut seen = BTreeSet::new();
        for (vcpu, cpu) in self.cpus.iter().enumerate() {
            let mut own = BTreeSet::new();
            for (_, lr) in cpu.registers() {
                assert!(own.insert(lr.intid), "{} twice on {vcpu}", lr.intid);
                assert!(lr.intid < 32 || seen.insert(lr.intid), "{} on two vCPUs", lr.intid);
                assert!(!(lr.pending && lr.active && matches!(lr.link, Link::Hardware { .. })));
            }
        }
    }

    pub fn ppi(&self, vcpu: usize, intid: u32, level: bool) -> VcpuSet {
        self.vgic.set_level(Line::Ppi { vcpu, intid }, level)
    }

    pub fn spi(&self, intid: u32, level: bool) -> VcpuSet {
        self.vgic.set_level(Line::Spi { intid }, level)
    }

    /// Makes an SPI edge-triggered.
    pub fn make_edge(&self, intid: u32) {
        let offset = 0xc00 + intid / 16 * 4;
        let old = self.read(0, Region::Dist, offset);
        self.dist(offset, old | (2 << (intid % 16 * 2)));
    }

    /// Routes an SPI to one vCPU.
    pub fn route(&self, intid: u32, vcpu: usize) -> Effects {
        match self.vgic.version() {
            Version::V2 => {
                self.vgic.write(0, Region::Dist, 0x800 + intid, AccessSize::Byte, 1 << vcpu).unwrap()
            }
            Version::V3 => {
                let affinity = crate::affinity::of_vcpu(vcpu);
                self.vgic.write(0, Region::Dist, 0x6000 + 8 * intid, AccessSize::Double, affinity).unwrap()
            }
        }
    }

    pub fn set_priority(&self, intid: u32, priority: u8) {
        self.vgic.write(0, Region::Dist, 0x400 + intid, AccessSize::Byte, priority.into()).unwrap();
    }
}

pub fn config(version: Version, nr_vcpus: usize) -> Config<'static> {
    Config {
        version,
        nr_vcpus,
        nr_spis: 64,
        dist_base: DIST,
        redists: &[RedistRegion { base: REDIST, nr_vcpus: 128 }],
        hw_ppis: &[HwPpi { intid: TIMER, phys: 27 }],
        sampled_ppis: &[EVENT],
    }
}

pub const BOTH: [Version; 2] = [Version::V2, Version::V3];
