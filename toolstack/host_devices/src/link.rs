//! A network interface: its name, and what the kernel says of it.

use std::fmt;

use crate::HostError;

/// Longest name, `IFNAMSIZ` less the zero that ends it.
const MAX_NAME: usize = 15;

/// A name that an interface can have (`dev_valid_name` in Linux).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceName(String);

impl InterfaceName {
    /// Checks a name.
    pub fn new(name: &str) -> Result<Self, HostError> {
        let wrong = |byte: u8| !byte.is_ascii_graphic() || matches!(byte, b'/' | b':' | b'%');
        if name.is_empty() || name.len() > MAX_NAME || name == "." || name == ".." || name.bytes().any(wrong)
        {
            return Err(HostError::Name(name.escape_debug().to_string()));
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A network interface as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number for it, which stays when it is renamed.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// Whether it is switched on.
    pub is_up: bool,
    /// Kind of a virtual interface, such as `bridge`.
    pub kind: Option<String>,
    /// Number of the bridge in which it is.
    pub master: Option<u32>,
    /// Hardware address.
    pub address: Option<[u8; 6]>,
}

impl Link {
    /// Whether other interfaces can be put into this one as into a bridge.
    pub fn is_bridge(&self) -> bool {
        self.kind.as_deref() == Some("bridge")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_kernel_would_refuse_are_refused() {
        for good in ["lo", "vif5.0", "a", "123456789012345"] {
            assert_eq!(InterfaceName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", ".", "..", "1234567890123456", "a b", "a/b", "a:b", "a%d", "a\0", "a\n", "ü"] {
            assert!(matches!(InterfaceName::new(bad), Err(HostError::Name(_))), "{bad:?}");
        }
    }
}
