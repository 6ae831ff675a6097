//! For tests: a hypervisor on the fake machine, with domains that tests act for.

mod calls;
mod check;
mod duel;
mod eyes;
#[cfg(test)]
mod fuzz;
mod run;
mod words;

pub use calls::{Extents, GRANTS, LISTS};
pub use check::{check, foreign_gfns};
pub use duel::{ACT, Duel};
#[cfg(test)]
pub use fuzz::{Act, Fuzzer, acts, memory_acts};
pub use run::{Cpu, pin, pin_all};

use crate::console::{Level, Levels, Settings};
use crate::domain::{Domain, DomainConfig, GuestKind, Platform, Vcpu};
use crate::hypercall::{Call, Flow};
use crate::memory::Frames;
use crate::options::Options;
use crate::{Current, Hypervisor, Parts};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::any::Any;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use hal::{Domid, Gaddr, Gfn, MachineOps as _, Mfn, PAGE_SIZE};
use machine::{Context, Machine, Regs, fake};
use xen_abi::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The first frame of the fake machine's RAM.
pub const RAM: Mfn = Mfn(0x40000);
/// Frames of RAM.
pub const FRAMES: u64 = 0x4000;
/// The first guest frame of a test domain's memory.
pub const GUEST_RAM: Gfn = Gfn(0x80000);
/// Pages of a test domain.
pub const GUEST_PAGES: u64 = 64;
/// The last page of a test domain, where [`World::call`] puts hypercall arguments.
pub const ARGS: Gaddr = Gfn(GUEST_RAM.0 + GUEST_PAGES - 1).addr();

/// A guest kind that notes what it is told.
#[derive(Default)]
pub struct TestGuest {
    /// vCPUs whose upcall line is up.
    pub upcalls: AtomicU64,
    /// Interrupts that are bound to it.
    pub irqs: AtomicU64,
}

impl GuestKind for TestGuest {
    fn trapped(&self, _: &Hypervisor, _: &Current, _: &mut Regs, _: u64) {}
    fn interrupted(&self, _: &Hypervisor, _: &Current, _: u32) {}
    fn set_upcall(&self, vcpu: usize, level: bool) -> bool {
        if level {
            self.upcalls.fetch_or(1 << vcpu, Ordering::SeqCst);
        } else {
            self.upcalls.fetch_and(!(1 << vcpu), Ordering::SeqCst);
        }
        level
    }
    fn has_interrupt(&self, _: &Hypervisor, _: &Domain, vcpu: &Vcpu) -> bool {
        self.upcalls.load(Ordering::SeqCst) >> vcpu.id & 1 != 0
    }
    fn reset_context(&self, _: usize, context: &mut Context) {
        *context = Context::default();
    }
    fn set_context(&self, _: usize, bytes: &[u8], context: &mut Context) -> Result<bool, Errno> {
        context.regs.pc = u64::from(*bytes.first().ok_or(Errno::EINVAL)?);
        Ok(true)
    }
    fn get_context(&self, _: usize, context: &Context, _: bool, bytes: &mut [u8]) {
        bytes[0] = context.regs.pc as u8;
    }
    fn context_size(&self) -> usize {
        16
    }
    fn write_config(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
    fn check_param(&self, _: u32, _: u64) -> Result<(), Errno> {
        Ok(())
    }
    fn switched_out(&self, _: &Hypervisor, _: &Domain, _: &Vcpu, _: &mut Context) {}
    fn switching_in(&self, _: &Hypervisor, _: &Vcpu, _: &mut Context) {}
    fn before_entry(&self, _: &Hypervisor, _: &Domain, _: &Vcpu) {}
    fn timer_expired(&self, _: &Hypervisor, _: &Vcpu) -> bool {
        true
    }
    fn vcpu_reset(&self, _: &Hypervisor, _: &Domain, _: usize) {}
    fn bind_irq(&self, _: &Hypervisor, _: &Domain, irq: u32) -> Result<(), Errno> {
        let bit = 1 << irq;
        let before = self.irqs.fetch_or(bit, Ordering::SeqCst);
        if before & bit == 0 { Ok(()) } else { Err(Errno::EBUSY) }
    }
    fn has_irq(&self, _: &Hypervisor, _: &Domain, irq: u32) -> bool {
        self.irqs.load(Ordering::SeqCst) >> irq & 1 != 0
    }
    fn release(&self, _: &Hypervisor, _: Domid) {}
    fn dump(&self, _: usize, _: &mut dyn fmt::Write) -> fmt::Result {
        Ok(())
    }
}

struct TestPlatform;

impl Platform for TestPlatform {
    fn new_guest(&self, _: &Hypervisor, _: &DomainConfig, _: &[u8]) -> Result<Box<dyn GuestKind>, Errno> {
        Ok(Box::new(TestGuest::default()))
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn finish_guest(&self, _: &Hypervisor, _: &Domain) -> Result<(), Errno> {
        Ok(())
    }
    fn check_create_flags(&self, flags: u32) -> Result<(), Errno> {
        if flags == 3 { Ok(()) } else { Err(Errno::EINVAL) }
    }
    fn capabilities(&self) -> u32 {
        9
    }
    fn guest_types(&self) -> &'static str {
        "xen-3.0-test "
    }
    fn irq_count(&self, _: &Hypervisor) -> u32 {
        64
    }
    fn cpu_khz(&self, _: &Hypervisor) -> u32 {
        1000
    }
    fn topology(&self, pcpu: usize) -> (u32, u32) {
        (pcpu as u32, 0)
    }
    fn features(&self, _: bool, _: bool) -> u32 {
        4
    }
    fn callback_irq(&self, _: bool) -> u64 {
        0
    }
}

/// What a test domain is made with.
fn domain_config(id: u16, vcpus: usize) -> DomainConfig {
    DomainConfig {
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
    }
}

fn talkative(mut options: Options) -> Options {
    options.console.own = Levels::up_to(Level::Debug);
    options
}

/// A hypervisor and what tests do with it.
pub struct World {
    /// Never dropped: domains that still run hold references that only a teardown gives back.
    pub hv: &'static Hypervisor,
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.hv.machine.assert_no_faults();
        }
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// A hypervisor with dom0, which has one vCPU and [`GUEST_PAGES`] pages.
    pub fn new() -> Self {
        Self::with_options(Options::default())
    }

