//! For tests: a hypervisor with its pCPUs on the fake machine, and guests that the tests play.
//!
//! A pCPU runs from a trap of its guest to the next entry; in between the test is the guest. A guest
//! is named by its vCPU, and acts on the pCPU that has it.

use crate::guest::{ArmGuest, enter_at};
use crate::platform::{ArmPlatform, Dom0Gic, GuestGic, HostGic};
use crate::{options, trap};
use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use arch_fake::{Access, Config, Idle, LoadedRegs, MachineEnd, Trap, catch_end};
use arm_fdt::cmdline;
use arm_regs::ArmOps as _;
use arm_vm::exit::ESR_HYPERCALL;
use arm_vm::vgic::{RedistRegion, Version};
use core::sync::atomic::AtomicU64;
use hal::{Domid, Gaddr, Gfn, MachineOps as _, Maddr, Mfn, PcpuId};
use hv_core::domain::DomainConfig;
use hv_core::memory::Frames;
use hv_core::{Domain, Hypervisor, Local, Parts, Vcpu, Work};
use machine::{Machine, Regs};
use sched::{CpuId, CpuMask, Pool};
use xen_abi::arch_arm::{GUEST_GICD_BASE, GUEST_GICV3_GICD_BASE, GUEST_GICV3_GICR0_BASE};
use xen_abi::domctl::v4_17::arm64::ArchDomainConfig;
use xen_abi::memory::{AddToPhysmap, XENMAPSPACE_shared_info, XENMEM_add_to_physmap};
use xen_abi::xen::{__HYPERVISOR_memory_op, DOMID_SELF};
use xen_abi::{Errno, zerocopy};
use zerocopy::{FromBytes, FromZeros as _, Immutable, IntoBytes};

/// The first frame of the fake machine's RAM.
pub const RAM: Mfn = Mfn(0x40000);
/// Frames of RAM, unless a test says otherwise.
pub const FRAMES: u64 = 0x4000;
/// The first guest frame of a test domain's memory.
pub const GUEST_RAM: Gfn = Gfn(0x40000);
/// Pages of a test domain.
pub const GUEST_PAGES: u64 = 64;
/// Where guests start.
pub const ENTRY: u64 = GUEST_RAM.addr().0;
/// The last page of a test domain, where [`World::op`] puts hypercall arguments.
const ARGS: Gaddr = Gfn(GUEST_RAM.0 + GUEST_PAGES - 1).addr();
/// The page before it, for what a guest shares with the hypervisor.
pub const SPARE: Gaddr = Gfn(GUEST_RAM.0 + GUEST_PAGES - 2).addr();
/// The console's interrupt.
pub const CONSOLE: u32 = 33;
/// Where a guest has its shared information page, once it has mapped it.
pub const SHARED: Gaddr = Gfn(0x39000).addr();
/// The PPI that dom0 gets for events.
pub const DOM0_EVENT_PPI: u32 = 20;
/// Where the machine's GICV is with version 2, as on QEMU's machine; there is no RAM.
pub const GICV: Maddr = Maddr(0x0804_0000);

/// Exception classes of ESR_EL2, with the bit for an instruction of four bytes.
pub const HVC: u64 = 0x16 << 26 | IL;
pub const SMC: u64 = 0x17 << 26 | IL;
const WFX: u64 = 0x01 << 26 | IL;
const SYSREG: u64 = 0x18 << 26 | IL;
pub const INSTR_ABORT: u64 = 0x20 << 26 | IL;
pub const DATA_ABORT: u64 = 0x24 << 26 | IL;
const IL: u64 = 1 << 25;
/// Fault status of an abort: translation and permission fault at level 3.
pub const TRANSLATION: u64 = 0x07;
pub const PERMISSION: u64 = 0x0f;

/// Offsets in a redistributor: its second frame has the private interrupts.
pub const GICR_ISENABLER0: u64 = 0x1_0100;
const GICR_IPRIORITYR: u64 = 0x1_0400;
const GICR_STRIDE: u64 = 0x2_0000;
/// Offsets in the distributor.
const GICD_CTLR: u64 = 0;
pub const GICD_ISENABLER: u64 = 0x100;
pub const GICD_ICENABLER: u64 = 0x180;
const GICD_IPRIORITYR: u64 = 0x400;
pub const GICD_ITARGETSR: u64 = 0x800;
pub const GICD_IROUTER: u64 = 0x6000;
/// The priority that guests give their interrupts: four of them.
const PRIORITIES: u64 = 0xa0a0_a0a0;

