//! Devices for guests: rights, registers in a domain's map, interrupts.

use crate::domain::Domain;
use crate::memory::Kind;
use crate::testkit::{GUEST_RAM, World, check};
use alloc::sync::Arc;
use hal::{Gfn, Mfn};
use xen_abi::Errno;
use xen_abi::domctl::*;
use xen_abi::memory::XENMAPSPACE_dev_mmio;

/// A device's registers: 16 frames that dom0 may give.
const REGISTERS: u64 = 0x9000;

fn setup() -> (World, Arc<Domain>) {
    let world = World::hostile();
    let dom0 = world.get(0);
    {
        let mut access = dom0.access.lock();
        access.iomem.insert(REGISTERS, REGISTERS + 15).unwrap();
        access.irqs.insert(40, 41).unwrap();
    }
    world.create(5, World::config()).unwrap();
    let domain = world.get(5);
    (0..8).for_each(|_| assert!(domain.memory.lock().pool.grow(world.hv)));
    (world, domain)
}

fn iomem(world: &World, first_mfn: u64, nr_mfns: u64, allow_access: u8) -> Result<(), Errno> {
    let request = IomemPermission { first_mfn, nr_mfns, allow_access, _gap0: [0; 7] };
    world.domctl(&world.get(0), XEN_DOMCTL_iomem_permission, 5, &request).map(drop)
}

fn mapping(world: &World, gfn: u64, mfn: u64, count: u64, add: u32) -> Result<(), Errno> {
    let request =
        MemoryMapping { first_gfn: gfn, first_mfn: mfn, nr_mfns: count, add_mapping: add, padding: 0 };
    world.domctl(&world.get(0), XEN_DOMCTL_memory_mapping, 5, &request).map(drop)
}

fn irq_permission(world: &World, pirq: u32, allow_access: u8) -> Result<(), Errno> {
    let request = IrqPermission { pirq, allow_access, pad: [0; 3] };
    world.domctl(&world.get(0), XEN_DOMCTL_irq_permission, 5, &request).map(drop)
}

fn bind(world: &World, cmd: u32, machine_irq: u32, irq_type: u32, spi: u16) -> Result<(), Errno> {
    let request = BindPtIrq { machine_irq, irq_type, u: [spi.into(), 0] };
    world.domctl(&world.get(0), cmd, 5, &request).map(drop)
}

#[test]
fn rights_are_given_by_who_has_them() {
    let (world, domain) = setup();
    assert_eq!(iomem(&world, u64::MAX, 2, 1), Err(Errno::EINVAL));
    assert_eq!(iomem(&world, REGISTERS, 0, 1), Err(Errno::EINVAL));
    for (first, count) in [(REGISTERS - 1, 2), (REGISTERS, 17), (0, 1), (GUEST_RAM.0, 1), (0, u64::MAX)] {
        assert_eq!(iomem(&world, first, count, 1), Err(Errno::EPERM), "{first:x} {count}");
    }
    assert_eq!(iomem(&world, REGISTERS, 16, 1), Ok(()));
    assert_eq!(iomem(&world, REGISTERS + 4, 4, 0), Ok(()));
    let may = |first: u64, last: u64| domain.access.lock().iomem.contains(first, last);
    assert!(may(REGISTERS, REGISTERS + 3) && may(REGISTERS + 8, REGISTERS + 15));
    assert!(!may(REGISTERS + 3, REGISTERS + 4));
    assert_eq!(irq_permission(&world, 64, 1), Err(Errno::EINVAL), "none has that number");
    assert_eq!(irq_permission(&world, 39, 1), Err(Errno::EPERM));
    assert_eq!(irq_permission(&world, 40, 1), Ok(()));
    assert!(domain.access.lock().irqs.contains(40, 40));
    assert_eq!(irq_permission(&world, 40, 0), Ok(()));
    assert!(!domain.access.lock().irqs.contains(40, 40));
}

