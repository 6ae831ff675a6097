//! `io/ring.h`: the shared ring of requests and responses that block and network devices use.
//!
//! Indices run freely and wrap at 2^32; an entry's place is its index modulo the ring's size, a power of two.
//! The other side may write any index at any time: read it once, and check what it implies.

abi_structs! { STRUCTS, Both;
    /// Header of a ring page; the entries follow at offset 64.
    #[c = "@prefix struct blkif_sring ring"]
    pub struct SringHeader {
        /// Requests written.
        pub req_prod: u32,
        /// The backend wants a notification when `req_prod` passes this.
        pub req_event: u32,
        /// Responses written.
        pub rsp_prod: u32,
        /// The frontend wants a notification when `rsp_prod` passes this.
        pub rsp_event: u32,
        /// Private to the protocol.
        pub pvt: [u8; 4],
        /// Unused.
        pub __pad: [u8; 44],
    }
}

impl SringHeader {
    /// The header of an empty ring: both sides want to know of the first entry.
    #[doc(alias = "SHARED_RING_INIT")]
    pub const EMPTY: Self =
        Self { req_prod: 0, req_event: 1, rsp_prod: 0, rsp_event: 1, pvt: [0; 4], __pad: [0; 44] };
}

/// Entries of a ring that takes `ring_bytes` with its header, each `entry_bytes` large: the largest power of
/// two that fits, or 0.
#[doc(alias = "__CONST_RING_SIZE")]
pub const fn ring_size(ring_bytes: usize, entry_bytes: usize) -> u32 {
    let Some(room) = ring_bytes.checked_sub(size_of::<SringHeader>()) else { return 0 };
    let Some(entries) = room.checked_div(entry_bytes) else { return 0 };
    match entries.checked_ilog2() {
        Some(log2) if log2 < u32::BITS => 1 << log2,
        _ => 0,
    }
}

/// Byte offset of entry `index` in a ring of `size` entries; `None` when the ring is empty or the offset too
/// large.
#[doc(alias = "RING_GET_REQUEST")]
#[doc(alias = "RING_GET_RESPONSE")]
#[inline]
pub const fn entry_offset(index: u32, size: u32, entry_bytes: usize) -> Option<usize> {
    let Some(mask) = size.checked_sub(1) else { return None };
    match entry_bytes.checked_mul((index & mask) as usize) {
        Some(offset) => offset.checked_add(size_of::<SringHeader>()),
        None => None,
    }
}

/// Whether the other side asked to be notified of an entry among those from `old` up to `new`, given its
/// event index.
///
/// Needs a full barrier between the write of the producer index and the read of `event`.
#[doc(alias = "RING_PUSH_REQUESTS_AND_CHECK_NOTIFY")]
#[doc(alias = "RING_PUSH_RESPONSES_AND_CHECK_NOTIFY")]
#[inline]
pub const fn needs_notify(old: u32, new: u32, event: u32) -> bool {
    new.wrapping_sub(event) < new.wrapping_sub(old)
}

/// Entries between what was consumed and what the other side says it produced; `None` when that is more than
/// the ring holds, which no honest peer says.
#[doc(alias = "RING_REQUEST_PROD_OVERFLOW")]
#[doc(alias = "RING_RESPONSE_PROD_OVERFLOW")]
#[inline]
pub const fn unconsumed(produced: u32, consumed: u32, size: u32) -> Option<u32> {
    let entries = produced.wrapping_sub(consumed);
    if entries <= size { Some(entries) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ring_of_one_page_has_the_usual_sizes() {
        assert_eq!(ring_size(4096, 112), 32);
        assert_eq!(ring_size(4096, 12), 256);
        assert_eq!(ring_size(4096, 8), 256);
        assert_eq!(ring_size(64, 8), 0);
        assert_eq!(ring_size(63, 8), 0);
        assert_eq!(ring_size(4096, 0), 0);
    }

    #[test]
    fn entries_stay_in_the_ring() {
        assert_eq!(entry_offset(0, 32, 112), Some(64));
        assert_eq!(entry_offset(33, 32, 112), Some(64 + 112));
        assert_eq!(entry_offset(u32::MAX, 32, 112), Some(64 + 31 * 112));
        assert_eq!(entry_offset(5, 0, 112), None);
        assert_eq!(entry_offset(1, 2, usize::MAX), None);
    }

    #[test]
    fn too_many_entries_are_refused_across_the_wrap() {
        assert_eq!(unconsumed(3, u32::MAX, 4), Some(4));
        assert_eq!(unconsumed(4, u32::MAX, 4), None);
        assert_eq!(unconsumed(7, 8, 32), None);
    }

    proptest! {
        #[test]
        fn notify_iff_the_event_is_among_the_new(old: u32, count in 0u32..64, distance in 0u32..128) {
            let new = old.wrapping_add(count);
            let event = old.wrapping_add(distance);
            let wanted = (1..=count).any(|step| old.wrapping_add(step) == event);
            prop_assert_eq!(needs_notify(old, new, event), wanted);
        }
    }
}
