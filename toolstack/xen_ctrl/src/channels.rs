//! Event channels of other domains (`event_channel_op`).

use xen_abi::event_channel::*;
use xen_abi::xen::__HYPERVISOR_event_channel_op;
use xen_dev::{Domid, Port};
use zerocopy::FromZeros;

use crate::{CtrlError, XenCtrl};

/// What a port is used for (`EVTCHNSTAT_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortStatus {
    /// Nothing.
    Closed,
    /// It waits for this domain to connect; the number may be a reserved one.
    Unbound(u16),
    /// It is connected to a port of a domain.
    Interdomain(u16, Port),
    /// It is a physical or virtual interrupt, or a signal between vCPUs.
    Other(u32),
}

impl XenCtrl {
    /// Allocates a port of `domid` to which `remote` may connect.
    pub fn alloc_unbound(&self, domid: Domid, remote: Domid) -> Result<Port, CtrlError> {
        let mut op = EvtchnAllocUnbound { dom: domid.get(), remote_dom: remote.get(), port: 0 };
        self.operate(__HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, &mut op, &mut [])
            .map(|_| op.port)
            .map_err(|errno| CtrlError::Call { call: "EVTCHNOP_alloc_unbound", domid: Some(domid), errno })
    }

    /// What a port of a domain is used for.
    pub fn port_status(&self, domid: Domid, port: Port) -> Result<PortStatus, CtrlError> {
        let mut op = EvtchnStatus::new_zeroed();
        op.dom = domid.get();
        op.port = port;
        self.operate(__HYPERVISOR_event_channel_op, EVTCHNOP_status, &mut op, &mut [])
            .map_err(|errno| CtrlError::Call { call: "EVTCHNOP_status", domid: Some(domid), errno })?;
        Ok(match op.status {
            EVTCHNSTAT_closed => PortStatus::Closed,
            EVTCHNSTAT_unbound => PortStatus::Unbound(op.read_payload::<EvtchnStatusUnbound>().dom),
            EVTCHNSTAT_interdomain => {
                let peer: EvtchnStatusInterdomain = op.read_payload();
                PortStatus::Interdomain(peer.dom, peer.port)
            }
            other => PortStatus::Other(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cpu;
    use crate::testkit::{GUEST, ctrl, only};

    #[test]
    fn unbound_port_is_allocated_for_another_domain() {
        let (ctrl, xen) = ctrl(Cpu::Arm64);
        xen.on_hypercall(|call| {
            call.bytes_at_mut(call.args[1])?[4] = 9;
            Ok(0)
        });
        assert_eq!(ctrl.alloc_unbound(GUEST, Domid::DOM0).unwrap(), 9);
        let call = only(&xen);
        assert_eq!((call.number, call.args[0]), (32, 6));
        assert_eq!(call.bytes_at(call.args[1]).unwrap(), [5, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn status_tells_who_is_at_the_other_end() {
        let (ctrl, xen) = ctrl(Cpu::Arm64);
        for (status, wanted) in [
            (EVTCHNSTAT_closed, PortStatus::Closed),
            (EVTCHNSTAT_unbound, PortStatus::Unbound(3)),
            (EVTCHNSTAT_interdomain, PortStatus::Interdomain(3, 8)),
            (EVTCHNSTAT_virq, PortStatus::Other(EVTCHNSTAT_virq)),
        ] {
            xen.on_hypercall(move |call| {
                let mut op: EvtchnStatus = call.read(call.args[1])?;
                assert_eq!((op.dom, op.port), (5, 4));
                op.status = status;
                op.write_payload(&EvtchnStatusInterdomain { dom: 3, _gap0: 0, port: 8 });
                call.write(call.args[1], &op)?;
                Ok(0)
            });
            assert_eq!(ctrl.port_status(GUEST, 4).unwrap(), wanted);
        }
    }
}