#[test]
fn registers_come_into_the_map_and_out_again() {
    let (world, domain) = setup();
    let at = 0x2000;
    assert_eq!(mapping(&world, at, REGISTERS, 4, 1), Err(Errno::EPERM), "the domain may not");
    iomem(&world, REGISTERS, 16, 1).unwrap();
    for (gfn, mfn, count) in
        [(at, u64::MAX, 2), (u64::MAX, REGISTERS, 2), (at, 1 << 36, 1), (at, REGISTERS, 0)]
    {
        assert_eq!(mapping(&world, gfn, mfn, count, 1), Err(Errno::EINVAL), "{gfn:x} {mfn:x}");
    }
    assert_eq!(mapping(&world, at, REGISTERS, 65, 1), Err(Errno::E2BIG));
    assert_eq!(mapping(&world, at, REGISTERS, 17, 1), Err(Errno::EPERM));
    assert_eq!(mapping(&world, 1 << 40, REGISTERS, 1, 1), Err(Errno::EINVAL), "no such guest frame");
    domain.populate(world.hv, Gfn(at + 1), 0).unwrap();
    assert_eq!(mapping(&world, at, REGISTERS, 4, 1), Ok(()));
    assert_eq!(domain.tot_pages(), 0, "what was there is gone");
    for n in 0..4 {
        let entry = domain.lookup(world.hv, Gfn(at + n)).unwrap();
        assert_eq!((entry.mfn, entry.kind), (Mfn(REGISTERS + n), Kind::Mmio));
    }
    check(&world, &[]);
    assert_eq!(mapping(&world, at, REGISTERS + 1, 1, 0), Err(Errno::EILSEQ), "another frame is there");
    assert_eq!(mapping(&world, at + 2, REGISTERS + 2, 4, 0), Ok(()), "half of it is not there");
    assert!(domain.lookup(world.hv, Gfn(at + 2)).is_none() && domain.lookup(world.hv, Gfn(at)).is_some());
    domain.populate(world.hv, Gfn(at + 2), 0).unwrap();
    assert_eq!(mapping(&world, at, REGISTERS, 4, 0), Err(Errno::EILSEQ), "memory");
    assert!(domain.lookup(world.hv, Gfn(at)).is_some());
    // The right is taken back, the mapping stays.
    iomem(&world, REGISTERS, 16, 0).unwrap();
    assert!(domain.lookup(world.hv, Gfn(at)).is_some());
    assert_eq!(mapping(&world, at, REGISTERS, 1, 0), Err(Errno::EPERM));
    world.kill(5).unwrap();
    check(&world, &[]);
}

#[test]
fn interrupt_is_bound_before_the_domain_runs() {
    let (world, domain) = setup();
    let (add, remove, spi) = (XEN_DOMCTL_bind_pt_irq, XEN_DOMCTL_unbind_pt_irq, PT_IRQ_TYPE_SPI);
    for cmd in [add, remove] {
        assert_eq!(bind(&world, cmd, 40, PT_IRQ_TYPE_MSI, 40), Err(Errno::EOPNOTSUPP));
        assert_eq!(bind(&world, cmd, 40, spi, 41), Err(Errno::EINVAL), "under its own number alone");
        assert_eq!(bind(&world, cmd, 39, spi, 39), Err(Errno::EPERM));
    }
    assert_eq!(bind(&world, remove, 40, spi, 40), Err(Errno::EINVAL), "it is not bound");
    assert_eq!(bind(&world, add, 40, spi, 40), Ok(()));
    assert_eq!(bind(&world, add, 40, spi, 40), Err(Errno::EBUSY));
    assert_eq!(bind(&world, remove, 40, spi, 40), Err(Errno::EBUSY), "while it lives");
    world.hv.unpause_domain(&domain).unwrap();
    world.hv.pause_domain(&domain).unwrap();
    assert_eq!(bind(&world, add, 41, spi, 41), Err(Errno::EBUSY), "it has run");
}

#[test]
fn dom0_maps_registers_for_itself_alone() {
    let (world, domain) = setup();
    let dom0 = world.get(0);
    let pairs = [(REGISTERS, Gfn(0x3000)), (REGISTERS + 99, Gfn(0x3001))];
    assert_eq!(world.batch(&dom0, XENMAPSPACE_dev_mmio, 7, &pairs).0, Err(Errno::EOPNOTSUPP));
    let (result, errors) = world.batch(&dom0, XENMAPSPACE_dev_mmio, 0, &pairs);
    assert_eq!((result, errors), (Ok(()), vec![0, 0]));
    assert_eq!(dom0.lookup(world.hv, Gfn(0x3000)).map(|entry| entry.mfn), Some(Mfn(REGISTERS)));
    assert!(dom0.lookup(world.hv, Gfn(0x3001)).is_none(), "what it may not have is passed over");
    let other = world.add_to_physmap(&dom0, 5, XENMAPSPACE_dev_mmio, REGISTERS, Gfn(0x3000));
    assert_eq!(other, Err(Errno::EACCES));
    let plain = world.domain(6, 1);
    let own = world.add_to_physmap(&plain, 6, XENMAPSPACE_dev_mmio, REGISTERS, Gfn(0x3000));
    assert_eq!(own, Err(Errno::EACCES));
    drop(domain);
    check(&world, &[]);
}
