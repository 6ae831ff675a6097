//! A small client of xenstore over its ring: one request at a time, no watches.

use core::sync::atomic::Ordering;
use xen_abi::hvm::params::{HVM_PARAM_STORE_EVTCHN, HVM_PARAM_STORE_PFN};
use xen_abi::io::xs_wire::{XENSTORE_RING_SIZE, XS_ERROR, XsdSockmsg};
use zerocopy::{FromBytes, IntoBytes};

use crate::hypercall;
use crate::memory::Page;
use crate::{event, time};

/// 32-bit words of the ring page behind both rings.
const REQ_CONS: usize = 2 * XENSTORE_RING_SIZE / 4;
const REQ_PROD: usize = REQ_CONS + 1;
const RSP_CONS: usize = REQ_CONS + 2;
const RSP_PROD: usize = REQ_CONS + 3;
/// For an answer, in microseconds.
const LIMIT: u64 = 20_000_000;
const HEADER: usize = size_of::<XsdSockmsg>();
/// Largest answer that is kept.
const ANSWER: usize = 1024;

/// The client.
pub struct Xenstore {
    ring: &'static Page,
    port: u32,
}

/// An answer's text.
pub struct Answer {
    bytes: [u8; ANSWER],
    len: usize,
    /// Whether it is an error's name.
    pub error: bool,
}

impl Answer {
    /// The text, without a zero at its end.
    pub fn text(&self) -> &str {
        let bytes = &self.bytes[..self.len];
        core::str::from_utf8(bytes.strip_suffix(b"\0").unwrap_or(bytes)).unwrap_or("(no text)")
    }
}

impl Xenstore {
    /// Finds the ring.
    pub fn open() -> Option<Self> {
        let frame = hypercall::parameter(HVM_PARAM_STORE_PFN).ok().filter(|frame| *frame != 0)?;
        let port = hypercall::parameter(HVM_PARAM_STORE_EVTCHN).ok()?;
        Some(Self { ring: Page::at(frame), port: port as u32 })
    }

    /// Sends a request of some parts, joined, and waits for its answer.
    ///
    /// # Panics
    /// When there is none in time, or one that is too long.
    pub fn request(&self, kind: u32, parts: &[&[u8]]) -> Answer {
        let len = parts.iter().map(|part| part.len()).sum::<usize>() as u32;
        let header = XsdSockmsg { type_: kind, req_id: 1, tx_id: 0, len };
        self.put(header.as_bytes());
        for part in parts {
            self.put(part);
        }
        event::send(self.port);
        let mut head = [0; HEADER];
        self.get(&mut head);
        let header = XsdSockmsg::read_from_bytes(&head).expect("a header's bytes");
        let mut answer =
            Answer { bytes: [0; ANSWER], len: header.len as usize, error: header.type_ == XS_ERROR };
        self.get(&mut answer.bytes[..header.len as usize]);
        answer
    }

    fn put(&self, bytes: &[u8]) {
        for byte in bytes {
            let prod = self.ring.half(REQ_PROD).load(Ordering::Relaxed);
            self.wait(|| {
                prod.wrapping_sub(self.ring.half(REQ_CONS).load(Ordering::Acquire))
                    < XENSTORE_RING_SIZE as u32
            });
            self.ring.byte(prod as usize % XENSTORE_RING_SIZE).store(*byte, Ordering::Relaxed);
            self.ring.half(REQ_PROD).store(prod.wrapping_add(1), Ordering::Release);
        }
    }

    fn get(&self, bytes: &mut [u8]) {
        for byte in bytes {
            let cons = self.ring.half(RSP_CONS).load(Ordering::Relaxed);
            self.wait(|| self.ring.half(RSP_PROD).load(Ordering::Acquire) != cons);
            let at = XENSTORE_RING_SIZE + cons as usize % XENSTORE_RING_SIZE;
            *byte = self.ring.byte(at).load(Ordering::Relaxed);
            self.ring.half(RSP_CONS).store(cons.wrapping_add(1), Ordering::Release);
        }
        event::send(self.port);
    }

    fn wait(&self, mut ready: impl FnMut() -> bool) {
        if ready() {
            return;
        }
        event::send(self.port);
        let in_time = time::spin_until(LIMIT, || {
            hypercall::yield_now();
            ready()
        });
        assert!(in_time, "xenstore does not answer");
    }
}
