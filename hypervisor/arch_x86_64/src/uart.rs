//! A 16550 UART: 115200 baud, 8 data bits, no parity, 1 stop bit, polled
//! (National Semiconductor PC16550D data sheet).
#![forbid(unsafe_code)]

/// A register, by its offset from the UART's first port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Register {
    /// What to send; with the divisor latch on, the divisor's low byte.
    Data = 0,
    /// What may interrupt; with the divisor latch on, the divisor's high byte.
    InterruptEnable = 1,
    /// Control of the FIFOs.
    FifoControl = 2,
    /// The format, and the divisor latch.
    LineControl = 3,
    /// The modem's lines.
    ModemControl = 4,
    /// The state of the transmitter.
    LineStatus = 5,
}

/// Access to a UART's registers.
pub trait Registers {
    /// Reads a register.
    fn read(&self, register: Register) -> u8;
    /// Writes a register.
    fn write(&self, register: Register, value: u8);
}

/// The divisor of the UART's clock, 1.8432 MHz / 16, for 115200 baud.
const DIVISOR: u8 = 1;
const DIVISOR_LATCH: u8 = 1 << 7;
const EIGHT_BITS: u8 = 3;
/// On, and both emptied.
const FIFO_ON: u8 = 7;
/// DTR and RTS.
const READY: u8 = 3;
const TRANSMITTER_EMPTY: u8 = 1 << 5;
/// How often to look for room for a byte: a byte takes 87 µs, a look at least half a microsecond.
const PATIENCE: u32 = 10_000;

/// Sets speed and format. Interrupts stay off.
pub fn start(uart: &impl Registers) {
    for (register, value) in [
        (Register::InterruptEnable, 0),
        (Register::LineControl, DIVISOR_LATCH),
        (Register::Data, DIVISOR),
        (Register::InterruptEnable, 0),
        (Register::LineControl, EIGHT_BITS),
        (Register::FifoControl, FIFO_ON),
        (Register::ModemControl, READY),
    ] {
        uart.write(register, value);
    }
}

/// Sends bytes; a line feed goes out with a carriage return before it. What a UART that is stuck
/// does not take is lost.
pub fn write(uart: &impl Registers, bytes: &[u8]) {
    for &byte in bytes {
        if byte == b'\n' && !put(uart, b'\r') || !put(uart, byte) {
            return;
        }
    }
}

fn put(uart: &impl Registers, byte: u8) -> bool {
    let has_room = (0..PATIENCE).any(|_| uart.read(Register::LineStatus) & TRANSMITTER_EMPTY != 0);
    if has_room {
        uart.write(Register::Data, byte);
    }
    has_room
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    /// A UART that takes a byte after some looks at its state, or never.
    #[derive(Default)]
    struct Fake {
        line_control: Cell<u8>,
        divisor: Cell<u16>,
        interrupts: Cell<u8>,
        sent: RefCell<Vec<u8>>,
        looks: Cell<u32>,
        looks_needed: u32,
    }

    impl Registers for Fake {
        fn read(&self, register: Register) -> u8 {
            assert_eq!(register, Register::LineStatus);
            self.looks.set(self.looks.get() + 1);
            if self.looks.get() > self.looks_needed { 0x60 } else { 0 }
        }

        fn write(&self, register: Register, value: u8) {
            let latch = self.line_control.get() & 0x80 != 0;
            let [low, high] = self.divisor.get().to_le_bytes();
            match (register, latch) {
                (Register::Data, true) => self.divisor.set(u16::from_le_bytes([value, high])),
                (Register::InterruptEnable, true) => self.divisor.set(u16::from_le_bytes([low, value])),
                (Register::Data, false) => {
                    assert!(self.looks.get() > self.looks_needed, "overrun");
                    self.looks.set(0);
                    self.sent.borrow_mut().push(value);
                }
                (Register::InterruptEnable, false) => self.interrupts.set(value),
                (Register::LineControl, _) => self.line_control.set(value),
                _ => {}
            }
        }
    }

    #[test]
    fn started_uart_runs_at_115200_8n1_without_interrupts() {
        let uart = Fake { divisor: Cell::new(0x1234), interrupts: Cell::new(0xf), ..Fake::default() };
        start(&uart);
        assert_eq!(uart.divisor.get(), 1);
        assert_eq!(uart.line_control.get(), 3);
        assert_eq!(uart.interrupts.get(), 0);
    }

    #[test]
    fn line_feed_goes_out_with_a_carriage_return() {
        let uart = Fake { looks_needed: 3, ..Fake::default() };
        write(&uart, b"a\nb");
        assert_eq!(*uart.sent.borrow(), b"a\r\nb");
    }

    #[test]
    fn stuck_uart_does_not_hang() {
        let uart = Fake { looks_needed: u32::MAX, ..Fake::default() };
        write(&uart, b"lost\n");
        assert!(uart.sent.borrow().is_empty());
        assert_eq!(uart.looks.get(), PATIENCE);
    }
}
