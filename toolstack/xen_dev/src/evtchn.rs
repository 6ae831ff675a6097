//! `/dev/xen/evtchn`: event channels.

use std::os::fd::AsFd;

use rustix::io::Errno;

use crate::Domid;

/// A port of this domain, bound through the device.
pub type Port = u32;

/// The event channels of one opening of the device; they are closed with it.
///
/// The file becomes readable when a port is pending: poll it, call [`pending`](Self::pending), and unmask each port
/// after it has been handled, until when it does not fire again.
pub trait EventChannels: AsFd + Send {
    /// Connects a new port to the unbound port `remote` of a domain. The new port fires at once,
    /// since the other end may have signalled before.
    fn bind_interdomain(&self, domid: Domid, remote: Port) -> Result<Port, Errno>;

    /// A new port to which that domain may connect.
    fn bind_unbound(&self, domid: Domid) -> Result<Port, Errno>;

    /// A new port for a virtual interrupt (`VIRQ_*`).
    fn bind_virq(&self, virq: u32) -> Result<Port, Errno>;

    /// Closes a port.
    fn unbind(&self, port: Port) -> Result<(), Errno>;

    /// Signals the other end of a port.
    fn notify(&self, port: Port) -> Result<(), Errno>;

    /// Ports that have fired, without waiting; empty when there are none. At most 64 at a time.
    fn pending(&self) -> Result<Vec<Port>, Errno>;

    /// Lets a port fire again.
    fn unmask(&self, port: Port) -> Result<(), Errno>;
}
