//! A block of 32 shared peripheral interrupts: common state plus where each one goes.

use super::Version;
use super::bits::{bit, bits};
use super::block::Block;
use crate::{VcpuSet, affinity};

/// No vCPU.
const NOBODY: u8 = 0xff;
/// GICD_IROUTER.Interrupt_Routing_Mode: any participating vCPU.
const ROUTE_ANY: u64 = 1 << 31;
/// Affinity fields of GICD_IROUTER.
const ROUTE_FIELDS: u64 = 0xff_00ff_ffff;

#[derive(Debug)]
pub(super) struct SpiBlock {
    pub common: Block,
    /// Which ones have a physical interrupt behind them.
    pub hw: u32,
    /// As the guest wrote it: a byte of GICD_ITARGETSR, or GICD_IROUTER.
    route: [u64; 32],
    /// The vCPU that `route` stands for at the moment.
    target: [u8; 32],
    /// The vCPU that has it in a list register or acknowledged it; valid with `in_lr` or `active`.
    owner: [u8; 32],
    phys: [u16; 32],
}

impl SpiBlock {
    /// Reset state: all on vCPU 0.
    pub fn new(version: Version) -> Self {
        let (group1, route) = match version {
            Version::V2 => (0, 1),
            Version::V3 => (u32::MAX, 0),
        };
        Self {
            common: Block::new(0, group1, 0),
            hw: 0,
            route: [route; 32],
            target: [0; 32],
            owner: [NOBODY; 32],
            phys: [0; 32],
        }
    }

    /// Where interrupt `n` of the block goes now.
    #[inline]
    pub fn target_of(&self, n: u32) -> Option<usize> {
        vcpu(&self.target, n)
    }

    /// The vCPU that has interrupt `n` in a list register, or acknowledged it.
    #[inline]
    pub fn owner_of(&self, n: u32) -> Option<usize> {
        vcpu(&self.owner, n)
    }

    #[inline]
    pub fn set_owner(&mut self, n: u32, vcpu: usize) {
        if let Some(owner) = self.owner.get_mut(n as usize) {
            *owner = vcpu as u8;
        }
    }

    /// Interrupts that wait for a list register of `vcpu`.
    #[inline]
    pub fn candidates_of(&self, vcpu: usize, ctlr: u32) -> u32 {
        let mut mask = self.common.candidates(ctlr);
        for n in bits(mask) {
            if self.target_of(n) != Some(vcpu) {
                mask &= !bit(n);
            }
        }
        mask
    }

    /// Interrupts that `vcpu` acknowledged and that are in no list register.
    pub fn parked_of(&self, vcpu: usize) -> u32 {
        let mut mask = self.common.parked();
        for n in bits(mask) {
            if self.owner_of(n) != Some(vcpu) {
                mask &= !bit(n);
            }
        }
        mask
    }

    /// Physical interrupt behind `n`.
    #[inline]
    pub fn phys_of(&self, n: u32) -> Option<u16> {
        if self.hw & bit(n) == 0 { None } else { self.phys.get(n as usize).copied() }
    }

    /// Links `n` to a physical interrupt, or unlinks it.
    pub fn set_phys(&mut self, n: u32, phys: Option<u16>) {
        match (phys, self.phys.get_mut(n as usize)) {
            (Some(phys), Some(entry)) => {
                *entry = phys;
                self.hw |= bit(n);
            }
            _ => self.hw &= !bit(n),
        }
    }

    /// The register value that the guest wrote.
    pub fn route_of(&self, n: u32) -> u64 {
        self.route.get(n as usize).copied().unwrap_or(0)
    }

    /// A new register value; true if the target changed.
    pub fn set_route(&mut self, version: Version, n: u32, value: u64, online: VcpuSet, all: VcpuSet) -> bool {
        let value = match version {
            Version::V2 => value & 0xff,
            Version::V3 => value & (ROUTE_FIELDS | ROUTE_ANY),
        };
        if let Some(route) = self.route.get_mut(n as usize) {
            *route = value;
        }
        self.retarget(version, n, online, all)
    }

    /// Works out the target again: the one vCPU named, or of several the lowest one that is online. True if it changed.
    pub fn retarget(&mut self, version: Version, n: u32, online: VcpuSet, all: VcpuSet) -> bool {
        let route = self.route_of(n);
        let vcpu = match version {
            Version::V2 => {
                let mut online_member = None;
                let mut member = None;
                for vcpu in
                    bits(route as u32 & 0xff).map(|vcpu| vcpu as usize).filter(|vcpu| all.contains(*vcpu))
                {
                    member = member.or(Some(vcpu));
                    online_member = online_member.or(online.contains(vcpu).then_some(vcpu));
                }
                online_member.or(member)
            }
            Version::V3 if route & ROUTE_ANY != 0 => online.lowest().or(Some(0)),
            Version::V3 => affinity::to_vcpu(route).filter(|vcpu| all.contains(*vcpu)),
        };
        let target = vcpu.map_or(NOBODY, |vcpu| vcpu as u8);
        match self.target.get_mut(n as usize) {
            Some(entry) if *entry != target => {
                *entry = target;
                true
            }
            _ => false,
        }
    }
}

#[inline]
fn vcpu(table: &[u8; 32], n: u32) -> Option<usize> {
    match table.get(n as usize) {
        Some(&vcpu) if vcpu != NOBODY => Some(vcpu as usize),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_2_target_list_prefers_vcpus_that_are_online() {
        let mut block = SpiBlock::new(Version::V2);
        let all = VcpuSet::first(4);
        assert_eq!(block.target_of(5), Some(0));
        assert!(block.set_route(Version::V2, 5, 0b1110, VcpuSet::single(2), all));
        assert_eq!(block.target_of(5), Some(2));
        assert!(block.retarget(Version::V2, 5, VcpuSet::single(0), all), "nobody of the list is online");
        assert_eq!(block.target_of(5), Some(1));
        assert!(block.set_route(Version::V2, 5, 0xf0, all, all), "vCPUs the domain does not have");
        assert_eq!((block.target_of(5), block.route_of(5)), (None, 0xf0));
    }

    #[test]
    fn version_3_routes_by_affinity_or_to_anyone() {
        let mut block = SpiBlock::new(Version::V3);
        let all = VcpuSet::first(20);
        assert!(block.set_route(Version::V3, 0, 0x102, all, all));
        assert_eq!(block.target_of(0), Some(18));
        assert!(block.set_route(Version::V3, 0, 0x105, all, all), "no such vCPU");
        assert_eq!(block.target_of(0), None);
        assert!(block.set_route(Version::V3, 0, ROUTE_ANY | 0x102, VcpuSet::single(7), all));
        assert_eq!((block.target_of(0), block.route_of(0)), (Some(7), ROUTE_ANY | 0x102));
        assert!(block.set_route(Version::V3, 0, 0xffff_ffff_ff00_0001, all, all));
        assert_eq!(block.route_of(0), 0xff_8000_0001, "reserved bits are dropped");
    }
}