    /// The same on a machine that is as hostile as can be.
    pub fn hostile() -> Self {
        Self::with(fake::Config::hostile(), talkative(Options::default()))
    }

    /// The same as [`new`](Self::new), with other options.
    pub fn with_options(options: Options) -> Self {
        Self::with(fake::Config::default(), talkative(options))
    }

    /// The same as [`new`](Self::new), with a console like this.
    pub fn with_console(console: Settings) -> Self {
        Self::with(fake::Config::default(), Options { console, ..Options::default() })
    }

    /// The hostile machine, with a core that says nothing but what it must: what a message causes is not to be mixed
    /// with what a call does.
    pub fn quiet() -> Self {
        let mut options = Options::default();
        options.console.own = Levels::up_to(Level::Error);
        // Who holds this against the specification looks at memory itself, past all caches, and often.
        Self::with(fake::Config { caches: false, ..fake::Config::hostile() }, options)
    }

    fn with(config: fake::Config, options: Options) -> Self {
        let machine: &'static Machine =
            Box::leak(Box::new(Machine::new(fake::Config { ram: vec![(RAM, FRAMES)], ..config })));
        let records = (0..FRAMES).map(|_| AtomicU64::new(0)).collect::<alloc::vec::Vec<_>>().leak();
        let frames = Frames::new(RAM, records, &[(RAM, FRAMES)], FRAMES).unwrap();
        let hv = Hypervisor::new(Parts {
            machine,
            frames,
            options: Options { command_line: String::from("test"), ..options },
            platform: Box::new(TestPlatform),
        });
        let world = Self { hv: Box::leak(Box::new(hv.unwrap())) };
        assert!(world.hv.console.open(&[]));
        world.domain(0, 1);
        world
    }

    /// Adds a domain with memory and vCPUs that are up; dom0 if the number is 0.
    pub fn domain(&self, id: u16, vcpus: usize) -> Arc<Domain> {
        let domain = self.hv.create_domain(&domain_config(id, vcpus), &[]).unwrap();
        for _ in 0..32 {
            assert!(domain.memory.lock().pool.grow(self.hv));
        }
        for page in 0..GUEST_PAGES {
            domain.populate(self.hv, GUEST_RAM.plus(page), 0).unwrap();
        }
        for id in 0..vcpus {
            let vcpu = domain.add_vcpu(self.hv, id).unwrap();
            self.hv.bring_up(vcpu);
        }
        self.hv.unpause_domain(&domain).unwrap();
        domain
    }

    /// The domain of that number.
    pub fn get(&self, id: u16) -> Arc<Domain> {
        self.hv.domains.get(Domid::new(id).unwrap()).expect("the domain is there")
    }

    /// The guest kind's state of a domain.
    pub fn guest(domain: &Domain) -> &TestGuest {
        let guest: &dyn Any = &*domain.guest;
        guest.downcast_ref().unwrap()
    }

    /// Writes to a domain's memory as the guest does.
    pub fn put<T: IntoBytes + Immutable>(&self, domain: &Domain, at: Gaddr, value: &T) {
        self.hv.machine.guest_write(domain.root, at, value.as_bytes()).unwrap();
    }

