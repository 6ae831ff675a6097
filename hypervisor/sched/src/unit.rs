//! Units (vCPUs) and the arena that stores them.

use alloc::vec::Vec;

use crate::list::NIL;
use crate::{CpuId, CpuMask, Error, UnitId, UnitKey};

/// It wants to run.
pub(crate) const RUNNABLE: u8 = 1;
/// It gave up the rest of its turn.
pub(crate) const YIELDED: u8 = 2;
/// Its domain has a cap.
pub(crate) const CAPPED: u8 = 4;
/// It was removed while a pCPU held its context.
pub(crate) const DOOMED: u8 = 8;

/// Where a unit is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// In no list and on no pCPU.
    Off,
    /// In the scheduler's queue.
    Queued,
    /// In its domain's list of units that wait for a cap refill.
    Parked,
    /// The current unit of pCPU `cpu`.
    Running,
    /// Pre-empted or blocked; pCPU `cpu` still saves its context.
    Leaving,
}

/// Its size (a power of two) makes finding one a shift.
#[repr(align(64))]
pub(crate) struct Unit {
    /// `None` in a free slot.
    pub name: Option<(UnitId, UnitKey)>,
    pub flags: u8,
    pub place: Place,
    /// The pCPU it is on or was on last.
    pub cpu: CpuId,
    /// Null: the pCPU it owns. Credit2: the idle pCPU that was kicked for it.
    pub home: Option<CpuId>,
    /// Credit2: virtual ns per ns of run time, 16 fraction bits; at least 1.0.
    pub rate: u32,
    /// Credit2: the inverse of `rate`, 16 fraction bits; at most 1.0.
    pub inverse: u32,
    /// Credit2: virtual time; wraps.
    pub vtime: u64,
    /// ns on pCPUs.
    pub runtime: u64,
    pub next: u16,
    pub prev: u16,
    /// Index of its domain.
    pub dom: u16,
    /// Hard affinity within the pool: where it may run now.
    pub hard: CpuMask,
    /// Where it should run: the soft affinity within `hard`, or `hard` when that is empty.
    pub soft: CpuMask,
    /// Affinities as asked for.
    pub hard_asked: CpuMask,
    pub soft_asked: CpuMask,
}

impl Unit {
    pub const fn new(dom: u16, cpu: CpuId) -> Self {
        Self {
            name: None,
            flags: 0,
            place: Place::Off,
            cpu,
            home: None,
            rate: 1 << 16,
            inverse: 1 << 16,
            vtime: 0,
            runtime: 0,
            next: NIL,
            prev: NIL,
            dom,
            hard: CpuMask::EMPTY,
            soft: CpuMask::EMPTY,
            hard_asked: CpuMask::ALL,
            soft_asked: CpuMask::ALL,
        }
    }

    /// Is it the unit with this handle?
    #[inline]
    fn is(&self, id: UnitId) -> bool {
        self.name.is_some_and(|(own, _)| own == id)
    }

    #[inline]
    pub const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub const fn set(&mut self, flag: u8, on: bool) {
        if on {
            self.flags |= flag;
        } else {
            self.flags &= !flag;
        }
    }

    /// Does a pCPU hold its context?
    pub const fn on_cpu(&self) -> bool {
        matches!(self.place, Place::Running | Place::Leaving)
    }

    /// Recomputes where it may and should run among the pool's pCPUs.
    pub fn refresh_affinity(&mut self, pool: CpuMask) {
        self.hard = self.hard_asked.and(pool);
        self.soft = self.soft_asked.and(self.hard);
        if self.soft.is_empty() {
            self.soft = self.hard;
        }
    }
}

/// All units of a pool. Slots are reused; each use has a serial number of its own.
pub(crate) struct Arena {
    slots: Vec<Unit>,
    /// Free slots, linked through `next`.
    free: u16,
    serial: u32,
    pool: u16,
}

impl Arena {
    pub const fn new(pool: u16) -> Self {
        Self { slots: Vec::new(), free: NIL, serial: 0, pool }
    }

    #[inline]
    pub fn get(&self, i: u16) -> Option<&Unit> {
        self.slots.get(usize::from(i))
    }

    #[inline]
    pub fn get_mut(&mut self, i: u16) -> Option<&mut Unit> {
        self.slots.get_mut(usize::from(i))
    }

    /// The slot of a handle that is still valid.
    #[inline]
    pub fn find(&self, id: UnitId) -> Option<&Unit> {
        self.get(id.index()).filter(|unit| unit.is(id))
    }

