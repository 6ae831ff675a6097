//! The plan: [`plan`].
use std::num::NonZeroU32;

use xen_abi::arch_arm::{
    GUEST_MAGIC_BASE, PSR_GUEST64_INIT, SCTLR_GUEST_INIT, VGCF_online, VcpuGuestContext,
};
use zerocopy::FromZeros;

use crate::device_tree::{Gic, Tree};
use crate::error::BuildError;
use crate::kernel::{Kernel, KernelFile};
use crate::layout::{TREE_ROOM, place};
use crate::memory::{Bank, banks};

/// What a guest is to be.
#[derive(Clone, Copy, Debug)]
pub struct Guest<'a> {
    /// The kernel file: an arm64 Image, plain or in gzip, zstd or an EFI zboot image.
    pub kernel: KernelFile<'a>,
    /// Bytes of the RAM disk file.
    pub ramdisk: Option<u64>,
    /// The kernel's command line.
    pub cmdline: Option<&'a str>,
    /// Memory at the start, in bytes.
    pub memory: u64,
    /// vCPUs, those included that start later.
    pub vcpus: u32,
    /// The interrupt controller that the hypervisor made the domain with.
    pub gic: Gic,
    /// It has the hypervisor's serial port.
    pub vuart: bool,
    /// Xen's version, major and minor.
    pub xen_version: (u32, u32),
    /// Bits of its physical addresses (`gpaddr_bits` of XEN_DOMCTL_getdomaininfo).
    pub address_bits: u8,
    /// Frequency of its timer in Hz, when the firmware does not set the register for it
    /// (`clock_frequency` of XEN_DOMCTL_createdomain).
    pub timer_hz: Option<NonZeroU32>,
    /// Random bytes, from which the kernel seeds its own.
    pub rng_seed: [u8; 128],
    /// The file of a partial device tree, of which `/passthrough` and `/aliases` are copied.
    pub partial_tree: Option<&'a [u8]>,
}

/// Where a segment's bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Here.
    Bytes(Vec<u8>),
    /// They are the kernel file, which is not packed.
    KernelFile,
    /// They are the RAM disk file.
    RamDisk,
}

/// Bytes, and where they go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// For messages.
    pub what: &'static str,
    /// Address in the guest, in bytes; on a page's boundary.
    pub address: u64,
    /// How many there are.
    pub len: u64,
    /// What to write there.
    pub content: Content,
}

/// Frames outside RAM that the guest shares with others; each is to be populated with a page of zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MagicPages {
    /// Ring of the console (HVM_PARAM_CONSOLE_PFN).
    pub console: u64,
    /// Ring of xenstore (HVM_PARAM_STORE_PFN).
    pub xenstore: u64,
    /// Ring of memory events (HVM_PARAM_MONITOR_RING_PFN).
    pub monitor: u64,
    /// Ring of the hypervisor's serial port.
    pub vuart: u64,
}

/// How to build a guest.
#[derive(Clone, Debug)]
pub struct Plan {
    /// RAM to populate.
    pub banks: [Bank; 2],
    /// Pages beside it.
    pub magic: MagicPages,
    /// What to write.
    pub segments: Vec<Segment>,
    /// State of vCPU 0, for XEN_DOMCTL_setvcpucontext.
    pub vcpu0: VcpuGuestContext,
}

/// Plans a guest, or says why it cannot be.
pub fn plan(guest: &Guest<'_>) -> Result<Plan, BuildError> {
    guest.gic.check_vcpus(guest.vcpus)?;
    let banks = banks(guest.memory, guest.address_bits)?;
    let [first, _] = banks;
    let kernel = Kernel::read(guest.kernel, first.size)?;
    let ramdisk = guest.ramdisk.filter(|&len| len > 0);
    let layout = place(first, &kernel.header, ramdisk.unwrap_or(0))?;
    // Inside the bank, as `place` has found.
    let ramdisk_range = ramdisk.map(|len| layout.ramdisk..layout.ramdisk + len);
    let tree = Tree { guest, banks, ramdisk: ramdisk_range }.build()?;
    if tree.len() as u64 > TREE_ROOM {
        return Err(BuildError::TreeTooLarge { bytes: tree.len(), most: TREE_ROOM });
    }
    let image = kernel.unpacked.map_or(Content::KernelFile, Content::Bytes);
    let mut segments = vec![
        Segment { what: "kernel", address: layout.kernel, len: kernel.len, content: image },
        Segment {
            what: "device tree",
            address: layout.tree,
            len: tree.len() as u64,
            content: Content::Bytes(tree),
        },
    ];
    segments.extend(ramdisk.map(|len| Segment {
        what: "RAM disk",
        address: layout.ramdisk,
        len,
        content: Content::RamDisk,
    }));
    Ok(Plan { banks, magic: MAGIC_PAGES, segments, vcpu0: start(layout.kernel, layout.tree) })
}

/// Frames in the order of libxenguest.
const MAGIC_PAGES: MagicPages = {
    let first = GUEST_MAGIC_BASE >> 12;
    MagicPages { console: first, xenstore: first + 1, monitor: first + 2, vuart: first + 3 }
};

/// A vCPU that enters the kernel by Linux' boot protocol: x0 has the device tree, x1 to x3 are zero.
fn start(entry: u64, tree: u64) -> VcpuGuestContext {
    let mut context = VcpuGuestContext::new_zeroed();
    context.flags = VGCF_online;
    context.user_regs.pc64 = entry;
    context.user_regs.x[0] = tree;
    context.user_regs.cpsr = PSR_GUEST64_INIT;
    context.sctlr = SCTLR_GUEST_INIT;
    context
}

#[cfg(test)]
mod tests;
