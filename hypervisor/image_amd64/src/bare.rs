//! From entry to the end: this stage has no guests.

use core::fmt::Write as _;
use core::panic::PanicInfo;

use arch_x86_64::console::Emergency;
use arch_x86_64::{BootError, BootInfo, DirectMap, Region};

arch_x86_64::image! {
    main: main,
}

#[panic_handler]
fn on_panic(info: &PanicInfo<'_>) -> ! {
    arch_x86_64::panic(info)
}

/// Prints a line on the console.
macro_rules! say {
    ($($arg:tt)*) => {{
        let _ = writeln!(Emergency, $($arg)*);
    }};
}

extern "C" fn main(magic: u32, info: u32) -> ! {
    arch_x86_64::start();
    say!("\nXenoxide {}, a Xen-compatible hypervisor", env!("CARGO_PKG_VERSION"));
    match show(magic, info) {
        Ok(()) => say!("Guests on amd64 are not built yet: this is all it does. The machine stops here."),
        Err(why) => say!("Xenoxide: cannot start: {why}\nThe machine stops here."),
    }
    arch_x86_64::park()
}

/// Shows what the boot loader passed.
fn show(magic: u32, info: u32) -> Result<(), BootError> {
    let info = BootInfo::read(magic, info, &DirectMap)?;
    say!("Boot protocol: {}", info.protocol.name());
    if !info.loader.is_empty() {
        say!("Boot loader: {}", info.loader);
    }
    say!("Command line: {}", info.command_line);
    say!("Memory map:");
    for Region { span, kind } in info.memory.regions() {
        let (whole, tenth) = mib(span.len());
        say!("  {span} {whole:>10}.{tenth} MiB  {kind}");
    }
    let usable = info.memory.usable()?;
    let (whole, tenth) = mib(usable.bytes);
    say!("RAM: {whole}.{tenth} MiB in {} regions", usable.regions);
    for (index, module) in info.modules().iter().enumerate() {
        say!("Module {index}: {}, {} bytes: {}", module.span, module.span.len(), module.text);
    }
    if info.modules().is_empty() {
        say!("Modules: none");
    }
    info.check_modules(arch_x86_64::image_span())
}

/// Bytes in MiB, with a tenth. Bytes are at most 2^52.
fn mib(bytes: u64) -> (u64, u64) {
    (bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20)
}
