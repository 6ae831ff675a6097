//! Event channels, and the shared page in which they are seen.

use core::sync::atomic::{AtomicU64, Ordering};
use xen_abi::event_channel::{
    EVTCHNOP_alloc_unbound, EVTCHNOP_bind_interdomain, EVTCHNOP_bind_ipi, EVTCHNOP_bind_vcpu,
    EVTCHNOP_bind_virq, EVTCHNOP_close, EVTCHNOP_send, EVTCHNOP_status, EVTCHNOP_unmask, EvtchnAllocUnbound,
    EvtchnBindInterdomain, EvtchnBindIpi, EvtchnBindVcpu, EvtchnBindVirq, EvtchnClose, EvtchnSend,
    EvtchnStatus, EvtchnUnmask,
};
use xen_abi::memory::{AddToPhysmap, XENMAPSPACE_shared_info, XENMEM_add_to_physmap};
use xen_abi::vcpu::{VCPUOP_register_vcpu_info, VcpuRegisterVcpuInfo};
use xen_abi::xen::{__HYPERVISOR_event_channel_op, __HYPERVISOR_memory_op, __HYPERVISOR_vcpu_op, DOMID_SELF};

use crate::boot::MAX_VCPUS;
use crate::memory::{self, Page};
use crate::{cpu, hypercall};

/// The private interrupt of event channels.
pub const PPI: u32 = 31;

/// 64-bit words of the shared page: vCPU 0's own part, pending bits, masks.
const PENDING: usize = 6;
const MASK: usize = PENDING + 64;
/// Bytes from one vCPU's part to the next in the page that [`register`] uses.
const VCPU_PART: usize = 64;

/// Frames of the shared page and of the page with the vCPUs' parts; 0 before [`register`].
static SHARED: AtomicU64 = AtomicU64::new(0);
static PARTS: AtomicU64 = AtomicU64::new(0);

/// What an operation gives: a port, or the error.
pub type Port = Result<u32, i64>;

/// Makes an operation on event channels.
pub fn operate<T>(command: u32, argument: &mut T) -> i64 {
    hypercall::with(__HYPERVISOR_event_channel_op, command, argument)
}

fn port(result: i64, port: u32) -> Port {
    if result == 0 { Ok(port) } else { Err(result) }
}

/// Maps the shared page over a page of this guest's; the hypervisor's answer.
pub fn map_shared(frame: u64) -> i64 {
    let mut add =
        AddToPhysmap { domid: DOMID_SELF, size: 0, space: XENMAPSPACE_shared_info, idx: 0, gpfn: frame };
    let result = hypercall::with(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, &mut add);
    if result == 0 {
        SHARED.store(frame, Ordering::Release);
    }
    result
}

/// Registers the part of a vCPU in a page of this guest's; the hypervisor's answer.
pub fn register_part(vcpu: usize, frame: u64, offset: u32) -> i64 {
    let mut part = VcpuRegisterVcpuInfo { mfn: frame, offset, rsvd: 0 };
    let at = hypercall::address(&mut part);
    hypercall::call(__HYPERVISOR_vcpu_op, [u64::from(VCPUOP_register_vcpu_info), vcpu as u64, at, 0, 0])
}

/// Sets the two up for the first vCPUs: the shared page at an unused frame, and the vCPUs' parts.
pub fn register(shared_frame: u64, vcpus: usize) {
    assert_eq!(map_shared(shared_frame), 0, "no shared page");
    let page = memory::take_one();
    for vcpu in 0..vcpus.min(MAX_VCPUS) {
        assert_eq!(register_part(vcpu, page.frame(), (vcpu * VCPU_PART) as u32), 0, "no part for a vCPU");
    }
    PARTS.store(page.address(), Ordering::Release);
}

fn shared() -> &'static Page {
    let frame = SHARED.load(Ordering::Acquire);
    assert!(frame != 0, "no shared page yet");
    Page::at(frame)
}

fn part_word(vcpu: usize, word: usize) -> Option<&'static AtomicU64> {
    let at = PARTS.load(Ordering::Acquire) as usize;
    if at == 0 {
        return None;
    }
    let word = core::ptr::with_exposed_provenance::<AtomicU64>(at + vcpu * VCPU_PART + word * 8);
    // SAFETY: `register` took this page for the vCPUs' parts, for ever.
    Some(unsafe { &*word })
}

