//! Dom0's only program in a benchmark: it runs each row's operation in batches between markers, which a QEMU plugin
//! turns into instruction counts, and names the rows on the console.
#![no_std]
#![no_main]

mod devices;
mod hypercall;
mod linux;
mod measure;
mod memory;
mod rows;

use core::ffi::CStr;
use core::panic::PanicInfo;

use linux::{File, Result};
use measure::Report;

const MODULES: [&CStr; 4] = [
    c"/modules/xen_privcmd.ko",
    c"/modules/xen_evtchn.ko",
    c"/modules/xen_gntalloc.ko",
    c"/modules/xen_gntdev.ko",
];

/// The whole program, entered from its first instruction.
extern "C" fn main_program() -> ! {
    // Without a console there is nobody to tell; the harness then times out.
    if let Ok(report) = prepare() {
        for module in MODULES {
            if let Err(error) = linux::load_module(module) {
                report.failed(module.to_str().unwrap_or("module"), error);
            }
        }
        rows::run(report);
        report.line(format_args!("done"));
    }
    loop {
        // The harness ends the machine when it does not end by itself.
        let _ = linux::power_off();
    }
}

fn prepare() -> Result<Report> {
    // Both folders are in the archive already.
    linux::mount(c"devtmpfs", c"/dev")?;
    linux::mount(c"proc", c"/proc")?;
    File::open(c"/dev/console").map(Report)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if let Ok(console) = File::open(c"/dev/console") {
        Report(console).line(format_args!("failed program {info}"));
    }
    loop {
        let _ = linux::power_off();
    }
}
