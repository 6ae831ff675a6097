//! How a vCPU's number maps to the affinity that the guest sees in MPIDR_EL1, GICR_TYPER and its device tree.
//!
//! Sixteen vCPUs per Aff1 group, since a GICv3 software-generated interrupt names at most sixteen targets at once.

/// RES1 bit of MPIDR_EL1: the multiprocessing extensions are there.
const MPIDR_RES1: u64 = 1 << 31;
/// The four affinity fields of MPIDR_EL1.
const AFFINITY_FIELDS: u64 = 0xff_00ff_ffff;

/// Affinity fields of a vCPU, laid out as in MPIDR_EL1.
#[inline]
pub const fn of_vcpu(vcpu: usize) -> u64 {
    let vcpu = vcpu as u64;
    (vcpu & 0xf) | ((vcpu & 0xff0) << 4)
}

/// Value of VMPIDR_EL2 for a vCPU.
pub const fn vmpidr(vcpu: usize) -> u64 {
    MPIDR_RES1 | of_vcpu(vcpu)
}

/// The vCPU with exactly this affinity, if any; bits outside the affinity fields are ignored.
///
/// The caller still has to check that the domain has so many vCPUs.
pub const fn to_vcpu(affinity: u64) -> Option<usize> {
    let fields = affinity & AFFINITY_FIELDS;
    let vcpu = ((fields & 0xff) | ((fields >> 4) & 0xff0)) as usize;
    if of_vcpu(vcpu) == fields { Some(vcpu) } else { None }
}

/// Whether two affinities agree from level `lowest` (0 to 3) upwards; `None` for another level.
pub const fn same_group(a: u64, b: u64, lowest: u64) -> Option<bool> {
    let mask = match lowest {
        0 => 0xff_00ff_ffff,
        1 => 0xff_00ff_ff00,
        2 => 0xff_00ff_0000,
        3 => 0xff_0000_0000,
        _ => return None,
    };
    Some((a ^ b) & mask == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vcpu_maps_to_an_affinity_and_back() {
        for vcpu in 0..128 {
            assert_eq!(to_vcpu(of_vcpu(vcpu)), Some(vcpu));
            assert_eq!(to_vcpu(vmpidr(vcpu)), Some(vcpu));
        }
        assert_eq!(vmpidr(17), 0x8000_0101);
    }

    #[test]
    fn affinities_no_vcpu_has_are_refused() {
        for affinity in [0x10, 0x1_0000, 0x1_0000_0000, 0x0f10] {
            assert_eq!(to_vcpu(affinity), None, "{affinity:#x}");
        }
    }

    #[test]
    fn groups_compare_from_the_given_level_up() {
        assert_eq!(same_group(0x102, 0x103, 0), Some(false));
        assert_eq!(same_group(0x102, 0x103, 1), Some(true));
        assert_eq!(same_group(0x102, 0x203, 1), Some(false));
        assert_eq!(same_group(0x102, 0x203, 2), Some(true));
        assert_eq!(same_group(0, 0, 4), None);
    }
}
