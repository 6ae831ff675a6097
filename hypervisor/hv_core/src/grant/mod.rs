//! Grant tables (grant_table.h, version 1): a domain lets others reach single pages.
//!
//! [`table`](self::table) has the granting side: the shared entries and who uses them.
//! `maptrack` has the mapping side: a handle for each mapping made. A mapping holds a reference to
//! the page, so that the page outlives its owner's wish to have it back.
//!
//! Locks: a domain's table lock is taken before its memory lock; the maptrack lock is taken alone.

mod copy;
#[cfg(any(test, feature = "testkit"))]
mod inspect;
mod map;
mod maptrack;
mod ops;
mod peer;
mod table;

#[cfg(any(test, feature = "testkit"))]
pub(crate) use inspect::InspectedMapping;
pub use ops::grant_table_op;

use crate::Hypervisor;
use crate::domain::Domain;
use crate::memory::PageGuard;
use core::fmt;
use hal::Gfn;
use lock::Mutex;
use map::Ended;
use maptrack::Maptrack;
use peer::Peers;
use table::Table;
use xen_abi::Errno;

/// Maptrack handles that a step of a teardown looks at under one hold of the lock: most may be free.
const HANDLES: usize = 64;

/// Why a grant operation failed: GNTST_* of grant_table.h, always negative.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct GrantError(i16);

/// A domain's grant tables.
#[derive(Debug)]
pub struct DomainGrants {
    table: Mutex<Table, 9>,
    maptrack: Mutex<Maptrack, 9>,
    max_frames: u32,
}

impl DomainGrants {
    /// Tables that may grow to `max_frames` pages of entries and `max_maptrack` pages of mappings.
    pub fn new(max_frames: u32, max_maptrack: u32) -> Self {
        Self {
            table: Mutex::new(Table::default()),
            maptrack: Mutex::new(Maptrack::new(max_maptrack)),
            max_frames,
        }
    }

    /// Pages of entries at most.
    pub fn max_frames(&self) -> u32 {
        self.max_frames
    }

    /// Page `index` of the shared entries; the table grows up to it.
    ///
    /// # Errors
    /// EINVAL beyond the limit, or for version 2's status pages; ENOMEM.
    pub fn frame<'a>(&self, hv: &'a Hypervisor, domain: &Domain, index: u64) -> Result<PageGuard<'a>, Errno> {
        if index >= u64::from(self.max_frames) {
            return Err(Errno::EINVAL);
        }
        let mut table = self.table.lock();
        // The teardown marks the domain before it takes the lock.
        if domain.is_dying() {
            return Err(Errno::EINVAL);
        }
        table.grow(hv, domain.id, index as usize + 1)?;
        let mfn = table.frame_mfn(index as usize).ok_or(Errno::EINVAL)?;
        PageGuard::get(hv, mfn, domain.id).ok_or(Errno::EINVAL)
    }

    /// The guest has page `index` at `gfn` now.
    pub(crate) fn placed(&self, index: u64, gfn: Gfn) {
        self.table.lock().set_place(index as usize, gfn);
    }

    /// One step of a teardown: unmaps what the domain mapped of others, then gives up its entries.
    /// True when nothing is left. The domain is dying.
    pub(crate) fn teardown(&self, hv: &Hypervisor, domain: &Domain, budget: u64) -> bool {
        let mut peers = Peers::new(hv, domain);
        for _ in 0..budget.div_ceil(map::TOGETHER as u64) {
            let mut ended = Ended::NONE;
            let mut more = true;
            {
                let mut maptrack = self.maptrack.lock();
                for _ in 0..HANDLES {
                    let last = maptrack.take_last();
                    more = last.is_some();
                    ended.add(last.flatten());
                    if !more || ended.is_full() {
                        break;
                    }
                }
            }
            ended.complete(hv, domain, &mut peers);
            if !more {
                let frames = self.table.lock().take_frames();
                for page in frames {
                    page.release(hv);
                }
                return true;
            }
        }
        false
    }

    /// Writes what is granted and mapped, for a debug key.
    pub(crate) fn dump(&self, _: &Hypervisor, domain: &Domain, out: &mut dyn fmt::Write) -> fmt::Result {
        let (frames, used) = self.table.lock().usage();
        let mapped = self.maptrack.lock().in_use();
        writeln!(
            out,
            "(XEN) d{}: {frames} of {} grant frames, {used} grants in use by others, {mapped} mappings of others' pages",
            domain.id, self.max_frames
        )
    }
}
