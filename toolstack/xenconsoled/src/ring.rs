//! The page that a domain and the daemon share for a console, and its hostile indices.

use xen_abi::io::console::{XENCONS_IN_SIZE, XENCONS_OUT_SIZE, XenconsInterface};
use xen_dev::{ByteRing, RingError, SharedMemory};

/// Offsets in `struct xencons_interface` (`io/console.h`).
const IN_CONS: usize = std::mem::offset_of!(XenconsInterface, in_cons);
const IN_PROD: usize = std::mem::offset_of!(XenconsInterface, in_prod);
const OUT_CONS: usize = std::mem::offset_of!(XenconsInterface, out_cons);
const OUT_PROD: usize = std::mem::offset_of!(XenconsInterface, out_prod);

const INPUT: ByteRing = ByteRing::new(std::mem::offset_of!(XenconsInterface, input), XENCONS_IN_SIZE);
const OUTPUT: ByteRing = ByteRing::new(std::mem::offset_of!(XenconsInterface, output), XENCONS_OUT_SIZE);

/// Most bytes that one look at the ring gives.
pub const MAX_OUTPUT: usize = XENCONS_OUT_SIZE;

/// A mapped ring. It has no state of its own: both indices are in the page, so a daemon that is started again goes on
/// where the last one was, and a guest that starts its ring anew is followed. A guest that lies harms its own console
/// only: whatever it writes, at most [`MAX_OUTPUT`] bytes come out of one look. Indices that are impossible it may put right.
#[derive(Debug)]
pub struct Ring(SharedMemory);

impl Ring {
    /// The ring in this page.
    pub fn new(page: SharedMemory) -> Self {
        Self(page)
    }

    /// Appends the output that waits to `bytes` and gives the index behind it, for [`consume`](Self::consume).
    /// `resume` is the index up to which output is known to be taken, if a daemon before this one could not say so to
    /// the guest any more; it counts only when it lies within what waits.
    ///
    /// # Errors
    /// [`RingError::Index`] when the indices are impossible.
    pub fn peek(&self, resume: Option<u32>, bytes: &mut Vec<u8>) -> Result<u32, RingError> {
        let consumer = self.0.load_u32(OUT_CONS)?;
        let producer = self.0.load_u32(OUT_PROD)?;
        let waiting = OUTPUT.used(consumer, producer)?;
        let taken = resume.map_or(0, |index| index.wrapping_sub(consumer) as usize);
        let taken = if taken <= waiting { taken } else { 0 };
        OUTPUT.read(&self.0, consumer.wrapping_add(taken as u32), waiting - taken, bytes)?;
        Ok(producer)
    }

    /// Frees the room of all output up to `index`.
    ///
    /// # Errors
    /// [`RingError::Access`].
    pub fn consume(&self, index: u32) -> Result<(), RingError> {
        Ok(self.0.store_u32(OUT_CONS, index)?)
    }

    /// Bytes of input that the ring has room for.
    ///
    /// # Errors
    /// [`RingError::Index`] when the indices are impossible.
    pub fn room(&self) -> Result<usize, RingError> {
        Ok(self.input()?.0)
    }

    /// Room for input, and the producer's index that it is counted from.
    fn input(&self) -> Result<(usize, u32), RingError> {
        let consumer = self.0.load_u32(IN_CONS)?;
        let producer = self.0.load_u32(IN_PROD)?;
        Ok((INPUT.room(consumer, producer)?, producer))
    }

