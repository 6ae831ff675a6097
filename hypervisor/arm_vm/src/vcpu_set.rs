//! A set of vCPUs of one domain.

/// Most vCPUs that a domain can have on arm64.
pub const MAX_VCPUS: usize = 128;

/// A set of vCPU numbers below [`MAX_VCPUS`], mostly "these must look at their interrupts again".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VcpuSet(u128);

impl VcpuSet {
    /// No vCPU.
    pub const EMPTY: Self = Self(0);

    /// The set of one vCPU; empty when the number is out of range.
    #[inline]
    pub const fn single(vcpu: usize) -> Self {
        if vcpu < MAX_VCPUS { Self(1u128.wrapping_shl(vcpu as u32)) } else { Self(0) }
    }

    /// vCPUs 0 to `count - 1`.
    pub const fn first(count: usize) -> Self {
        if count >= MAX_VCPUS { Self(u128::MAX) } else { Self(Self::single(count).0.wrapping_sub(1)) }
    }

    /// Adds one vCPU; out of range numbers are ignored.
    #[inline]
    pub const fn insert(&mut self, vcpu: usize) {
        self.0 |= Self::single(vcpu).0;
    }

    /// Removes one vCPU.
    #[inline]
    pub const fn remove(&mut self, vcpu: usize) {
        self.0 &= !Self::single(vcpu).0;
    }

    /// Everything in either set.
    #[inline]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the vCPU is a member.
    #[inline]
    pub const fn contains(self, vcpu: usize) -> bool {
        self.0 & Self::single(vcpu).0 != 0
    }

    /// Whether there is no member.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Number of members.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Lowest member.
    #[inline]
    pub const fn lowest(self) -> Option<usize> {
        if self.0 == 0 { None } else { Some(self.0.trailing_zeros() as usize) }
    }
}

impl Iterator for VcpuSet {
    type Item = usize;

    /// Takes out the lowest member.
    #[inline]
    fn next(&mut self) -> Option<usize> {
        let vcpu = self.lowest()?;
        self.0 &= self.0.wrapping_sub(1);
        Some(vcpu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_back_in_ascending_order() {
        let mut set = VcpuSet::EMPTY;
        for vcpu in [127, 0, 64, 63] {
            set.insert(vcpu);
        }
        assert_eq!(set.collect::<Vec<_>>(), [0, 63, 64, 127]);
        assert_eq!(set.len(), 4);
        set.remove(64);
        assert!(!set.contains(64) && set.contains(127));
    }

    #[test]
    fn numbers_out_of_range_are_never_members() {
        assert!(VcpuSet::single(128).is_empty());
        assert!(!VcpuSet::first(128).contains(128));
        assert_eq!(VcpuSet::first(128).len(), 128);
        assert_eq!(VcpuSet::first(3).collect::<Vec<_>>(), [0, 1, 2]);
        assert!(VcpuSet::first(0).is_empty());
    }
}
