//! The core as guests and tools see it: hypercalls on the fake machine.

mod create;
mod domctl;
mod features;
mod grant_copy;
mod grant_map;
mod grant_table;
mod life;
mod memory;
mod physmap;
mod sysctl;
mod table;
