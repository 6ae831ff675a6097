//! Guests end to end on the fake machine: what they do traps, and what they then find.

mod calls;
mod dom0;
mod events;
mod faults;
mod passthrough;
mod registers;
mod shared;
mod stress;
mod switching;
mod teardown;
mod timers;
mod vuart;
mod waiting;
