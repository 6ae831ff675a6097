//! Interrupt controller of a guest: GICv2 (IHI 0048B) or GICv3 (IHI 0069) with affinity routing and one security state.
//!
//! [`Vgic`] is one domain's controller. It is told of register accesses ([`Vgic::read`], [`Vgic::write`],
//! [`Vgic::send_sgi`]), of input lines ([`Vgic::set_level`], [`Vgic::pulse`], [`Vgic::inject_hw`]), and fills the list
//! registers of a vCPU ([`Vgic::refresh`]). It answers with vCPUs to kick and physical interrupts to adjust.
//!
//! # When the core calls what
//!
//! * Last thing before entering the guest, interrupts masked: `if vgic.has_work(v) { refresh }`. Nothing else is needed
//!   on an exit: list registers stay in the hardware while the vCPU stays on its CPU.
//! * The same in short, tried first: [`Vgic::refresh_single`]; and [`Vgic::inject_hw_ppi_now`] when the vCPU's own timer
//!   interrupts it. Both answer with a value for list register 0, or leave all as it was.
//! * Maintenance interrupt: [`Vgic::request_refresh`], and the entry path does the rest.
//! * Register access: if [`Vgic::needs_sync`], read back the list registers and call [`Vgic::sync`] first, and kick
//!   [`Vgic::stale_owners`]; then `read` or `write`.
//! * WFI: read back, `refresh`, then block unless [`Vgic::pending_unmasked`]. A kick unblocks; ask again. For PSCI
//!   CPU_SUSPEND pass no view: a guest disables its CPU interface before it suspends and is woken all the same.
//! * Switching a vCPU out: read back and [`Vgic::sync`], or an interrupt that the guest has ended counts as in flight.
//! * Switching a vCPU in: set the physical active state of [`Vgic::hw_ppis_in_flight`] on this CPU, clear it for the
//!   other PPIs that are handed to guests; clear it for all of them when switching out.
//! * vCPU goes offline or online: [`Vgic::vcpu_off`], [`Vgic::vcpu_on`].
//!
//! # Kinds of input
//!
//! * *Level*, reported both ways (timer, UART): shown while high; the list register asks for maintenance as long as it
//!   is high, so that it is shown again after the guest's deactivation.
//! * *Sampled* (event channel): the rise is reported, the fall is a store to guest memory that nobody sees. Each
//!   report counts as an edge, which costs no maintenance interrupt; when the interrupt is found deactivated the core
//!   is asked for the level, and a level still high is presented again.
//! * *Edge*: latched until acknowledged; one more is remembered while active.
//! * *Hardware*: the physical interrupt stays active until the guest deactivates its own, in hardware.
//!
//! # Locks and order
//!
//! A vCPU's bank, then a block of SPIs, then the set of online vCPUs; never two of a kind. Posting to another vCPU takes
//! no lock (`bank.rs`). The callbacks given to `refresh` and `sync` run under the bank's lock and must not call back.
//!
//! # Limits
//!
//! No LPIs, no extended ranges, no message-based SPIs. GICD_TYPER says so. WAKER reads as zero: never asleep.

mod again;
mod bank;
#[cfg(test)]
mod bank_loom;
mod bits;
mod block;
mod cpu_interface;
mod dist;
mod effects;
mod lines;
mod lr;
mod overflow;
mod power;
mod redist;
mod refresh;
mod registers;
mod sgi;
mod single;
mod spi;
#[cfg(test)]
mod tests;

/// The atomics of the mailboxes; loom's stand in their place in its tests.
mod sync {
    pub(super) use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
}

pub use cpu_interface::{CpuInterface, CpuView, MAX_LRS, hcr};
pub use effects::{Effects, HwAction, HwBatch};
pub use lines::{AssignError, Line};
pub use lr::{Link, Lr};
pub use refresh::Sample;
pub use sgi::SgiKind;

