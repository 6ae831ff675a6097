//! UUIDs of domains (`xen_domain_handle_t`), in their usual spelling.

use std::fmt;
use std::str::FromStr;

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use thiserror::Error;
use xen_abi::xen::DomainHandle;

/// A UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Uuid(pub DomainHandle);

/// Text that is no UUID.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no UUID: write 32 hexadecimal digits, as in 12345678-9abc-def0-1234-56789abcdef0")]
pub struct UuidError(String);

impl Uuid {
    /// A random one, version 4 of RFC 4122.
    pub fn random() -> Result<Self, Errno> {
        let mut bytes = [0; 16];
        random_bytes(&mut bytes)?;
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        Ok(Self(bytes))
    }
}

/// Fills a few bytes from the kernel's random numbers.
pub(crate) fn random_bytes(bytes: &mut [u8]) -> Result<(), Errno> {
    loop {
        match getrandom(&mut *bytes, GetRandomFlags::empty()) {
            // Up to 256 bytes come whole.
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for Uuid {
    type Err = UuidError;

    fn from_str(text: &str) -> Result<Self, UuidError> {
        let wrong = || UuidError(text.chars().take(64).collect());
        let mut bytes = [0; 16];
        let mut digits = text.chars().filter(|&it| it != '-').map(|it| it.to_digit(16));
        let mut digit = || digits.next().flatten().ok_or_else(wrong);
        for byte in &mut bytes {
            *byte = (digit()? << 4 | digit()?) as u8;
        }
        if digits.next().is_some() { Err(wrong()) } else { Ok(Self(bytes)) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn random_uuids_differ_and_say_how_they_were_made() {
        let (one, other) = (Uuid::random().unwrap(), Uuid::random().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.to_string().as_bytes()[14], b'4');
    }

    #[test]
    fn what_is_no_uuid_is_refused() {
        for text in ["", "-", "12345678-9abc-def0-1234-56789abcdef", "g2345678-9abc-def0-1234-56789abcdef0"] {
            assert!(text.parse::<Uuid>().is_err(), "{text}");
        }
        assert!("12345678-9abc-def0-1234-56789abcdef00".parse::<Uuid>().is_err());
    }

    proptest! {
        #[test]
        fn spelling_and_bytes_are_the_same(bytes: [u8; 16], upper: bool) {
            let text = Uuid(bytes).to_string();
            prop_assert_eq!(text.len(), 36);
            let text = if upper { text.to_uppercase() } else { text };
            prop_assert_eq!(text.parse(), Ok(Uuid(bytes)));
            prop_assert_eq!(text.replace('-', "").parse(), Ok(Uuid(bytes)));
        }
    }
}
