//! Event channels through `/dev/xen/evtchn` (`xen/evtchn.h`).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::io::{Errno, read, write};

use super::open;
use crate::ioctl::Request;
use crate::ioctl::requests::{
    EVTCHN_BIND_INTERDOMAIN, EVTCHN_BIND_UNBOUND_PORT, EVTCHN_BIND_VIRQ, EVTCHN_NOTIFY, EVTCHN_UNBIND,
};
use crate::{Domid, EventChannels, OpenError, Port};

/// Ports read at a time.
const BATCH: usize = 64;

/// The kernel's device.
pub struct LinuxEventChannels {
    device: OwnedFd,
}

impl LinuxEventChannels {
    /// Opens `/dev/xen/evtchn`.
    pub fn open() -> Result<Self, OpenError> {
        Ok(Self { device: open("/dev/xen/evtchn", "xen-evtchn", OFlags::NONBLOCK)? })
    }

    fn bind<const N: usize>(&self, request: &Request<[u32; N]>, mut data: [u32; N]) -> Result<Port, Errno> {
        Port::try_from(request.call(&self.device, &mut data)?).map_err(|_| Errno::IO)
    }
}

impl AsFd for LinuxEventChannels {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

impl EventChannels for LinuxEventChannels {
    fn bind_interdomain(&self, domid: Domid, remote: Port) -> Result<Port, Errno> {
        self.bind(&EVTCHN_BIND_INTERDOMAIN, [domid.into(), remote])
    }

    fn bind_unbound(&self, domid: Domid) -> Result<Port, Errno> {
        self.bind(&EVTCHN_BIND_UNBOUND_PORT, [domid.into()])
    }

    fn bind_virq(&self, virq: u32) -> Result<Port, Errno> {
        self.bind(&EVTCHN_BIND_VIRQ, [virq])
    }

    fn unbind(&self, port: Port) -> Result<(), Errno> {
        EVTCHN_UNBIND.call(&self.device, &mut [port]).map(drop)
    }

    fn notify(&self, port: Port) -> Result<(), Errno> {
        EVTCHN_NOTIFY.call(&self.device, &mut [port]).map(drop)
    }

    fn pending(&self) -> Result<Vec<Port>, Errno> {
        let mut bytes = [0; BATCH * size_of::<Port>()];
        match read(&self.device, &mut bytes) {
            Ok(len) => {
                let (ports, _) = bytes.get(..len).unwrap_or_default().as_chunks();
                Ok(ports.iter().map(|port| Port::from_ne_bytes(*port)).collect())
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn unmask(&self, port: Port) -> Result<(), Errno> {
        write(&self.device, &port.to_ne_bytes()).map(drop)
    }
}
