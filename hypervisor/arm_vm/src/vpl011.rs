//! SBSA UART (Server Base System Architecture, the generic UART: a subset of PL011) over a Xen console ring.
//!
//! What the guest sends goes into the ring's `out` half, what it receives comes from `in`; the console daemon is at the
//! other end. The ring is memory that others write as well: its indices are taken as hints, never trusted to be sane.

use crate::exit::AccessSize;
use crate::vgic::Abort;
use lock::Mutex;

/// Bytes of the ring half towards the guest (`xencons_interface.in`, public/io/console.h).
pub const IN_SIZE: u32 = 1024;
/// Bytes of the ring half from the guest (`xencons_interface.out`).
pub const OUT_SIZE: u32 = 2048;
/// Half of the UART's FIFO of 32: the level at which its interrupts change.
const FIFO_LEVEL: u32 = 16;

const DR: u32 = 0x00;
const FR: u32 = 0x18;
const IMSC: u32 = 0x38;
const RIS: u32 = 0x3c;
const MIS: u32 = 0x40;
const ICR: u32 = 0x44;

/// Bits of the flag register.
mod flag {
    pub const BUSY: u32 = 0x08;
    pub const RXFE: u32 = 0x10;
    pub const TXFF: u32 = 0x20;
    pub const RXFF: u32 = 0x40;
    pub const TXFE: u32 = 0x80;
}

/// Interrupts.
mod interrupt {
    /// Receive level reached.
    pub const RX: u32 = 0x10;
    /// Room to send.
    pub const TX: u32 = 0x20;
    /// Something received and not read.
    pub const RX_TIMEOUT: u32 = 0x40;
}

/// An index of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingIndex {
    /// Consumer of `in`: this model.
    InCons,
    /// Producer of `in`.
    InProd,
    /// Consumer of `out`.
    OutCons,
    /// Producer of `out`: this model.
    OutProd,
}

/// Access to the shared ring page.
pub trait ConsoleRing {
    /// Loads an index, with acquire ordering.
    fn load(&self, index: RingIndex) -> u32;
    /// Stores an index, with release ordering.
    fn store(&self, index: RingIndex, value: u32);
    /// A byte of `in`; `at` is below [`IN_SIZE`].
    fn read_in(&self, at: u32) -> u8;
    /// A byte of `out`; `at` is below [`OUT_SIZE`].
    fn write_out(&self, at: u32, byte: u8);
}

/// What to do after an access or an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Level of the UART's interrupt line.
    pub level: bool,
    /// Notify the other end of the ring.
    pub notify: bool,
}

#[derive(Debug)]
struct State {
    /// Raw interrupt status.
    status: u32,
    /// Interrupts that reach the line.
    mask: u32,
}

impl State {
    fn outcome(&self, notify: bool) -> Outcome {
        Outcome { level: self.status & self.mask != 0, notify }
    }

    fn set(&mut self, interrupt: u32, on: bool) {
        if on {
            self.status |= interrupt;
        } else {
            self.status &= !interrupt;
        }
    }
}

/// One UART.
#[derive(Debug)]
pub struct Vpl011 {
    state: Mutex<State, 20>,
}

impl Default for Vpl011 {
    fn default() -> Self {
        Self::new()
    }
}

/// Bytes in a ring half.
fn level(producer: u32, consumer: u32, size: u32) -> u32 {
    producer.wrapping_sub(consumer).min(size)
}

fn in_level(ring: &impl ConsoleRing) -> u32 {
    level(ring.load(RingIndex::InProd), ring.load(RingIndex::InCons), IN_SIZE)
}

fn out_level(ring: &impl ConsoleRing) -> u32 {
    level(ring.load(RingIndex::OutProd), ring.load(RingIndex::OutCons), OUT_SIZE)
}

impl Vpl011 {
    /// A UART that has sent and received nothing.
    pub const fn new() -> Self {
        Self { state: Mutex::new(State { status: interrupt::TX, mask: 0 }) }
    }

    /// Guest reads a register.
    ///
    /// # Errors
    /// [`Abort`] for an access of 64 bits.
    pub fn read(
        &self,
        ring: &impl ConsoleRing,
        offset: u32,
        size: AccessSize,
    ) -> Result<(u32, Outcome), Abort> {
        if size == AccessSize::Double {
            return Err(Abort);
        }
        let mut state = self.state.lock();
        let mut notify = false;
        let value = match offset {
            DR => {
                let byte = receive(&mut state, ring);
                notify = byte.is_some();
                // Reading an empty FIFO gives 0.
                byte.unwrap_or(0).into()
            }
            FR => flags(ring),
            IMSC => state.mask,
            RIS => state.status,
            MIS => state.status & state.mask,
            // No receive errors ever; the rest is not there.
            _ => 0,
        };
        Ok((value & size.mask() as u32, state.outcome(notify)))
    }

