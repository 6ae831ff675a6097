//! Acts with event channels, and what a guest does with its side of them.

use super::{Duel, With};
use crate::testkit::words::{domid, gfn, peer};
use crate::testkit::{ARGS, GRANTS, GUEST_RAM, LISTS};
use alloc::vec::Vec;
use hal::{Gaddr, Gfn};
use xen_abi::event_channel::*;
use xen_abi::sched::*;
use xen_abi::vcpu::{VCPUOP_register_vcpu_info, VcpuRegisterVcpuInfo};
use xen_abi::xen::*;
use xen_abi::{Arch, Arm64, GuestHandle};
use zerocopy::FromZeros as _;

/// Where a guest maps its shared information page.
const SHARED: Gfn = GRANTS.plus(8);
/// Where a guest has its control blocks, and its event array.
const CONTROL: Gfn = GUEST_RAM.plus(30);
const ARRAY: Gfn = GUEST_RAM.plus(31);

impl Duel {
    /// One of the operations on ports.
    pub(super) fn events(&mut self, id: u16, with: With) {
        let [a, b, c, d, e, ..] = with;
        let number = __HYPERVISOR_event_channel_op;
        let port = self.pick_port(id, b, e).unwrap_or(u32::from(b) << (c % 32));
        match a % 16 {
            0 | 1 => {
                let dom = if b < 220 { DOMID_SELF } else { domid(b) };
                let alloc =
                    EvtchnAllocUnbound { dom, remote_dom: if c < 240 { peer(c) } else { domid(c) }, port: 0 };
                if self.op(id, number, EVTCHNOP_alloc_unbound, &alloc) && dom == DOMID_SELF {
                    let done = self.take::<EvtchnAllocUnbound>(id, ARGS);
                    self.unbound.extend(done.map(|done| (id, done.port, done.remote_dom)));
                    self.note("port allocated");
                }
            }
            2..5 => {
                let waiting = self.unbound.iter().position(|(_, _, remote)| *remote == id);
                let (remote_dom, remote_port) = match waiting.filter(|_| d > 20) {
                    Some(n) => {
                        let (owner, port, _) = self.unbound.swap_remove(n);
                        (owner, port)
                    }
                    None => (if b < 200 { peer(b) } else { domid(b) }, u32::from(c % 16)),
                };
                let bind = EvtchnBindInterdomain { remote_dom, _gap0: 0, remote_port, local_port: 0 };
                if self.op(id, number, EVTCHNOP_bind_interdomain, &bind) {
                    self.note("event channel bound");
                }
            }
            5 | 6 => {
                // Messages on the console would raise the one; nothing in the model says when.
                let virq = u32::from(b % 26);
                let virq = if virq == VIRQ_CON_RING { VIRQ_DOM_EXC } else { virq };
                let bind = EvtchnBindVirq { virq, vcpu: u32::from(c % 8 / 3), port: 0 };
                if self.op(id, number, EVTCHNOP_bind_virq, &bind) {
                    self.note("virtual interrupt bound");
                }
            }
            7 => {
                if self.op(id, number, EVTCHNOP_bind_ipi, &EvtchnBindIpi { vcpu: u32::from(c % 3), port: 0 })
                {
                    self.note("IPI bound");
                }
            }
            8 | 9 => {
                if self.op(id, number, EVTCHNOP_close, &EvtchnClose { port }) {
                    self.note("port closed");
                }
            }
            10 => {
                let mut status = EvtchnStatus::new_zeroed();
                (status.dom, status.port) = (if c < 200 { DOMID_SELF } else { domid(c) }, port);
                self.op(id, number, EVTCHNOP_status, &status);
            }
            11 => {
                self.op(id, number, EVTCHNOP_bind_vcpu, &EvtchnBindVcpu { port, vcpu: u32::from(c % 3) });
            }
            12 => {
                let set = EvtchnSetPriority { port, priority: u32::from(c % 18) };
                if self.op(id, number, EVTCHNOP_set_priority, &set) {
                    self.note("priority set");
                }
            }
            13 => {
                self.op(id, number, EVTCHNOP_unmask, &EvtchnUnmask { port });
            }
            14 if b < 60 => {
                let cmd = if b < 50 { EVTCHNOP_reset } else { EVTCHNOP_reset_cont };
                self.put(id, ARGS, &EvtchnReset { dom: if c < 150 { DOMID_SELF } else { peer(d) } });
                if self.call_whole(id, number, [cmd.into(), ARGS.0, 0, 0, 0]) == Some(Ok(0)) {
                    self.note("event channels reset");
                }
            }
            14 => {
                self.op(
                    id,
                    number,
                    EVTCHNOP_bind_pirq,
                    &EvtchnBindPirq { pirq: u32::from(b) * 8, flags: 0, port: 0 },
                );
            }
            _ => {
                // None of the operations.
                self.op(id, number, 15 + u32::from(b), &[port, u32::from(c % 3), u32::from(d), 0]);
            }
        }
    }

