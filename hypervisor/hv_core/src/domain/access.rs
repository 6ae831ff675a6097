//! What of the machine a domain may have, or may give to others: registers of devices, interrupts.

use alloc::vec::Vec;
use xen_abi::Errno;

/// A set of numbers, kept as ranges that do not touch, in order.
#[derive(Debug, Default)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Whether all of `first..=last` are in the set.
    pub fn contains(&self, first: u64, last: u64) -> bool {
        self.0.iter().any(|&(start, end)| start <= first && last <= end)
    }

    /// Adds `first..=last`.
    ///
    /// # Errors
    /// ENOMEM, and nothing is changed.
    pub fn insert(&mut self, first: u64, last: u64) -> Result<(), Errno> {
        self.0.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let (mut first, mut last) = (first, last);
        // What overlaps or touches becomes one.
        self.0.retain(|&(start, end)| {
            let apart = end.saturating_add(1) < first || last.saturating_add(1) < start;
            if !apart {
                (first, last) = (first.min(start), last.max(end));
            }
            apart
        });
        let at = self.0.partition_point(|&(start, _)| start < first);
        self.0.insert(at, (first, last));
        Ok(())
    }

    /// Takes `first..=last` out.
    ///
    /// # Errors
    /// ENOMEM, and nothing is changed.
    pub fn remove(&mut self, first: u64, last: u64) -> Result<(), Errno> {
        self.0.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let Some(at) = self.0.iter().position(|&(_, end)| end >= first) else { return Ok(()) };
        let mut rest = None;
        let mut n = at;
        while let Some(&(start, end)) = self.0.get(n)
            && start <= last
        {
            let (left, right) = (start < first, end > last);
            match (left, right, self.0.get_mut(n)) {
                (true, _, Some(range)) => {
                    range.1 = first - 1;
                    rest = right.then(|| (last + 1, end));
                    n += 1;
                }
                (false, true, Some(range)) => {
                    range.0 = last + 1;
                    n += 1;
                }
                _ => {
                    self.0.remove(n);
                }
            }
        }
        if let Some(rest) = rest {
            self.0.insert(at + 1, rest);
        }
        Ok(())
    }
}

/// What a domain may have.
#[derive(Debug, Default)]
pub struct Access {
    /// Machine frames of registers.
    pub iomem: Ranges,
    /// Interrupts.
    pub irqs: Ranges,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_that_touch_are_one() {
        let mut set = Ranges::default();
        for (first, last) in [(10, 12), (20, 22), (13, 19), (u64::MAX, u64::MAX), (0, 0)] {
            set.insert(first, last).unwrap();
        }
        assert_eq!(set.0, [(0, 0), (10, 22), (u64::MAX, u64::MAX)]);
        assert!(set.contains(10, 22) && !set.contains(9, 10) && !set.contains(0, 10));
        set.remove(12, 20).unwrap();
        assert_eq!(set.0, [(0, 0), (10, 11), (21, 22), (u64::MAX, u64::MAX)]);
        set.remove(0, u64::MAX).unwrap();
        assert_eq!(set.0, []);
    }

    proptest! {
        #[test]
        fn set_is_as_its_members_say(steps in prop::collection::vec((any::<bool>(), 0u64..64, 0u64..16), 0..40)) {
            let mut set = Ranges::default();
            let mut members = 0u128;
            for (add, first, more) in steps {
                let last = first + more;
                let mask = ((1u128 << (more + 1)) - 1) << first;
                if add {
                    set.insert(first, last).unwrap();
                    members |= mask;
                } else {
                    set.remove(first, last).unwrap();
                    members &= !mask;
                }
                let found = set.0.iter().fold(0u128, |all, &(a, b)| all | ((1u128 << (b - a + 1)) - 1) << a);
                prop_assert_eq!(found, members);
                prop_assert!(set.0.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
            }
        }
    }
}