/// A hypervisor and its pCPUs.
pub struct World {
    /// Never dropped, as the machine: both are what outlives everything.
    pub hv: &'static Hypervisor,
    cpus: Vec<(Local, Regs)>,
    /// Where guests have the distributor and the redistributors.
    gic: (u64, u64),
    /// How the machine ended; a test that expects it takes it.
    pub end: Option<MachineEnd>,
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.hv.machine.assert_no_faults();
            assert_eq!(self.end, None);
        }
    }
}

impl World {
    /// Two pCPUs, GICv3.
    pub fn new() -> Self {
        Self::with(Config::hostile())
    }

    /// A machine with this many pCPUs.
    pub fn cpus(cpus: u32) -> Self {
        Self::with(Config { cpus, ..Config::hostile() })
    }

    /// A machine with a GICv2.
    pub fn v2() -> Self {
        Self::with(Config { gic_version: 2, ..Config::hostile() })
    }

    /// On a machine like this, with [`FRAMES`] of RAM.
    pub fn with(config: Config) -> Self {
        Self::booted(Config { ram: [(RAM, FRAMES)].into(), ..config }, &[(RAM, FRAMES)], "")
    }

    /// Two pCPUs, with these options on the command line.
    pub fn with_options(line: &str) -> Self {
        Self::booted(Config { ram: [(RAM, FRAMES)].into(), ..Config::hostile() }, &[(RAM, FRAMES)], line)
    }

    /// On this machine, of whose RAM in one piece `free` is free, with a command line.
    pub fn booted(config: Config, free: &[(Mfn, u64)], line: &str) -> Self {
        let mut world = Self::make(Config { idle: Idle::Unwind, ..config }, free, line);
        // As each pCPU does when it enters the idle loop for the first time.
        for n in 0..world.machine().nr_cpus() {
            world.hv.raise(PcpuId(n), Work::RESCHEDULE);
        }
        world.settle();
        world
    }

    /// Without a pCPU that runs: the test's threads are the pCPUs.
    pub fn unsettled(config: Config) -> Self {
        Self::make(Config { ram: [(RAM, FRAMES)].into(), ..config }, &[(RAM, FRAMES)], "")
    }

    fn make(config: Config, free: &[(Mfn, u64)], line: &str) -> Self {
        let (base, count) = config.ram[0];
        let machine: &'static Machine = Box::leak(Box::new(Machine::new(config)));
        let records = (0..count).map(|_| AtomicU64::new(0)).collect::<Vec<_>>().leak();
        let host =
            if machine.gic_version() == 2 { HostGic::V2 { gicv: GICV, size: 0x2000 } } else { HostGic::V3 };
        let line = format!("loglvl=all {line}");
        let options = cmdline::parse(&line, &mut |w| panic!("{w}"));
        let hv = Hypervisor::new(Parts {
            machine,
            frames: Frames::new(base, records, free, count).unwrap(),
            options: options::common(&options, &line),
            platform: Box::new(ArmPlatform::new(machine, host, Some(CONSOLE)).unwrap()),
        });
        let cpus = (0..machine.nr_cpus()).map(|n| (Local::new(PcpuId(n)), Regs::default())).collect();
        let distributor = if machine.gic_version() == 2 { GUEST_GICD_BASE } else { GUEST_GICV3_GICD_BASE };
        let gic = (distributor, GUEST_GICV3_GICR0_BASE);
        let hv = Box::leak(Box::new(hv.unwrap()));
        assert!(hv.console.open(&[]));
        Self { hv, cpus, gic, end: None }
    }