    /// Sends on some ports.
    pub(super) fn send_some(&mut self, id: u16, with: With) {
        for n in &with[1..1 + usize::from(with[0] % 6)] {
            let port = self.pick_port(id, *n, with[9]).unwrap_or(u32::from(n % 20));
            if self.op(id, __HYPERVISOR_event_channel_op, EVTCHNOP_send, &EvtchnSend { port }) {
                self.note("event sent");
            }
        }
    }

    /// Mostly a port that is open.
    fn pick_port(&self, id: u16, n: u8, any: u8) -> Option<u32> {
        let open = self.model.domain(id).map_or(Vec::new(), |domain| domain.open_ports());
        open.get(usize::from(n) % open.len().max(1)).copied().filter(|_| any < 230)
    }

    /// The guest looks at what is pending, masks and unmasks, and takes upcalls.
    pub(super) fn guest_events(&mut self, id: u16, with: With) {
        let [a, b, c, d, ..] = with;
        self.take_upcalls(id);
        if self.take::<u8>(id, SHARED.addr()).is_none() {
            self.place_shared(id, xen_abi::memory::XENMAPSPACE_shared_info, 0, SHARED.0);
        }
        let at = |offset: usize| SHARED.addr().plus(offset as u64);
        // The guest has seen the news, or part of it.
        if a % 4 != 0 {
            self.put(id, at(Arm64::VCPU_INFO_UPCALL_PENDING), &u8::from(a > 250));
        }
        if b % 4 != 0 {
            self.put(id, at(Arm64::VCPU_INFO_PENDING_SEL), &(u64::from(b / 4) & u64::from(c)));
        }
        if c % 4 != 0 {
            self.put(id, at(Arm64::SHARED_INFO_EVTCHN_PENDING), &(u64::from(c / 4) << (d % 24)));
        }
        if d % 2 != 0 {
            self.put(id, at(Arm64::SHARED_INFO_EVTCHN_MASK), &(u64::from(d) << (a % 16)));
        }
        self.note("2-level bits changed");
    }

    /// The FIFO interface: its pages, and the guest's side of its queues.
    pub(super) fn fifo(&mut self, id: u16, with: With) {
        let [a, b, c, d, e, f, ..] = with;
        let number = __HYPERVISOR_event_channel_op;
        match a % 8 {
            // All of it, as a guest does when it starts.
            0 if e < 200 => {
                for vcpu in 0..2 {
                    let mut control = EvtchnInitControl::new_zeroed();
                    (control.control_gfn, control.vcpu, control.offset) = (CONTROL.0, vcpu, vcpu * 0x200);
                    self.op(id, number, EVTCHNOP_init_control, &control);
                }
                if self.op(id, number, EVTCHNOP_expand_array, &EvtchnExpandArray { array_gfn: ARRAY.0 }) {
                    self.note("FIFO interface set up");
                }
            }
            0 => {
                let mut control = EvtchnInitControl::new_zeroed();
                control.control_gfn = if b < 230 { CONTROL.0 } else { gfn(b).0 };
                control.vcpu = u32::from(d % 3);
                control.offset = if c < 230 { control.vcpu * 0x200 } else { u32::from(c) * 17 };
                if self.op(id, number, EVTCHNOP_init_control, &control) {
                    self.note("FIFO control block");
                }
            }
            1 => {
                let array_gfn = if b < 230 { ARRAY.0 } else { gfn(b).0 };
                if self.op(id, number, EVTCHNOP_expand_array, &EvtchnExpandArray { array_gfn }) {
                    self.note("FIFO page");
                }
            }
            2..6 => self.take_events(id, usize::from(b % 8)),
            6 => {
                // Masks, unmasks, or takes off a queue.
                let at = ARRAY.addr().plus(u64::from(b % 20) * 4);
                let word: u32 = self.take(id, at).unwrap_or(0);
                let bits = u32::from(c) << 24;
                self.put(id, at, &if d < 128 { word ^ bits } else { word & !bits });
            }
            _ => {
                // Nonsense.
                let word = u32::from_le_bytes([c, d, e, f]);
                let at = if a < 128 { ARRAY.addr() } else { CONTROL.addr() };
                self.put(id, at.plus(u64::from(b % 24) * 4), &word);
                self.note("nonsense in FIFO pages");
            }
        }
    }

