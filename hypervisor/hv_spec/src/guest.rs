//! A guest's memory at the addresses that it uses. Its virtual addresses are its physical ones.

use crate::{Model, PAGE, PageId};
use xen_abi::{Errno, Plain};

/// The guest has nothing there, or not with these rights.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault;

impl From<Fault> for Errno {
    fn from(_: Fault) -> Self {
        Errno::EFAULT
    }
}

impl Model {
    /// The page at a guest's address, if it may read it, or write it.
    fn at(&self, id: u16, gaddr: u64, write: bool) -> Result<PageId, Fault> {
        let entry = self.domains.get(&id).and_then(|d| d.p2m.get(gaddr >> 12)).ok_or(Fault)?;
        if write && !entry.kind.is_writable() {
            return Err(Fault);
        }
        Ok(entry.page)
    }

    /// Pieces of `len` bytes at an address that each lie in one page: address, start, length.
    pub(crate) fn pieces(gaddr: u64, len: usize) -> Result<Vec<(u64, usize, usize)>, Fault> {
        let (mut all, mut done) = (Vec::new(), 0);
        while done < len {
            let at = gaddr.checked_add(done as u64).ok_or(Fault)?;
            let piece = (len - done).min(PAGE - at as usize % PAGE);
            all.push((at, done, piece));
            done += piece;
        }
        Ok(all)
    }

    /// Reads arguments. Pages of others that the caller maps are not taken for arguments.
    pub(crate) fn fetch_bytes(&self, id: u16, va: u64, buf: &mut [u8]) -> Result<(), Fault> {
        for (at, start, len) in Self::pieces(va, buf.len())? {
            self.argued.borrow_mut().insert((id, at >> 12));
            let page = self.at(id, at, false)?;
            if self.pages.get(page).owner != id {
                return Err(Fault);
            }
            self.look(page, at as usize % PAGE, &mut buf[start..start + len]);
        }
        Ok(())
    }

    /// Writes results; what comes before a fault is written.
    pub(crate) fn put_bytes(&mut self, id: u16, va: u64, bytes: &[u8]) -> Result<(), Fault> {
        for (at, start, len) in Self::pieces(va, bytes.len()).unwrap_or_default() {
            self.argued.borrow_mut().insert((id, at >> 12));
            let page = self.at(id, at, true)?;
            if self.pages.get(page).owner != id {
                return Err(Fault);
            }
            self.pages.write(page, at as usize % PAGE, &bytes[start..start + len]);
        }
        Self::pieces(va, bytes.len()).map(drop)
    }

    /// Reads a structure.
    pub(crate) fn fetch<T: Plain>(&self, id: u16, va: u64) -> Result<T, Fault> {
        let mut value = T::new_zeroed();
        self.fetch_bytes(id, va, value.as_mut_bytes())?;
        Ok(value)
    }

    /// Reads a structure that is answered in its place. One that lies in one page is refused if it cannot be written: what
    /// cannot be answered is not begun.
    pub(crate) fn fetch_answered<T: Plain>(&self, id: u16, va: u64) -> Result<T, Fault> {
        if va as usize % PAGE + size_of::<T>() <= PAGE {
            self.argued.borrow_mut().insert((id, va >> 12));
            self.at(id, va, true)?;
        }
        self.fetch(id, va)
    }

    /// Writes a structure.
    pub(crate) fn put<T: Plain>(&mut self, id: u16, va: u64, value: &T) -> Result<(), Fault> {
        self.put_bytes(id, va, value.as_bytes())
    }

    /// Reads element `n` of an array.
    pub(crate) fn element<T: Plain>(&self, id: u16, va: u64, n: u64) -> Result<T, Fault> {
        self.fetch(id, Self::element_at::<T>(va, n)?)
    }

    /// The address of element `n` of an array.
    pub(crate) fn element_at<T>(va: u64, n: u64) -> Result<u64, Fault> {
        n.checked_mul(size_of::<T>() as u64).and_then(|o| va.checked_add(o)).ok_or(Fault)
    }

    /// The guest itself stores to its memory; whether it can. What comes before a fault is stored.
    pub fn guest_store(&mut self, id: u16, gaddr: u64, bytes: &[u8]) -> bool {
        let Ok(pieces) = Self::pieces(gaddr, bytes.len()) else { return false };
        for (at, start, len) in pieces {
            let Ok(page) = self.at(id, at, true) else { return false };
            self.pages.write(page, at as usize % PAGE, &bytes[start..start + len]);
        }
        true
    }

    /// The guest itself loads from its memory; whether it can.
    pub fn guest_load(&self, id: u16, gaddr: u64, buf: &mut [u8]) -> bool {
        let Ok(pieces) = Self::pieces(gaddr, buf.len()) else { return false };
        for (at, start, len) in pieces {
            let Ok(page) = self.at(id, at, false) else { return false };
            self.pages.read(page, at as usize % PAGE, &mut buf[start..start + len]);
        }
        true
    }
}
