//! A hostile simulated machine on the host, for tests and fuzzers.
//!
//! [`Machine`] implements [`hal::MachineOps`] over RAM in ordinary memory. It does what real
//! machines do and emulators do not: it keeps stale TLB entries and dirty cache lines until they
//! are maintained, holds back table stores until they are published, lets a "guest" change memory
//! between two reads, and refuses on request. What the hypervisor's core does against the rules is
//! recorded as a [`Fault`]; a test that does not take its machine's faults fails when the machine
//! is dropped.
//!
//! A test plays the pCPUs: [`Machine::on_cpu`] says which one this thread is, for this machine. It
//! plays the guests through [`Machine::guest_read`] and its kin, which walk the stage-2 tables that
//! the core built.
#![forbid(unsafe_code)]

mod arm;
mod cache;
mod config;
mod cpu;
mod event;
mod frame;
mod guest;
mod hold;
mod inspect;
mod irq;
mod machine;
mod ram;
mod reads;
mod stage2;
#[cfg(test)]
mod testing;
mod tlb;
mod vif;
mod watch;

pub use arm::Trap;
pub use config::{Config, Idle};
pub use cpu::LoadedRegs;
pub use event::{Event, Fault, MachineEnd, Op, catch_end};
pub use frame::Frame;
pub use guest::{Access, GuestFault};
pub use irq::IrqLine;
pub use machine::Machine;
pub use reads::{Bytes, Meddling, Reads};
pub use stage2::FakeStage2;
pub use tlb::TlbEntry;
pub use watch::{ReadCount, WatchId};
