//! What Xen does for the daemon: rings of domains, their event channels, and how domains fare.

use crate::ring::Ring;
use std::collections::BTreeMap;
use thiserror::Error;
use xen_abi::domctl::v4_17::DominfFlags;
use xen_abi::grant_table::GNTTAB_RESERVED_XENSTORE;
use xen_abi::xen::VIRQ_DOM_EXC;
use xen_ctrl::{CtrlError, XenCtrl};
use xen_dev::linux::{LinuxEventChannels, LinuxGrantMapper, dom0_ring};
use xen_dev::{Access, EventChannels, GrantMapper, MapError, OpenError, Port, RingError, SharedMemory};
use xenstore_wire::Domid;

/// How a domain fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It runs, or could.
    Alive,
    /// It has shut down or crashed.
    Shutdown,
    /// It is being destroyed.
    Dying,
}

/// Why Xen cannot be used.
#[derive(Debug, Error)]
pub enum MachineError {
    /// A device is missing.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The hypervisor refused.
    #[error(transparent)]
    Ctrl(#[from] CtrlError),
    /// A domain's ring page cannot be mapped.
    #[error("the ring page cannot be mapped: {0}")]
    Map(#[from] MapError),
    /// An event channel cannot be bound.
    #[error("the event channel cannot be bound: {0}")]
    Event(#[from] xen_dev::Errno),
    /// The page is no ring.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// No domain can have this number.
    #[error("no domain has this number")]
    Domid,
}

/// Lists all domains.
pub type Census = Box<dyn Fn() -> Result<Vec<(Domid, Fate)>, CtrlError>>;

/// A ring that is connected.
#[derive(Debug)]
pub struct Connected {
    /// The page.
    pub ring: Ring,
    /// This end of the event channel.
    pub port: Port,
}

/// The devices, and the rings connected through them.
pub struct Machine {
    events: Box<dyn EventChannels>,
    grants: Box<dyn GrantMapper>,
    census: Census,
    virq: Port,
    /// Rings by domain.
    pub rings: BTreeMap<Domid, Connected>,
}

impl Machine {
    /// Opens the devices of this kernel.
    ///
    /// # Errors
    /// [`MachineError`] when this is no Dom0.
    pub fn open() -> Result<Self, MachineError> {
        let control = XenCtrl::open()?;
        let census = move || {
            let fate = |info: xen_ctrl::DomainInfo| {
                let flags = info.flags;
                let fate = if flags.contains(DominfFlags::DYING) {
                    Fate::Dying
                } else if flags.contains(DominfFlags::SHUTDOWN) {
                    Fate::Shutdown
                } else {
                    Fate::Alive
                };
                (Domid(info.domid.get()), fate)
            };
            Ok(control.domains()?.into_iter().map(fate).collect())
        };
        let events = Box::new(LinuxEventChannels::open()?);
        Self::new(events, Box::new(LinuxGrantMapper::open()?), Box::new(census))
    }

    /// Uses these devices.
    ///
    /// # Errors
    /// [`MachineError::Event`] when the virtual interrupt for domains' ends is taken.
    pub fn new(
        events: Box<dyn EventChannels>,
        grants: Box<dyn GrantMapper>,
        census: Census,
    ) -> Result<Self, MachineError> {
        let virq = events.bind_virq(VIRQ_DOM_EXC)?;
        Ok(Self { events, grants, census, virq, rings: BTreeMap::new() })
    }

    /// The file that becomes readable when an event has come.
    pub fn events(&self) -> &dyn EventChannels {
        &*self.events
    }

    /// Takes the events that have come: the domains whose rings they are about, and whether a domain has ended.
    pub fn take_events(&self) -> Result<(Vec<Domid>, bool), xen_dev::Errno> {
        let (mut domains, mut ended) = (Vec::new(), false);
        for port in self.events.pending()? {
            // Unmasked before the ring is looked at: what comes later fires again.
            self.events.unmask(port)?;
            ended |= port == self.virq;
            domains.extend(self.rings.iter().filter(|(_, it)| it.port == port).map(|(&domid, _)| domid));
        }
        Ok((domains, ended))
    }

    /// All domains.
    ///
    /// # Errors
    /// [`CtrlError`].
    pub fn domains(&self) -> Result<Vec<(Domid, Fate)>, CtrlError> {
        (self.census)()
    }

    /// Connects the ring that a domain granted, in place of one that it had.
    ///
    /// # Errors
    /// [`MachineError`]; the domain then has no ring.
    pub fn connect(&mut self, domid: Domid, port: Port, features: u32) -> Result<&Ring, MachineError> {
        self.disconnect(domid);
        let domain = xen_dev::Domid::new(domid.0).ok_or(MachineError::Domid)?;
        let page = self.grants.map(domain, &[GNTTAB_RESERVED_XENSTORE], Access::Write, None)?;
        self.attach(domid, page, port, features)
    }

    /// Connects Dom0's own kernel, and gives its port.
    ///
    /// # Errors
    /// [`MachineError`].
    pub fn connect_dom0(&mut self, features: u32) -> Result<(&Ring, Port), MachineError> {
        let (page, port) = dom0_ring()?;
        Ok((self.attach(Domid::DOM0, page, port, features)?, port))
    }

    fn attach(
        &mut self,
        domid: Domid,
        page: SharedMemory,
        port: Port,
        features: u32,
    ) -> Result<&Ring, MachineError> {
        let domain = xen_dev::Domid::new(domid.0).ok_or(MachineError::Domid)?;
        let ring = Ring::new(page);
        ring.announce(features)?;
        let port = self.events.bind_interdomain(domain, port)?;
        Ok(&self.rings.entry(domid).insert_entry(Connected { ring, port }).into_mut().ring)
    }

    /// Lets go of a domain's ring.
    pub fn disconnect(&mut self, domid: Domid) {
        if let Some(Connected { port, .. }) = self.rings.remove(&domid) {
            // The domain may be gone, and the channel with it.
            let _ = self.events.unbind(port);
        }
    }

    /// Tells a domain that its ring has changed.
    pub fn notify(&self, domid: Domid) {
        if let Some(connected) = self.rings.get(&domid) {
            // As above.
            let _ = self.events.notify(connected.port);
        }
    }
}
