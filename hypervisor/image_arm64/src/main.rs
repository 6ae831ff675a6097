//! The hypervisor's binary for arm64: ties the machine, the boot data and the core together.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(all(target_os = "none", target_arch = "aarch64"))]
extern crate alloc;

#[cfg(all(target_os = "none", target_arch = "aarch64"))]
mod bare;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("image_arm64 is the hypervisor for bare metal; build it for aarch64-unknown-none-softfloat");
    std::process::exit(1);
}
