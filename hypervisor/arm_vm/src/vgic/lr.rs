//! List registers: the slots through which the virtual CPU interface gets its interrupts.
//!
//! Formats: `ICH_LR<n>_EL2` (IHI 0069, 12.4.8) and `GICH_LRn` (IHI 0048, 5.3.7). Both have the same two state bits.

use super::Version;

/// State bit: pending.
pub(super) const PENDING: u8 = 1;
/// State bit: active.
pub(super) const ACTIVE: u8 = 2;

/// What stands behind the interrupt in a list register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Nothing physical.
    Software {
        /// Maintenance interrupt when the guest deactivates it.
        eoi: bool,
        /// GICv2 software-generated interrupt: the vCPU that sent it, 0 to 7.
        source: u8,
    },
    /// Deactivation by the guest deactivates this physical interrupt as well.
    Hardware {
        /// Physical interrupt number.
        phys: u16,
    },
}

/// One list register in a form that both versions share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lr {
    /// Number that the guest sees.
    pub intid: u16,
    /// Priority; lower is more urgent. Only bits 7 to 3 count.
    pub priority: u8,
    /// Group 1 rather than group 0.
    pub group1: bool,
    /// Pending.
    pub pending: bool,
    /// Active; with `pending` too it becomes pending when the guest deactivates it.
    pub active: bool,
    /// What stands behind it.
    pub link: Link,
}

mod v3 {
    pub const EOI: u64 = 1 << 41;
    pub const GROUP1: u64 = 1 << 60;
    pub const HW: u64 = 1 << 61;
    pub const STATE: u32 = 62;
}

mod v2 {
    pub const EOI: u64 = 1 << 19;
    pub const STATE: u32 = 28;
    pub const GROUP1: u64 = 1 << 30;
    pub const HW: u64 = 1 << 31;
}

impl Lr {
    /// The register's value: 64 bits for version 3, 32 for version 2.
    #[inline]
    pub const fn encode(&self, version: Version) -> u64 {
        self.encode_in_line(version)
    }

    /// The same where a call costs more than the work.
    #[inline(always)]
    pub(super) const fn encode_in_line(&self, version: Version) -> u64 {
        let state = (self.pending as u64) | ((self.active as u64) << 1);
        match version {
            Version::V3 => {
                let mut raw = self.intid as u64 | ((self.priority as u64) << 48) | (state << v3::STATE);
                if self.group1 {
                    raw |= v3::GROUP1;
                }
                raw | match self.link {
                    Link::Software { eoi, .. } => {
                        if eoi {
                            v3::EOI
                        } else {
                            0
                        }
                    }
                    Link::Hardware { phys } => v3::HW | ((phys as u64 & 0x1fff) << 32),
                }
            }
            Version::V2 => {
                let mut raw =
                    (self.intid as u64 & 0x3ff) | ((self.priority as u64 >> 3) << 23) | (state << v2::STATE);
                if self.group1 {
                    raw |= v2::GROUP1;
                }
                raw | match self.link {
                    Link::Software { eoi, source } => {
                        ((source as u64 & 7) << 10) | if eoi { v2::EOI } else { 0 }
                    }
                    Link::Hardware { phys } => v2::HW | ((phys as u64 & 0x3ff) << 10),
                }
            }
        }
    }

    /// The inverse of [`Lr::encode`], for any value.
    pub const fn decode(version: Version, raw: u64) -> Self {
        let state = state(version, raw);
        let (pending, active) = (state & PENDING != 0, state & ACTIVE != 0);
        match version {
            Version::V3 => Self {
                intid: raw as u16,
                priority: (raw >> 48) as u8,
                group1: raw & v3::GROUP1 != 0,
                pending,
                active,
                link: if raw & v3::HW != 0 {
                    Link::Hardware { phys: (raw >> 32) as u16 & 0x1fff }
                } else {
                    Link::Software { eoi: raw & v3::EOI != 0, source: 0 }
                },
            },
            Version::V2 => Self {
                intid: raw as u16 & 0x3ff,
                priority: ((raw >> 23) as u8 & 0x1f) << 3,
                group1: raw & v2::GROUP1 != 0,
                pending,
                active,
                link: if raw & v2::HW != 0 {
                    Link::Hardware { phys: (raw >> 10) as u16 & 0x3ff }
                } else {
                    Link::Software { eoi: raw & v2::EOI != 0, source: (raw >> 10) as u8 & 7 }
                },
            },
        }
    }
}

