//! The 2-level interface: a pending bit and a mask bit for each of 4096 ports in the shared
//! information page (`event_channel.h`, `xen.h`).
//!
//! A third word, `evtchn_pending_sel` of the vCPU's `vcpu_info`, has a bit for each word of pending
//! bits that has news; [`super::vcpu_info`] sets it.

use super::Abi;
use hal::FrameMem;
use xen_abi::Arch as _;
use xen_abi::event_channel::EVTCHN_2L_NR_CHANNELS;

/// Ports in one word of bits.
const PORTS_PER_WORD: u32 = u64::BITS;
/// Words of pending bits.
pub(super) const WORDS: u32 = EVTCHN_2L_NR_CHANNELS / PORTS_PER_WORD;

/// The offset of the pending word of `port` and its bit; every port has one inside the bitmap.
#[inline]
fn place(port: u32) -> (usize, u64) {
    ((port / PORTS_PER_WORD % WORDS) as usize * 8, 1 << (port % PORTS_PER_WORD))
}

/// The bit of `port`'s word in `evtchn_pending_sel`.
pub(super) fn selector_bit(port: u32) -> u64 {
    1 << (port / PORTS_PER_WORD % WORDS)
}

/// Sets the pending bit; whether it was set before.
#[inline]
pub(super) fn set_pending(shared: &impl FrameMem, port: u32) -> bool {
    let (word, bit) = place(port);
    shared.fetch_or64(Abi::SHARED_INFO_EVTCHN_PENDING + word, bit) & bit != 0
}

/// Clears the pending bit.
pub(super) fn clear_pending(shared: &impl FrameMem, port: u32) {
    let (word, bit) = place(port);
    shared.fetch_and64(Abi::SHARED_INFO_EVTCHN_PENDING + word, !bit);
}

/// Whether the pending bit is set.
pub(super) fn is_pending(shared: &impl FrameMem, port: u32) -> bool {
    let (word, bit) = place(port);
    shared.load64(Abi::SHARED_INFO_EVTCHN_PENDING + word) & bit != 0
}

/// Whether the guest masks the port.
pub(super) fn is_masked(shared: &impl FrameMem, port: u32) -> bool {
    let (word, bit) = place(port);
    shared.load64(Abi::SHARED_INFO_EVTCHN_MASK + word) & bit != 0
}

/// Clears the mask bit; true when the port was masked and is pending, so that it is to be raised.
pub(super) fn unmask(shared: &impl FrameMem, port: u32) -> bool {
    let (word, bit) = place(port);
    shared.fetch_and64(Abi::SHARED_INFO_EVTCHN_MASK + word, !bit) & bit != 0 && is_pending(shared, port)
}

/// Takes all pending bits of one word; the ports begin at `word` times 64.
pub(super) fn take_pending(shared: &impl FrameMem, word: u32) -> u64 {
    shared.swap64(Abi::SHARED_INFO_EVTCHN_PENDING + (word % WORDS) as usize * 8, 0)
}
