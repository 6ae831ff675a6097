//! Aborts and undefined instructions: what the guest is told, and what it is not.

use crate::testkit::*;
use alloc::sync::Arc;
use arch_fake::{Access, MachineEnd, Trap};
use arm_regs::ArmOps as _;
use hal::Gaddr;
use hv_core::Vcpu;

/// An address where the guest has nothing.
const NOWHERE: u64 = 0x0900_0000;
const VBAR: u64 = 0x4000_8000;
/// The vector of a synchronous exception from the kernel's own level.
const SYNC: u64 = VBAR + 0x200;

fn guest(world: &mut World) -> Arc<Vcpu> {
    let vcpu = world.domain(1, 1).vcpu(0).unwrap().clone();
    world.loaded(&vcpu, |regs| regs.sys.vbar_el1 = VBAR);
    vcpu
}

/// ESR_EL1, ELR_EL1, FAR_EL1 and the program counter.
fn taken(world: &mut World, vcpu: &Vcpu) -> [u64; 4] {
    let [esr, elr, far] = world.loaded(vcpu, |regs| [regs.sys.esr_el1, regs.sys.elr_el1, regs.sys.far_el1]);
    [esr, elr, far, world.regs(vcpu).pc]
}

#[test]
fn load_from_nowhere_is_an_external_abort_at_the_instruction() {
    let mut world = World::new();
    let vcpu = guest(&mut world);
    world.mmio(&vcpu, NOWHERE, 2, None).unwrap_err();
    // Data abort from the same level, four bytes, synchronous external.
    assert_eq!(taken(&mut world, &vcpu), [0x25 << 26 | 1 << 25 | 0x10, ENTRY, NOWHERE, SYNC]);
    assert_eq!(world.regs(&vcpu).x[9], !0, "the register is as it was");
    world.mmio(&vcpu, NOWHERE, 2, Some(1)).unwrap_err();
    assert_eq!(taken(&mut world, &vcpu)[0] & 1 << 6, 1 << 6, "a store is told from a load");
}

#[test]
fn abort_tells_the_virtual_address_and_looks_at_the_physical_one() {
    let mut world = World::new();
    let vcpu = guest(&mut world);
    let esr = DATA_ABORT | TRANSLATION;
    world.exit(&vcpu, Trap { esr, far: 0xffff_0000_0000_1008, gaddr: Some(Gaddr(NOWHERE)) });
    assert_eq!(taken(&mut world, &vcpu)[2], 0xffff_0000_0000_1008);
}

#[test]
fn fetch_from_nowhere_is_an_instruction_abort() {
    let mut world = World::new();
    let vcpu = guest(&mut world);
    world.regs(&vcpu).pc = NOWHERE;
    let esr = INSTR_ABORT | TRANSLATION;
    world.exit(&vcpu, Trap { esr, far: NOWHERE, gaddr: Some(Gaddr(NOWHERE)) });
    assert_eq!(taken(&mut world, &vcpu), [0x21 << 26 | 1 << 25 | 0x10, NOWHERE, NOWHERE, SYNC]);
}

#[test]
fn abort_of_a_program_goes_to_its_kernel() {
    let mut world = World::new();
    let vcpu = guest(&mut world);
    world.regs(&vcpu).spsr = 0;
    world.mmio(&vcpu, NOWHERE, 2, None).unwrap_err();
    assert_eq!(taken(&mut world, &vcpu), [0x24 << 26 | 1 << 25 | 0x10, ENTRY, NOWHERE, VBAR + 0x400]);
    assert_eq!(world.loaded(&vcpu, |regs| regs.sys.spsr_el1), 0);
}

#[test]
fn access_that_is_allowed_by_now_runs_again() {
    let mut world = World::new();
    let vcpu = guest(&mut world);
    for (class, fault) in
        [(DATA_ABORT, TRANSLATION), (INSTR_ABORT, TRANSLATION), (DATA_ABORT | 1 << 6, PERMISSION)]
    {
        let trap = Trap { esr: class | fault, far: ENTRY + 8, gaddr: Some(Gaddr(ENTRY + 8)) };
        world.exit(&vcpu, trap);
        assert_eq!(taken(&mut world, &vcpu), [0, 0, 0, ENTRY]);
    }
}