    /// The guest takes some events off its queues, as a guest does.
    fn take_events(&mut self, id: u16, most: usize) {
        let word_at = |port: u32| ARRAY.addr().plus(u64::from(port % 1024) * 4);
        for vcpu in 0..2u64 {
            let block = CONTROL.addr().plus(vcpu * 0x200);
            let Some(control) = self.take::<EvtchnFifoControlBlock>(id, block) else { return };
            let mut ready = control.ready;
            for priority in (0..16).filter(|n| control.ready & 1 << n != 0) {
                let mut head = control.head[priority];
                for _ in 0..most {
                    let Some(word) = self.take::<u32>(id, word_at(head)).filter(|_| head != 0) else { break };
                    let link = word & EVTCHN_FIFO_LINK_MASK;
                    let linked = 1u32 << EVTCHN_FIFO_LINKED;
                    let pending = 1u32 << EVTCHN_FIFO_PENDING;
                    self.put(id, word_at(head), &(word & !(linked | pending | EVTCHN_FIFO_LINK_MASK)));
                    self.note("event taken off a queue");
                    head = link;
                }
                self.put(id, block.plus(8 + priority as u64 * 4), &head);
                if head == 0 {
                    ready &= !(1 << priority);
                }
            }
            self.put(id, block, &ready);
        }
        self.take_upcalls(id);
    }

    /// Where a vCPU has its vcpu_info.
    pub(super) fn vcpu(&mut self, id: u16, with: With) {
        let [a, b, c, d, ..] = with;
        let offset = if b < 230 { u32::from(b % 8) * 64 } else { u32::from(b) * 17 };
        let mfn = if c < 200 { GUEST_RAM.0 + 28 } else { gfn(c).0 };
        self.put(id, ARGS, &VcpuRegisterVcpuInfo { mfn, offset, rsvd: 0 });
        let cmd = if a < 230 { VCPUOP_register_vcpu_info } else { u32::from(a) + 100 };
        let vcpu = u64::from(d % 3);
        if self.call(id, __HYPERVISOR_vcpu_op, [cmd.into(), vcpu, ARGS.0, 0, 0]) == Some(Ok(0)) {
            self.note("vcpu_info placed");
        }
    }

    /// Polls ports, or shuts down.
    pub(super) fn wait_or_stop(&mut self, id: u16, with: With) {
        let [a, b, c, d, ..] = with;
        let number = __HYPERVISOR_sched_op;
        match a % 8 {
            0..5 => {
                let ports: Vec<u32> = with[3..8].iter().map(|n| u32::from(n % 16)).collect();
                self.list(id, 0, &ports);
                let nr_ports = if c < 250 { u32::from(b % 5) } else { 129 };
                let list = GuestHandle(if c % 32 == 0 { u64::MAX - 8 } else { LISTS.0 });
                if self.op(
                    id,
                    number,
                    SCHEDOP_poll,
                    &SchedPoll { ports: list, nr_ports, _gap0: 0, timeout: 0 },
                ) {
                    self.note("polled");
                }
            }
            5 => {
                self.op(
                    id,
                    number,
                    [SCHEDOP_yield, SCHEDOP_block, SCHEDOP_shutdown_code][usize::from(b % 3)],
                    &0u32,
                );
            }
            6 => {
                let of = domid(c);
                // Dom0's end is the machine's.
                let spared = (of == DOMID_SELF || of == 0) && id == 0;
                let domain_id = if spared { 1 } else { of };
                let op = SchedRemoteShutdown { domain_id, _gap0: 0, reason: u32::from(d % 8) };
                self.op(id, number, SCHEDOP_remote_shutdown, &op);
            }
            _ if id != 0 => {
                self.op(id, number, SCHEDOP_shutdown, &SchedShutdown { reason: u32::from(d % 8) });
            }
            _ => {}
        }
    }

    /// The guest writes anything to a page that it has.
    pub(super) fn scribble(&mut self, id: u16, with: With) {
        let [a, b, c, rest @ ..] = with;
        let frame = if a < 200 { self.pick_gfn(id, b, 0) } else { gfn(b).0 };
        let at = Gaddr((frame << 12).wrapping_add(u64::from(c) * 16));
        self.put(id, at, &rest);
    }
}
