//! What domains do with their guest frames: fill, empty, look up.

use super::frames::Use;
use super::p2m::{Entry, Kind, MapError, P2m, Removed};
use super::page::{HeldPage, PageGuard};
use crate::Hypervisor;
use crate::domain::{Domain, DomainMemory};
use hal::{Gfn, Mfn};
use xen_abi::Errno;

impl From<MapError> for Errno {
    fn from(e: MapError) -> Self {
        match e {
            MapError::BadGfn => Errno::EINVAL,
            MapError::Occupied => Errno::EBUSY,
            MapError::NoTables => Errno::ENOMEM,
        }
    }
}

impl Domain {
    /// What a guest frame maps to.
    #[inline]
    pub fn lookup(&self, hv: &Hypervisor, gfn: Gfn) -> Option<Entry> {
        self.memory.lock().p2m.lookup(hv, gfn)
    }

    /// A reference to the domain's own memory at `gfn`.
    #[inline]
    pub fn guest_page<'a>(&self, hv: &'a Hypervisor, gfn: Gfn) -> Option<PageGuard<'a>> {
        let entry = self.lookup(hv, gfn)?;
        if entry.kind != Kind::Ram {
            return None;
        }
        PageGuard::get(hv, entry.mfn, self.id)
    }

    /// Runs `f` on the domain's map, unless the domain is being torn down.
    fn with_map<R>(&self, f: impl FnOnce(&mut DomainMemory) -> Result<R, Errno>) -> Result<R, Errno> {
        let mut memory = self.memory.lock();
        // The teardown marks the domain first and then takes this lock.
        if self.is_dying() { Err(Errno::EINVAL) } else { f(&mut memory) }
    }

    /// Takes a page out of the map, with its translations; false when there was none.
    fn empty(&self, hv: &Hypervisor, memory: &mut DomainMemory, gfn: Gfn) -> Result<bool, Errno> {
        match memory.p2m.remove(hv, &mut memory.pool, gfn)? {
            Some(removed) => {
                self.let_go(hv, removed);
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Gives up the reference of a mapping that was taken out. A direct-mapped domain keeps its
    /// memory: no other frame could ever stand at that guest frame.
    fn let_go(&self, hv: &Hypervisor, removed: Removed) {
        if self.direct_mapped && removed.kind == Kind::Ram {
            removed.park();
        } else {
            removed.release(hv);
        }
    }

    /// Puts a page at `gfn`, in place of what was there. On an error the page is released.
    ///
    /// # Errors
    /// EINVAL for a guest frame out of range or a dying domain, ENOMEM without table pages.
    pub fn place_page(&self, hv: &Hypervisor, gfn: Gfn, page: HeldPage, kind: Kind) -> Result<(), Errno> {
        let mut page = Some(page);
        let placed = self.with_map(|memory| {
            self.empty(hv, memory, gfn)?;
            let Some(held) = page.take() else { return Ok(()) };
            memory.p2m.insert_page(hv, &mut memory.pool, gfn, held, kind).map_err(|(e, held)| {
                page = Some(held);
                Errno::from(e)
            })
        });
        if let Some(held) = page {
            held.release(hv);
        }
        placed
    }

    /// Maps a grant at `gfn`, in place of what was there.
    ///
    /// # Errors
    /// As [`place_page`](Self::place_page).
    #[inline]
    pub fn place_grant(&self, hv: &Hypervisor, gfn: Gfn, mfn: Mfn, read_only: bool) -> Result<(), Errno> {
        self.with_map(|memory| match memory.p2m.insert_grant(hv, &mut memory.pool, gfn, mfn, read_only) {
            Err(MapError::Occupied) => {
                self.empty(hv, memory, gfn)?;
                Ok(memory.p2m.insert_grant(hv, &mut memory.pool, gfn, mfn, read_only)?)
            }
            result => Ok(result?),
        })
    }

    /// Takes out grant mappings, each of a machine frame at a guest frame; one that is not there (any more) is passed
    /// over. No translation of them is left; up to `N` are flushed at once. Works on a dying domain too.
    #[inline]
    pub fn remove_grants<const N: usize>(
        &self,
        hv: &Hypervisor,
        grants: impl IntoIterator<Item = (Gfn, Mfn)>,
    ) {
        let mut memory = self.memory.lock();
        let memory = &mut *memory;
        let is_there = |mfn, found: Option<Entry>| {
            Ok(found.is_some_and(|e| e.mfn == mfn && matches!(e.kind, Kind::Grant | Kind::GrantRo)))
        };
        // A grant is always mapped as a page of its own: no block has to be split, and nothing can fail.
        let cleared = memory
            .p2m
            .clear_pages::<N, _>(hv, &mut memory.pool, grants, is_there, |removed| removed.release(hv));
        debug_assert!(cleared.is_ok());
    }

    /// Maps `count` frames of a device's registers from `gfn` on, in place of what was there. On an error
    /// none of them is mapped.
    ///
    /// # Errors
    /// EINVAL for guest frames out of range or a dying domain, ENOMEM without table pages.
    pub fn map_registers(&self, hv: &Hypervisor, gfn: Gfn, mfn: Mfn, count: u64) -> Result<(), Errno> {
        self.with_map(|memory| {
            for i in 0..count {
                let placed = self.empty(hv, memory, gfn.plus(i)).and_then(|_| {
                    let (gfn, mfn) = (gfn.plus(i), mfn.plus(i));
                    Ok(memory.p2m.insert_range(hv, &mut memory.pool, gfn, mfn, 1, Kind::Mmio)?)
                });
                if let Err(e) = placed {
                    for done in 0..i {
                        self.empty(hv, memory, gfn.plus(done))?;
                    }
                    return Err(e);
                }
            }
            Ok(())
        })
    }

    /// Takes `count` frames of registers out of the map; where nothing is, nothing is done.
    ///
    /// # Errors
    /// EILSEQ when something else is mapped there, and nothing is changed; ENOMEM when a block cannot be
    /// split; EINVAL for a dying domain.
    pub fn unmap_registers(&self, hv: &Hypervisor, gfn: Gfn, mfn: Mfn, count: u64) -> Result<(), Errno> {
        self.with_map(|memory| {
            for i in 0..count {
                let found = memory.p2m.lookup(hv, gfn.plus(i));
                if found.is_some_and(|entry| entry.kind != Kind::Mmio || entry.mfn != mfn.plus(i)) {
                    return Err(Errno::EILSEQ);
                }
            }
            (0..count).try_for_each(|i| self.empty(hv, memory, gfn.plus(i)).map(drop))
        })
    }

    /// Fills 2^`order` guest frames from `gfn` with new memory (for a direct-mapped domain: with the
    /// frames of the same numbers).
    ///
    /// # Errors
    /// EINVAL for guest frames out of range, EBUSY where something is mapped, ENOMEM when the domain
    /// is at its limit, the machine has no memory, or the table pool is empty.
    pub fn populate(&self, hv: &Hypervisor, gfn: Gfn, order: u32) -> Result<(), Errno> {
        let count = 1u64 << order;
        if !gfn.is_aligned(order) || gfn.checked_add(count).is_none_or(|end| end > P2m::limit()) {
            return Err(Errno::EINVAL);
        }
        if self.direct_mapped {
            return self.populate_direct(hv, gfn, count);
        }
        if !self.charge(count as u32) {
            return Err(Errno::ENOMEM);
        }
        let Some(mfn) = hv.frames.alloc_claimed(hv.machine, order, self.id, Use::Memory, Some(&self.claim))
        else {
            self.uncharge(count as u32);
            return Err(Errno::ENOMEM);
        };
        let inserted = self.with_map(|memory| {
            if order == 0 {
                self.empty(hv, memory, gfn)?;
            }
            Ok(memory.p2m.insert_ram(hv, &mut memory.pool, gfn, mfn, order)?)
        });
        if inserted.is_err() {
            for i in 0..count {
                HeldPage::from_allocation(mfn.plus(i)).release(hv);
            }
        }
        inserted
    }

    /// Fills single guest frames with new memory, as [`populate`](Self::populate) does; returns how many were filled,
    /// from the first on.
    #[inline]
    pub fn populate_pages(&self, hv: &Hypervisor, gfns: impl IntoIterator<Item = Gfn>) -> u64 {
        let mut done = 0;
        if !self.direct_mapped {
            for gfn in gfns {
                if self.populate(hv, gfn, 0).is_err() {
                    break;
                }
                done += 1;
            }
            return done;
        }
        // The count says how far it came.
        let _ = self.with_map(|memory| {
            for gfn in gfns {
                self.take_again(hv, memory, gfn)?;
                done += 1;
            }
            Ok(())
        });
        done
    }

    /// Maps frames again that the domain gave up and that were kept for it.
    fn populate_direct(&self, hv: &Hypervisor, gfn: Gfn, count: u64) -> Result<(), Errno> {
        self.with_map(|memory| (0..count).try_for_each(|i| self.take_again(hv, memory, gfn.plus(i))))
    }

    /// Maps one such frame.
    #[inline]
    fn take_again(&self, hv: &Hypervisor, memory: &mut DomainMemory, gfn: Gfn) -> Result<(), Errno> {
        let page = HeldPage::unpark(hv, Mfn(gfn.0), self.id).ok_or(Errno::ENOMEM)?;
        match memory.p2m.insert_page(hv, &mut memory.pool, gfn, page, Kind::Ram) {
            Ok(()) => Ok(()),
            Err((MapError::Occupied, page)) => {
                page.park();
                self.take_place(hv, memory, gfn)
            }
            Err((e, page)) => {
                page.park();
                Err(e.into())
            }
        }
    }

    /// Maps one such frame where something else is mapped.
    #[cold]
    #[inline(never)]
    fn take_place(&self, hv: &Hypervisor, memory: &mut DomainMemory, gfn: Gfn) -> Result<(), Errno> {
        if memory.p2m.lookup(hv, gfn).is_some_and(|entry| entry.kind == Kind::Ram) {
            return Err(Errno::EBUSY);
        }
        self.empty(hv, memory, gfn)?;
        let page = HeldPage::unpark(hv, Mfn(gfn.0), self.id).ok_or(Errno::ENOMEM)?;
        memory.p2m.insert_page(hv, &mut memory.pool, gfn, page, Kind::Ram).map_err(|(e, page)| {
            page.park();
            e.into()
        })
    }

    /// Gives up the domain's own memory at each of the guest frames, until one has none, or a block cannot be split;
    /// returns how many were given up, from the first on. Up to `N` are flushed at once.
    #[inline]
    pub fn give_up_pages<const N: usize>(&self, hv: &Hypervisor, gfns: impl IntoIterator<Item = Gfn>) -> u64 {
        let mut done = 0;
        let is_memory = |(), found: Option<Entry>| match found {
            Some(Entry { kind: Kind::Ram, .. }) => Ok(true),
            _ => Err(Errno::EINVAL),
        };
        let gfns = gfns.into_iter().map(|gfn| (gfn, ()));
        // The count says how far it came.
        let _ = self.with_map(|memory| {
            memory.p2m.clear_pages::<N, _>(hv, &mut memory.pool, gfns, is_memory, |removed| {
                self.let_go(hv, removed);
                done += 1;
            })
        });
        done
    }

    /// Empties a guest frame, whatever is there.
    ///
    /// # Errors
    /// ENOENT when nothing is there or it is a grant mapping, ENOMEM when a block cannot be split,
    /// EINVAL for a dying domain.
    pub fn clear_gfn(&self, hv: &Hypervisor, gfn: Gfn) -> Result<(), Errno> {
        self.with_map(|memory| match memory.p2m.lookup(hv, gfn) {
            None | Some(Entry { kind: Kind::Grant | Kind::GrantRo, .. }) => Err(Errno::ENOENT),
            Some(_) => self.empty(hv, memory, gfn).map(|_| ()),
        })
    }
}
