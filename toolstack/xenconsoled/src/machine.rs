//! What Xen does for the daemon: ring pages and event channels of domains.

use std::sync::Arc;

use thiserror::Error;
use xen_abi::grant_table::GNTTAB_RESERVED_CONSOLE;
use xen_ctrl::{PortStatus, XenCtrl};
use xen_dev::{Access, Domid, Errno, EventChannels, GrantMapper, MapError, Port, Privcmd};

use crate::identity::{Kind, Placement};
use crate::ring::Ring;

/// Why a console cannot be connected.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Its page cannot be mapped.
    #[error("its ring page cannot be mapped: {0}")]
    Map(#[from] MapError),
    /// Its event channel cannot be bound.
    #[error("its event channel {port} cannot be bound: {errno}")]
    Bind {
        /// The domain's port.
        port: Port,
        /// The reason.
        errno: Errno,
    },
}

/// Says whether a port of ours is still connected to a domain.
pub type IsConnected = Box<dyn Fn(Port) -> bool>;

/// The devices.
pub struct Machine {
    events: Box<dyn EventChannels>,
    grants: Option<Box<dyn GrantMapper>>,
    foreign: Arc<dyn Privcmd>,
    is_connected: IsConnected,
}

impl Machine {
    /// Uses these devices. Without a grant mapper all pages are mapped as foreign memory.
    pub fn new(
        events: Box<dyn EventChannels>,
        grants: Option<Box<dyn GrantMapper>>,
        foreign: Arc<dyn Privcmd>,
        is_connected: IsConnected,
    ) -> Self {
        Self { events, grants, foreign, is_connected }
    }

    /// Asks the hypervisor whether a port is connected.
    pub fn ask(control: XenCtrl) -> IsConnected {
        Box::new(move |port| {
            let status = control.port_status(Domid::DOM0, port);
            matches!(status, Ok(PortStatus::Interdomain(..)))
        })
    }

    /// The event channels.
    pub fn events(&self) -> &dyn EventChannels {
        &*self.events
    }

    /// Whether this port of ours still has another end: a guest may close it, for instance to start another kernel.
    pub fn is_connected(&self, port: Port) -> bool {
        (self.is_connected)(port)
    }

    /// Maps the page of a console and binds its event channel.
    ///
    /// # Errors
    /// [`ConnectError`]; nothing is mapped or bound then.
    pub fn connect(&self, domid: Domid, kind: Kind, at: Placement) -> Result<(Ring, Port), ConnectError> {
        let ring = self.map(domid, kind, at.gfn)?;
        let port = self.events.bind_interdomain(domid, at.port);
        let port = port.map_err(|errno| ConnectError::Bind { port: at.port, errno })?;
        Ok((ring, port))
    }

    /// A page in the table of grants can be mapped with less privilege. Only the PV console has one, and not with every
    /// toolstack.
    fn map(&self, domid: Domid, kind: Kind, gfn: u64) -> Result<Ring, MapError> {
        let granted = match (kind, &self.grants) {
            (Kind::Pv, Some(grants)) => {
                grants.map(domid, &[GNTTAB_RESERVED_CONSOLE], Access::Write, None).ok()
            }
            _ => None,
        };
        let page = match granted {
            Some(page) => page,
            None => self.foreign.map_foreign(domid, &[gfn], Access::Write)?,
        };
        Ok(Ring::new(page))
    }
}