    /// Guest writes a register.
    ///
    /// # Errors
    /// [`Abort`] for an access of 64 bits.
    pub fn write(
        &self,
        ring: &impl ConsoleRing,
        offset: u32,
        size: AccessSize,
        value: u32,
    ) -> Result<Outcome, Abort> {
        if size == AccessSize::Double {
            return Err(Abort);
        }
        let value = value & size.mask() as u32;
        let mut state = self.state.lock();
        let mut notify = false;
        match offset {
            DR => notify = send(&mut state, ring, value as u8),
            IMSC => state.mask = (state.mask & !size.mask() as u32) | value,
            ICR => state.status &= !value,
            _ => {}
        }
        Ok(state.outcome(notify))
    }

    /// The other end of the ring has notified: it took or brought bytes.
    pub fn ring_event(&self, ring: &impl ConsoleRing) -> Outcome {
        let mut state = self.state.lock();
        let received = in_level(ring);
        if received != 0 {
            state.status |= interrupt::RX_TIMEOUT;
        }
        if received >= IN_SIZE.wrapping_sub(FIFO_LEVEL) {
            state.status |= interrupt::RX;
        }
        update_tx(&mut state, out_level(ring));
        state.outcome(false)
    }
}

fn update_tx(state: &mut State, level: u32) {
    state.set(interrupt::TX, level <= OUT_SIZE.wrapping_sub(FIFO_LEVEL));
}

fn flags(ring: &impl ConsoleRing) -> u32 {
    let mut flags = match in_level(ring) {
        0 => flag::RXFE,
        IN_SIZE => flag::RXFF,
        _ => 0,
    };
    flags |= match out_level(ring) {
        0 => flag::TXFE,
        // Busy only when full: early consoles wait for "not busy" after every byte.
        OUT_SIZE => flag::TXFF | flag::BUSY,
        _ => 0,
    };
    flags
}

fn receive(state: &mut State, ring: &impl ConsoleRing) -> Option<u8> {
    if in_level(ring) == 0 {
        return None;
    }
    let at = ring.load(RingIndex::InCons);
    let byte = ring.read_in(at & IN_SIZE.wrapping_sub(1));
    ring.store(RingIndex::InCons, at.wrapping_add(1));
    let left = in_level(ring);
    if left == 0 {
        state.status &= !interrupt::RX_TIMEOUT;
    }
    if left < IN_SIZE.wrapping_sub(FIFO_LEVEL) {
        state.status &= !interrupt::RX;
    }
    Some(byte)
}

