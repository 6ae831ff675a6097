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

/// Whether what was found is a mapping of a grant of `mfn`.
#[inline]
fn is_grant(found: Option<Entry>, mfn: Mfn) -> bool {
    found.is_some_and(|e| e.mfn == mfn && matches!(e.kind, Kind::Grant | Kind::GrantRo))
}

/// That what was found is the domain's own memory.
#[inline]
fn is_memory(found: Option<Entry>) -> Result<bool, Errno> {
    match found {
        Some(Entry { kind: Kind::Ram, .. }) => Ok(true),
        _ => Err(Errno::EINVAL),
    }
}

impl Domain {
    /// What a guest frame maps to.
    pub fn lookup(&self, hv: &Hypervisor, gfn: Gfn) -> Option<Entry> {
        self.memory.lock().p2m.lookup(hv, gfn)
    }

    /// A reference to the domain's own memory at `gfn`.
    #[inline(never)]
    pub fn guest_page<'a>(&self, hv: &'a Hypervisor, gfn: Gfn) -> Option<PageGuard<'a>> {
        self.guest_page_in_line(hv, gfn)
    }

    /// [`guest_page`](Self::guest_page), in line.
    #[inline(always)]
    pub(crate) fn guest_page_in_line<'a>(&self, hv: &'a Hypervisor, gfn: Gfn) -> Option<PageGuard<'a>> {
        let entry = self.memory.lock().p2m.lookup(hv, gfn)?;
        if entry.kind != Kind::Ram {
            return None;
        }
        PageGuard::get(hv, entry.mfn, self.id)
    }

    /// Runs `f` on the domain's map, unless the domain is being torn down.
    #[inline(always)]
    fn with_map<R>(&self, f: impl FnOnce(&mut DomainMemory) -> Result<R, Errno>) -> Result<R, Errno> {
        let mut memory = self.memory.lock();
        // The teardown marks the domain first and then takes this lock.
        if self.is_dying() { Err(Errno::EINVAL) } else { f(&mut memory) }
    }

    /// Takes a page out of the map, with its translations; false when there was none.
    #[inline(never)]
    fn empty(&self, hv: &Hypervisor, memory: &mut DomainMemory, gfn: Gfn) -> Result<bool, Errno> {
        match memory.p2m.clear_one(hv, &mut memory.pool, gfn, |found| Ok(found.is_some()))? {
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
    /// over. No translation of them is left; several are flushed at once. Works on a dying domain too.
    pub fn remove_grants(&self, hv: &Hypervisor, grants: impl IntoIterator<Item = (Gfn, Mfn)>) {
        let mut memory = self.memory.lock();
        let memory = &mut *memory;
        // A grant is always mapped as a page of its own: no block has to be split, and nothing can fail.
        let cleared = memory.p2m.clear_pages(
            hv,
            &mut memory.pool,
            grants,
            |mfn, found| Ok(is_grant(found, mfn)),
            |removed| {
                removed.release(hv);
            },
        );
        debug_assert!(cleared.is_ok());
    }

    /// Takes out one grant mapping, as [`remove_grants`](Self::remove_grants) does.
    #[inline]
    pub fn remove_grant(&self, hv: &Hypervisor, gfn: Gfn, mfn: Mfn) {
        let mut memory = self.memory.lock();
        let memory = &mut *memory;
        let cleared = memory.p2m.clear_one(hv, &mut memory.pool, gfn, |found| Ok(is_grant(found, mfn)));
        debug_assert!(cleared.is_ok());
        if let Ok(Some(removed)) = cleared {
            removed.release(hv);
        }
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

    /// Fills one guest frame with new memory.
    ///
    /// # Errors
    /// As [`populate`](Self::populate).
    #[inline]
    pub fn populate_page(&self, hv: &Hypervisor, gfn: Gfn) -> Result<(), Errno> {
        if !self.direct_mapped {
            return self.populate(hv, gfn, 0);
        }
        self.with_map(|memory| self.take_again(hv, memory, gfn))
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
    /// returns how many were given up, from the first on. Several are flushed at once.
    pub fn give_up_pages(&self, hv: &Hypervisor, gfns: impl IntoIterator<Item = Gfn>) -> u64 {
        let mut done = 0;
        let gfns = gfns.into_iter().map(|gfn| (gfn, ()));
        // The count says how far it came.
        let _ = self.with_map(|memory| {
            memory.p2m.clear_pages(
                hv,
                &mut memory.pool,
                gfns,
                |(), found| is_memory(found),
                |removed| {
                    self.let_go(hv, removed);
                    done += 1;
                },
            )
        });
        done
    }

    /// Gives up the domain's own memory at one guest frame.
    ///
    /// # Errors
    /// EINVAL when there is none or the domain is dying, ENOMEM when a block cannot be split.
    #[inline]
    pub fn give_up_page(&self, hv: &Hypervisor, gfn: Gfn) -> Result<(), Errno> {
        self.with_map(|memory| {
            if let Some(removed) = memory.p2m.clear_one(hv, &mut memory.pool, gfn, is_memory)? {
                self.let_go(hv, removed);
            }
            Ok(())
        })
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
