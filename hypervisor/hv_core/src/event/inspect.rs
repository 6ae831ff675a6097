//! For tests: what a domain's event channels are, taken apart.

use super::DomainEvents;
use super::table::State;
use alloc::vec::Vec;
use hv_spec::{Port, PortKind};

impl DomainEvents {
    /// All ports of the table.
    pub(crate) fn inspect(&self) -> Vec<Port> {
        let ports = self.ports.lock();
        let port = |port| {
            let kind = match ports.get(port)? {
                State::Free | State::Reserved => PortKind::Closed,
                State::Unbound { remote } => PortKind::Unbound(*remote),
                State::Interdomain { remote, port } => PortKind::Interdomain(remote.id.raw(), *port),
                State::Virq(virq) => PortKind::Virq(u32::from(*virq)),
                State::Ipi => PortKind::Ipi,
            };
            Some(Port { kind, vcpu: self.lines.get(port)?.vcpu().into() })
        };
        (0..ports.len()).map_while(port).collect()
    }

    /// Whether the guest uses the FIFO interface.
    pub(crate) fn uses_fifo(&self) -> bool {
        self.is_fifo()
    }
}
