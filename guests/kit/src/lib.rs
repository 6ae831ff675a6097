//! What a bare arm64 guest needs: entry, console, traps, hypercalls, events, grants, xenstore, interrupts.
//!
//! A guest defines one function with [`entry!`]; it runs at EL1 with MMU and caches on and interrupts masked, on vCPU
//! 0. It is for tests: what goes wrong ends the guest with a line that says what.
#![no_std]

mod boot;
mod device_tree;
mod lock;

pub mod console;
pub mod cpu;
pub mod event;
pub mod gic;
pub mod grant;
pub mod hypercall;
pub mod memory;
pub mod psci;
pub mod time;
pub mod trap;
pub mod xenstore;

pub use boot::{start_by_affinity, start_vcpu};

pub use boot::{Boot, MAX_VCPUS};

/// Names the guest's program: a function of a [`Boot`].
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[unsafe(no_mangle)]
        fn guest_main(boot: $crate::Boot) {
            let main: fn($crate::Boot) = $main;
            main(boot);
        }
    };
}
