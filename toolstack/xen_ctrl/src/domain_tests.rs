//! Requests about domains, byte by byte, and what is made of the answers.

use xen_abi::domctl::Domctl;
use xen_abi::sysctl::Sysctl;
use zerocopy::IntoBytes;

use super::*;
use crate::testkit::{GUEST, ctrl, domctl_bytes, only, sysctl_of};

/// A union that starts with these bytes.
fn union(bytes: &[u8]) -> Vec<u8> {
    let mut union = bytes.to_vec();
    union.resize(128, 0);
    union
}

fn info(domain: u16) -> GetDomainInfoCommon {
    let mut info = GetDomainInfoCommon::new_zeroed();
    info.domain = domain;
    info.shared_info_frame = u64::MAX;
    info.max_vcpu_id = XEN_INVALID_MAX_VCPU_ID;
    info
}

#[test]
fn calls_without_a_structure_are_the_envelope_alone() {
    let (ctrl, xen) = ctrl(Cpu::Arm64);
    for (call, cmd) in [
        (XenCtrl::pause as fn(&XenCtrl, Domid) -> _, 3),
        (XenCtrl::unpause, 4),
        (XenCtrl::destroy, 2),
        (XenCtrl::resume, 27),
    ] {
        call(&ctrl, GUEST).unwrap();
        assert_eq!(domctl_bytes(&xen, cmd), union(&[]));
    }
}

#[test]
fn limits_and_sizes_stand_where_the_header_has_them() {
    let (ctrl, xen) = ctrl(Cpu::Arm64);
    ctrl.set_max_vcpus(GUEST, 3).unwrap();
    assert_eq!(domctl_bytes(&xen, 15), union(&[3]));
    ctrl.set_max_memory(GUEST, 0x0102_0304_0506).unwrap();
    assert_eq!(domctl_bytes(&xen, 11), union(&[6, 5, 4, 3, 2, 1]));
    ctrl.set_address_size(GUEST, 64).unwrap();
    assert_eq!(domctl_bytes(&xen, 35), union(&[64]));
    ctrl.set_paging_pool(GUEST, 0x10_0000).unwrap();
    assert_eq!(domctl_bytes(&xen, 86), union(&[0, 0, 0x10]));
    ctrl.set_handle(GUEST, *b"0123456789abcdef").unwrap();
    assert_eq!(domctl_bytes(&xen, 17), union(b"0123456789abcdef"));
    ctrl.send_trigger(GUEST, XEN_DOMCTL_SENDTRIGGER_POWER, 1).unwrap();
    assert_eq!(domctl_bytes(&xen, 28), union(&[3, 0, 0, 0, 1]));
    ctrl.set_time_offset(GUEST, -1).unwrap();
    assert_eq!(domctl_bytes(&xen, 24), union(&[0xff; 8]));
}

#[test]
fn sizes_and_ports_come_back_from_the_answer() {
    let (ctrl, xen) = ctrl(Cpu::Arm64);
    xen.on_hypercall(|call| {
        let mut op: Domctl = call.read(call.args[0])?;
        match op.cmd {
            XEN_DOMCTL_get_paging_mempool_size => op.write_payload(&PagingMempool { size: 0x5000 }),
            XEN_DOMCTL_get_address_size => op.write_payload(&AddressSize { size: 32 }),
            XEN_DOMCTL_vuart_op => {
                let mut vuart: VuartOp = op.read_payload();
                assert_eq!((vuart.cmd, vuart.type_, vuart.gfn, vuart.console_domid), (0, 0, 0x3_9000, 0));
                vuart.evtchn = 17;
                op.write_payload(&vuart);
            }
            _ => return Err(Errno::NOSYS),
        }
        call.write(call.args[0], &op)?;
        Ok(0)
    });
    assert_eq!(ctrl.paging_pool(GUEST).unwrap(), 0x5000);
    assert_eq!(ctrl.address_size(GUEST).unwrap(), 32);
    assert_eq!(ctrl.init_vuart(GUEST, 0x3_9000).unwrap(), 17);
}

