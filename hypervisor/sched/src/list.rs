//! Doubly linked lists of units, threaded through the arena by index.

use crate::unit::Arena;

/// "No unit": an index that the arena never hands out.
pub(crate) const NIL: u16 = u16::MAX;

/// A unit is in at most one list, so the links are in the unit itself.
#[derive(Clone, Copy)]
pub(crate) struct List {
    pub head: u16,
    pub tail: u16,
}

impl List {
    pub const EMPTY: Self = Self { head: NIL, tail: NIL };

    pub const fn is_empty(&self) -> bool {
        self.head == NIL
    }

    pub fn push_back(&mut self, units: &mut Arena, i: u16) {
        self.insert_before(units, NIL, i);
    }

    /// Puts `i` before `at`, or last when `at` is `NIL`.
    pub fn insert_before(&mut self, units: &mut Arena, at: u16, i: u16) {
        let before = match units.get_mut(at) {
            Some(unit) => core::mem::replace(&mut unit.prev, i),
            None => core::mem::replace(&mut self.tail, i),
        };
        match units.get_mut(before) {
            Some(unit) => unit.next = i,
            None => self.head = i,
        }
        if let Some(unit) = units.get_mut(i) {
            unit.prev = before;
            unit.next = at;
        }
    }

    pub fn remove(&mut self, units: &mut Arena, i: u16) {
        let Some(unit) = units.get_mut(i) else { return };
        let (before, after) = (unit.prev, unit.next);
        unit.prev = NIL;
        unit.next = NIL;
        match units.get_mut(before) {
            Some(unit) => unit.next = after,
            None => self.head = after,
        }
        match units.get_mut(after) {
            Some(unit) => unit.prev = before,
            None => self.tail = before,
        }
    }

    pub fn pop_front(&mut self, units: &mut Arena) -> Option<u16> {
        let head = self.head;
        if head == NIL {
            return None;
        }
        self.remove(units, head);
        Some(head)
    }
}
