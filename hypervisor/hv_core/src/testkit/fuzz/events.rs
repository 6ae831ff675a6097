//! Event channel operations; the pages that they take are noted.

use super::Fuzzer;
use crate::domain::Domain;
use crate::testkit::ARGS;
use crate::testkit::words::{domid, gfn, peer};
use alloc::sync::Arc;
use xen_abi::event_channel::*;
use xen_abi::xen::{__HYPERVISOR_event_channel_op, DOMID_SELF};
use zerocopy::FromZeros;

impl Fuzzer {
    /// One of the operations.
    pub(super) fn events(&mut self, caller: &Arc<Domain>, with: [u8; 8]) {
        let [a, b, c, d, ..] = with;
        let cmd = u32::from(a % 15);
        let id = caller.id.raw();
        let number = __HYPERVISOR_event_channel_op;
        let page = caller.lookup(self.world.hv, gfn(b)).map(|entry| entry.mfn);
        match cmd {
            EVTCHNOP_init_control => {
                let mut control = EvtchnInitControl::new_zeroed();
                control.control_gfn = gfn(b).0;
                control.offset = if c < 240 { 0 } else { u32::from(c) * 8 };
                control.vcpu = u32::from(d % 3);
                if self.op(caller, number, cmd, &control) {
                    self.fifos.entry(id).or_default().extend(page);
                    self.note("FIFO control block");
                }
            }
            EVTCHNOP_expand_array => {
                if self.op(caller, number, cmd, &EvtchnExpandArray { array_gfn: gfn(b).0 }) {
                    self.fifos.entry(id).or_default().extend(page);
                    self.note("FIFO page");
                }
            }
            EVTCHNOP_reset | EVTCHNOP_reset_cont if b < 100 => {
                let target = if c % 2 == 0 { id } else { peer(d) };
                if self.op(caller, number, cmd, &EvtchnReset { dom: target }) {
                    self.fifos.remove(&target);
                    self.note("event channels reset");
                }
            }
            EVTCHNOP_alloc_unbound | EVTCHNOP_reset | EVTCHNOP_reset_cont => {
                let dom = if b < 200 { DOMID_SELF } else { domid(b) };
                let alloc = EvtchnAllocUnbound { dom, remote_dom: peer(c), port: 0 };
                if self.op(caller, number, EVTCHNOP_alloc_unbound, &alloc) && dom == DOMID_SELF {
                    let mut done = EvtchnAllocUnbound::new_zeroed();
                    if self.read(caller, ARGS, &mut done) {
                        self.unbound.push((id, done.port, peer(c)));
                    }
                }
            }
            EVTCHNOP_bind_interdomain => {
                let waiting = self.unbound.iter().position(|(_, _, remote)| *remote == id);
                let (remote_dom, remote_port) = match waiting.filter(|_| d > 20) {
                    Some(n) => {
                        let (owner, port, _) = self.unbound.swap_remove(n);
                        (owner, port)
                    }
                    None => (peer(b), u32::from(c % 16)),
                };
                let bind = EvtchnBindInterdomain { remote_dom, _gap0: 0, remote_port, local_port: 0 };
                if self.op(caller, number, cmd, &bind) {
                    self.note("event channel bound");
                }
            }
            _ => {
                self.op(caller, number, cmd, &[u32::from(b % 24), u32::from(c % 3), u32::from(d % 16), 0]);
            }
        }
    }
}
