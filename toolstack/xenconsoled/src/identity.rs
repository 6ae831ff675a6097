//! Which console: a domain and which of its consoles; where it is, as xenstore says.

use std::fmt;
use std::str::FromStr;

use xen_dev::{Domid, Port};

/// Which console of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The first PV console, `console` in xenstore.
    Pv,
    /// The serial port that the hypervisor emulates on Arm, `vuart/0` in xenstore.
    Vuart,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Pv, Self::Vuart];

    /// Its folder in xenstore, below the domain's.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Pv => "console",
            Self::Vuart => "vuart/0",
        }
    }

    /// What its log's name has behind the domain's.
    pub fn log_suffix(self) -> &'static str {
        match self {
            Self::Pv => "",
            Self::Vuart => "-vuart0",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pv => "pv",
            Self::Vuart => "vuart",
        })
    }
}

impl FromStr for Kind {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.to_string() == text).ok_or(())
    }
}

/// A console.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsoleId {
    /// The domain.
    pub domid: Domid,
    /// Which of its consoles.
    pub kind: Kind,
}

impl ConsoleId {
    /// Its folder in xenstore.
    pub fn folder(self) -> String {
        format!("/local/domain/{}/{}", self.domid, self.kind.folder())
    }
}

impl fmt::Display for ConsoleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} console of domain {}", self.kind, self.domid)
    }
}

/// Where the ring of a console is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Guest frame of the page.
    pub gfn: u64,
    /// The guest's end of the event channel.
    pub port: Port,
}
