//! Delivery by the 2-level interface, vcpu_info, and waiting.

use super::*;
use xen_abi::sched::{SCHEDOP_poll, SchedPoll};
use xen_abi::vcpu::{VCPUOP_register_vcpu_info, VcpuRegisterVcpuInfo};
use xen_abi::xen::{__HYPERVISOR_sched_op, __HYPERVISOR_vcpu_op};
use xen_abi::{Arch, GuestHandle};

const INFO_SIZE: usize = size_of::<<Abi as Arch>::VcpuInfo>();

impl Kit {
    fn register_info(&self, vcpu: u64, gfn: Gfn, offset: u32) -> Result<(), Errno> {
        self.world.put(&self.domu, ARGS, &VcpuRegisterVcpuInfo { mfn: gfn.0, offset, rsvd: 0 });
        let args = [VCPUOP_register_vcpu_info.into(), vcpu, ARGS.0, 0, 0];
        self.world.call(&self.domu, __HYPERVISOR_vcpu_op.into(), args).map(drop)
    }

    /// The guest takes a vCPU down, so that others may register for it.
    fn down(&self, vcpu: usize) {
        self.domu.vcpu(vcpu).unwrap().set_down();
    }

    /// Issues SCHEDOP_poll as vCPU 0 of the domain; whether it waits now.
    fn poll(&self, ports: &[u32]) -> Result<bool, Errno> {
        let list = page(3).addr();
        for (n, port) in ports.iter().enumerate() {
            self.world.put(&self.domu, list.plus(n as u64 * 4), port);
        }
        let op = SchedPoll { ports: GuestHandle(list.0), nr_ports: ports.len() as u32, _gap0: 0, timeout: 0 };
        self.world.op(&self.domu, __HYPERVISOR_sched_op.into(), SCHEDOP_poll, &op)?;
        Ok(self.domu.vcpu(0).unwrap().is_blocked())
    }
}

#[test]
fn masked_port_becomes_pending_without_an_upcall() {
    let kit = Kit::new();
    let (ours, theirs) = kit.channel();
    kit.set_mask(&kit.domu, 1 << theirs);
    kit.send(&kit.dom0, ours).unwrap();
    assert_eq!(kit.pending(&kit.domu), 1 << theirs);
    assert!(!kit.take_upcall(&kit.domu, 0));
    assert_eq!(kit.word(&kit.domu, Abi::VCPU_INFO_PENDING_SEL), 0);

    kit.unmask(&kit.domu, theirs).unwrap();
    assert_eq!(kit.take_events(&kit.domu), 1 << theirs);
}

#[test]
fn port_that_was_masked_while_pending_comes_again_with_the_unmasking() {
    let kit = Kit::new();
    let (ours, theirs) = kit.channel();
    kit.send(&kit.dom0, ours).unwrap();
    kit.set_mask(&kit.domu, 1 << theirs);
    assert_eq!(kit.take_events(&kit.domu), 0, "its handler passes it over");
    kit.send(&kit.dom0, ours).unwrap();
    assert!(!kit.take_upcall(&kit.domu, 0), "it is pending already");
    kit.unmask(&kit.domu, theirs).unwrap();
    assert_eq!(kit.take_events(&kit.domu), 1 << theirs);
}

#[test]
fn pending_event_stays_with_the_vcpu_that_was_told_of_it() {
    let kit = Kit::new();
    // On arm64 only vCPU 0 has its vcpu_info in the shared page.
    kit.down(1);
    kit.register_info(1, page(2), 0).unwrap();
    kit.take_upcall(&kit.domu, 1);
    kit.world.put(&kit.domu, page(2).addr(), &[0u64; 2]);
    let (ours, theirs) = kit.channel();
    kit.send(&kit.dom0, ours).unwrap();
    kit.bind_vcpu(&kit.domu, theirs, 1).unwrap();
    kit.send(&kit.dom0, ours).unwrap();
    assert!(!kit.take_upcall(&kit.domu, 1));
    assert_eq!(kit.take_events(&kit.domu), 1 << theirs);
    kit.send(&kit.dom0, ours).unwrap();
    assert!(kit.take_upcall(&kit.domu, 1));
    assert!(!kit.take_upcall(&kit.domu, 0));
}

