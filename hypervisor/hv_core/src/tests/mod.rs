//! The core as guests and tools see it: hypercalls on the fake machine.

mod claims;
mod console;
mod cpupool;
mod create;
mod device;
mod domctl;
mod duel;
mod features;
mod fuzz;
mod grant_copy;
mod grant_map;
mod grant_table;
mod guest_ops;
mod hypfs;
mod life;
mod lock_order;
mod memory;
mod p2m;
mod physmap;
mod scheduling;
mod settings;
mod sysctl;
mod table;
mod wild;
mod window;
