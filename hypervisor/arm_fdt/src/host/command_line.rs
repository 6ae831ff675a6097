//! Whose command line is which (Xen's docs/misc/arm/device-tree/booting.txt).
use super::modules;
use crate::fault::{Fault, Problem};
use crate::fdt::{NodeId, Tree};

/// The longest command line accepted, in bytes (what arm64 Linux takes).
pub const MAX_COMMAND_LINE: usize = 2048;

/// The command lines in the tree; empty when there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CommandLines<'a> {
    /// For the hypervisor.
    pub hypervisor: &'a str,
    /// For dom0's kernel.
    pub dom0: &'a str,
}

/// Finds both command lines.
///
/// `xen,xen-bootargs` is the hypervisor's. Dom0's is, in this order, the kernel module's own
/// `bootargs` and `xen,dom0-bootargs`. Plain `bootargs` goes to whom there is none for: to the
/// hypervisor if dom0 has one and it has not, to dom0 if dom0 has none.
pub fn command_lines<'a>(tree: &Tree<'a>) -> Result<CommandLines<'a>, Fault> {
    let Some(chosen) = tree.child(NodeId::ROOT, "chosen") else {
        return Ok(CommandLines::default());
    };
    let text = |node, name| {
        let text = tree.property_text(node, name)?;
        match text.filter(|t| t.len() > MAX_COMMAND_LINE) {
            Some(long) => Err(tree.fault(
                node,
                Problem::TooLong { property: name, len: long.len() as u32, max: MAX_COMMAND_LINE as u32 },
            )),
            None => Ok(text),
        }
    };
    let hypervisor = text(chosen, "xen,xen-bootargs")?;
    let plain = text(chosen, "bootargs")?;
    let module = match modules::kernel_node(tree, chosen) {
        Some(node) => text(node, "bootargs")?.filter(|t| !t.is_empty()),
        None => None,
    };
    let dom0 = module.or(text(chosen, "xen,dom0-bootargs")?);
    let spare = |other: Option<_>| if other.is_some() { plain } else { None };
    Ok(CommandLines {
        hypervisor: hypervisor.or(spare(dom0)).unwrap_or_default(),
        dom0: dom0.or(plain).unwrap_or_default(),
    })
}
