//! The core as guests and tools see it: hypercalls on the fake machine.

mod features;
mod grant_copy;
mod grant_map;
mod grant_table;
mod memory;
mod physmap;
mod table;
