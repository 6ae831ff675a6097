//! Hypercalls and calls of the SMC calling convention.

use crate::testkit::*;
use crate::{power, trap};
use alloc::sync::Arc;
use arch_fake::{LoadedRegs, MachineEnd, Trap};
use arm_vm::exit::ESR_HYPERCALL;
use hal::MachineOps as _;
use hal::PcpuId;
use hv_core::domain::ShutdownReason;
use hv_core::{Current, Domain};
use xen_abi::grant_table::GNTTABOP_unmap_grant_ref;
use xen_abi::xen::{__HYPERVISOR_grant_table_op, __HYPERVISOR_xen_version, DOMID_SELF};

/// PSCI results (Arm DEN0022).
const NOT_SUPPORTED: i64 = -1;
const INVALID_PARAMETERS: i64 = -2;
const ALREADY_ON: i64 = -4;

#[test]
fn hypercall_returns_its_result_behind_the_instruction() {
    let mut world = World::new();
    let vcpu = world.domain(1, 1).vcpu(0).unwrap().clone();
    assert_eq!(world.regs(&vcpu).pc, ENTRY);
    assert_eq!(world.call(&vcpu, __HYPERVISOR_xen_version.into(), [0; 5]), 4 << 16 | 17);
    assert_eq!(world.regs(&vcpu).pc, ENTRY + 4);
    assert_eq!(world.call(&vcpu, 1000, [DOMID_SELF.into(); 5]), -38);
}

#[test]
fn call_with_another_immediate_is_undefined_at_the_instruction() {
    let mut world = World::new();
    let vcpu = world.domain(1, 1).vcpu(0).unwrap().clone();
    world.hvc(&vcpu, 1);
    assert_eq!(world.loaded(&vcpu, |regs| regs.sys.elr_el1), ENTRY);
    world.regs(&vcpu).pc = ENTRY;
    world.exit(&vcpu, Trap { esr: SMC | 1, ..Trap::default() });
    assert_eq!(world.loaded(&vcpu, |regs| regs.sys.elr_el1), ENTRY);
}

#[test]
fn smc_0_is_served_and_skipped() {
    let mut world = World::new();
    let vcpu = world.domain(1, 1).vcpu(0).unwrap().clone();
    world.regs(&vcpu).x[0] = 0x8400_0000;
    world.exit(&vcpu, Trap { esr: SMC, ..Trap::default() });
    assert_eq!((world.regs(&vcpu).x[0], world.regs(&vcpu).pc), (0x1_0001, ENTRY + 4));
    assert_eq!(world.psci(&vcpu, [0x8400_00ff, 0, 0, 0]), NOT_SUPPORTED);
}

#[test]
fn cpu_on_starts_a_vcpu_where_it_is_told_to() {
    let mut world = World::new();
    let domain = world.domain(1, 2);
    let (first, second) = (domain.vcpu(0).unwrap(), domain.vcpu(1).unwrap());
    assert_eq!(world.psci(first, [AFFINITY_INFO, 1, 0, 0]), 1);
    assert_eq!(world.psci(first, [CPU_ON, 1, ENTRY + 0x800, 77]), 0);
    world.settle();
    let regs = world.regs(second);
    assert_eq!((regs.pc, regs.x[0], regs.spsr), (ENTRY + 0x800, 77, 0x1c5));
    assert_eq!(world.loaded(second, |regs| regs.sys.vmpidr_el2), 1 << 31 | 1);
    assert_eq!(world.psci(first, [AFFINITY_INFO, 1, 0, 0]), 0);
    assert_eq!(world.psci(first, [CPU_ON, 1, ENTRY, 0]), ALREADY_ON);
    assert_eq!(world.psci(first, [CPU_ON, 2, ENTRY, 0]), INVALID_PARAMETERS);
}

#[test]
fn vcpu_that_went_off_starts_afresh() {
    let mut world = World::new();
    let domain = world.domain(1, 2);
    let first = domain.vcpu(0).unwrap();
    let second = world.start(&domain, 1);
    world.open_gic(&second);
    // One interrupt active, one pending, both timers running.
    world.set_virtual_timer(&second, 1000);
    let now = world.machine().ticks();
    world.sysreg(&second, CNTP_CVAL, Some(now + 1000)).unwrap();
    world.sysreg(&second, CNTP_CTL, Some(1)).unwrap();
    world.sgi(first, 3, 2);
    assert_eq!(world.ack(&second), Some(3));
    world.sgi(first, 4, 2);
    world.settle();
    world.hvc_off(&second);
    assert_eq!(second.pcpu(), None);
    assert_eq!(world.psci(first, [AFFINITY_INFO, 1, 0, 0]), 1);

    world.start(&domain, 1);
    assert_eq!(world.regs(&second).pc, ENTRY);
    let timer_and_interface =
        |regs: &mut LoadedRegs| (regs.sys.cntv_ctl_el0, regs.gic.vmcr, regs.gic.ap1r[0]);
    assert_eq!(world.loaded(&second, timer_and_interface), (0, 0, 0));
    assert_eq!(world.sysreg(&second, CNTP_CTL, None), Ok(0));
    let registers = world.redistributor(&second) + 0x1_0000;
    let [enabled, pending, active] = [0x100, 0x200, 0x300].map(|at| world.load(&second, registers + at));
    assert_eq!((enabled >> 16, pending, active), (0, 0, 0));
    world.open_gic(&second);
    world.advance(1_000_000);
    assert_eq!(world.drain(&second), []);
}