#[test]
fn shut_down_names_domain_and_reason() {
    let (ctrl, xen) = ctrl(Cpu::Arm64);
    ctrl.shut_down(GUEST, ShutdownReason::Crash).unwrap();
    let call = only(&xen);
    assert_eq!((call.number, call.args[0]), (29, 4));
    assert_eq!(call.bytes_at(call.args[1]).unwrap(), [5, 0, 0, 0, 3, 0, 0, 0]);
}

#[test]
fn every_shutdown_reason_keeps_its_number() {
    for code in 0..=255 {
        assert_eq!(ShutdownReason::from_code(code).code(), code);
    }
}

#[test]
fn answer_about_another_domain_means_that_there_is_none() {
    let (ctrl, xen) = ctrl(Cpu::Arm64);
    xen.on_hypercall(|call| {
        let mut op: Domctl = call.read(call.args[0])?;
        let mut info = info(6);
        info.flags = DominfFlags::SHUTDOWN.with_shutdown_code(3).bits();
        op.write_payload(&info);
        call.write(call.args[0], &op)?;
        Ok(0)
    });
    let error = ctrl.domain(GUEST).unwrap_err();
    assert!(error.is_no_such_domain(), "{error}");
    let info = ctrl.domain(Domid::new(6).unwrap()).unwrap();
    assert_eq!(info.shutdown_reason(), Some(ShutdownReason::Crash));
    assert_eq!((info.shared_info_gfn, info.max_vcpu_id), (None, None));
}

/// Answers with these domains, at the stride of the CPU.
fn list(xen: &xen_dev::fake::FakeXen, stride: usize, domains: Vec<u16>) {
    xen.on_hypercall(move |call| {
        let mut op: Sysctl = call.read(call.args[0])?;
        let mut list: GetDomainInfoList = op.read_payload();
        let asked = domains.iter().filter(|&&id| id >= list.first_domain).take(list.max_domains as usize);
        list.num_domains = 0;
        let buffer = call.bytes_at_mut(list.buffer.0)?;
        for (slot, &id) in buffer.chunks_exact_mut(stride).zip(asked) {
            slot[..104].copy_from_slice(info(id).as_bytes());
            list.num_domains += 1;
        }
        op.write_payload(&list);
        call.write(call.args[0], &op)?;
        Ok(0)
    });
}

#[test]
fn list_longer_than_a_batch_is_read_to_its_end_on_both_cpus() {
    for (cpu, stride) in [(Cpu::Arm64, 120), (Cpu::X86, 112)] {
        let (ctrl, xen) = ctrl(cpu);
        let ids: Vec<u16> = (0..300).map(|id| id * 3).collect();
        list(&xen, stride, ids.clone());
        let found: Vec<u16> = ctrl.domains().unwrap().iter().map(|info| info.domid.get()).collect();
        assert_eq!(found, ids);
        let calls = xen.take_calls();
        assert_eq!(calls.len(), 3);
        let second: GetDomainInfoList = sysctl_of(&calls[1]).read_payload();
        assert_eq!((second.first_domain, second.max_domains), (127 * 3 + 1, 128));
        assert_eq!(calls[1].bytes_at(second.buffer.0).unwrap().len(), 128 * stride);
    }
}

#[test]
fn list_that_contradicts_itself_is_refused() {
    let (ctrl, xen) = ctrl(Cpu::Arm64);
    list(&xen, 120, vec![4, 2]);
    assert!(matches!(ctrl.domains(), Err(CtrlError::Answer { what: "domains out of order", .. })));
    list(&xen, 120, vec![0x7ff4]);
    assert!(matches!(ctrl.domains(), Err(CtrlError::Answer { what: "a reserved domain id", .. })));
    xen.on_hypercall(|call| {
        let mut op: Sysctl = call.read(call.args[0])?;
        let mut list: GetDomainInfoList = op.read_payload();
        list.num_domains = 129;
        op.write_payload(&list);
        call.write(call.args[0], &op)?;
        Ok(0)
    });
    assert!(matches!(ctrl.domains(), Err(CtrlError::Answer { what: "more domains than asked for", .. })));
}
