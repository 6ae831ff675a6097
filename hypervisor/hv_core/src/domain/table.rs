//! Which domains there are, by number.
//!
//! Each slot has a lock of its own, so that looking up one domain never waits for another. The
//! slots are allocated in leaves when the first domain of a leaf appears.

use super::state::Domain;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use hal::Domid;
use lock::{Mutex, Once, RwLock};

const LEAF: usize = 256;
const LEAVES: usize = Domid::FIRST_RESERVED as usize / LEAF + 1;

type Slot = RwLock<Option<Arc<Domain>>, 17>;

/// Why a domain could not be entered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InsertError {
    /// The number is taken.
    Exists,
    /// All numbers are taken.
    Full,
    /// No memory for the slots.
    NoMemory,
}

/// The domains.
#[derive(Debug)]
pub struct DomainTable {
    leaves: [Once<Box<[Slot]>>; LEAVES],
    /// The number tried first for a new domain: numbers are not reused at once.
    next: Mutex<u16, 16>,
}

impl Default for DomainTable {
    fn default() -> Self {
        Self { leaves: [const { Once::new() }; LEAVES], next: Mutex::new(1) }
    }
}

impl DomainTable {
    #[inline]
    fn slot(&self, domid: Domid) -> Option<&Slot> {
        let n = usize::from(domid.raw());
        self.leaves.get(n / LEAF)?.get()?.get(n % LEAF)
    }

    /// The domain of that number; dying ones too, until their last page is gone.
    #[inline]
    pub fn get(&self, domid: Domid) -> Option<Arc<Domain>> {
        self.slot(domid)?.read().clone()
    }

    /// The first domain whose number is `from` or higher.
    pub fn first_from(&self, from: u16) -> Option<Arc<Domain>> {
        let mut n = usize::from(from);
        while n < usize::from(Domid::FIRST_RESERVED) {
            match self.leaves.get(n / LEAF)?.get() {
                None => n = (n / LEAF + 1) * LEAF,
                Some(leaf) => {
                    if let Some(domain) = leaf.get(n % LEAF).and_then(|slot| slot.read().clone()) {
                        return Some(domain);
                    }
                    n += 1;
                }
            }
        }
        None
    }

    fn grow(&self, domid: Domid) -> Result<(), InsertError> {
        let leaf = self.leaves.get(usize::from(domid.raw()) / LEAF).ok_or(InsertError::Full)?;
        if leaf.get().is_some() {
            return Ok(());
        }
        let mut slots = Vec::new();
        slots.try_reserve_exact(LEAF).map_err(|_| InsertError::NoMemory)?;
        slots.resize_with(LEAF, || RwLock::new(None));
        leaf.call_once(|| slots.into_boxed_slice());
        Ok(())
    }

    /// A free number: `wanted`, or the next that is free. Creation of domains is serialised by the
    /// caller, so it is still free when [`insert`](Self::insert) comes.
    pub fn choose(&self, wanted: Option<Domid>) -> Result<Domid, InsertError> {
        if let Some(domid) = wanted {
            return if self.get(domid).is_none() { Ok(domid) } else { Err(InsertError::Exists) };
        }
        let mut next = self.next.lock();
        for _ in 1..Domid::FIRST_RESERVED {
            let n = *next;
            *next = if n + 1 < Domid::FIRST_RESERVED { n + 1 } else { 1 };
            if let Some(domid) = Domid::new(n)
                && self.get(domid).is_none()
            {
                return Ok(domid);
            }
        }
        Err(InsertError::Full)
    }

    /// Enters a domain under its number.
    pub fn insert(&self, domain: Arc<Domain>) -> Result<(), InsertError> {
        self.grow(domain.id)?;
        let slot = self.slot(domain.id).ok_or(InsertError::Full)?;
        let mut slot = slot.write();
        if slot.is_some() {
            return Err(InsertError::Exists);
        }
        *slot = Some(domain);
        Ok(())
    }

    /// Takes a domain out.
    pub fn remove(&self, domid: Domid) -> Option<Arc<Domain>> {
        self.slot(domid)?.write().take()
    }
}
