//! A device's interrupt that a DomU has.

use crate::testkit::*;
use alloc::sync::Arc;
use hv_core::Domain;
use xen_abi::Errno;

/// The interrupt of the device.
const LINE: u32 = 44;
/// An interrupt that dom0 has.
const DOM0_LINE: u32 = 40;

/// Dom0, and domain 1, which has the line and uses its interrupt controller.
fn setup(world: &mut World) -> (Arc<Domain>, Arc<Domain>) {
    let dom0 = world.dom0(1, &[DOM0_LINE]);
    let domain = world.domain_down(1, 1);
    domain.guest.bind_irq(world.hv, &domain, LINE).unwrap();
    assert!(!world.machine().irq_line(LINE).enabled, "not before the guest wants it");
    world.launch(&domain);
    let vcpu = domain.vcpu(0).unwrap();
    world.open_gic(vcpu);
    let distributor = world.distributor();
    world.store(vcpu, distributor + 0x400 + u64::from(LINE), 0xa0a0_a0a0);
    world.store(vcpu, distributor + GICD_ISENABLER + 4, 1 << (LINE - 32));
    assert!(world.machine().irq_line(LINE).enabled);
    (dom0, domain)
}

#[test]
fn interrupt_of_a_device_goes_to_the_domain_that_has_it() {
    for mut world in [World::new(), World::v2()] {
        let (_, domain) = setup(&mut world);
        let vcpu = domain.vcpu(0).unwrap();
        world.machine().hold_irq(LINE, true);
        assert_eq!(world.ack(vcpu), Some(LINE));
        world.machine().hold_irq(LINE, false);
        world.eoi(vcpu, LINE);
        assert_eq!(world.ack(vcpu), None);
        assert_eq!(world.machine().active_irqs(), []);
    }
}

#[test]
fn interrupt_of_somebody_cannot_be_had() {
    let mut world = World::new();
    let (dom0, domain) = setup(&mut world);
    let other = world.domain_down(2, 1);
    let bind = |domain: &Domain, irq: u32| domain.guest.bind_irq(world.hv, domain, irq);
    assert_eq!(bind(&other, LINE), Err(Errno::EBUSY), "another domain's");
    assert_eq!(bind(&other, DOM0_LINE), Err(Errno::EBUSY), "dom0's");
    assert_eq!(bind(&domain, LINE), Err(Errno::EBUSY), "its own");
    for private in [0, 27, 31] {
        assert_eq!(bind(&other, private), Err(Errno::EINVAL), "{private}");
    }
    assert_eq!(bind(&other, 1019), Err(Errno::EBUSY), "its controller has no such interrupt");
    assert_eq!(bind(&other, u32::MAX), Err(Errno::EBUSY));
    assert!(domain.guest.has_irq(world.hv, &domain, LINE) && !dom0.guest.has_irq(world.hv, &dom0, LINE));
}

#[test]
fn domain_that_dies_gives_the_interrupt_back_whatever_it_did_with_it() {
    // Idle, pending in hardware, in a list register, acknowledged.
    for stage in 0..4 {
        let mut world = World::new();
        let (_, domain) = setup(&mut world);
        let vcpu = Arc::clone(domain.vcpu(0).unwrap());
        if stage > 0 {
            world.machine().raise_irq(LINE);
        }
        if stage > 1 {
            world.settle();
        }
        if stage > 2 {
            assert_eq!(world.ack(&vcpu), Some(LINE));
        }
        drop(vcpu);
        world.destroy(&domain);
        assert!(!world.machine().irq_line(LINE).enabled, "{stage}");
        assert_eq!(world.machine().active_irqs(), [], "{stage}");
        let next = world.domain_down(2, 1);
        assert_eq!(next.guest.bind_irq(world.hv, &next, LINE), Ok(()), "{stage}");
    }
}