    /// Gives the guest as many of these bytes as there is room for, and says how many.
    ///
    /// # Errors
    /// [`RingError::Index`] when the indices are impossible.
    pub fn send(&self, bytes: &[u8]) -> Result<usize, RingError> {
        let (room, producer) = self.input()?;
        let count = bytes.len().min(room);
        INPUT.write(&self.0, producer, &bytes[..count])?;
        self.0.store_u32(IN_PROD, producer.wrapping_add(count as u32))?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use xen_dev::fake::FakeXen;
    use xen_dev::{Access, Domid, GrantMapper};

    const IN: usize = std::mem::offset_of!(XenconsInterface, input);
    const OUT: usize = std::mem::offset_of!(XenconsInterface, output);

    /// The daemon's ring and the domain's view of the page.
    fn ring() -> (Ring, SharedMemory) {
        let xen = FakeXen::default();
        let domid = Domid::new(3).unwrap();
        xen.add_frames(domid, 10, 1);
        xen.grant(domid, 0, 10);
        let page = xen.map(domid, &[0], Access::Write, None).unwrap();
        (Ring::new(page), xen.guest_memory(domid, 10, 1).unwrap())
    }

    fn put(guest: &SharedMemory, at: u32, bytes: &[u8]) {
        for (offset, byte) in bytes.iter().enumerate() {
            let place = (at as usize + offset) % XENCONS_OUT_SIZE;
            guest.write(OUT + place, &[*byte]).unwrap();
        }
        guest.store_u32(OUT_PROD, at.wrapping_add(bytes.len() as u32)).unwrap();
    }

    #[test]
    fn impossible_indices_give_no_bytes_and_take_none() {
        let (ring, guest) = ring();
        let mut bytes = Vec::new();
        for (consumer, producer) in [(0, 2049), (1, 0), (0, u32::MAX), (0x8000_0000, 0)] {
            guest.store_u32(OUT_CONS, consumer).unwrap();
            guest.store_u32(OUT_PROD, producer).unwrap();
            assert_eq!(ring.peek(None, &mut bytes), Err(RingError::Index));
        }
        assert!(bytes.is_empty());
        for (consumer, producer) in [(0, 1025), (1, 0), (7, 0x8000_0000)] {
            guest.store_u32(IN_CONS, consumer).unwrap();
            guest.store_u32(IN_PROD, producer).unwrap();
            assert_eq!(ring.room(), Err(RingError::Index));
            assert_eq!(ring.send(b"x"), Err(RingError::Index));
            assert_eq!(guest.load_u32(IN_PROD), Ok(producer));
        }
    }

    #[test]
    fn output_that_the_last_daemon_took_is_not_taken_again() {
        let (ring, guest) = ring();
        put(&guest, 0, b"taken, new");
        let peek = |resume| {
            let mut bytes = Vec::new();
            assert_eq!(ring.peek(resume, &mut bytes), Ok(10));
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!(peek(Some(7)), "new");
        assert_eq!(peek(Some(10)), "");
        assert_eq!(peek(Some(11)), "taken, new");
        assert_eq!(peek(Some(u32::MAX)), "taken, new");
        assert_eq!(peek(None), "taken, new");
    }

    #[test]
    fn full_input_ring_takes_nothing_more() {
        let (ring, guest) = ring();
        assert_eq!(ring.send(&[7; 2000]), Ok(1024));
        assert_eq!((ring.room(), ring.send(b"x")), (Ok(0), Ok(0)));
        guest.store_u32(IN_CONS, 3).unwrap();
        assert_eq!(ring.send(b"abcd"), Ok(3));
        let mut head = [0; 4];
        guest.read(IN, &mut head).unwrap();
        assert_eq!(&head, b"abc\x07");
    }

    proptest! {
        #[test]
        fn no_indices_get_more_than_a_ring_out(consumer: u32, producer: u32, resume: Option<u32>) {
            let (ring, guest) = ring();
            guest.store_u32(OUT_CONS, consumer).unwrap();
            guest.store_u32(OUT_PROD, producer).unwrap();
            let mut bytes = Vec::new();
            let outcome = ring.peek(resume, &mut bytes);
            prop_assert!(bytes.len() <= MAX_OUTPUT);
            prop_assert_eq!(outcome.is_ok(), producer.wrapping_sub(consumer) as usize <= MAX_OUTPUT);
        }

        #[test]
        fn both_streams_arrive_whole_wherever_the_indices_stand(
            start: u32,
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..1024), 1..12),
        ) {
            let (ring, guest) = ring();
            for index in [IN_CONS, IN_PROD, OUT_CONS, OUT_PROD] {
                guest.store_u32(index, start).unwrap();
            }
            let mut at = start;
            for piece in &pieces {
                put(&guest, at, piece);
                let mut bytes = Vec::new();
                let end = ring.peek(None, &mut bytes).unwrap();
                prop_assert_eq!(&bytes, piece);
                ring.consume(end).unwrap();

                prop_assert_eq!(ring.send(piece), Ok(piece.len()));
                let back: Vec<u8> = (0..piece.len())
                    .map(|offset| guest.load_u8(IN + (at as usize + offset) % XENCONS_IN_SIZE).unwrap())
                    .collect();
                prop_assert_eq!(&back, piece);
                at = at.wrapping_add(piece.len() as u32);
                prop_assert_eq!(guest.load_u32(IN_PROD), Ok(at));
                guest.store_u32(IN_CONS, at).unwrap();
            }
        }
    }
}
