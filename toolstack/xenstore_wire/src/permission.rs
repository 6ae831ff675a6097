//! Permissions: a list of a letter and a domain each, such as `n0` `r3`.
//!
//! The first entry names the owner, who may do everything, and its letter holds for every domain that has no entry of
//! its own.

use crate::{Domid, payload};
use std::fmt;
use thiserror::Error;

/// What a domain may do with a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Access {
    /// May read value, children and permissions.
    pub read: bool,
    /// May change value and children.
    pub write: bool,
}

impl Access {
    /// `n`
    pub const NONE: Self = Self { read: false, write: false };
    /// `r`
    pub const READ: Self = Self { read: true, write: false };
    /// `w`
    pub const WRITE: Self = Self { read: false, write: true };
    /// `b`
    pub const BOTH: Self = Self { read: true, write: true };

    /// The letter on the wire.
    pub fn letter(self) -> char {
        match (self.read, self.write) {
            (false, false) => 'n',
            (true, false) => 'r',
            (false, true) => 'w',
            (true, true) => 'b',
        }
    }

    /// Whether `self` allows all that `needed` asks for.
    pub fn allows(self, needed: Self) -> bool {
        (self.read || !needed.read) && (self.write || !needed.write)
    }
}

/// One entry of a permission list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Permission {
    /// Whom it is about.
    pub domid: Domid,
    /// What that domain may do.
    pub access: Access,
}

/// A string is no permission.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is no permission: write n, r, w or b and the number of a domain, such as r3")]
pub struct PermissionError {
    /// What it said.
    pub text: String,
}

impl Permission {
    /// From the form on the wire.
    ///
    /// # Errors
    /// [`PermissionError`] when the letter is another or the number is no domain's.
    pub fn parse(text: &[u8]) -> Result<Self, PermissionError> {
        let parsed = text.split_first().and_then(|(letter, number)| {
            let access = match letter {
                b'n' => Access::NONE,
                b'r' => Access::READ,
                b'w' => Access::WRITE,
                b'b' => Access::BOTH,
                _ => return None,
            };
            Some(Self { domid: payload::domid(number)?, access })
        });
        parsed.ok_or_else(|| PermissionError { text: String::from_utf8_lossy(text).into_owned() })
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.access.letter(), self.domid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn strings_that_are_no_permission_are_refused() {
        for text in ["", "n", "x0", "r-1", "r65536", "r1 ", "R1", "r0x1"] {
            assert!(Permission::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn access_allows_what_it_includes() {
        assert!(Access::BOTH.allows(Access::READ) && Access::READ.allows(Access::NONE));
        assert!(!Access::READ.allows(Access::BOTH) && !Access::NONE.allows(Access::WRITE));
    }

    proptest! {
        #[test]
        fn permissions_survive_the_wire(domid: u16, read: bool, write: bool) {
            let permission = Permission { domid: Domid(domid), access: Access { read, write } };
            prop_assert_eq!(Permission::parse(permission.to_string().as_bytes()), Ok(permission));
        }

        #[test]
        fn any_bytes_are_a_permission_or_refused(text in proptest::collection::vec(any::<u8>(), 0..8)) {
            if let Ok(permission) = Permission::parse(&text) {
                prop_assert!(b"nrwb".contains(&text[0]));
                prop_assert_eq!(permission.domid, payload::domid(&text[1..]).unwrap());
            }
        }
    }
}
