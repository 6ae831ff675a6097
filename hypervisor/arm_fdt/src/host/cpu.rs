//! The CPUs.
use alloc::vec::Vec;

use super::Warn;
use crate::fault::{Fault, Problem};
use crate::fdt::{NodeId, Tree, value};
use crate::range::{OutOfMemory, push};
use crate::sort::sort;

/// The most CPUs that are looked at.
pub const MAX_CPUS: usize = 256;

/// The affinity fields of MPIDR_EL1: Aff3 in bits 39-32, Aff2 to Aff0 in bits 23-0.
const AFFINITY_MASK: u64 = 0xff_00ff_ffff;

/// How a CPU is started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EnableMethod {
    /// By the firmware's PSCI CPU_ON.
    Psci,
    /// By writing the entry address to this physical address and an event (`sev`).
    SpinTable {
        /// Where the CPU looks for its entry address.
        release: u64,
    },
    /// The tree does not say: it can only be the CPU that boots.
    None,
}

/// A CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cpu<'a> {
    /// The affinity fields of its MPIDR_EL1.
    pub mpidr: u64,
    /// Its `compatible`, as the list of texts that it is; may be empty.
    pub compatible: &'a [u8],
    /// How it is started.
    pub enable: EnableMethod,
    /// `clock-frequency` in Hz.
    pub clock_hz: Option<u32>,
    /// Its node.
    pub node: NodeId,
}

/// The enabled CPUs below /cpus.
pub(super) fn parse<'a>(tree: &Tree<'a>, warn: &mut Warn<'_>) -> Result<Vec<Cpu<'a>>, Fault> {
    let mut cpus: Vec<Cpu<'a>> = Vec::new();
    let none = || Fault::general(Problem::NoCpus);
    let parent = tree.child(NodeId::ROOT, "cpus").ok_or_else(none)?;
    for node in tree.children(parent) {
        if tree.property(node, "device_type") != Some(b"cpu\0") || !tree.enabled(node) {
            continue;
        }
        if cpus.len() == MAX_CPUS {
            warn(&tree.fault(parent, Problem::TooMany { what: "CPUs", max: MAX_CPUS as u32 }));
            break;
        }
        push(&mut cpus, parse_one(tree, parent, node, warn)?)?;
    }
    if cpus.is_empty() {
        return Err(none());
    }
    refuse_duplicates(tree, &cpus)?;
    Ok(cpus)
}

fn parse_one<'a>(
    tree: &Tree<'a>,
    parent: NodeId,
    node: NodeId,
    warn: &mut Warn<'_>,
) -> Result<Cpu<'a>, Fault> {
    let reg = tree.property(node, "reg").ok_or_else(|| tree.fault(node, Problem::Missing("reg")))?;
    let (address, size) = tree.child_cells(parent);
    if !(1..=2).contains(&address) {
        return Err(tree.fault(node, Problem::BadCells { address, size }));
    }
    // Several values are the threads of one core; each has a node of its own on arm64.
    let Some((mpidr, _)) = value::take(reg, usize::from(address)) else {
        return Err(tree.fault(
            node,
            Problem::BadLength {
                property: "reg",
                len: reg.len() as u32,
                unit: u32::from(address).saturating_mul(4),
            },
        ));
    };
    if mpidr & !AFFINITY_MASK != 0 {
        return Err(tree.fault(node, Problem::BadMpidr(mpidr)));
    }
    let enable = match tree.property_text(node, "enable-method")? {
        None => EnableMethod::None,
        Some("psci") => EnableMethod::Psci,
        Some("spin-table") => EnableMethod::SpinTable {
            release: tree
                .property(node, "cpu-release-addr")
                .and_then(value::u64_of)
                .filter(|address| address.is_multiple_of(8))
                .ok_or_else(|| tree.fault(node, Problem::Missing("cpu-release-addr")))?,
        },
        Some(_) => {
            warn(&tree.fault(node, Problem::UnknownEnableMethod));
            EnableMethod::None
        }
    };
    Ok(Cpu {
        mpidr,
        compatible: tree.property(node, "compatible").unwrap_or_default(),
        enable,
        clock_hz: tree.property_u32(node, "clock-frequency"),
        node,
    })
}

fn refuse_duplicates(tree: &Tree<'_>, cpus: &[Cpu<'_>]) -> Result<(), Fault> {
    let mut order = Vec::new();
    order.try_reserve_exact(cpus.len()).map_err(|_| OutOfMemory)?;
    order.extend(cpus.iter().map(|cpu| (cpu.mpidr, cpu.node)));
    sort(&mut order);
    let mut last = None;
    for (mpidr, node) in order {
        if last == Some(mpidr) {
            return Err(tree.fault(node, Problem::DuplicateCpu(mpidr)));
        }
        last = Some(mpidr);
    }
    Ok(())
}
