//! The x86_64 machine: entry, console, memory map.
#![cfg_attr(not(test), no_std)]