#[test]
fn unmasking_what_is_not_pending_or_not_open_does_nothing() {
    let kit = Kit::new();
    let (_, theirs) = kit.channel();
    kit.set_mask(&kit.domu, u64::MAX);
    for port in [theirs, 0, 63] {
        assert_eq!(kit.unmask(&kit.domu, port), Ok(()), "port {port}");
    }
    assert_eq!(kit.unmask(&kit.domu, 64), Err(Errno::EINVAL));
    assert!(!kit.take_upcall(&kit.domu, 0));
    assert_eq!(kit.word(&kit.domu, Abi::SHARED_INFO_EVTCHN_MASK), !(1 << theirs));
}

#[test]
fn second_event_before_the_guest_looks_makes_no_second_upcall() {
    let kit = Kit::new();
    let (ours, theirs) = kit.channel();
    let ipi = kit.bind_ipi(&kit.domu, 0).unwrap();
    kit.send(&kit.dom0, ours).unwrap();
    assert!(kit.take_upcall(&kit.domu, 0));
    kit.send(&kit.dom0, ours).unwrap();
    kit.send(&kit.domu, ipi).unwrap();
    assert!(!kit.take_upcall(&kit.domu, 0), "the first is still marked");
    assert_eq!(kit.pending(&kit.domu), 1 << theirs | 1 << ipi);
}

#[test]
fn ports_in_high_words_set_their_selector_bit() {
    let kit = Kit::new();
    let mut port = 0;
    while port < 4095 {
        port = kit.bind_ipi(&kit.domu, 0).unwrap();
    }
    assert_eq!(kit.bind_ipi(&kit.domu, 0), Err(Errno::ENOSPC), "2-level ports end at 4095");
    kit.send(&kit.domu, port).unwrap();
    assert_eq!(kit.word(&kit.domu, Abi::VCPU_INFO_PENDING_SEL), 1 << 63);
    assert_eq!(kit.word(&kit.domu, Abi::SHARED_INFO_EVTCHN_PENDING + 63 * 8), 1 << 63);
}

#[test]
fn upcall_level_follows_the_guests_byte() {
    let kit = Kit::new();
    let (ours, _) = kit.channel();
    let vcpu = kit.domu.vcpu(0).unwrap();
    assert!(!kit.domu.events.upcall_pending(kit.hv(), vcpu));
    kit.send(&kit.dom0, ours).unwrap();
    assert!(kit.domu.events.upcall_pending(kit.hv(), vcpu));
    kit.take_events(&kit.domu);
    assert!(!kit.domu.events.upcall_pending(kit.hv(), vcpu));
}

#[test]
fn blocked_vcpu_is_woken_by_an_event() {
    let kit = Kit::new();
    let (ours, _) = kit.channel();
    let vcpu = kit.domu.vcpu(0).unwrap();
    kit.hv().block(&kit.domu, vcpu);
    assert!(vcpu.is_blocked());
    kit.send(&kit.dom0, ours).unwrap();
    assert!(!vcpu.is_blocked());
}

#[test]
fn vcpu_info_moves_once_and_keeps_what_was_pending() {
    let kit = Kit::new();
    let (ours, theirs) = kit.channel();
    kit.send(&kit.dom0, ours).unwrap();
    assert!(kit.take_upcall(&kit.domu, 0));
    kit.down(0);
    let at = page(4).addr().plus(64);
    kit.world.put(&kit.domu, at, &[0xffu8; INFO_SIZE]);
    kit.register_info(0, page(4), 64).unwrap();
    let info: [u64; INFO_SIZE / 8] = kit.world.take(&kit.domu, at);
    assert_eq!(info[Abi::VCPU_INFO_UPCALL_PENDING / 8] & 0xff, 1, "the upcall is carried over");
    assert_eq!(info[Abi::VCPU_INFO_PENDING_SEL / 8], u64::MAX, "everything is news");
    assert_eq!(kit.register_info(0, page(5), 0), Err(Errno::EINVAL), "only once");

    // The handler works on the new place now.
    kit.world.put(&kit.domu, at, &0u64);
    kit.world.put(&kit.domu, at.plus(8), &0u64);
    let pending = SHARED.addr().plus(Abi::SHARED_INFO_EVTCHN_PENDING as u64);
    kit.world.put(&kit.domu, pending, &0u64);
    kit.send(&kit.dom0, ours).unwrap();
    assert_eq!(kit.world.take::<[u64; 2]>(&kit.domu, at), [1, 1]);
    assert_eq!(kit.pending(&kit.domu), 1 << theirs);
    assert!(kit.take_upcall(&kit.domu, 0));
}

