//! Devices of a domain: a front end in its nodes, a back end in those of Dom0, and libxl's note of both.

mod attach;
pub(crate) mod bring_up;
mod conflicts;
pub(crate) mod console;
mod detach;
mod disk;
mod found;
mod remove;
pub(crate) mod script;
mod status;
pub(crate) mod vif;

use xen_dev::Domid;
use xenstore_client::Operations;
use xl_config::Text;

pub use detach::Detach;
pub(crate) use disk::Disk;
pub use status::{DeviceStatus, DiskStatus, VifStatus};
pub(crate) use vif::Vif;

use crate::DomainError;
use crate::nodes::{self, BACK_ENDS, home, make_anew, notes, readable, write_all};

/// States of the two ends of a device (`xenbus_state` in `io/xenbus.h`), as they stand in xenstore.
pub(crate) mod state {
    pub(crate) const INITIALISING: &str = "1";
    pub(crate) const INIT_WAIT: &str = "2";
    pub(crate) const INITIALISED: &str = "3";
    pub(crate) const CONNECTED: &str = "4";
    pub(crate) const CLOSING: &str = "5";
    pub(crate) const CLOSED: &str = "6";
}

/// Kinds of devices, by their names in xenstore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Vbd,
    Vif,
    Console,
    Vuart,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Vbd => "vbd",
            Self::Vif => "vif",
            Self::Console => "console",
            Self::Vuart => "vuart",
        }
    }
}

/// Which device, and whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeviceId {
    pub(crate) kind: Kind,
    pub(crate) domid: Domid,
    pub(crate) id: u32,
}

impl DeviceId {
    /// The device for people.
    fn title(self) -> String {
        format!("{} {}", self.kind.name(), self.id)
    }

    /// The name that netback gives to Dom0's end of an interface.
    fn interface(self) -> String {
        format!("vif{}.{}", self.domid, self.id)
    }

    /// Where the front end's nodes are.
    pub(crate) fn front(self) -> String {
        let (home, kind, id) = (home(self.domid), self.kind.name(), self.id);
        match self.kind {
            // The first console is older than the folder of devices.
            Kind::Console if id == 0 => format!("{home}/console"),
            Kind::Vuart => format!("{home}/vuart/{id}"),
            _ => format!("{home}/device/{kind}/{id}"),
        }
    }

    /// Where the back end's nodes are.
    pub(crate) fn back(self) -> String {
        format!("{BACK_ENDS}/{}/{}/{}", self.kind.name(), self.domid, self.id)
    }

    /// Where the back end's driver writes why it failed.
    pub(crate) fn back_error(self) -> String {
        error_of(&self.back())
    }

    /// Where the tools' own notes are.
    pub(crate) fn note(self) -> String {
        format!("{}/device/{}/{}", notes(self.domid), self.kind.name(), self.id)
    }
}

/// Back ends are in Dom0.
fn check_back_end(key: &'static str, backend: &Option<Text>) -> Result<(), DomainError> {
    match backend.as_ref().map(|name| name.as_str()) {
        None | Some("0" | "Domain-0") => Ok(()),
        Some(other) => {
            let why = format!("back end {other}: these tools have back ends in domain 0 alone");
            Err(DomainError::Key { key, why })
        }
    }
}

/// Where a driver of Dom0 writes why it failed, for the nodes of a back end.
fn error_of(back: &str) -> String {
    back.replacen("/local/domain/0/", "/local/domain/0/error/", 1)
}

/// Names and values of nodes.
pub(crate) type Values = Vec<(&'static str, String)>;

/// A device as it stands in xenstore at first.
pub(crate) struct Record {
    pub(crate) device: DeviceId,
    /// The back end's nodes; those that all have are added.
    pub(crate) back: Values,
    /// The front end's, which the guest may change.
    pub(crate) front: Values,
    /// The front end's, which it may only read.
    pub(crate) fixed: Values,
    /// What the tools note otherwise than the back end has it.
    pub(crate) noted: Values,
}

impl Record {
    /// Writes front end, back end and note.
    pub(crate) fn write(&self, store: &mut impl Operations) -> Result<(), xenstore_client::Error> {
        let domid = self.device.domid;
        let (front, back, note) = (self.device.front(), self.device.back(), self.device.note());
        let ours = readable(Domid::DOM0, domid);
        let theirs = readable(domid, Domid::DOM0);
        let is_console = matches!(self.device.kind, Kind::Console | Kind::Vuart);

        make_anew(store, &front, if is_console { &ours } else { &theirs })?;
        write_all(store, &front, &[("backend", back.clone()), ("backend-id", "0".to_owned())], Some(&ours))?;
        write_all(store, &front, &self.front, Some(&theirs))?;
        write_all(store, &front, &self.fixed, Some(&ours))?;

        make_anew(store, &back, &ours)?;
        let common = [
            ("frontend", front.clone()),
            ("frontend-id", domid.to_string()),
            ("online", "1".to_owned()),
            ("state", state::INITIALISING.to_owned()),
        ];
        write_all(store, &back, &self.back, None)?;
        // The back end's driver starts when it sees the state; by then all else is there.
        write_all(store, &back, &common, None)?;

        nodes::remove(store, &note)?;
        write_all(store, &note, &[("frontend", front), ("backend", back)], None)?;
        write_all(store, &note, &common[1..], None)?;
        write_all(store, &note, &self.back, None)?;
        write_all(store, &note, &self.noted, None)
    }
}