#[test]
fn abort_whose_address_the_guests_tables_lost_runs_again() {
    let mut world = World::new();
    let vcpu = guest(&mut world);
    world.exit(&vcpu, Trap { esr: DATA_ABORT | PERMISSION, far: NOWHERE, gaddr: None });
    assert_eq!(taken(&mut world, &vcpu), [0, 0, 0, ENTRY]);
}

#[test]
fn unknown_register_is_an_undefined_instruction() {
    let mut world = World::new();
    let vcpu = guest(&mut world);
    // S3_7_C15_C0_0.
    world.sysreg(&vcpu, [3, 7, 15, 0, 0], None).unwrap_err();
    assert_eq!(taken(&mut world, &vcpu), [1 << 25, ENTRY, 0, SYNC]);
    assert_eq!(world.loaded(&vcpu, |regs| regs.sys.spsr_el1), 0x1c5);
}

#[test]
fn guest_goes_on_under_its_own_tables_after_an_exception() {
    let mut world = World::new();
    let vcpu = guest(&mut world);
    world.sysreg(&vcpu, [3, 7, 15, 0, 0], None).unwrap_err();
    let machine = world.machine();
    let root = machine.stage2_of(world.cpu_of(&vcpu)).unwrap();
    machine.guest_translate(root, Gaddr(ENTRY), Access::Read).unwrap();
    assert!(machine.loaded_on(&vcpu.context.lock()).is_some());
}

#[test]
fn interrupt_that_was_pending_at_an_exception_stays_pending() {
    let mut world = World::new();
    let vcpu = guest(&mut world);
    world.open_gic(&vcpu);
    world.sgi(&vcpu, 4, 1);
    world.settle();
    let cpu = world.cpu_of(&vcpu);
    assert!(world.machine().guest_interrupted(cpu));
    world.sysreg(&vcpu, [3, 7, 15, 0, 0], None).unwrap_err();
    assert!(world.machine().guest_interrupted(cpu));
    assert_eq!(world.drain(&vcpu), [4]);
}

#[test]
fn asynchronous_abort_is_given_to_the_guest_that_caused_it() {
    let mut world = World::new();
    let vcpu = guest(&mut world);
    world.machine().take_console();
    world.act(world.cpu_of(&vcpu), crate::trap::asynchronous_abort);
    world.settle();
    assert_eq!(taken(&mut world, &vcpu), [0x2f << 26 | 1 << 25, ENTRY, 0, SYNC + 0x180]);
    assert_eq!(world.machine().take_console(), "(XEN) d1v0: SError\n");
}

#[test]
fn asynchronous_abort_ends_the_machine_if_that_is_wanted() {
    for (line, end) in
        [("serrors=panic", MachineEnd::Reboot), ("serrors=panic noreboot", MachineEnd::PowerOff)]
    {
        // In the guest, and at a switch.
        let mut world = World::with_options(line);
        let vcpu = guest(&mut world);
        world.act(world.cpu_of(&vcpu), crate::trap::asynchronous_abort);
        assert_eq!(world.end.take(), Some(end));

        let mut world = World::with_options(line);
        let vcpu = guest(&mut world);
        world.machine().set_guest_aborted(world.cpu_of(&vcpu));
        world.wfi(&vcpu);
        assert_eq!(world.end.take(), Some(end));
        assert!(world.machine().take_console().contains("d1v0 caused an SError"));
    }
}

#[test]
fn asynchronous_abort_that_comes_at_a_switch_is_the_old_guests() {
    let mut world = World::cpus(1);
    let vcpu = guest(&mut world);
    let cpu = world.cpu_of(&vcpu);
    world.machine().set_guest_aborted(cpu);
    world.wfi(&vcpu);
    assert_eq!(vcpu.pcpu(), None);
    let context = vcpu.context.lock();
    assert_eq!(context.sys.esr_el1 >> 26, 0x2f);
    assert_eq!((context.regs.pc, context.sys.elr_el1), (VBAR + 0x380, ENTRY + 4));
    assert!(!world.machine().guest_aborted());
}

#[test]
fn pcpu_without_a_guest_has_nothing_of_the_last_one() {
    let mut world = World::cpus(1);
    let vcpu = guest(&mut world);
    let cpu = world.cpu_of(&vcpu);
    world.wfi(&vcpu);
    let machine = world.machine();
    assert_eq!((machine.read_gic_hcr(), machine.stage2_of(cpu)), (0, None));
    assert_eq!(machine.loaded_on(&vcpu.context.lock()), None);
}