#[test]
fn vcpu_without_info_gets_its_upcall_when_it_registers() {
    let kit = Kit::new();
    let ipi = kit.bind_ipi(&kit.domu, 1).unwrap();
    kit.send(&kit.domu, ipi).unwrap();
    assert!(!kit.take_upcall(&kit.domu, 1));
    assert!(!kit.domu.events.upcall_pending(kit.hv(), kit.domu.vcpu(1).unwrap()));
    kit.down(1);
    kit.world.put(&kit.domu, page(4).addr(), &[0xffu8; INFO_SIZE]);
    kit.register_info(1, page(4), 0).unwrap();
    assert!(kit.take_upcall(&kit.domu, 1));
    let info: [u64; INFO_SIZE / 8] = kit.world.take(&kit.domu, page(4).addr());
    assert_eq!(info[0], 1);
    assert_eq!(info[1], u64::MAX);
    assert!(info[2..].iter().all(|w| *w == 0), "what the guest had there is cleared");
}

#[test]
fn bad_places_for_vcpu_info_are_refused() {
    let kit = Kit::new();
    let end = 4096 - INFO_SIZE as u32;
    assert_eq!(kit.register_info(1, page(4), 0), Err(Errno::EINVAL), "the vCPU is up");
    kit.down(1);
    for offset in [4, end + 8, 4096, u32::MAX] {
        assert_eq!(kit.register_info(1, page(4), offset), Err(Errno::ENXIO), "offset {offset}");
    }
    assert_eq!(kit.register_info(1, Gfn(0x5000), 0), Err(Errno::EINVAL), "no memory there");
    assert_eq!(kit.register_info(1, SHARED, 0), Err(Errno::EINVAL), "not the domain's memory");
    assert_eq!(kit.register_info(1, Gfn(u64::MAX), 0), Err(Errno::EINVAL));
    assert_eq!(kit.register_info(1, page(4), end), Ok(()));
}

#[test]
fn caller_that_runs_can_register_its_own_info() {
    let kit = Kit::new();
    let vcpu = kit.domu.vcpu(1).unwrap();
    vcpu.set_pcpu(Some(hal::PcpuId(1)));
    assert_eq!(kit.register_info(1, page(4), 0), Err(Errno::EINVAL), "it runs on another pCPU");
    vcpu.set_pcpu(Some(hal::PcpuId(0)));
    assert_eq!(kit.register_info(1, page(4), 0), Ok(()));
}

#[test]
fn poll_returns_at_once_when_a_port_is_pending_even_if_masked() {
    let kit = Kit::new();
    let (ours, theirs) = kit.channel();
    let other = kit.alloc(&kit.domu, 0);
    kit.set_mask(&kit.domu, u64::MAX);
    kit.send(&kit.dom0, ours).unwrap();
    assert_eq!(kit.poll(&[other, theirs]), Ok(false));
    assert_eq!(kit.poll(&[other, 63]), Err(Errno::EINVAL));
    assert!(!kit.domu.vcpu(0).unwrap().is_blocked());
}

#[test]
fn polling_vcpu_is_woken_by_its_masked_port_only() {
    let kit = Kit::new();
    let (ours, theirs) = kit.channel();
    let ipi = kit.bind_ipi(&kit.domu, 0).unwrap();
    kit.set_mask(&kit.domu, u64::MAX);
    assert_eq!(kit.poll(&[theirs]), Ok(true));
    kit.send(&kit.domu, ipi).unwrap();
    assert!(kit.domu.vcpu(0).unwrap().is_blocked(), "not its port");
    kit.send(&kit.dom0, ours).unwrap();
    assert!(!kit.domu.vcpu(0).unwrap().is_blocked());
}

#[test]
fn vcpu_that_polls_for_several_ports_is_woken_by_any() {
    let kit = Kit::new();
    let ports: Vec<u32> = (0..3).map(|_| kit.bind_ipi(&kit.domu, 0).unwrap()).collect();
    kit.set_mask(&kit.domu, u64::MAX);
    assert_eq!(kit.poll(&ports), Ok(true));
    kit.send(&kit.domu, ports[2]).unwrap();
    assert!(!kit.domu.vcpu(0).unwrap().is_blocked());
}

#[test]
fn poller_that_something_else_woke_is_struck_off() {
    let kit = Kit::new();
    let (_, theirs) = kit.channel();
    let ipi = kit.bind_ipi(&kit.domu, 1).unwrap();
    kit.set_mask(&kit.domu, u64::MAX);
    assert_eq!(kit.poll(&[theirs]), Ok(true));
    let vcpu = kit.domu.vcpu(0).unwrap();
    kit.hv().kick(vcpu);
    assert!(kit.domu.events.pollers.any());
    kit.send(&kit.domu, ipi).unwrap();
    assert!(!kit.domu.events.pollers.any());
}
