//! Xenstore's wire protocol, shared by server and clients: what the bytes mean, and nothing about where they travel.
//!
//! * [`message`]: header, message types, and a decoder for a stream of bytes that may stop anywhere.
//! * [`payload`]: strings and numbers inside a payload.
//! * [`path`]: which paths exist, and how relative ones resolve.
//! * [`permission`]: who may do what with a node.
//! * [`error`]: errors travel as names.
//!
//! Facts are those of Xen's `docs/misc/xenstore.txt` and `public/io/xs_wire.h`. Every byte that is decoded here may
//! come from a hostile guest: nothing panics, and what is accepted is bounded by the protocol's own limits.
#![forbid(unsafe_code)]

pub mod error;
pub mod message;
pub mod path;
pub mod payload;
pub mod permission;

pub use error::{error_from_name, error_name};
pub use message::{Decoder, Header, Message, MessageType, TooLong};
pub use path::{Path, PathError, SpecialPath};
pub use permission::{Access, Permission, PermissionError};

use std::fmt;

/// Number of a domain, as it travels on the wire: decimal, 0 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domid(pub u16);

impl Domid {
    /// The control domain.
    pub const DOM0: Self = Self(0);
    /// The first number that is no domain's (`DOMID_FIRST_RESERVED` of `public/xen.h`).
    pub const FIRST_RESERVED: Self = Self(0x7ff0);
    /// Stands for the caller (`DOMID_SELF` of `public/xen.h`).
    pub const SELF: Self = Self(0x7ff0);

    /// Whether a domain can have this number.
    pub fn is_real(self) -> bool {
        self < Self::FIRST_RESERVED
    }

    /// Where relative paths of this domain start: `/local/domain/<domid>`.
    pub fn home(self) -> Path {
        Path::home(self)
    }
}

impl fmt::Display for Domid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
