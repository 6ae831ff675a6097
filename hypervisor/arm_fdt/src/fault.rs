//! What can be wrong with boot data, in words for the person at the console.
use core::fmt;

use crate::fdt::{FdtError, NodeId, Tree};
use crate::range::{OutOfMemory, Range};
use crate::text::Text;

/// Something wrong with the boot data: the problem and the node that has it.
///
/// As an `Err` it ends the boot; handed to a `warn` callback it is worth a line on the console.
/// [`Tree::explain`] puts it into words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The node in the host's tree; `None` when no single node is to blame.
    pub node: Option<NodeId>,
    /// What is wrong.
    pub problem: Problem,
}

impl Fault {
    /// A problem that belongs to no single node.
    pub fn general(problem: Problem) -> Self {
        Self { node: None, problem }
    }
}

/// What a range of addresses is for, in messages about ranges.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Item {
    /// The hypervisor's own image.
    Hypervisor,
    /// The flattened device tree.
    DeviceTree,
    /// The boot module with dom0's kernel.
    Kernel,
    /// The boot module with dom0's initial RAM disk.
    Ramdisk,
    /// Another boot module.
    Module,
    /// A bank of RAM.
    MemoryBank,
    /// A child of /reserved-memory.
    ReservedMemory,
    /// An entry of the tree's memory reservation block.
    MemReserve,
    /// A frame of GIC registers.
    Gic,
    /// The registers of the console's UART.
    Uart,
}

impl Item {
    fn name(self) -> &'static str {
        match self {
            Self::Hypervisor => "the hypervisor",
            Self::DeviceTree => "the device tree",
            Self::Kernel => "dom0's kernel",
            Self::Ramdisk => "dom0's RAM disk",
            Self::Module => "a boot module",
            Self::MemoryBank => "a memory bank",
            Self::ReservedMemory => "reserved memory",
            Self::MemReserve => "a memory reservation",
            Self::Gic => "the GIC",
            Self::Uart => "the UART",
        }
    }
}

