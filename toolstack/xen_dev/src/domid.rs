//! The id of a domain, checked.

use std::fmt;

use xen_abi::xen::DOMID_FIRST_RESERVED;

/// The id of a real domain: below `DOMID_FIRST_RESERVED` (`xen.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domid(u16);

impl Domid {
    /// The control domain.
    pub const DOM0: Self = Self(0);

    /// The domain with this id, or `None` if no domain can have it.
    pub const fn new(id: u16) -> Option<Self> {
        if id < DOMID_FIRST_RESERVED { Some(Self(id)) } else { None }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl From<Domid> for u32 {
    fn from(domid: Domid) -> Self {
        Self::from(domid.0)
    }
}

impl fmt::Display for Domid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_ids_are_no_domains() {
        assert_eq!(Domid::new(0), Some(Domid::DOM0));
        assert_eq!(Domid::new(0x7fef).map(Domid::get), Some(0x7fef));
        assert_eq!(Domid::new(0x7ff0), None);
        assert_eq!(Domid::new(u16::MAX), None);
    }
}