use crate::VcpuSet;
use crate::exit::AccessSize;
use crate::vcpu_set::MAX_VCPUS;
use alloc::boxed::Box;
use alloc::vec::Vec;
use bank::Bank;
use bits::{bit, bits};
use block::Block;
use core::sync::atomic::{AtomicU32, Ordering};
use lock::Mutex;
use spi::SpiBlock;

/// Interrupts of one block, and number of a vCPU's private interrupts.
const BLOCK: u32 = 32;
/// Most SPIs: INTIDs 32 to 991.
pub const MAX_SPIS: usize = 960;
/// Most vCPUs with version 2.
pub const MAX_VCPUS_V2: usize = 8;
/// Bytes of one vCPU's redistributor: two frames of 64 KiB.
pub const REDIST_STRIDE: u64 = 0x2_0000;
/// Most separate ranges of redistributors.
pub const MAX_REDIST_REGIONS: usize = 4;

/// Version of the interrupt controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// GICv2.
    V2,
    /// GICv3.
    V3,
}

/// A range of redistributors, one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RedistRegion {
    /// Guest physical address.
    pub base: u64,
    /// Number of vCPUs whose redistributors are here.
    pub nr_vcpus: usize,
}

/// A private interrupt that hardware raises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HwPpi {
    /// Number that the guest sees, 16 to 31.
    pub intid: u32,
    /// Physical number.
    pub phys: u16,
}

/// What a domain's controller looks like.
#[derive(Clone, Copy, Debug)]
pub struct Config<'a> {
    /// Version.
    pub version: Version,
    /// Number of vCPUs.
    pub nr_vcpus: usize,
    /// Number of SPIs, a multiple of 32.
    pub nr_spis: usize,
    /// Guest physical address of the distributor: 4 KiB with version 2, 64 KiB with version 3.
    pub dist_base: u64,
    /// Redistributors, version 3 only; together for all vCPUs.
    pub redists: &'a [RedistRegion],
    /// Private interrupts that hardware raises (the virtual timer).
    pub hw_ppis: &'a [HwPpi],
    /// Private interrupts whose fall is not reported (the event channel).
    pub sampled_ppis: &'a [u32],
}

/// Why a controller was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// No vCPU, or more than the version allows.
    Vcpus,
    /// Not a multiple of 32, or more than 960.
    Spis,
    /// Redistributors for fewer vCPUs than there are, too many regions, or a range beyond the address space.
    Redists,
    /// Not a private peripheral interrupt.
    Ppi,
    /// Out of memory.
    NoMemory,
}

/// Which registers an address belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Region {
    /// GICD.
    Dist,
    /// GICR of a vCPU.
    Redist {
        /// The vCPU whose redistributor it is.
        vcpu: usize,
    },
}

/// The access is answered with an external abort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abort;

/// One domain's interrupt controller.
#[derive(Debug)]
pub struct Vgic {
    version: Version,
    nr_vcpus: usize,
    dist_base: u64,
    dist_size: u64,
    typer: u32,
    /// Group enables of GICD_CTLR.
    ctlr: AtomicU32,
    redists: [RedistRegion; MAX_REDIST_REGIONS],
    hw_ppis: u32,
    sampled_ppis: u32,
    ppi_phys: [u16; BLOCK as usize],
    banks: Box<[Bank]>,
    spis: Box<[Mutex<SpiBlock, 7>]>,
    online: Mutex<VcpuSet, 8>,
}

impl Vgic {
    /// A controller in reset state with all vCPUs offline.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn new(config: &Config<'_>) -> Result<Self, ConfigError> {
        let most = match config.version {
            Version::V2 => MAX_VCPUS_V2,
            Version::V3 => MAX_VCPUS,
        };
        if config.nr_vcpus == 0 || config.nr_vcpus > most {
            return Err(ConfigError::Vcpus);
        }
        if config.nr_spis > MAX_SPIS || !config.nr_spis.is_multiple_of(BLOCK as usize) {
            return Err(ConfigError::Spis);
        }
        let nr_blocks = config.nr_spis >> 5;
        let redists = redist_table(config)?;

