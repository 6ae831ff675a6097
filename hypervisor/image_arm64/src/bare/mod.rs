//! From entry to the first guest.
#![allow(clippy::result_large_err, reason = "the boot runs once, and its errors explain themselves")]

mod boot;
mod early_log;
mod memory;
mod start;
mod traps;

use core::panic::PanicInfo;

use arch_aarch64::Entry;

arch_aarch64::image! {
    main: main,
    secondary: secondary,
    sync: traps::sync,
    irq: traps::irq,
    serror: traps::serror,
}

/// Pages of the heap's own: enough for the device tree's index and the lists made of it.
const HEAP_POOL: usize = 32;

#[global_allocator]
static HEAP: heap::Heap<HEAP_POOL> = heap::Heap::new();

/// Where the heap gets more.
static PAGES: memory::Pages = memory::Pages::new();

#[panic_handler]
fn on_panic(info: &PanicInfo<'_>) -> ! {
    arch_aarch64::panic(info)
}

/// Prints a line on the console, and keeps it for the log that tools read.
macro_rules! say {
    ($($arg:tt)*) => { $crate::bare::early_log::line(format_args!($($arg)*)) };
}
use say;

extern "C" fn main(fdt: u64, image: u64, level: u64) -> ! {
    let entry = Entry { fdt, image, level };
    if level != 2 {
        boot::refuse(entry);
    }
    match boot::boot(entry) {
        Ok(_) => traps::run(),
        Err(why) => {
            early_log::last_line(format_args!("Xenoxide cannot start: {why}"));
            arch_aarch64::power::off()
        }
    }
}

extern "C" fn secondary(_cpu: u32) -> ! {
    if let Some(machine) = arch_aarch64::machine() {
        machine.join();
    }
    while !traps::started() {
        lock::pause();
    }
    traps::run()
}