/// False when there was no room: the guest did not look at the flags, and the byte is dropped.
fn send(state: &mut State, ring: &impl ConsoleRing, byte: u8) -> bool {
    if out_level(ring) == OUT_SIZE {
        return false;
    }
    let at = ring.load(RingIndex::OutProd);
    ring.write_out(at & OUT_SIZE.wrapping_sub(1), byte);
    ring.store(RingIndex::OutProd, at.wrapping_add(1));
    update_tx(state, out_level(ring));
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::{Cell, RefCell};

    struct Ring {
        indices: [Cell<u32>; 4],
        input: RefCell<Vec<u8>>,
        output: RefCell<Vec<u8>>,
    }

    impl Ring {
        fn new(start: u32) -> Self {
            Self {
                indices: std::array::from_fn(|_| Cell::new(start)),
                input: RefCell::new(vec![0; IN_SIZE as usize]),
                output: RefCell::new(vec![0; OUT_SIZE as usize]),
            }
        }

        fn bring(&self, bytes: &[u8]) {
            for byte in bytes {
                let at = self.load(RingIndex::InProd);
                self.input.borrow_mut()[(at % IN_SIZE) as usize] = *byte;
                self.store(RingIndex::InProd, at.wrapping_add(1));
            }
        }

        fn fetch(&self) -> Vec<u8> {
            let mut bytes = vec![];
            while self.load(RingIndex::OutCons) != self.load(RingIndex::OutProd) {
                let at = self.load(RingIndex::OutCons);
                bytes.push(self.output.borrow()[(at % OUT_SIZE) as usize]);
                self.store(RingIndex::OutCons, at.wrapping_add(1));
            }
            bytes
        }
    }

    impl ConsoleRing for Ring {
        fn load(&self, index: RingIndex) -> u32 {
            self.indices[index as usize].get()
        }
        fn store(&self, index: RingIndex, value: u32) {
            self.indices[index as usize].set(value);
        }
        fn read_in(&self, at: u32) -> u8 {
            self.input.borrow()[at as usize]
        }
        fn write_out(&self, at: u32, byte: u8) {
            self.output.borrow_mut()[at as usize] = byte;
        }
    }

    const WORD: AccessSize = AccessSize::Word;

    fn read(uart: &Vpl011, ring: &Ring, offset: u32) -> u32 {
        uart.read(ring, offset, WORD).unwrap().0
    }

    #[test]
    fn sent_bytes_reach_the_ring_across_the_index_wrap() {
        let (uart, ring) = (Vpl011::new(), Ring::new(u32::MAX - 1));
        for byte in *b"hello" {
            assert!(uart.write(&ring, DR, AccessSize::Byte, byte.into()).unwrap().notify);
        }
        assert_eq!(read(&uart, &ring, FR), flag::RXFE);
        assert_eq!(ring.fetch(), b"hello");
        assert_eq!(read(&uart, &ring, FR), flag::RXFE | flag::TXFE);
    }

    #[test]
    fn full_ring_drops_bytes_and_says_so() {
        let (uart, ring) = (Vpl011::new(), Ring::new(0));
        uart.write(&ring, IMSC, WORD, interrupt::TX).unwrap();
        for n in 0..OUT_SIZE {
            let outcome = uart.write(&ring, DR, WORD, n).unwrap();
            assert!(outcome.notify);
            assert_eq!(outcome.level, n < OUT_SIZE - FIFO_LEVEL, "{n}");
        }
        assert_eq!(read(&uart, &ring, FR), flag::TXFF | flag::BUSY | flag::RXFE);
        assert!(!uart.write(&ring, DR, WORD, 1).unwrap().notify);
        assert!(!uart.ring_event(&ring).level);
        assert_eq!(ring.fetch().len() as u32, OUT_SIZE);
        assert!(uart.ring_event(&ring).level);
    }

    #[test]
    fn received_bytes_raise_the_line_until_read() {
        let (uart, ring) = (Vpl011::new(), Ring::new(7));
        uart.write(&ring, IMSC, WORD, interrupt::RX_TIMEOUT | interrupt::RX).unwrap();
        ring.bring(b"ab");
        assert_eq!(uart.ring_event(&ring), Outcome { level: true, notify: false });
        assert_eq!(read(&uart, &ring, MIS), interrupt::RX_TIMEOUT);
        assert_eq!(uart.read(&ring, DR, WORD), Ok((u32::from(b'a'), Outcome { level: true, notify: true })));
        assert_eq!(uart.read(&ring, DR, WORD), Ok((u32::from(b'b'), Outcome { level: false, notify: true })));
        assert_eq!(uart.read(&ring, DR, WORD), Ok((0, Outcome { level: false, notify: false })), "empty");
        assert_eq!(read(&uart, &ring, FR) & flag::RXFE, flag::RXFE);
    }

    #[test]
    fn full_receive_ring_raises_the_level_interrupt() {
        let (uart, ring) = (Vpl011::new(), Ring::new(0));
        ring.bring(&[1; IN_SIZE as usize]);
        uart.ring_event(&ring);
        assert_eq!(read(&uart, &ring, RIS) & interrupt::RX, interrupt::RX);
        assert_eq!(read(&uart, &ring, FR) & flag::RXFF, flag::RXFF);
        for _ in 0..=FIFO_LEVEL {
            read(&uart, &ring, DR);
        }
        assert_eq!(read(&uart, &ring, RIS) & interrupt::RX, 0);
    }

    #[test]
    fn clear_register_and_mask_decide_the_line() {
        let (uart, ring) = (Vpl011::new(), Ring::new(0));
        assert!(uart.write(&ring, IMSC, WORD, interrupt::TX).unwrap().level, "room from the start");
        assert!(!uart.write(&ring, ICR, WORD, interrupt::TX).unwrap().level);
        assert_eq!(read(&uart, &ring, RIS), 0);
        assert_eq!(read(&uart, &ring, IMSC), interrupt::TX);
        uart.write(&ring, IMSC, AccessSize::Byte, 0x1_40).unwrap();
        assert_eq!(read(&uart, &ring, IMSC), interrupt::RX_TIMEOUT);
    }

    #[test]
    fn other_registers_are_zero_and_wide_accesses_abort() {
        let (uart, ring) = (Vpl011::new(), Ring::new(0));
        for offset in [0x04, 0x24, 0x30, ICR, 0xfe0, 0xffc] {
            assert!(!uart.write(&ring, offset, WORD, 0).unwrap().notify);
            assert_eq!(read(&uart, &ring, offset), 0, "{offset:#x}");
        }
        assert_eq!(uart.read(&ring, FR, AccessSize::Double), Err(Abort));
        assert_eq!(uart.write(&ring, DR, AccessSize::Double, 0), Err(Abort));
    }

    proptest! {
        #[test]
        fn hostile_indices_do_no_harm(indices: [u32; 4], offset in 0u32..0x50, value: u32) {
            let (uart, ring) = (Vpl011::new(), Ring::new(0));
            for (cell, value) in ring.indices.iter().zip(indices) {
                cell.set(value);
            }
            uart.ring_event(&ring);
            for offset in [offset, DR, FR] {
                uart.read(&ring, offset, WORD).unwrap();
                uart.write(&ring, offset, WORD, value).unwrap();
            }
        }
    }
}
