//! Errors on the wire: an `ERROR` message carries the name of an errno.

use xen_abi::Errno;
use xen_abi::io::xs_wire::XSD_ERRORS;

/// The name that travels for `error`, such as `ENOENT`. An error that the protocol lacks becomes `EINVAL`, as in
/// Xen's daemons.
pub fn error_name(error: Errno) -> &'static str {
    if XSD_ERRORS.contains(&error) { error.name() } else { Errno::EINVAL.name() }
}

/// The error of this name, if the protocol has it.
pub fn error_from_name(name: &[u8]) -> Option<Errno> {
    XSD_ERRORS.iter().copied().find(|error| error.name().as_bytes() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_protocol_survive_the_wire_and_others_become_einval() {
        for &error in Errno::ALL {
            let back = error_from_name(error_name(error).as_bytes());
            let expected = if XSD_ERRORS.contains(&error) { error } else { Errno::EINVAL };
            assert_eq!(back, Some(expected));
        }
        assert_eq!(error_from_name(b"ENONSENSE"), None);
        assert_eq!(error_from_name(b""), None);
    }
}
