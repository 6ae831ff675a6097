//! The core as guests and tools see it: hypercalls on the fake machine.

mod features;
mod table;