    /// Reads a domain's memory as the guest does.
    pub fn take<T: FromBytes + IntoBytes>(&self, domain: &Domain, at: Gaddr) -> T {
        let mut value = T::new_zeroed();
        self.hv.machine.guest_read(domain.root, at, value.as_mut_bytes()).unwrap();
        value
    }

    /// Issues a hypercall as vCPU 0 of a domain, again as often as it asks for that.
    pub fn call(&self, domain: &Arc<Domain>, number: u64, args: [u64; 5]) -> Result<u64, Errno> {
        self.call_on(domain, 0, number, args)
    }

    /// The same as another vCPU.
    pub fn call_on(
        &self,
        domain: &Arc<Domain>,
        vcpu: usize,
        number: u64,
        args: [u64; 5],
    ) -> Result<u64, Errno> {
        self.hv.machine.set_stage2(domain.root);
        let mut args = args;
        for _ in 0..100_000 {
            let call = Call { hv: self.hv, domain, vcpu: domain.vcpu(vcpu).unwrap(), args };
            match crate::hypercall::dispatch(&call, number)? {
                Flow::Done(value) => return Ok(value),
                Flow::Again(more) => args = more,
            }
        }
        panic!("hypercall {number} never ends");
    }

    /// Issues a hypercall whose second argument points to a structure; returns the structure as the
    /// hypervisor left it.
    pub fn op<T: FromBytes + IntoBytes + Immutable>(
        &self,
        domain: &Arc<Domain>,
        number: u64,
        cmd: u32,
        arg: &T,
    ) -> Result<T, Errno> {
        assert!(size_of::<T>() <= PAGE_SIZE);
        self.put(domain, ARGS, arg);
        self.call(domain, number, [u64::from(cmd), ARGS.0, 1, 0, 0])?;
        Ok(self.take(domain, ARGS))
    }

    /// Ends all domains, dom0 too, looks whether anything is left of them, and starts anew with a dom0. So one world
    /// serves many tests one after the other: a world is never freed.
    #[track_caller]
    pub fn restart(&self) {
        let hv = self.hv;
        // The tools number domains as they like: the last is one that nobody has.
        let is_free = |id: &u16| Domid::new(*id).is_some_and(|id| hv.domains.get(id).is_none());
        let number = (0..=u16::MAX).rev().find(is_free).expect("a number for one more domain");
        let free = hv.frames.free_frames();
        // The pCPU has to be in some domain's address space while the others end.
        let last = hv.create_domain(&domain_config(number, 1), &[]).expect("room for one more domain");
        let taken = free - hv.frames.free_frames();
        hv.machine.set_stage2(last.root);
        let mut from = 0;
        while let Some(domain) = hv.domains.first_from(from).filter(|domain| domain.id != last.id) {
            from = domain.id.raw() + 1;
            self.tear_down(&domain);
        }
        hv.reap();
        // Others may have held its pages.
        if let Some(dom0) = hv.domains.get(Domid::DOM0) {
            self.tear_down(&dom0);
        }
        assert_eq!(hv.domains.first_from(0).map(|domain| domain.id), Some(last.id), "a domain stays");
        assert_eq!(hv.frames.free_frames() + taken, FRAMES, "frames that never come back");
        let dom0 = self.domain(0, 1);
        hv.machine.set_stage2(dom0.root);
        self.tear_down(&last);
        hv.machine.assert_no_faults();
        hv.machine.take_log();
    }

    /// Ends a domain, whichever it is.
    #[track_caller]
    fn tear_down(&self, domain: &Arc<Domain>) {
        let ended = (0..10_000).any(|_| self.hv.teardown_step(domain));
        assert!(ended, "d{} never ends", domain.id);
    }

    /// Does the pCPU's work of finishing dead domains; false when nothing asked for it.
    pub fn reap(&self) -> bool {
        let asked = self.hv.cpus[0].take_work().contains(crate::Work::REAP);
        if asked {
            self.hv.reap();
        }
        asked
    }

    /// Destroys a domain as the tools do.
    pub fn destroy(&self, domain: &Arc<Domain>) {
        self.hv.machine.set_stage2(self.get(0).root);
        for _ in 0..10_000 {
            if self.hv.destroy_domain(domain).unwrap() {
                return;
            }
        }
        panic!("d{} never ends", domain.id);
    }
}

#[cfg(test)]
#[test]
fn destroyed_domain_gives_all_memory_back() {
    let world = World::hostile();
    let free = world.hv.frames.free_frames();
    for _ in 0..3 {
        let domain = world.domain(7, 2);
        assert!(world.hv.frames.free_frames() < free - GUEST_PAGES);
        world.destroy(&domain);
        assert_eq!(world.hv.frames.free_frames(), free);
        assert!(world.hv.domains.get(domain.id).is_none());
    }
    assert!(crate::memory::P2m::limit() > GUEST_RAM);
}
