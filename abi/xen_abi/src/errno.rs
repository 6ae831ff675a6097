//! `errno.h`: error numbers. A hypercall returns them negated.

/// Declares the enum, its names and the conversion from one list.
macro_rules! errno {
    ($($(#[doc = $doc:expr])* $name:ident = $value:literal,)*) => {
        /// Error number of the ABI. Small, and `Result<(), Errno>` is one byte.
        #[allow(clippy::upper_case_acronyms, reason = "names keep their header spelling")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Errno {
            $($(#[doc = $doc])* $name = $value,)*
        }

        impl Errno {
            /// All errors, in the order of their values.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name, such as `EPERM`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// The error with this positive number, if the ABI has it.
            pub const fn from_code(code: u32) -> Option<Self> {
                match code {
                    $($value => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

errno! {
    /// Not permitted.
    EPERM = 1,
    /// No such entry.
    ENOENT = 2,
    /// No such domain.
    ESRCH = 3,
    /// Interrupted. Internal to the hypervisor: no guest sees it.
    EINTR = 4,
    /// Input or output failed.
    EIO = 5,
    /// No such device or address.
    ENXIO = 6,
    /// Argument list too long.
    E2BIG = 7,
    /// Not an executable.
    ENOEXEC = 8,
    /// Bad file number.
    EBADF = 9,
    /// No child.
    ECHILD = 10,
    /// Try again.
    EAGAIN = 11,
    /// Out of memory.
    ENOMEM = 12,
    /// Access denied; also a wrong interface version.
    EACCES = 13,
    /// Bad address.
    EFAULT = 14,
    /// In use.
    EBUSY = 16,
    /// Exists already.
    EEXIST = 17,
    /// Not on the same device.
    EXDEV = 18,
    /// No such device.
    ENODEV = 19,
    /// Not a directory.
    ENOTDIR = 20,
    /// Is a directory.
    EISDIR = 21,
    /// Invalid argument.
    EINVAL = 22,
    /// System file table full.
    ENFILE = 23,
    /// Too many files open.
    EMFILE = 24,
    /// No space.
    ENOSPC = 28,
    /// Read-only.
    EROFS = 30,
    /// Too many links.
    EMLINK = 31,
    /// Outside the function's domain.
    EDOM = 33,
    /// Result out of range.
    ERANGE = 34,
    /// Would deadlock.
    EDEADLK = 35,
    /// Name too long.
    ENAMETOOLONG = 36,
    /// No locks.
    ENOLCK = 37,
    /// Not implemented.
    ENOSYS = 38,
    /// Not empty.
    ENOTEMPTY = 39,
    /// No data.
    ENODATA = 61,
    /// Timer expired.
    ETIME = 62,
    /// Bad message.
    EBADMSG = 74,
    /// Value too large.
    EOVERFLOW = 75,
    /// Illegal byte sequence.
    EILSEQ = 84,
    /// To be restarted. Internal to the hypervisor: no guest sees it.
    ERESTART = 85,
    /// Not a socket.
    ENOTSOCK = 88,
    /// Message too large.
    EMSGSIZE = 90,
    /// Not supported.
    EOPNOTSUPP = 95,
    /// Address in use.
    EADDRINUSE = 98,
    /// Address not available.
    EADDRNOTAVAIL = 99,
    /// No buffer space.
    ENOBUFS = 105,
    /// Connected already.
    EISCONN = 106,
    /// Not connected.
    ENOTCONN = 107,
    /// Timed out.
    ETIMEDOUT = 110,
    /// Connection refused.
    ECONNREFUSED = 111,
}

impl Errno {
    /// Another name of `EAGAIN`.
    pub const EWOULDBLOCK: Self = Self::EAGAIN;
    /// Another name of `EDEADLK`.
    pub const EDEADLOCK: Self = Self::EDEADLK;

    /// The positive number.
    #[inline]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// What a hypercall returns for this error: the number negated.
    #[inline]
    pub const fn to_return(self) -> i64 {
        -(self as i64)
    }

    /// The error that a hypercall's return value stands for: `None` for success and for numbers the ABI
    /// lacks.
    pub const fn from_return(value: i64) -> Option<Self> {
        if value < 0 && value >= -(u8::MAX as i64) {
            Self::from_code(value.unsigned_abs() as u32)
        } else {
            None
        }
    }
}

/// The return register for a handler's result: its value, or the error negated.
#[inline]
pub fn result_to_return(result: Result<i64, Errno>) -> i64 {
    match result {
        Ok(value) => value,
        Err(error) => error.to_return(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_survives_the_return_register() {
        for &error in Errno::ALL {
            assert!(error.to_return() < 0);
            assert_eq!(Errno::from_return(error.to_return()), Some(error));
            assert_eq!(Errno::from_code(u32::from(error.code())), Some(error));
            assert_eq!(error.name(), format!("{error:?}"));
        }
    }

    #[test]
    fn numbers_outside_the_abi_are_no_error() {
        for value in [0, 1, 4096, -15, -112, -256, -257, i64::MIN, i64::MAX] {
            assert_eq!(Errno::from_return(value), None, "{value}");
        }
        assert_eq!(Errno::from_code(0), None);
        assert_eq!(Errno::from_code(u32::MAX), None);
    }

    #[test]
    fn result_becomes_value_or_negative_number() {
        assert_eq!(result_to_return(Ok(7)), 7);
        assert_eq!(result_to_return(Err(Errno::ENOSYS)), -38);
    }

    #[test]
    fn a_result_without_value_is_one_byte() {
        assert_eq!(size_of::<Result<(), Errno>>(), 1);
    }
}
