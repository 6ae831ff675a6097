//! A domain's ring: one page with two byte streams (`public/io/xs_wire.h`, `docs/misc/xenstore-ring.txt`).
//!
//! The other side can write anything into the page at any time. So the daemon's own two indices are never read back
//! from it: positions are kept by the store. Of the page only the other side's indices are believed, after a check
//! that they are within the size of the ring of the daemon's own.

use xen_abi::io::xs_wire::*;
use xen_dev::{ByteRing, RingError, SharedMemory};

/// Offsets in `struct xenstore_domain_interface`.
const REQ_CONS: usize = std::mem::offset_of!(XenstoreDomainInterface, req_cons);
const REQ_PROD: usize = std::mem::offset_of!(XenstoreDomainInterface, req_prod);
const RSP_CONS: usize = std::mem::offset_of!(XenstoreDomainInterface, rsp_cons);
const RSP_PROD: usize = std::mem::offset_of!(XenstoreDomainInterface, rsp_prod);
const FEATURES: usize = std::mem::offset_of!(XenstoreDomainInterface, server_features);
const CONNECTION: usize = std::mem::offset_of!(XenstoreDomainInterface, connection);
const ERROR: usize = std::mem::offset_of!(XenstoreDomainInterface, error);

const REQUESTS: ByteRing =
    ByteRing::new(std::mem::offset_of!(XenstoreDomainInterface, req), XENSTORE_RING_SIZE);
const RESPONSES: ByteRing =
    ByteRing::new(std::mem::offset_of!(XenstoreDomainInterface, rsp), XENSTORE_RING_SIZE);

/// A mapped ring.
#[derive(Debug)]
pub struct Ring(SharedMemory);

impl Ring {
    /// The ring in this page.
    pub fn new(page: SharedMemory) -> Self {
        Self(page)
    }

    /// Tells the other side what this server can do (`XENSTORE_SERVER_FEATURE_*`).
    ///
    /// # Errors
    /// [`RingError::Access`].
    pub fn announce(&self, features: u32) -> Result<(), RingError> {
        Ok(self.0.store_u32(FEATURES, features)?)
    }

    /// The daemon's indices as the page has them: consumer of requests, producer of responses. To be believed of
    /// dom0 only.
    ///
    /// # Errors
    /// [`RingError::Access`].
    pub fn own_indices(&self) -> Result<(u32, u32), RingError> {
        Ok((self.0.load_u32(REQ_CONS)?, self.0.load_u32(RSP_PROD)?))
    }

    /// Whether the other side asks to start anew.
    ///
    /// # Errors
    /// [`RingError::Access`].
    pub fn wants_reset(&self) -> Result<bool, RingError> {
        Ok(self.0.load_u32(CONNECTION)? == XENSTORE_RECONNECT)
    }

    /// Empties both directions, sets all indices to 0, and lets a side that waits for it go on.
    ///
    /// # Errors
    /// [`RingError::Access`].
    pub fn reset(&self) -> Result<(), RingError> {
        for index in [REQ_CONS, REQ_PROD, RSP_CONS, RSP_PROD] {
            self.0.store_u32(index, 0)?;
        }
        self.0.store_u32(ERROR, XENSTORE_ERROR_NONE)?;
        Ok(self.0.store_u32(CONNECTION, XENSTORE_CONNECTED)?)
    }

    /// Tells the other side why it is not heard any more (`XENSTORE_ERROR_*`).
    ///
    /// # Errors
    /// [`RingError::Access`].
    pub fn report(&self, error: u32) -> Result<(), RingError> {
        Ok(self.0.store_u32(ERROR, error)?)
    }

    /// Request bytes that wait from position `received` on.
    ///
    /// # Errors
    /// [`RingError::Index`] when the producer's index is impossible.
    pub fn available(&self, received: u32) -> Result<usize, RingError> {
        REQUESTS.used(received, self.0.load_u32(REQ_PROD)?)
    }

    /// Appends all request bytes that wait from position `received` on to `bytes`. They stay in the ring until
    /// [`consume`](Self::consume).
    ///
    /// # Errors
    /// [`RingError::Index`] when the producer's index is impossible.
    pub fn peek(&self, received: u32, bytes: &mut Vec<u8>) -> Result<(), RingError> {
        let count = self.available(received)?;
        REQUESTS.read(&self.0, received, count, bytes)
    }

    /// Frees the room of all requests up to position `received`.
    ///
    /// # Errors
    /// [`RingError::Access`].
    pub fn consume(&self, received: u32) -> Result<(), RingError> {
        Ok(self.0.store_u32(REQ_CONS, received)?)
    }

    /// Room for response bytes from position `sent` on.
    ///
    /// # Errors
    /// [`RingError::Index`] when the consumer's index is impossible.
    pub fn room(&self, sent: u32) -> Result<usize, RingError> {
        RESPONSES.room(self.0.load_u32(RSP_CONS)?, sent)
    }

    /// Puts response bytes at position `sent`; there must be [`room`](Self::room) for them.
    ///
    /// # Errors
    /// [`RingError::Index`] when there is not.
    pub fn produce(&self, sent: u32, bytes: &[u8]) -> Result<(), RingError> {
        if bytes.len() > self.room(sent)? {
            return Err(RingError::Index);
        }
        RESPONSES.write(&self.0, sent, bytes)?;
        Ok(self.0.store_u32(RSP_PROD, sent.wrapping_add(bytes.len() as u32))?)
    }

