//! Guest pointers as they stand in structures (`XEN_GUEST_HANDLE`, `xen.h` and the arch headers).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A virtual address of the caller: an address and nothing more. It is checked only when memory is copied
/// through it.
///
/// Eight bytes, eight-byte aligned, on arm64 always and on x86 for 64-bit callers.
#[doc(alias = "XEN_GUEST_HANDLE")]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct GuestHandle(pub u64);

impl GuestHandle {
    /// The null handle, by which many operations mean "only tell me the size".
    pub const NULL: Self = Self(0);

    /// Whether this is the null handle.
    #[inline]
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }

    /// The handle `bytes` further on, or `None` where the address space ends.
    #[inline]
    pub const fn offset(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(address) => Some(Self(address)),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offset_past_the_end_of_the_address_space_is_none() {
        assert_eq!(GuestHandle(u64::MAX - 1).offset(1), Some(GuestHandle(u64::MAX)));
        assert_eq!(GuestHandle(u64::MAX).offset(1), None);
    }

    #[test]
    fn only_address_zero_is_null() {
        assert!(GuestHandle::NULL.is_null());
        assert!(!GuestHandle(8).is_null());
    }
}
