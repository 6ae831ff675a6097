//! The serial console: a PL011, or what the SBSA keeps of one.
//!
//! Speed and format stay as firmware set them. Output waits for room in the transmit FIFO.

use core::fmt;

use lock::Once;

use super::mmio::Mmio;

const DR: usize = 0x00;
const FR: usize = 0x18;
const CR: usize = 0x30;
const IMSC: usize = 0x38;
const ICR: usize = 0x44;

const FR_RX_EMPTY: u32 = 1 << 4;
const FR_TX_FULL: u32 = 1 << 5;
const CR_ON: u32 = 1 << 0 | 1 << 8 | 1 << 9;
/// Receive, and receive timeout.
const RX_INTERRUPTS: u32 = 1 << 4 | 1 << 6;
const ALL_INTERRUPTS: u32 = 0x7ff;
/// The registers that are used.
const REGISTERS: usize = 0x48;

static UART: Once<Mmio> = Once::new();

/// Uses the PL011 at `registers` as the console; only the first call counts. `full` is false for
/// the SBSA subset, which has no control register.
pub(super) fn start(registers: Mmio, full: bool) {
    if let Some(registers) = registers.part(0, REGISTERS) {
        registers.write32(IMSC, 0);
        registers.write32(ICR, ALL_INTERRUPTS);
        if full {
            registers.write32(CR, registers.read32(CR) | CR_ON);
        }
        UART.call_once(|| registers);
    }
}

/// Writes bytes; a line feed goes out with a carriage return before it. Lost without a console.
pub fn write(bytes: &[u8]) {
    let Some(uart) = UART.get() else { return };
    let put = |byte: u8| {
        while uart.read32(FR) & FR_TX_FULL != 0 {
            core::hint::spin_loop();
        }
        uart.write32(DR, u32::from(byte));
    };
    for &byte in bytes {
        if byte == b'\n' {
            put(b'\r');
        }
        put(byte);
    }
}

/// The next byte received, if there is one.
pub fn read() -> Option<u8> {
    let uart = UART.get()?;
    if uart.read32(FR) & FR_RX_EMPTY != 0 {
        return None;
    }
    Some(uart.read32(DR) as u8)
}

/// Lets the UART interrupt when bytes arrive; the interrupt ends when all have been read.
pub fn enable_input_interrupt() {
    if let Some(uart) = UART.get() {
        uart.write32(ICR, ALL_INTERRUPTS);
        uart.write32(IMSC, RX_INTERRUPTS);
    }
}

/// Text to the console without any lock: for boot messages, and for the last words.
pub struct Emergency;

impl fmt::Write for Emergency {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        write(s.as_bytes());
        Ok(())
    }
}