    /// Takes up a ring that a daemon before this one used, which noted `sent` before it ended: gives the bytes that
    /// it had put into the ring beyond that.
    ///
    /// # Errors
    /// [`RingError::Index`] when that is impossible.
    pub fn produced_since(&self, sent: u32) -> Result<usize, RingError> {
        RESPONSES.used(sent, self.0.load_u32(RSP_PROD)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use xen_dev::fake::FakeXen;
    use xen_dev::{Access, Domid, GrantMapper};

    const REQ: usize = std::mem::offset_of!(XenstoreDomainInterface, req);
    const RSP: usize = std::mem::offset_of!(XenstoreDomainInterface, rsp);

    /// The daemon's ring and the domain's view of the page.
    fn ring() -> (Ring, SharedMemory) {
        let xen = FakeXen::default();
        let domid = Domid::new(3).unwrap();
        xen.add_frames(domid, 10, 1);
        xen.grant(domid, 1, 10);
        let page = xen.map(domid, &[1], Access::Write, None).unwrap();
        (Ring::new(page), xen.guest_memory(domid, 10, 1).unwrap())
    }

    #[test]
    fn indices_beyond_the_ring_are_refused() {
        let (ring, guest) = ring();
        guest.store_u32(REQ_PROD, 1024).unwrap();
        assert_eq!(ring.available(0), Ok(1024));
        for impossible in [1025, u32::MAX] {
            guest.store_u32(REQ_PROD, impossible).unwrap();
            assert_eq!(ring.available(0), Err(RingError::Index));
            assert_eq!(ring.peek(0, &mut Vec::new()), Err(RingError::Index));
        }
        for impossible in [1, 0x8000_0000] {
            guest.store_u32(RSP_CONS, impossible).unwrap();
            assert_eq!(ring.room(0), Err(RingError::Index));
            assert_eq!(ring.produce(0, b"x"), Err(RingError::Index));
        }
    }

    #[test]
    fn what_the_guest_writes_into_the_daemons_indices_is_not_believed() {
        let (ring, guest) = ring();
        guest.store_u32(REQ_CONS, 77).unwrap();
        guest.store_u32(RSP_PROD, 99).unwrap();
        guest.write(REQ, b"abc").unwrap();
        guest.store_u32(REQ_PROD, 3).unwrap();
        let mut bytes = Vec::new();
        ring.peek(0, &mut bytes).unwrap();
        ring.produce(0, b"xy").unwrap();
        assert_eq!((&*bytes, guest.load_u32(RSP_PROD).unwrap()), (&b"abc"[..], 2));
    }

    #[test]
    fn a_guest_that_asks_to_start_anew_finds_an_empty_ring() {
        let (ring, guest) = ring();
        ring.announce(7).unwrap();
        for (offset, value) in [(REQ_PROD, 5), (RSP_CONS, 7), (ERROR, 2), (CONNECTION, 1)] {
            guest.store_u32(offset, value).unwrap();
        }
        assert_eq!(ring.wants_reset(), Ok(true));
        ring.reset().unwrap();
        assert_eq!(ring.wants_reset(), Ok(false));
        for offset in [REQ_CONS, REQ_PROD, RSP_CONS, RSP_PROD, ERROR, CONNECTION] {
            assert_eq!(guest.load_u32(offset), Ok(0));
        }
        assert_eq!(guest.load_u32(FEATURES), Ok(7));
    }

    proptest! {
        #[test]
        fn both_streams_arrive_whole_wherever_the_indices_stand(
            start: u32,
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..1024), 1..12),
        ) {
            let (ring, guest) = ring();
            for index in [REQ_CONS, REQ_PROD, RSP_CONS, RSP_PROD] {
                guest.store_u32(index, start).unwrap();
            }
            let (mut received, mut sent) = (start, start);
            for piece in &pieces {
                for (at, &byte) in piece.iter().enumerate() {
                    let place = (received as usize + at) % XENSTORE_RING_SIZE;
                    guest.write(REQ + place, &[byte]).unwrap();
                }
                guest.store_u32(REQ_PROD, received.wrapping_add(piece.len() as u32)).unwrap();
                let mut bytes = Vec::new();
                ring.peek(received, &mut bytes).unwrap();
                prop_assert_eq!(&bytes, piece);
                received = received.wrapping_add(bytes.len() as u32);
                ring.consume(received).unwrap();

                ring.produce(sent, piece).unwrap();
                prop_assert_eq!(ring.produced_since(sent), Ok(piece.len()));
                prop_assert_eq!(ring.room(sent.wrapping_add(piece.len() as u32)), Ok(1024 - piece.len()));
                let mut back = vec![0; piece.len()];
                for (at, byte) in back.iter_mut().enumerate() {
                    let place = (sent as usize + at) % XENSTORE_RING_SIZE;
                    guest.read(RSP + place, std::slice::from_mut(byte)).unwrap();
                }
                prop_assert_eq!(&back, piece);
                sent = guest.load_u32(RSP_PROD).unwrap();
                guest.store_u32(RSP_CONS, sent).unwrap();
            }
        }
    }
}