/// A domain with two vCPUs; the second one's CPU_OFF has been served, its pCPU has not switched yet.
fn on_its_way_down(world: &mut World) -> (Arc<Domain>, PcpuId) {
    let domain = world.domain(1, 2);
    let second = world.start(&domain, 1);
    let cpu = world.cpu_of(&second);
    let current = Current { domain: domain.clone(), vcpu: second.clone() };
    world.regs(&second).pc = ENTRY + 0x104;
    world.regs(&second).x[0] = CPU_OFF;
    world.act(cpu, |hv, _, regs| power::call(hv, &current, regs));
    (domain, cpu)
}

#[test]
fn vcpu_started_before_its_pcpu_let_go_of_it_starts_afresh_too() {
    let mut world = World::new();
    let (domain, cpu) = on_its_way_down(&mut world);
    let first = domain.vcpu(0).unwrap();
    // The first vCPU may be told to try again, and does.
    let mut started = false;
    for _ in 0..100 {
        started = started || world.psci(first, [CPU_ON, 1, ENTRY + 0x800, 77]) == 0;
        world.act(cpu, trap::leave);
        world.settle();
    }
    assert!(started);
    let regs = world.regs(domain.vcpu(1).unwrap());
    assert_eq!((regs.pc, regs.x[0]), (ENTRY + 0x800, 77));
}

#[test]
fn vcpu_on_its_way_down_is_not_off_yet() {
    let mut world = World::new();
    let (domain, cpu) = on_its_way_down(&mut world);
    let first = domain.vcpu(0).unwrap();
    let says_off = |world: &mut World| world.psci(first, [AFFINITY_INFO, 1, 0, 0]) == 1;
    assert!(!says_off(&mut world) || world.psci(first, [CPU_ON, 1, ENTRY, 0]) == 0);
    world.act(cpu, trap::leave);
    world.settle();
    assert!(says_off(&mut world));
    assert_eq!(world.psci(first, [CPU_ON, 1, ENTRY, 0]), 0);
}

#[test]
fn last_vcpu_that_goes_off_takes_the_domain_along() {
    let mut world = World::new();
    let domain = world.domain(1, 2);
    world.hvc_off(domain.vcpu(0).unwrap());
    assert_eq!(domain.shutdown_reason(), Some(ShutdownReason::POWEROFF));
}

#[test]
fn system_off_and_reset_stop_all_vcpus_with_their_reason() {
    for (call, reason) in [(SYSTEM_OFF, ShutdownReason::POWEROFF), (SYSTEM_RESET, ShutdownReason::REBOOT)] {
        let mut world = World::new();
        let domain = world.domain(1, 2);
        world.start(&domain, 1);
        let first = domain.vcpu(0).unwrap();
        world.regs(first).x[0] = call;
        world.hvc(first, 0);
        world.settle();
        assert_eq!(domain.shutdown_reason(), Some(reason));
        assert_eq!((world.running(0), world.running(1)), (None, None));
    }
}

#[test]
fn dom0_that_switches_itself_off_switches_the_machine_off() {
    for (call, end) in [(SYSTEM_OFF, MachineEnd::PowerOff), (SYSTEM_RESET, MachineEnd::Reboot)] {
        let mut world = World::new();
        let domain = world.dom0(1, &[]);
        let vcpu = domain.vcpu(0).unwrap();
        world.regs(vcpu).x[0] = call;
        world.hvc(vcpu, 0);
        assert_eq!(world.end.take(), Some(end));
    }
}

#[test]
fn long_hypercall_is_issued_again_with_interrupts_in_between() {
    let mut world = World::new();
    let vcpu = world.domain(1, 1).vcpu(0).unwrap().clone();
    world.open_gic(&vcpu);
    let (number, ops) = (__HYPERVISOR_grant_table_op, 100);
    let regs = world.regs(&vcpu);
    let pc = regs.pc;
    regs.x[16] = number.into();
    regs.x[..3].copy_from_slice(&[GNTTABOP_unmap_grant_ref.into(), SPARE.0, ops]);
    world.set_virtual_timer(&vcpu, 0);
    world.hvc(&vcpu, ESR_HYPERCALL as u16);
    let regs = world.regs(&vcpu);
    assert_eq!(regs.pc, pc, "the program counter is at the HVC again");
    assert!(regs.x[2] > 0 && regs.x[2] < ops);
    assert_eq!(world.ack(&vcpu), Some(27));
    let regs = world.regs(&vcpu);
    let args = [regs.x[0], regs.x[1], regs.x[2], regs.x[3], regs.x[4]];
    assert_eq!(world.call(&vcpu, number.into(), args), 0);
    assert_eq!(world.regs(&vcpu).pc, pc + 4);
}
