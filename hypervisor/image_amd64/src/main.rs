//! The hypervisor's binary for amd64: shows what the boot loader passed, and stops.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(all(target_os = "none", target_arch = "x86_64"))]
mod bare;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("image_amd64 is the hypervisor for bare metal; build it for x86_64-unknown-none");
    std::process::exit(1);
}