    /// The machine.
    pub fn machine(&self) -> &'static Machine {
        self.hv.machine
    }

    /// Adds a domain with memory and vCPUs of which the first is up at [`ENTRY`], and lets it run.
    pub fn domain(&mut self, id: u16, vcpus: usize) -> Arc<Domain> {
        let domain = self.domain_down(id, vcpus);
        self.launch(&domain);
        domain
    }

    /// Brings the first vCPU of a new domain up at [`ENTRY`], and lets it run.
    pub fn launch(&mut self, domain: &Arc<Domain>) {
        let (guest, first) = (ArmGuest::of(domain).unwrap(), domain.vcpu(0).unwrap());
        guest.start_vcpu(self.hv, domain, 0, |offset| {
            enter_at(0, ENTRY, 0, offset, &mut first.context.lock())
        });
        self.hv.bring_up(first);
        self.hv.unpause_domain(domain).unwrap();
        self.settle();
    }

    /// Adds a domain with memory and vCPUs, all down, that is paused.
    pub fn domain_down(&self, id: u16, vcpus: usize) -> Arc<Domain> {
        let arch = ArchDomainConfig { nr_spis: 32, ..ArchDomainConfig::new_zeroed() };
        let config = DomainConfig {
            id: Domid::new(id).unwrap(),
            handle: [id as u8; 16],
            privileged: id == 0,
            max_vcpus: vcpus,
            max_port: u32::MAX,
            max_grant_frames: 4,
            max_maptrack_frames: 2,
            flags: 3,
            ssidref: 0,
            direct_mapped: false,
            cpupool: 0,
        };
        let domain = self.hv.create_domain(&config, arch.as_bytes()).unwrap();
        for _ in 0..32 {
            assert!(domain.memory.lock().pool.grow(self.hv));
        }
        for page in 0..GUEST_PAGES {
            domain.populate(self.hv, GUEST_RAM.plus(page), 0).unwrap();
        }
        for id in 0..vcpus {
            domain.add_vcpu(self.hv, id).unwrap();
        }
        domain
    }

    /// Adds dom0, whose controller is at a DomU's addresses and who owns these shared interrupts.
    pub fn dom0(&mut self, vcpus: usize, spis: &[u32]) -> Arc<Domain> {
        let platform = ArmPlatform::of(self.hv).unwrap();
        let distributor = self.distributor();
        let redistributors = [RedistRegion { base: self.gic.1, nr_vcpus: vcpus }].into();
        let gic = GuestGic { distributor, redistributors, cpu_interface: GICV.0 };
        platform.set_dom0(Dom0Gic { gic, upcall_ppi: DOM0_EVENT_PPI, timers: (27, 30) });
        let domain = self.domain(0, vcpus);
        let guest = ArmGuest::of(&domain).unwrap();
        for &spi in spis {
            assert!(platform.give(spi, domain.id));
            let effects = guest.vgic.assign_hw(spi, spi as u16).unwrap();
            guest.apply(self.hv, &domain, effects, None);
        }
        domain
    }

    /// Starts a vCPU as the guest's first one does by PSCI, lets it run and returns it.
    pub fn start(&mut self, domain: &Arc<Domain>, id: usize) -> Arc<Vcpu> {
        let first = domain.vcpu(0).unwrap();
        assert_eq!(self.psci(first, [CPU_ON, id as u64, ENTRY, 0]), 0);
        self.settle();
        Arc::clone(domain.vcpu(id).unwrap())
    }

    // pCPUs.

    /// Runs the hypervisor on a pCPU until it enters a guest or waits.
    pub fn act(&mut self, cpu: PcpuId, f: impl FnOnce(&'static Hypervisor, &mut Local, &mut Regs)) {
        let hv = self.hv;
        let (local, regs) = &mut self.cpus[cpu.index()];
        match catch_end(|| hv.machine.run_on(cpu, || f(hv, local, regs))) {
            Ok(()) | Err(MachineEnd::Idle) => {}
            Err(end) => self.end = Some(end),
        }
    }

    /// A pCPU takes its interrupts.
    pub fn interrupt(&mut self, cpu: PcpuId) {
        if self.cpus[cpu.index()].0.current.is_some() {
            self.act(cpu, trap::interrupted);
        } else {
            self.act(cpu, trap::leave);
        }
    }

    /// Lets all pCPUs take interrupts until none waits for any.
    pub fn settle(&mut self) {
        for _ in 0..1000 {
            let machine = self.machine();
            let waits =
                |cpu: &PcpuId| machine.interrupt_waits(*cpu) || self.hv.pcpu(*cpu).unwrap().has_work();
            match (0..self.cpus.len() as u32).map(PcpuId).find(waits) {
                Some(cpu) => self.interrupt(cpu),
                None => return,
            }
        }
        panic!("the pCPUs never settle");
    }

    /// Moves the clock forward, with all that happens on the way.
    pub fn advance(&mut self, ns: u64) {
        let machine = self.machine();
        let end = machine.now_ns() + ns;
        loop {
            let now = machine.now_ns();
            let timers = (0..self.cpus.len() as u32).filter_map(|n| machine.timer_of(PcpuId(n)));
            let next = timers.filter(|t| *t > now).min().unwrap_or(end).min(end);
            machine.advance(next - now);
            self.settle();
            if next == end {
                return;
            }
        }
    }

    /// Lets a vCPU run on one pCPU only, and lets it get there.
    pub fn pin(&mut self, vcpu: &Vcpu, cpu: u32) {
        self.pin_to(vcpu, 1 << cpu);
        self.settle();
    }

    /// Lets a vCPU run on the pCPUs of a mask only.
    pub fn pin_to(&self, vcpu: &Vcpu, cpus: u64) {
        let mut mask = CpuMask::EMPTY;
        for cpu in (0..64).filter(|n| cpus >> n & 1 != 0).filter_map(CpuId::new) {
            mask.insert(cpu);
        }
        let set = |pool: &mut Pool, unit, now| ((), pool.set_affinity(unit, mask, mask, now).unwrap());
        self.hv.pools.with_vcpu(self.hv, vcpu, set).unwrap();
    }

    /// The vCPU that a pCPU runs: its domain's number and its own.
    pub fn running(&self, cpu: u32) -> Option<(u16, usize)> {
        let current = self.cpus[cpu as usize].0.current.as_ref()?;
        Some((current.domain.id.raw(), current.vcpu.id))
    }

    /// The pCPU that runs a vCPU. Panics when none does.
    #[track_caller]
    pub fn cpu_of(&self, vcpu: &Vcpu) -> PcpuId {
        let cpu = vcpu.pcpu().expect("the vCPU is on a pCPU");
        assert_eq!(self.running(cpu.0), Some((vcpu.domid.raw(), vcpu.id)));
        cpu
    }

    // What guests do.

    /// The general registers of a guest that runs.
    #[track_caller]
    pub fn regs(&mut self, vcpu: &Vcpu) -> &mut Regs {
        let cpu = self.cpu_of(vcpu);
        &mut self.cpus[cpu.index()].1
    }

    /// The system registers of a guest that runs.
    #[track_caller]
    pub fn loaded<T>(&self, vcpu: &Vcpu, f: impl FnOnce(&mut LoadedRegs) -> T) -> T {
        self.machine().with_loaded(self.cpu_of(vcpu), f).unwrap()
    }

    /// The guest traps.
    #[track_caller]
    pub fn exit(&mut self, vcpu: &Vcpu, trap: Trap) {
        let cpu = self.cpu_of(vcpu);
        self.machine().set_trap(cpu, trap);
        self.act(cpu, trap::synchronous);
    }

    /// The guest executes an HVC; the program counter is behind it then.
    #[track_caller]
    pub fn hvc(&mut self, vcpu: &Vcpu, imm: u16) {
        self.regs(vcpu).pc += 4;
        self.exit(vcpu, Trap { esr: HVC | u64::from(imm), ..Trap::default() });
    }

    /// The guest waits for an interrupt.
    #[track_caller]
    pub fn wfi(&mut self, vcpu: &Vcpu) {
        self.exit(vcpu, Trap { esr: WFX, ..Trap::default() });
    }

    /// The guest makes a call by HVC #0; the result is what it finds in x0.
    #[track_caller]
    pub fn psci(&mut self, vcpu: &Vcpu, x: [u64; 4]) -> i64 {
        self.regs(vcpu).x[..4].copy_from_slice(&x);
        self.hvc(vcpu, 0);
        self.regs(vcpu).x[0] as i64
    }

    /// The guest takes the vCPU that it acts as down.
    #[track_caller]
    pub fn hvc_off(&mut self, vcpu: &Vcpu) {
        self.regs(vcpu).x[0] = CPU_OFF;
        self.hvc(vcpu, 0);
        self.settle();
    }

    /// The guest issues a hypercall, again as often as it is asked to.
    #[track_caller]
    pub fn call(&mut self, vcpu: &Vcpu, number: u64, args: [u64; 5]) -> i64 {
        let regs = self.regs(vcpu);
        regs.x[16] = number;
        regs.x[..5].copy_from_slice(&args);
        let after = regs.pc + 4;
        for _ in 0..100_000 {
            self.hvc(vcpu, ESR_HYPERCALL as u16);
            if self.regs(vcpu).pc == after {
                return self.regs(vcpu).x[0] as i64;
            }
        }
        panic!("hypercall {number} never ends");
    }

    /// The guest issues a hypercall whose second argument points to a structure; returns the
    /// structure as the hypervisor left it.
    #[track_caller]
    pub fn op<T: FromBytes + IntoBytes + Immutable>(
        &mut self,
        vcpu: &Vcpu,
        number: u32,
        cmd: u32,
        arg: &T,
    ) -> T {
        self.op_with(vcpu, number, |at| [cmd.into(), at, 1, 0, 0], arg)
    }

    /// The same with the arguments in an order of its own, given the structure's address.
    #[track_caller]
    pub fn op_with<T: FromBytes + IntoBytes + Immutable>(
        &mut self,
        vcpu: &Vcpu,
        number: u32,
        args: impl FnOnce(u64) -> [u64; 5],
        arg: &T,
    ) -> T {
        let root = self.machine().stage2_of(self.cpu_of(vcpu)).unwrap();
        self.machine().guest_write(root, ARGS, arg.as_bytes()).unwrap();
        assert_eq!(self.call(vcpu, number.into(), args(ARGS.0)), 0);
        let mut result = T::new_zeroed();
        self.machine().guest_read(root, ARGS, result.as_mut_bytes()).unwrap();
        result
    }

    /// The guest maps its shared information page at [`SHARED`].
    pub fn map_shared(&mut self, vcpu: &Vcpu) {
        let op = AddToPhysmap {
            domid: DOMID_SELF,
            size: 0,
            space: XENMAPSPACE_shared_info,
            idx: 0,
            gpfn: SHARED.frame().0,
        };
        self.op(vcpu, __HYPERVISOR_memory_op, XENMEM_add_to_physmap, &op);
    }

    /// The guest reads (`None`) or writes a register of a device of 2^`size` bytes, with x9. `Err`
    /// when it took an exception instead.
    #[track_caller]
    pub fn mmio(&mut self, vcpu: &Vcpu, at: u64, size: u64, write: Option<u64>) -> Result<u64, Errno> {
        let cpu = self.cpu_of(vcpu);
        let access = if write.is_some() { Access::Write } else { Access::Read };
        let root = self.machine().stage2_of(cpu).unwrap();
        assert!(self.machine().guest_translate(root, Gaddr(at), access).is_err(), "{at:#x} does not trap");
        let esr = DATA_ABORT
            | 1 << 24
            | size << 22
            | 9 << 16
            | u64::from(size == 3) << 15
            | u64::from(write.is_some()) << 6
            | TRANSLATION;
        let pc = self.regs(vcpu).pc;
        self.regs(vcpu).x[9] = write.unwrap_or(!0);
        self.exit(vcpu, Trap { esr, far: at, gaddr: Some(Gaddr(at)) });
        let regs = self.regs(vcpu);
        if regs.pc == pc + 4 { Ok(regs.x[9]) } else { Err(Errno::EFAULT) }
    }

    /// The guest writes a 32-bit register.
    #[track_caller]
    pub fn store(&mut self, vcpu: &Vcpu, at: u64, value: u64) {
        self.mmio(vcpu, at, 2, Some(value)).expect("the register can be written");
    }

    /// The guest reads a 32-bit register.
    #[track_caller]
    pub fn load(&mut self, vcpu: &Vcpu, at: u64) -> u64 {
        self.mmio(vcpu, at, 2, None).expect("the register can be read")
    }

    /// The guest reads (`None`) or writes a system register that traps, with x8: op0, op1, CRn, CRm,
    /// op2. `Err` when it took an exception instead.
    #[track_caller]
    pub fn sysreg(&mut self, vcpu: &Vcpu, reg: [u64; 5], write: Option<u64>) -> Result<u64, Errno> {
        let [op0, op1, crn, crm, op2] = reg;
        let read = u64::from(write.is_none());
        let esr = SYSREG | op0 << 20 | op2 << 17 | op1 << 14 | crn << 10 | 8 << 5 | crm << 1 | read;
        let pc = self.regs(vcpu).pc;
        self.regs(vcpu).x[8] = write.unwrap_or(!0);
        self.exit(vcpu, Trap { esr, ..Trap::default() });
        let regs = self.regs(vcpu);
        if regs.pc == pc + 4 { Ok(regs.x[8]) } else { Err(Errno::EFAULT) }
    }

    /// Whether the interrupt controllers have version 2.
    pub fn is_v2(&self) -> bool {
        self.machine().gic_version() == 2
    }

    /// Says where guests have their distributor and redistributors, if not where DomUs have them.
    pub fn set_gic(&mut self, distributor: u64, redistributors: u64) {
        self.gic = (distributor, redistributors);
    }

    /// Where guests have their distributor.
    pub fn distributor(&self) -> u64 {
        self.gic.0
    }

    /// Where guests have the redistributor of a vCPU.
    pub fn redistributor(&self, vcpu: &Vcpu) -> u64 {
        self.gic.1 + vcpu.id as u64 * GICR_STRIDE
    }

    /// The guest sets its interrupt controller up as an operating system does, with all private
    /// interrupts enabled.
    #[track_caller]
    pub fn open_gic(&mut self, vcpu: &Vcpu) {
        let distributor = self.distributor();
        self.store(vcpu, distributor + GICD_CTLR, 3);
        let domain = self.hv.domains.get(vcpu.domid).unwrap();
        let (enable, priority) = match ArmGuest::of(&domain).unwrap().vgic.version() {
            Version::V2 => (distributor + GICD_ISENABLER, distributor + GICD_IPRIORITYR),
            Version::V3 => {
                let base = self.redistributor(vcpu);
                (base + GICR_ISENABLER0, base + GICR_IPRIORITYR)
            }
        };
        for n in (0..32).step_by(4) {
            self.store(vcpu, priority + n, PRIORITIES);
        }
        self.store(vcpu, enable, u32::MAX.into());
        self.machine().guest_open_gic(self.cpu_of(vcpu));
    }

    /// The guest sends a software-generated interrupt to the vCPUs below 16 that `targets` names.
    #[track_caller]
    pub fn sgi(&mut self, vcpu: &Vcpu, intid: u64, targets: u64) {
        if self.is_v2() {
            let distributor = self.distributor();
            self.store(vcpu, distributor + 0xf00, targets << 16 | intid);
        } else {
            self.sysreg(vcpu, ICC_SGI1R, Some(intid << 24 | targets)).unwrap();
        }
    }

    /// The guest acknowledges an interrupt, once those that wait for its pCPU have been taken.
    #[track_caller]
    pub fn ack(&mut self, vcpu: &Vcpu) -> Option<u32> {
        self.settle();
        self.machine().guest_ack(self.cpu_of(vcpu))
    }

    /// The guest ends an interrupt.
    #[track_caller]
    pub fn eoi(&mut self, vcpu: &Vcpu, iar: u32) {
        self.machine().guest_eoi(self.cpu_of(vcpu), iar);
        self.settle();
    }

    /// The guest acknowledges and ends interrupts until there is none; returns them.
    #[track_caller]
    pub fn drain(&mut self, vcpu: &Vcpu) -> Vec<u32> {
        let mut taken = Vec::new();
        while let Some(iar) = self.ack(vcpu) {
            taken.push(iar);
            self.eoi(vcpu, iar);
            assert!(taken.len() < 100, "interrupts never end: {taken:?}");
        }
        taken
    }

    /// Sets the guest's virtual timer to go off in so many ticks.
    #[track_caller]
    pub fn set_virtual_timer(&self, vcpu: &Vcpu, ticks: u64) {
        let now = self.machine().ticks();
        self.loaded(vcpu, |regs| {
            regs.sys.cntv_cval_el0 = now - regs.sys.cntvoff_el2 + ticks;
            regs.sys.cntv_ctl_el0 = 1;
        });
    }

    /// Destroys a domain as the tools do.
    pub fn destroy(&mut self, domain: &Arc<Domain>) {
        for _ in 0..10_000 {
            let done = self.hv.destroy_domain(domain).unwrap();
            self.settle();
            if done {
                return;
            }
        }
        panic!("d{} never ends", domain.id);
    }
}

/// PSCI function numbers (Arm DEN0022).
pub const CPU_SUSPEND: u64 = 0xc400_0001;
pub const CPU_OFF: u64 = 0x8400_0002;
pub const CPU_ON: u64 = 0xc400_0003;
pub const AFFINITY_INFO: u64 = 0xc400_0004;
pub const SYSTEM_OFF: u64 = 0x8400_0008;
pub const SYSTEM_RESET: u64 = 0x8400_0009;

/// System registers: op0, op1, CRn, CRm, op2.
pub const ICC_SGI1R: [u64; 5] = [3, 0, 12, 11, 5];
pub const CNTP_CTL: [u64; 5] = [3, 3, 14, 2, 1];
pub const CNTP_CVAL: [u64; 5] = [3, 3, 14, 2, 2];
