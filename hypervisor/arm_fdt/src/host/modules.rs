//! Boot modules: what the boot loader put into RAM for the hypervisor.
use alloc::vec::Vec;

use super::Warn;
use crate::fault::{Fault, Item, Problem};
use crate::fdt::{NodeId, Tree, value};
use crate::range::{Range, push};

/// The most boot modules that are looked at (Xen's limit).
pub const MAX_MODULES: usize = 32;

/// `compatible` of a boot module (Xen's docs/misc/arm/device-tree/booting.txt; the second one is
/// the legacy form).
pub(crate) const MODULE: &[&str] = &["multiboot,module", "xen,multiboot-module"];

/// The first word, little-endian, of a Flask security policy (xen/xsm/flask/ss/policydb.h).
const POLICY_MAGIC: u32 = 0xf97c_ff8c;

/// What a boot module is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ModuleKind {
    /// Dom0's kernel.
    Kernel,
    /// Dom0's initial RAM disk.
    Ramdisk,
    /// A security policy.
    XsmPolicy,
    /// A device tree for a domain started by the hypervisor.
    DeviceTree,
    /// Neither typed nor among the first two.
    Unknown,
}

impl ModuleKind {
    /// What messages call it.
    pub(super) fn item(self) -> Item {
        match self {
            Self::Kernel => Item::Kernel,
            Self::Ramdisk => Item::Ramdisk,
            _ => Item::Module,
        }
    }
}

/// A boot module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Module<'a> {
    /// What it is for.
    pub kind: ModuleKind,
    /// Its physical addresses, to the byte.
    pub range: Range,
    /// Its own command line.
    pub bootargs: Option<&'a str>,
    /// Its node; /chosen for a RAM disk given by `linux,initrd-start`.
    pub node: NodeId,
}

/// The module nodes right below /chosen with the kind that their `compatible` gives; `None` for
/// those without a type.
pub(super) fn nodes<'t>(
    tree: &'t Tree<'_>,
    chosen: NodeId,
) -> impl Iterator<Item = (NodeId, Option<ModuleKind>)> + 't {
    tree.children(chosen).filter_map(|node| {
        let list = tree.property(node, "compatible")?;
        let is = |names| value::has_text(list, names);
        if !is(MODULE) {
            return None;
        }
        let kind = if is(&["multiboot,kernel", "xen,linux-zimage"]) {
            Some(ModuleKind::Kernel)
        } else if is(&["multiboot,ramdisk", "xen,linux-initrd"]) {
            Some(ModuleKind::Ramdisk)
        } else if is(&["xen,xsm-policy"]) {
            Some(ModuleKind::XsmPolicy)
        } else if is(&["multiboot,device-tree"]) {
            Some(ModuleKind::DeviceTree)
        } else {
            None
        };
        Some((node, kind))
    })
}

/// The node of dom0's kernel: the first one that says so, or the first one without a type.
pub(super) fn kernel_node(tree: &Tree<'_>, chosen: NodeId) -> Option<NodeId> {
    nodes(tree, chosen)
        .find(|(_, kind)| matches!(kind, None | Some(ModuleKind::Kernel)))
        .map(|(node, _)| node)
}

/// All boot modules; a second kernel or RAM disk is left out with a warning.
pub(super) fn parse<'a>(
    tree: &Tree<'a>,
    read_u32: &dyn Fn(u64) -> Option<u32>,
    warn: &mut Warn<'_>,
) -> Result<Vec<Module<'a>>, Fault> {
    let mut modules: Vec<Module<'a>> = Vec::new();
    let Some(chosen) = tree.child(NodeId::ROOT, "chosen") else {
        return Err(Fault::general(Problem::NoKernel));
    };
    if let Some(initrd) = linux_initrd(tree, chosen)? {
        add(tree, &mut modules, initrd, warn)?;
    }
    let mut untyped = 0usize;
    for (node, kind) in nodes(tree, chosen) {
        if modules.len() == MAX_MODULES {
            let problem = Problem::TooMany { what: "boot modules", max: MAX_MODULES as u32 };
            warn(&tree.fault(node, problem));
            break;
        }
        let range = module_range(tree, node)?;
        let kind = kind.unwrap_or_else(|| {
            untyped = untyped.saturating_add(1);
            match untyped {
                1 => ModuleKind::Kernel,
                _ if read_u32(range.start()) == Some(POLICY_MAGIC) => ModuleKind::XsmPolicy,
                2 => ModuleKind::Ramdisk,
                _ => ModuleKind::Unknown,
            }
        });
        let module = Module { kind, range, bootargs: tree.property_text(node, "bootargs")?, node };
        add(tree, &mut modules, module, warn)?;
    }
    let domain = tree.children(chosen).find(|n| tree.is_compatible(*n, &["xen,domain"]));
    if let Some(node) = domain {
        warn(&tree.fault(node, Problem::Dom0less));
    }
    if modules.iter().any(|m| m.kind == ModuleKind::Kernel) {
        Ok(modules)
    } else {
        Err(tree.fault(chosen, Problem::NoKernel))
    }
}

fn add<'a>(
    tree: &Tree<'a>,
    modules: &mut Vec<Module<'a>>,
    module: Module<'a>,
    warn: &mut Warn<'_>,
) -> Result<(), Fault> {
    let item = module.kind.item();
    if module.range.is_empty() {
        return Err(tree.fault(module.node, Problem::EmptyModule(item)));
    }
    let same = |m: &Module<'_>| m.kind == module.kind && m.range == module.range;
    if modules.iter().any(same) {
        return Ok(());
    }
    let single = matches!(module.kind, ModuleKind::Kernel | ModuleKind::Ramdisk);
    if single && modules.iter().any(|m| m.kind == module.kind) {
        warn(&tree.fault(module.node, Problem::SecondModule(item)));
        return Ok(());
    }
    if !single {
        warn(&tree.fault(module.node, Problem::UnusedModule));
    }
    Ok(push(modules, module)?)
}

/// The module's addresses: one entry of `reg`.
fn module_range(tree: &Tree<'_>, node: NodeId) -> Result<Range, Fault> {
    let mut regs = tree.regs(node, "reg")?.ok_or_else(|| tree.fault(node, Problem::Missing("reg")))?;
    let (start, size) = regs.next().ok_or_else(|| tree.fault(node, Problem::Missing("reg")))?;
    tree.range(node, start, size)
}

/// A RAM disk the way Linux is given one.
fn linux_initrd<'a>(tree: &Tree<'a>, chosen: NodeId) -> Result<Option<Module<'a>>, Fault> {
    let number = |name: &'static str| match tree.property(chosen, name) {
        None => Ok(None),
        Some(bytes) => {
            value::u64_of(bytes).map(Some).ok_or_else(|| tree.fault(chosen, Problem::BadValue(name)))
        }
    };
    let Some(start) = number("linux,initrd-start")? else {
        return Ok(None);
    };
    let end = number("linux,initrd-end")?
        .ok_or_else(|| tree.fault(chosen, Problem::Missing("linux,initrd-end")))?;
    let range = Range::from_bounds(start, end)
        .ok_or_else(|| tree.fault(chosen, Problem::BadValue("linux,initrd-end")))?;
    Ok(Some(Module { kind: ModuleKind::Ramdisk, range, bootargs: None, node: chosen }))
}