        let (mut hw_ppis, mut sampled_ppis) = (0, 0);
        let mut ppi_phys = [0; BLOCK as usize];
        for ppi in config.hw_ppis {
            hw_ppis |= ppi_bit(ppi.intid)?;
            if let Some(phys) = ppi_phys.get_mut(ppi.intid as usize) {
                *phys = ppi.phys;
            }
        }
        for &intid in config.sampled_ppis {
            sampled_ppis |= ppi_bit(intid)?;
        }

        let group1 = match config.version {
            Version::V2 => 0,
            Version::V3 => u32::MAX,
        };
        let mut banks = Vec::new();
        banks.try_reserve_exact(config.nr_vcpus).map_err(|_| ConfigError::NoMemory)?;
        banks.extend((0..config.nr_vcpus).map(|_| Bank::new(Block::new(bank::SGIS, group1, sampled_ppis))));
        let mut spis = Vec::new();
        spis.try_reserve_exact(nr_blocks).map_err(|_| ConfigError::NoMemory)?;
        spis.extend((0..nr_blocks).map(|_| Mutex::new(SpiBlock::new(config.version))));

        Ok(Self {
            version: config.version,
            nr_vcpus: config.nr_vcpus,
            dist_base: config.dist_base,
            dist_size: match config.version {
                Version::V2 => 0x1000,
                Version::V3 => 0x1_0000,
            },
            typer: dist::typer(config.version, config.nr_vcpus, nr_blocks),
            ctlr: AtomicU32::new(0),
            redists,
            hw_ppis,
            sampled_ppis,
            ppi_phys,
            banks: banks.into_boxed_slice(),
            spis: spis.into_boxed_slice(),
            online: Mutex::new(VcpuSet::EMPTY),
        })
    }

    /// Version of the controller.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Number of SPIs.
    pub fn nr_spis(&self) -> usize {
        self.spis.len() << 5
    }

    /// The registers at a guest physical address, with the offset from their start.
    #[inline]
    pub fn locate(&self, gpa: u64) -> Option<(Region, u32)> {
        let offset = gpa.wrapping_sub(self.dist_base);
        if offset < self.dist_size {
            return Some((Region::Dist, offset as u32));
        }
        let mut first = 0usize;
        for region in &self.redists {
            let offset = gpa.wrapping_sub(region.base);
            let index = (offset >> 17) as usize;
            if index < region.nr_vcpus {
                let vcpu = first.wrapping_add(index);
                return Some((Region::Redist { vcpu }, offset as u32 & 0x1_ffff));
            }
            first = first.wrapping_add(region.nr_vcpus);
        }
        None
    }

    /// Guest reads a register. `vcpu` is the one that reads.
    ///
    /// # Errors
    /// [`Abort`] for a width or alignment that the register does not have.
    #[inline]
    pub fn read(&self, vcpu: usize, region: Region, offset: u32, size: AccessSize) -> Result<u64, Abort> {
        match region {
            Region::Dist => self.dist_read(vcpu, offset, size),
            Region::Redist { vcpu } => self.redist_read(vcpu, offset, size),
        }
    }

    /// Guest writes a register. `vcpu` is the one that writes.
    ///
    /// # Errors
    /// [`Abort`] for a width or alignment that the register does not have.
    #[inline]
    pub fn write(
        &self,
        vcpu: usize,
        region: Region,
        offset: u32,
        size: AccessSize,
        value: u64,
    ) -> Result<Effects, Abort> {
        match region {
            Region::Dist => self.dist_write(vcpu, offset, size, value),
            Region::Redist { vcpu } => self.redist_write(vcpu, offset, size, value),
        }
    }

    /// Whether the vCPU's list registers must be refreshed before it enters the guest: one load.
    #[inline]
    pub fn has_work(&self, vcpu: usize) -> bool {
        self.banks.get(vcpu).is_some_and(Bank::has_work)
    }

    /// Makes [`Vgic::has_work`] true: a maintenance interrupt came.
    #[inline]
    pub fn request_refresh(&self, vcpu: usize) {
        if let Some(bank) = self.banks.get(vcpu) {
            bank.set_work();
        }
    }

    #[inline]
    fn ctlr(&self) -> u32 {
        self.ctlr.load(Ordering::Acquire)
    }

    /// The vCPUs that exist.
    fn all_vcpus(&self) -> VcpuSet {
        VcpuSet::first(self.nr_vcpus)
    }

    /// The block and the position in it of an SPI.
    #[inline]
    fn spi(&self, intid: u32) -> Option<(&Mutex<SpiBlock, 7>, usize, u32)> {
        let index = (intid >> 5).checked_sub(1)? as usize;
        Some((self.spis.get(index)?, index, intid & 31))
    }

    /// Tells whoever has to know that some SPIs of a block changed.
    fn notify(&self, index: usize, block: &SpiBlock, changed: u32) -> VcpuSet {
        let mut kicks = VcpuSet::EMPTY;
        for n in bits(changed & block.common.candidates(self.ctlr())) {
            if let Some((vcpu, bank)) =
                block.target_of(n).and_then(|vcpu| Some((vcpu, self.banks.get(vcpu)?)))
            {
                bank.post_spi(index);
                kicks.insert(vcpu);
            }
        }
        for n in bits(changed & block.common.in_lr) {
            if let Some((vcpu, bank)) = block.owner_of(n).and_then(|vcpu| Some((vcpu, self.banks.get(vcpu)?)))
            {
                bank.set_work();
                kicks.insert(vcpu);
            }
        }
        kicks
    }

    /// Asks every vCPU to look at everything.
    fn notify_all(&self) -> VcpuSet {
        for bank in &self.banks {
            bank.keep_spi_hint(all_blocks(self.spis.len()));
            bank.set_work();
        }
        self.all_vcpus()
    }

    /// Physical number of a private interrupt.
    #[inline]
    fn phys_of_ppi(&self, n: u32) -> u16 {
        self.ppi_phys.get(n as usize).copied().unwrap_or(0)
    }
}

