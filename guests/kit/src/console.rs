//! The console: the PV console's ring in a DomU, the hypervisor's console where there is no ring.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU64, Ordering};
use xen_abi::hvm::params::{HVM_PARAM_CONSOLE_EVTCHN, HVM_PARAM_CONSOLE_PFN};
use xen_abi::io::console::{XENCONS_IN_SIZE, XENCONS_OUT_SIZE};
use xen_abi::xen::{__HYPERVISOR_console_io, CONSOLEIO_write};

use crate::event;
use crate::hypercall;
use crate::lock::Lock;
use crate::memory::Page;

/// 32-bit words of the ring page behind both buffers.
const OUT_CONS: usize = (XENCONS_IN_SIZE + XENCONS_OUT_SIZE) / 4 + 2;
const OUT_PROD: usize = OUT_CONS + 1;

/// The ring's frame, or 0.
static FRAME: AtomicU64 = AtomicU64::new(0);
static PORT: AtomicU64 = AtomicU64::new(0);
static WRITER: Lock<Writer> = Lock::new(Writer);

struct Writer;

/// Prints a line.
#[macro_export]
macro_rules! println {
    ($($arguments:tt)*) => { $crate::console::print(format_args!("{}\n", format_args!($($arguments)*))) };
}

pub(crate) fn open() {
    if let (Ok(frame), Ok(port)) =
        (hypercall::parameter(HVM_PARAM_CONSOLE_PFN), hypercall::parameter(HVM_PARAM_CONSOLE_EVTCHN))
    {
        FRAME.store(frame, Ordering::Relaxed);
        PORT.store(port, Ordering::Relaxed);
    }
}

/// The frame of the ring and the port, both 0 where there is no ring.
pub fn ring() -> (u64, u32) {
    (FRAME.load(Ordering::Relaxed), PORT.load(Ordering::Relaxed) as u32)
}

/// Prints a text.
pub fn print(text: fmt::Arguments<'_>) {
    // A console that takes nothing leaves nobody to tell.
    let _ = WRITER.with(|writer| writer.write_fmt(text));
}

/// Waits until all that was printed is taken.
pub fn flush() {
    let (frame, port) = ring();
    if frame == 0 {
        return;
    }
    let page = Page::at(frame);
    event::send(port);
    while page.half(OUT_CONS).load(Ordering::Acquire) != page.half(OUT_PROD).load(Ordering::Relaxed) {
        hypercall::yield_now();
    }
}

pub(crate) fn after_failure() {
    WRITER.break_open();
}

impl Write for Writer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let (frame, port) = ring();
        if frame == 0 {
            let at = text.as_ptr().expose_provenance() as u64;
            hypercall::call(
                __HYPERVISOR_console_io,
                [u64::from(CONSOLEIO_write), text.len() as u64, at, 0, 0],
            );
            return Ok(());
        }
        let page = Page::at(frame);
        for byte in text.bytes() {
            let prod = page.half(OUT_PROD).load(Ordering::Relaxed);
            while prod.wrapping_sub(page.half(OUT_CONS).load(Ordering::Acquire)) >= XENCONS_OUT_SIZE as u32 {
                event::send(port);
                hypercall::yield_now();
            }
            page.byte(XENCONS_IN_SIZE + prod as usize % XENCONS_OUT_SIZE).store(byte, Ordering::Relaxed);
            page.half(OUT_PROD).store(prod.wrapping_add(1), Ordering::Release);
        }
        if text.ends_with('\n') {
            event::send(port);
        }
        Ok(())
    }
}
