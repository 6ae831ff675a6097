//! The firmware's power interface (bindings/arm/psci.yaml; Arm DEN0022).
use crate::fault::{Fault, Problem};
use crate::fdt::{NodeId, Tree};

pub(crate) const COMPATIBLE: &[&str] = &["arm,psci-1.0", "arm,psci-0.2", "arm,psci"];

/// Function ids that version 0.2 fixed (SMC64 where there are two).
const CPU_SUSPEND: u32 = 0xc400_0001;
const CPU_OFF: u32 = 0x8400_0002;
const CPU_ON: u32 = 0xc400_0003;

/// The instruction that calls the firmware.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Conduit {
    /// `smc #0`.
    Smc,
    /// `hvc #0`: there is another hypervisor below.
    Hvc,
}

/// The oldest version that the firmware promises.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum PsciVersion {
    /// Function ids are in the tree; nothing else can be asked.
    V0_1,
    /// PSCI_VERSION and SYSTEM_OFF/RESET exist.
    V0_2,
    /// PSCI_FEATURES exists.
    V1_0,
}

/// The firmware's power interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Psci {
    /// How to call it.
    pub conduit: Conduit,
    /// The oldest version that it can be.
    pub version: PsciVersion,
    /// Function id of CPU_ON.
    pub cpu_on: u32,
    /// Function id of CPU_OFF; version 0.1 may have none.
    pub cpu_off: Option<u32>,
    /// Function id of CPU_SUSPEND; version 0.1 may have none.
    pub cpu_suspend: Option<u32>,
    /// Its node.
    pub node: NodeId,
}

pub(super) fn parse(tree: &Tree<'_>, node: NodeId) -> Result<Psci, Fault> {
    let conduit = match tree.property_text(node, "method")? {
        Some("smc") => Conduit::Smc,
        Some("hvc") => Conduit::Hvc,
        Some(_) => return Err(tree.fault(node, Problem::BadValue("method"))),
        None => return Err(tree.fault(node, Problem::Missing("method"))),
    };
    let version = if tree.is_compatible(node, &["arm,psci-1.0"]) {
        PsciVersion::V1_0
    } else if tree.is_compatible(node, &["arm,psci-0.2"]) {
        PsciVersion::V0_2
    } else {
        PsciVersion::V0_1
    };
    let (cpu_on, cpu_off, cpu_suspend) = if version == PsciVersion::V0_1 {
        let id = |name| tree.property_u32(node, name);
        let cpu_on = id("cpu_on").ok_or_else(|| tree.fault(node, Problem::Missing("cpu_on")))?;
        (cpu_on, id("cpu_off"), id("cpu_suspend"))
    } else {
        (CPU_ON, Some(CPU_OFF), Some(CPU_SUSPEND))
    };
    Ok(Psci { conduit, version, cpu_on, cpu_off, cpu_suspend, node })
}
