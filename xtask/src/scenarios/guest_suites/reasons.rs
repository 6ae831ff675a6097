//! Why our hypervisor gives another value than Xen 4.17: each a decision.

use super::table::Row;

/// A decision, and the tests that show it.
#[derive(Debug)]
pub struct Reason {
    suite: &'static str,
    /// How the tests' names begin.
    names: &'static [&'static str],
    /// What was decided.
    pub text: &'static str,
}

impl Reason {
    /// Whether it explains a row.
    pub fn is_for(&self, row: &Row) -> bool {
        self.suite == row.suite && self.names.iter().any(|name| row.name.starts_with(name))
    }
}

const fn reason(suite: &'static str, names: &'static [&'static str], text: &'static str) -> Reason {
    Reason { suite, names, text }
}

/// All of them; the first that fits counts.
pub const REASONS: &[Reason] = &[
    reason(
        "hypercalls",
        &["number-12"],
        "an argument that cannot be read is EFAULT, not \"no extent was done\"",
    ),
    reason("hypercalls", &["version-10"], "there is no build id, for anybody"),
    reason("hypercalls", &["param-callback"], "the parameter says from the start what the device tree says"),
    reason("hypercalls", &["param-"], "an unknown parameter is refused before the domain is looked up"),
    reason("hypercalls", &["remote-shutdown", "domctl-0"], "rights come before the domain is looked up"),
    reason("hypercalls", &["platform-"], "rights come before the interface's version"),
    reason(
        "memory",
        &["command-0", "command-1", "command-6", "of-domain", "frames-nowhere"],
        "an error is an error number, not a count of extents; an extent's frame that cannot be read is one not done",
    ),
    reason("memory", &["command-16", "command-17"], "populate-on-demand answers without rights, as on x86"),
    reason("memory", &["command-", "add-3-"], "not there for anybody: ENOSYS"),
    reason(
        "memory",
        &["decreased-read", "removed-ram-read"],
        "an address with nothing behind it is an external abort, Xen's an address size fault",
    ),
    reason(
        "memory",
        &["populated-read"],
        "a page is zeroed before a domain gets it, even one that it had before",
    ),
    reason(
        "memory",
        &["populate-0x10000000", "remove-0x10000000", "add-shared-info-", "highest-"],
        "no frames are mapped behind the highest RAM of a guest's address space",
    ),
    reason(
        "memory",
        &["populate-over", "populate-block", "populate-rest", "current-"],
        "a block is populated into holes only, and a page that is replaced goes back; Xen replaces all, and the old pages stay with the domain, out of reach",
    ),
    reason("memory", &["populate-unaligned"], "an extent is aligned to its size"),
    reason(
        "memory",
        &["add-0-0x0", "add-grant-frame-twice", "batch-0", "batch-1"],
        "the shared page and frames of the grant table may be mapped at several places",
    ),
    reason(
        "memory",
        &["add-over-ram", "removed-ram-pages", "decrease-removed"],
        "RAM that loses its place goes back to the hypervisor; Xen keeps it, out of reach, until the domain ends",
    ),
    reason(
        "grants",
        &["command-4", "transfer"],
        "each transfer is refused by its status; Xen refuses the operation",
    ),
    reason("grants", &["command-10"], "an operation on nothing is refused before memory is read"),
    reason("grants", &["unmap-other-address"], "a handle is unmapped only where it is mapped"),
    reason(
        "grants",
        &["map-table-frame", "unmap-table-frame", "copy-table-frame"],
        "only RAM can be granted, not the table itself",
    ),
    reason(
        "grants",
        &["map-far-address", "unmap-far-address"],
        "an address beyond the guest's address space is refused; Xen cuts it off",
    ),
    reason(
        "traps",
        &["read-id_aa64pfr0_el1", "read-id_pfr1_el1"],
        "no AArch32 guests, so no AArch32 at EL1 and EL0",
    ),
    reason(
        "traps",
        &["read-id_aa64dfr0_el1", "read-id_dfr0_el1"],
        "no performance monitors are shown, as they are not there",
    ),
    reason(
        "traps",
        &["read-mdccint", "write-mdccint", "read-pmevcntr0", "read-pmccfiltr"],
        "debug channel and counters read as zero and ignore writes, all of them",
    ),
    reason("traps", &["write-S3_0_C12_C11_"], "group 0 and other-state SGIs are ignored, not undefined"),
    reason("traps", &["hvc-1", "hvc-e", "hvc-ffff"], "an HVC that is refused changes no register"),
    reason(
        "traps",
        &["hvc-0-", "arch-features", "hypervisor-uid"],
        "the SMC calling convention is answered as its specification says: unknown is -1, the hypervisor's UID is told",
    ),
    reason(
        "traps",
        &["post-indexed", "unaligned"],
        "device accesses are not decoded from memory: what the CPU does not describe is an abort",
    ),
    reason(
        "traps",
        &["address-", "pair-", "exclusive", "byte-", "half-", "double-", "zeroed-line", "fetched-"],
        "an external abort, with the write bit; Xen says address size fault",
    ),
    reason(
        "vgic",
        &["gicd-0x0", "gicd-write-0x0"],
        "one security state (DS), and both groups can be enabled",
    ),
    reason(
        "vgic",
        &[
            "gicd-0x284",
            "gicr-0-0x40",
            "gicr-0-0xa0",
            "gicr-0-0xb0",
            "gicr-0-0xc0",
            "gicr-1-0x40",
            "gicr-1-0xa0",
            "gicr-1-0xb0",
            "gicr-1-0xc0",
            "gicr-write-",
        ],
        "registers without a function read as zero and ignore writes",
    ),
    reason(
        "vgic",
        &["gicd-typer-widths", "gicd-enable-widths", "gicd-priority-widths", "gicd-router-widths", "gicr-2"],
        "an external abort; Xen says address size fault",
    ),
    reason(
        "vgic",
        &["gicr-", "private-write"],
        "groups, SGIs' enabling, priorities of five bits and fixed configurations as the GIC specification says",
    ),
    reason("vgic", &["gicd-write-0xc04"], "SGIs' and PPIs' configuration is fixed"),
    reason(
        "vgic",
        &["sgis-pending", "sgi-to-vcpu", "acknowledged", "sent-while-active", "set-active"],
        "pending and active state can be read and set; Xen reads zero and refuses",
    ),
    reason(
        "timers",
        &["control-ones", "status-future"],
        "the control register has three bits, and its status is that of the comparison",
    ),
    reason("timers", &["masked-virtual-pending"], "pending state can be read"),
    reason("timers", &["physical-stopped"], "a timer's interrupt that is no longer due is not delivered"),
    reason("power", &["affinity-0x100000000"], "a 32-bit call has 32-bit arguments"),
    reason("power", &["on-0x100000001"], "all affinity levels count"),
];