/// Several CPUs share it.
const _: () = {
    const fn is_shared<T: Send + Sync>() {}
    is_shared::<Vgic>();
};

/// A hint that names every block.
fn all_blocks(nr_blocks: usize) -> u32 {
    bit(nr_blocks as u32).wrapping_sub(1)
}

fn ppi_bit(intid: u32) -> Result<u32, ConfigError> {
    if (bank::NR_SGIS..BLOCK).contains(&intid) { Ok(bit(intid)) } else { Err(ConfigError::Ppi) }
}

fn redist_table(config: &Config<'_>) -> Result<[RedistRegion; MAX_REDIST_REGIONS], ConfigError> {
    let mut table = [RedistRegion::default(); MAX_REDIST_REGIONS];
    if config.version == Version::V2 {
        return Ok(table);
    }
    if config.redists.len() > MAX_REDIST_REGIONS {
        return Err(ConfigError::Redists);
    }
    // Frames beyond the last vCPU do not exist: an access there is not the controller's.
    let mut left = config.nr_vcpus;
    for (entry, region) in table.iter_mut().zip(config.redists) {
        let nr_vcpus = region.nr_vcpus.min(left);
        let bytes = (nr_vcpus as u64).saturating_mul(REDIST_STRIDE);
        if region.base.checked_add(bytes).is_none() {
            return Err(ConfigError::Redists);
        }
        *entry = RedistRegion { base: region.base, nr_vcpus };
        left = left.saturating_sub(nr_vcpus);
    }
    if left == 0 { Ok(table) } else { Err(ConfigError::Redists) }
}