/// State bits of a register.
#[inline]
pub(super) const fn state(version: Version, raw: u64) -> u8 {
    match version {
        Version::V3 => (raw >> v3::STATE) as u8,
        Version::V2 => (raw >> v2::STATE) as u8 & 3,
    }
}

/// The same register with other state bits.
#[inline]
pub(super) const fn with_state(version: Version, raw: u64, state: u8) -> u64 {
    let shift = match version {
        Version::V3 => v3::STATE,
        Version::V2 => v2::STATE,
    };
    (raw & !3u64.wrapping_shl(shift)) | (state as u64 & 3).wrapping_shl(shift)
}

/// Whether the register asks for a maintenance interrupt on deactivation; that lasts until the register is rewritten.
#[inline]
pub(super) const fn has_eoi(version: Version, raw: u64) -> bool {
    match version {
        Version::V3 => raw & (v3::HW | v3::EOI) == v3::EOI,
        Version::V2 => raw & (v2::HW | v2::EOI) == v2::EOI,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn version_3_layout_matches_the_architecture() {
        let hw = Lr {
            intid: 27,
            priority: 0xa0,
            group1: true,
            pending: true,
            active: false,
            link: Link::Hardware { phys: 27 },
        };
        assert_eq!(hw.encode(Version::V3), 0x70a0_001b_0000_001b);
        let sw = Lr { link: Link::Software { eoi: true, source: 0 }, active: true, ..hw };
        assert_eq!(sw.encode(Version::V3), 0xd0a0_0200_0000_001b);
        assert!(has_eoi(Version::V3, sw.encode(Version::V3)));
        let looks_like_eoi = Lr { link: Link::Hardware { phys: 0x200 }, ..hw };
        assert!(!has_eoi(Version::V3, looks_like_eoi.encode(Version::V3)));
    }

    #[test]
    fn version_2_layout_matches_the_architecture() {
        let sgi = Lr {
            intid: 3,
            priority: 0xa0,
            group1: false,
            pending: true,
            active: false,
            link: Link::Software { eoi: true, source: 5 },
        };
        assert_eq!(sgi.encode(Version::V2), (1 << 28) | (0x14 << 23) | (1 << 19) | (5 << 10) | 3);
        assert_eq!(Lr::decode(Version::V2, sgi.encode(Version::V2)).link, sgi.link);
        let hw = Lr { intid: 33, group1: true, active: true, link: Link::Hardware { phys: 33 }, ..sgi };
        assert_eq!(hw.encode(Version::V2), (0xf << 28) | (0x14 << 23) | (33 << 10) | 33);
    }

    fn any_lr() -> impl Strategy<Value = Lr> {
        let link = prop_oneof![
            any::<bool>().prop_map(|eoi| Link::Software { eoi, source: 0 }),
            (0u16..1020).prop_map(|phys| Link::Hardware { phys }),
        ];
        (0u16..1020, 0u8..32, any::<(bool, bool, bool)>(), link).prop_map(
            |(intid, priority, (group1, pending, active), link)| Lr {
                intid,
                priority: priority << 3,
                group1,
                pending,
                active,
                link,
            },
        )
    }

    proptest! {
        #[test]
        fn encoding_survives_the_round_trip(lr in any_lr()) {
            for version in [Version::V2, Version::V3] {
                let raw = lr.encode(version);
                prop_assert_eq!(Lr::decode(version, raw), lr);
                prop_assert!(version == Version::V3 || raw >> 32 == 0);
                let idle = with_state(version, raw, 0);
                prop_assert_eq!(Lr::decode(version, idle), Lr { pending: false, active: false, ..lr });
            }
        }
    }
}