/// What is wrong. `Display` adds what to do about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Problem {
    /// The blob is no usable flattened device tree.
    Fdt(FdtError),
    /// The heap is exhausted.
    OutOfMemory,
    /// A property that the node must have is not there.
    Missing(&'static str),
    /// A property's length in bytes is not one that the property can have.
    BadLength {
        /// Name of the property.
        property: &'static str,
        /// Its length in bytes.
        len: u32,
        /// The length, or its divisor, in bytes.
        unit: u32,
    },
    /// A property should be text (UTF-8, ending in a NUL) and is not.
    NotText(&'static str),
    /// Text that is longer than the bytes allowed.
    TooLong {
        /// Name of the property.
        property: &'static str,
        /// Its length in bytes.
        len: u32,
        /// The most that is accepted.
        max: u32,
    },
    /// `#address-cells` or `#size-cells` has a value that addresses here cannot have.
    BadCells {
        /// Cells of an address; 255 when larger than any bus has.
        address: u8,
        /// Cells of a size; 255 when larger than any bus has.
        size: u8,
    },
    /// A property has a value that is not among those known.
    BadValue(&'static str),
    /// `start` + `size` does not fit 64 bits.
    Wraps {
        /// First address.
        start: u64,
        /// Length in bytes.
        size: u64,
    },
    /// The node's registers are on a bus that does not reach the CPU's addresses.
    NotMapped,
    /// A phandle that no node has.
    NoSuchPhandle(u32),
    /// An interrupt specifier that the GIC's binding does not know.
    BadInterrupt,
    /// A private peripheral interrupt is needed and this is not one (or is missing).
    NoPpi(&'static str),
    /// More of something than the hypervisor keeps track of. As a warning: the rest is left out.
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// The most that is accepted.
        max: u32,
    },
    /// No RAM in the whole tree.
    NoMemory,
    /// Two things claim the same addresses.
    Overlap {
        /// The one at the node.
        a: Item,
        /// Its addresses.
        a_range: Range,
        /// The other one.
        b: Item,
        /// Its addresses.
        b_range: Range,
    },
    /// Something that must be in RAM is not, or not wholly.
    NotInRam(Item, Range),
    /// A boot module without a byte in it.
    EmptyModule(Item),
    /// No kernel for dom0 among the boot modules.
    NoKernel,
    /// A second boot module of a kind of which one is used.
    SecondModule(Item),
    /// A domain to be started by the hypervisor itself, which is not built.
    Dom0less,
    /// A module of a kind that is not used.
    UnusedModule,
    /// No usable node under /cpus.
    NoCpus,
    /// Two CPU nodes with the same affinity value.
    DuplicateCpu(u64),
    /// A CPU's `reg` has bits outside MPIDR's affinity fields.
    BadMpidr(u64),
    /// A way to start CPUs that is not known; the CPU stays off.
    UnknownEnableMethod,
    /// CPUs are started by PSCI, but there is no PSCI node; they stay off.
    NoPsci,
    /// No interrupt controller that the hypervisor can use.
    NoGic,
    /// The GIC has no virtualisation interface.
    GicNotVirtual,
    /// No architected timer.
    NoTimer,
    /// Neither stdout-path nor a path given by hand: there is no serial console.
    NoStdout,
    /// The console's path or alias leads to no node.
    NoSuchUart,
    /// The console's node is of a kind that has no driver here.
    UnknownUart,
    /// A node that dom0 gets, some of whose registers or interrupts cannot be given to it.
    Unassignable(&'static str),
    /// The GIC has room for fewer vCPUs than dom0 has.
    TooManyVcpus {
        /// vCPUs that dom0 has.
        vcpus: u32,
        /// vCPUs that there is room for.
        room: u32,
    },
    /// No unused addresses of this many bytes.
    NoHole(u64),
    /// An address does not fit the cells that the root node has for it.
    DoesNotFitCells(Range),
    /// Every private peripheral interrupt is taken.
    NoFreePpi,
    /// The tree made for dom0 is larger than a kernel accepts.
    TreeTooLarge {
        /// The most bytes that are accepted.
        max: u32,
    },
}

impl From<OutOfMemory> for Problem {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl From<OutOfMemory> for Fault {
    fn from(_: OutOfMemory) -> Self {
        Self::general(Problem::OutOfMemory)
    }
}

impl From<FdtError> for Fault {
    fn from(error: FdtError) -> Self {
        Self::general(Problem::Fdt(error))
    }
}

impl Tree<'_> {
    /// The fault in words: which node, what is wrong, what to do. `self` is the tree it is of.
    pub fn explain(&self, fault: &Fault) -> Explained {
        Explained { path: fault.node.map(|node| self.path(node)), problem: fault.problem }
    }
}

/// A fault in words, by its `Display`.
pub struct Explained {
    path: Option<Text>,
    problem: Problem,
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = self.path {
            write!(f, "device tree node {path}: ")?;
        }
        self.problem.fmt(f)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match *self {
            Self::Fdt(e) => return e.fmt(f),
            Self::Missing(p) => return write!(f, "property {p} is missing; correct the device tree"),
            Self::BadLength { property, len, unit } => {
                return write!(
                    f,
                    "property {property} has {len} bytes, which is no multiple of {unit}; \
                     correct it, or #address-cells and #size-cells of the parent"
                );
            }
            Self::NotText(p) => {
                return write!(f, "property {p} is not text ending in a NUL; correct the device tree");
            }
            Self::TooLong { property, len, max } => {
                return write!(f, "property {property} has {len} bytes; shorten it to {max}");
            }
            Self::BadCells { address, size } => {
                return write!(
                    f,
                    "the parent has #address-cells {address} and #size-cells {size}; \
                     addresses here need 1 or 2 of each"
                );
            }
            Self::BadValue(p) => {
                return write!(f, "property {p} has an unknown value; correct the device tree");
            }
            Self::Wraps { start, size } => {
                return write!(
                    f,
                    "{size:#x} bytes from {start:#x} reach beyond the last address; \
                     correct property reg"
                );
            }
            Self::NoSuchPhandle(p) => {
                return write!(f, "phandle {p:#x} belongs to no node; correct the device tree");
            }
            Self::NoPpi(what) => {
                return write!(f, "no private interrupt (PPI) given for {what}; correct the device tree");
            }
            Self::TooMany { what, max } => {
                return write!(f, "more than {max} {what}, which is not supported");
            }
            Self::Overlap { a, a_range, b, b_range } => {
                return write!(
                    f,
                    "{} at {a_range} overlaps {} at {b_range}; load them elsewhere",
                    a.name(),
                    b.name()
                );
            }
            Self::NotInRam(item, range) => {
                return write!(
                    f,
                    "{} at {range} is not wholly in RAM; load it lower, or check its size",
                    item.name()
                );
            }
            Self::EmptyModule(item) => {
                return write!(f, "{} is empty; check the file that was loaded", item.name());
            }
            Self::SecondModule(item) => {
                return write!(f, "{} was already given; this one is left out", item.name());
            }
            Self::DuplicateCpu(mpidr) => {
                return write!(f, "another CPU has reg {mpidr:#x} too; correct the device tree");
            }
            Self::BadMpidr(mpidr) => {
                return write!(f, "reg {mpidr:#x} is no MPIDR affinity value; correct the device tree");
            }
            Self::Unassignable(what) => {
                return write!(f, "{what} not usable; dom0 gets the node without");
            }
            Self::TooManyVcpus { vcpus, room } => {
                return write!(f, "dom0 has {vcpus} vCPUs, this GIC room for {room}; lower dom0_max_vcpus");
            }
            Self::NoHole(size) => {
                return write!(f, "no {size:#x} bytes of unused addresses found for dom0");
            }
            Self::DoesNotFitCells(range) => {
                return write!(f, "{range} does not fit #address-cells and #size-cells of the root node");
            }
            Self::TreeTooLarge { max } => {
                return write!(f, "dom0's device tree is larger than {max} bytes");
            }
            Self::OutOfMemory => "the hypervisor's heap is exhausted",
            Self::NotMapped => {
                "its bus does not reach the CPU's addresses (property ranges); \
                 correct the device tree"
            }
            Self::BadInterrupt => "an interrupt is not one the GIC has; correct the device tree",
            Self::NoMemory => {
                "no RAM: no enabled memory node with a size; check what the boot loader fills in"
            }
            Self::NoKernel => {
                "no kernel for dom0: the boot loader must put a node with compatible \
                 \"multiboot,kernel\", \"multiboot,module\" under /chosen (QEMU: \
                 -device guest-loader,addr=...,kernel=...)"
            }
            Self::Dom0less => "domains in the device tree are not started; create them from dom0",
            Self::UnusedModule => "boot module of an unused kind; left out",
            Self::NoCpus => "no usable CPU node; correct the device tree",
            Self::UnknownEnableMethod => "enable-method is neither psci nor spin-table; this CPU stays off",
            Self::NoPsci => "CPUs are started by PSCI, but no PSCI node exists; one CPU is used",
            Self::NoGic => {
                "no GICv2 or GICv3 found (compatible arm,gic-400, arm,cortex-a15-gic, \
                 arm,cortex-a7-gic or arm,gic-v3)"
            }
            Self::GicNotVirtual => {
                "the GIC has no virtualisation interface; on QEMU use \
                 -machine virt,virtualization=on"
            }
            Self::NoTimer => "no timer found (compatible arm,armv8-timer)",
            Self::NoStdout => "no serial console: set stdout-path in /chosen, or give dtuart=",
            Self::NoSuchUart => "the console's path leads to no node; check dtuart= or stdout-path",
            Self::UnknownUart => "no driver for this UART; use another one with dtuart=",
            Self::NoFreePpi => "no free private interrupt (PPI) for dom0's events",
        };
        f.write_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_names_the_node_the_problem_and_the_cure() {
        let tree = Tree::parse(crate::testing::VIRT_GIC3).unwrap();
        let fault = Fault {
            node: tree.find("/memory@40000000"),
            problem: Problem::BadLength { property: "reg", len: 12, unit: 16 },
        };
        assert_eq!(
            tree.explain(&fault).to_string(),
            "device tree node /memory@40000000: property reg has 12 bytes, which is no multiple \
             of 16; correct it, or #address-cells and #size-cells of the parent"
        );
        let fault = Fault::general(Problem::NoMemory);
        assert!(tree.explain(&fault).to_string().starts_with("no RAM: "));
    }

    #[test]
    fn faults_are_small() {
        assert!(size_of::<Fault>() <= 48);
    }

    #[test]
    fn overlap_names_both_sides() {
        let problem = Problem::Overlap {
            a: Item::Kernel,
            a_range: Range::new(0x4000_0000, 0x1000).unwrap(),
            b: Item::Hypervisor,
            b_range: Range::new(0x4000_0800, 0x1000).unwrap(),
        };
        assert_eq!(
            problem.to_string(),
            "dom0's kernel at 0x40000000-0x40000fff overlaps the hypervisor at \
             0x40000800-0x400017ff; load them elsewhere"
        );
    }
}