/// Whether the upcall of a vCPU is pending.
pub fn upcall_pending(vcpu: usize) -> bool {
    part_word(vcpu, 0).is_some_and(|word| word.load(Ordering::SeqCst) & 0xff != 0)
}

/// The words of pending bits in which a vCPU has to look (`evtchn_pending_sel`).
pub fn selected(vcpu: usize) -> u64 {
    part_word(vcpu, 1).map_or(0, |word| word.load(Ordering::SeqCst))
}

/// Lowers this vCPU's upcall.
pub fn lower() {
    if let Some(word) = part_word(cpu::number(), 0) {
        word.fetch_and(!0xff, Ordering::SeqCst);
    }
}

/// Takes the selector of a vCPU: it is 0 after.
pub fn take_selected(vcpu: usize) -> u64 {
    part_word(vcpu, 1).map_or(0, |word| word.swap(0, Ordering::SeqCst))
}

/// Whether a port is pending, by the shared page.
pub fn pending(port: u32) -> bool {
    shared().word(PENDING + port as usize / 64).load(Ordering::SeqCst) >> (port % 64) & 1 != 0
}

/// Clears a port's pending bit; whether it was set.
pub fn clear(port: u32) -> bool {
    let bit = 1 << (port % 64);
    shared().word(PENDING + port as usize / 64).fetch_and(!bit, Ordering::SeqCst) & bit != 0
}

/// Masks a port in the shared page, or takes the mask away without a look for events.
pub fn set_mask(port: u32, masked: bool) {
    let (word, bit) = (shared().word(MASK + port as usize / 64), 1 << (port % 64));
    if masked {
        word.fetch_or(bit, Ordering::SeqCst);
    } else {
        word.fetch_and(!bit, Ordering::SeqCst);
    }
}

/// Sends; the hypervisor's answer.
pub fn send(port: u32) -> i64 {
    operate(EVTCHNOP_send, &mut EvtchnSend { port })
}

/// Closes; the hypervisor's answer.
pub fn close(port: u32) -> i64 {
    operate(EVTCHNOP_close, &mut EvtchnClose { port })
}

/// Takes the mask away by hypercall; the hypervisor's answer.
pub fn unmask(port: u32) -> i64 {
    operate(EVTCHNOP_unmask, &mut EvtchnUnmask { port })
}

/// A port that another domain may bind.
pub fn alloc_unbound(dom: u16, remote_dom: u16) -> Port {
    let mut alloc = EvtchnAllocUnbound { dom, remote_dom, port: 0 };
    port(operate(EVTCHNOP_alloc_unbound, &mut alloc), alloc.port)
}

/// A port bound to another domain's.
pub fn bind_interdomain(remote_dom: u16, remote_port: u32) -> Port {
    let mut bind = EvtchnBindInterdomain { remote_dom, _gap0: 0, remote_port, local_port: 0 };
    port(operate(EVTCHNOP_bind_interdomain, &mut bind), bind.local_port)
}

/// A port bound to a virtual interrupt.
pub fn bind_virq(virq: u32, vcpu: u32) -> Port {
    let mut bind = EvtchnBindVirq { virq, vcpu, port: 0 };
    port(operate(EVTCHNOP_bind_virq, &mut bind), bind.port)
}

/// A port for events between vCPUs.
pub fn bind_ipi(vcpu: u32) -> Port {
    let mut bind = EvtchnBindIpi { vcpu, port: 0 };
    port(operate(EVTCHNOP_bind_ipi, &mut bind), bind.port)
}

/// Makes a port notify another vCPU; the hypervisor's answer.
pub fn bind_vcpu(port: u32, vcpu: u32) -> i64 {
    operate(EVTCHNOP_bind_vcpu, &mut EvtchnBindVcpu { port, vcpu })
}

/// What a port is: its state and vCPU, or the error.
pub fn status(dom: u16, port: u32) -> Result<EvtchnStatus, i64> {
    let mut status = EvtchnStatus { dom, _gap0: 0, port, status: 0, vcpu: 0, u: [0; 2] };
    match operate(EVTCHNOP_status, &mut status) {
        0 => Ok(status),
        error => Err(error),
    }
}
