//! The serial console: COM1.

use core::arch::asm;
use core::fmt;

use crate::uart::{self, Register, Registers};

/// The first port.
const COM1: u16 = 0x3f8;

struct Com1;

impl Com1 {
    fn port(register: Register) -> u16 {
        COM1 | register as u16
    }
}

impl Registers for Com1 {
    fn read(&self, register: Register) -> u8 {
        let value;
        // SAFETY: a port of COM1, which only this module uses; its registers change no memory.
        unsafe { asm!("in al, dx", out("al") value, in("dx") Self::port(register), options(nomem, nostack)) };
        value
    }

    fn write(&self, register: Register, value: u8) {
        // SAFETY: as in `read`.
        unsafe { asm!("out dx, al", in("dx") Self::port(register), in("al") value, options(nomem, nostack)) };
    }
}

/// Sets COM1 to 115200 baud, 8N1.
pub(super) fn start() {
    uart::start(&Com1);
}

/// Text to the console without any lock: for boot messages, and for the last words.
pub struct Emergency;

impl fmt::Write for Emergency {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        uart::write(&Com1, s.as_bytes());
        Ok(())
    }
}