    #[inline]
    pub fn find_mut(&mut self, id: UnitId) -> Option<&mut Unit> {
        self.get_mut(id.index()).filter(|unit| unit.is(id))
    }

    /// Live units with their indices.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &Unit)> {
        (0..NIL).zip(&self.slots).filter(|(_, unit)| unit.name.is_some())
    }

    /// Live units with their indices.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u16, &mut Unit)> {
        (0..NIL).zip(&mut self.slots).filter(|(_, unit)| unit.name.is_some())
    }

    /// How many slots an index can reach.
    pub fn bound(&self) -> u16 {
        u16::try_from(self.slots.len()).unwrap_or(NIL)
    }

    /// Makes room for `extra` more units, so that as many `insert`s cannot fail.
    pub fn reserve(&mut self, extra: usize) -> Result<(), Error> {
        let used = self.iter().count();
        let wanted = used.checked_add(extra).ok_or(Error::Full)?;
        if wanted > usize::from(NIL) {
            return Err(Error::Full);
        }
        let missing = wanted.saturating_sub(self.slots.len());
        self.slots.try_reserve(missing).map_err(|_| Error::NoMemory)
    }

    /// Stores a unit and gives it its handle.
    pub fn insert(&mut self, key: UnitKey, unit: Unit) -> Result<UnitId, Error> {
        let index = match self.get(self.free) {
            Some(slot) => {
                let next = slot.next;
                core::mem::replace(&mut self.free, next)
            }
            None => {
                let index = u16::try_from(self.slots.len()).map_err(|_| Error::Full)?;
                if index == NIL {
                    return Err(Error::Full);
                }
                self.slots.try_reserve(1).map_err(|_| Error::NoMemory)?;
                self.slots.push(Unit::new(unit.dom, unit.cpu));
                index
            }
        };
        // 0 is not used, so that a handle is never 0.
        self.serial = self.serial.checked_add(1).unwrap_or(1);
        let id = UnitId::new(self.pool, self.serial, index);
        if let Some(slot) = self.get_mut(index) {
            *slot = unit;
            slot.name = Some((id, key));
            slot.next = NIL;
            slot.prev = NIL;
        }
        Ok(id)
    }

    /// Frees the slot of a unit that is in no list and on no pCPU.
    pub fn remove(&mut self, i: u16) {
        let free = self.free;
        if let Some(slot) = self.get_mut(i) {
            slot.name = None;
            slot.flags = 0;
            slot.place = Place::Off;
            slot.next = free;
            self.free = i;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit() -> Unit {
        Unit::new(0, CpuId::new(0).unwrap())
    }

    #[test]
    fn size_is_a_power_of_two() {
        assert_eq!(size_of::<Unit>(), 128);
    }

    #[test]
    fn slots_are_reused_under_new_handles() {
        let key = UnitKey { domid: 1, vcpu: 2 };
        let mut arena = Arena::new(7);
        let first = arena.insert(key, unit()).unwrap();
        let second = arena.insert(key, unit()).unwrap();
        arena.remove(first.index());
        assert!(arena.find(first).is_none());
        let third = arena.insert(key, unit()).unwrap();
        assert_eq!(third.index(), first.index());
        assert!(third != first && arena.find(first).is_none() && arena.find(second).is_some());
        assert_eq!(arena.iter().count(), 2);
    }

    #[test]
    fn serial_numbers_wrap_past_zero() {
        let key = UnitKey { domid: 0, vcpu: 0 };
        let mut arena = Arena::new(0);
        arena.serial = u32::MAX;
        let id = arena.insert(key, unit()).unwrap();
        assert_eq!(id, UnitId::new(0, 1, 0));
        assert_eq!(arena.find(id).map(|unit| unit.name), Some(Some((id, key))));
    }

    #[test]
    fn more_units_than_indices_are_refused() {
        let mut arena = Arena::new(0);
        assert_eq!(arena.reserve(usize::from(NIL) + 1), Err(Error::Full));
        assert_eq!(arena.reserve(usize::MAX), Err(Error::Full));
        assert_eq!(arena.reserve(3), Ok(()));
        let key = UnitKey { domid: 0, vcpu: 0 };
        for _ in 0..NIL {
            arena.insert(key, unit()).unwrap();
        }
        assert_eq!(arena.insert(key, unit()), Err(Error::Full));
    }
}
