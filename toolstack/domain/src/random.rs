//! Names that nobody else has: random UUIDs and hardware addresses.

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use xl_config::{Mac, Uuid};

use crate::DomainError;

/// A random UUID, version 4 of RFC 9562.
pub(crate) fn uuid() -> Result<Uuid, DomainError> {
    let mut bytes: [u8; 16] = bytes()?;
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    Ok(Uuid(bytes))
}

/// A random hardware address in Xen's range.
pub(crate) fn mac() -> Result<Mac, DomainError> {
    Ok(Mac::in_xen_range(bytes()?))
}

/// Random bytes, at most 256 of them.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], DomainError> {
    let mut bytes = [0; N];
    loop {
        match getrandom(&mut bytes, GetRandomFlags::empty()) {
            Ok(count) if count == N => return Ok(bytes),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(DomainError::Random(errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_names_differ_and_say_how_they_were_made() {
        let (one, other) = (uuid().unwrap(), uuid().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.to_string().as_bytes()[14], b'4');
        assert!(mac().unwrap().to_string().starts_with("00:16:3e:"));
    }
}
