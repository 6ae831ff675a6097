//! Distributor registers, GICD_*.

use super::bits::bit;
use super::block::{CTLR_GROUP0, CTLR_GROUP1};
use super::effects::HwKind;
use super::registers::{BitReg, byte_or_word, word_only};
use super::{Abort, BLOCK, Effects, HwBatch, Version, Vgic};
use crate::VcpuSet;
use crate::exit::AccessSize;
use core::sync::atomic::Ordering;

const CTLR: u32 = 0x000;
const TYPER: u32 = 0x004;
const IIDR: u32 = 0x008;
const PRIORITIES: u32 = 0x400;
const TARGETS: u32 = 0x800;
const CONFIGS: u32 = 0xc00;
const CONFIGS_END: u32 = 0xd00;
const SGIR: u32 = 0xf00;
const CLEAR_SENDERS: u32 = 0xf10;
const SET_SENDERS: u32 = 0xf20;
const SET_SENDERS_END: u32 = 0xf30;
const PIDR2_V2: u32 = 0xfe8;
const ROUTES: u32 = 0x6000;
const ROUTES_END: u32 = 0x8000;
/// PIDR2 of the version 3 frames.
pub(super) const PIDR2_V3: u32 = 0xffe8;
/// Architecture revision 3 in PIDR2.
pub(super) const PIDR2_V3_VALUE: u32 = 0x30;
/// Implementer and revision of the version 3 frames, the ones of Xen.
pub(super) const IIDR_V3: u32 = 0x34c;
/// Implementer Arm, as in Xen's version 2.
const IIDR_V2: u32 = 0x43b;
const PIDR2_V2_VALUE: u32 = 0x20;

/// Version 3: affinity routing is on and there is one security state; neither can be changed.
const CTLR_FIXED_V3: u32 = (1 << 4) | (1 << 6);

/// Value of GICD_TYPER.
pub(super) fn typer(version: Version, nr_vcpus: usize, nr_blocks: usize) -> u32 {
    let cpus = (nr_vcpus as u32).min(8).saturating_sub(1);
    let common = (nr_blocks as u32 & 31) | (cpus << 5);
    match version {
        Version::V2 => common,
        // Ten bits of interrupt number. No LPIs, no message-based SPIs, affinity 3 always 0.
        Version::V3 => common | (9 << 19),
    }
}

impl Vgic {
    #[inline]
    pub(super) fn dist_read(&self, vcpu: usize, offset: u32, size: AccessSize) -> Result<u64, Abort> {
        if offset < 0x10 {
            word_only(offset, size)?;
            return Ok(u64::from(match offset {
                TYPER => self.typer,
                CTLR => self.ctlr_view(),
                IIDR => match self.version {
                    Version::V2 => IIDR_V2,
                    Version::V3 => IIDR_V3,
                },
                _ => 0,
            }));
        }
        self.dist_read_other(vcpu, offset, size)
    }

    fn ctlr_view(&self) -> u32 {
        match self.version {
            Version::V2 => self.ctlr(),
            Version::V3 => self.ctlr() | CTLR_FIXED_V3,
        }
    }

    #[inline(never)]
    fn dist_read_other(&self, vcpu: usize, offset: u32, size: AccessSize) -> Result<u64, Abort> {
        let v2 = self.version == Version::V2;
        let value = match offset {
            0x80..PRIORITIES => {
                word_only(offset, size)?;
                let index = (offset & 0x7f) >> 2;
                match BitReg::at(offset) {
                    Some(reg) if index != 0 || v2 => self.read_bits(vcpu, reg, index),
                    _ => 0,
                }
            }
            PRIORITIES..TARGETS => {
                byte_or_word(offset, size)?;
                let first = offset.wrapping_sub(PRIORITIES);
                if first >= BLOCK || v2 { self.read_priorities(vcpu, first, size) } else { 0 }
            }
            TARGETS..CONFIGS => {
                byte_or_word(offset, size)?;
                if v2 { self.read_targets(vcpu, offset.wrapping_sub(TARGETS), size) } else { 0 }
            }
            CONFIGS..CONFIGS_END => {
                word_only(offset, size)?;
                let index = offset.wrapping_sub(CONFIGS) >> 2;
                if index >= 2 || v2 { self.read_config(vcpu, index) } else { 0 }
            }
            CLEAR_SENDERS..SET_SENDERS_END if v2 => {
                byte_or_word(offset, size)?;
                (0..size.bytes()).rev().fold(0, |value, n| {
                    (value << 8) | u32::from(self.pending_senders(vcpu, (offset | n) & 15))
                })
            }
            PIDR2_V2 if v2 => {
                word_only(offset, size)?;
                PIDR2_V2_VALUE
            }
            ROUTES..ROUTES_END if !v2 => return self.read_route(offset, size),
            PIDR2_V3 => {
                word_only(offset, size)?;
                PIDR2_V3_VALUE
            }
            _ => 0,
        };
        Ok(value.into())
    }

    pub(super) fn dist_write(
        &self,
        vcpu: usize,
        offset: u32,
        size: AccessSize,
        value: u64,
    ) -> Result<Effects, Abort> {
        let v2 = self.version == Version::V2;
        let word = value as u32;
        let none = Ok(Effects::default());
        match offset {
            SGIR if v2 => {
                word_only(offset, size)?;
                Ok(Effects { kicks: self.write_sgir(vcpu, word), hw: None })
            }
            CTLR => {
                word_only(offset, size)?;
                Ok(self.write_ctlr(word))
            }
            0x80..PRIORITIES => {
                word_only(offset, size)?;
                let index = (offset & 0x7f) >> 2;
                match BitReg::at(offset) {
                    Some(reg) if index != 0 || v2 => Ok(self.write_bits(vcpu, reg, index, word)),
                    _ => none,
                }
            }
            PRIORITIES..TARGETS => {
                byte_or_word(offset, size)?;
                let first = offset.wrapping_sub(PRIORITIES);
                if first >= BLOCK || v2 { Ok(self.write_priorities(vcpu, first, size, word)) } else { none }
            }
            TARGETS..CONFIGS => {
                byte_or_word(offset, size)?;
                if v2 { Ok(self.write_targets(offset.wrapping_sub(TARGETS), size, word)) } else { none }
            }
            CONFIGS..CONFIGS_END => {
                word_only(offset, size)?;
                let index = offset.wrapping_sub(CONFIGS) >> 2;
                if index >= 2 || v2 { Ok(self.write_config(vcpu, index, word)) } else { none }
            }
            CLEAR_SENDERS..SET_SENDERS_END if v2 => {
                byte_or_word(offset, size)?;
                let mut kicks = VcpuSet::EMPTY;
                for (n, senders) in (0..size.bytes()).zip(word.to_le_bytes()) {
                    let set = offset >= SET_SENDERS;
                    kicks = kicks.union(self.write_pending_senders(vcpu, (offset | n) & 15, senders, set));
                }
                Ok(Effects { kicks, hw: None })
            }
            ROUTES..ROUTES_END if !v2 => self.write_route(offset, size, value),
            _ => none,
        }
    }

    fn write_ctlr(&self, value: u32) -> Effects {
        let value = value & (CTLR_GROUP0 | CTLR_GROUP1);
        let kicks =
            if self.ctlr.swap(value, Ordering::AcqRel) == value { VcpuSet::EMPTY } else { self.notify_all() };
        Effects { kicks, hw: None }
    }

    /// GICD_ITARGETSR from interrupt `first`: a bit for each vCPU. Private interrupts show the vCPU that reads.
    fn read_targets(&self, vcpu: usize, first: u32, size: AccessSize) -> u32 {
        let own = bit(vcpu as u32) & 0xff;
        let Some((block, ..)) = self.spi(first) else {
            return if first >= BLOCK {
                0
            } else if size == AccessSize::Byte {
                own
            } else {
                own.wrapping_mul(0x0101_0101)
            };
        };
        let block = block.lock();
        (0..size.bytes()).rev().fold(0, |value, n| (value << 8) | block.route_of((first | n) & 31) as u32)
    }

    fn write_targets(&self, first: u32, size: AccessSize, value: u32) -> Effects {
        let Some((_, index, n)) = self.spi(first) else { return Effects::default() };
        let bytes = value.to_le_bytes();
        let count = size.bytes() as usize;
        self.reroute(index, n, bytes.iter().take(count).map(|&byte| move |_| u64::from(byte)))
    }

    /// Sets the routes of interrupts from `first` of a block; each new one is computed from the old one.
    fn reroute(
        &self,
        index: usize,
        first: u32,
        routes: impl Iterator<Item = impl Fn(u64) -> u64>,
    ) -> Effects {
        let Some(block) = self.spis.get(index) else { return Effects::default() };
        let mut block = block.lock();
        let online = *self.online.lock();
        let mut moved = 0;
        for (n, route) in (0..).zip(routes) {
            let n = (first | n) & 31;
            let value = route(block.route_of(n));
            if block.set_route(self.version, n, value, online, self.all_vcpus()) {
                moved |= bit(n);
            }
        }
        let mask = moved & block.hw;
        Effects {
            kicks: self.notify(index, &block, moved),
            hw: (mask != 0).then_some(HwBatch { kind: HwKind::Route, block: index, mask }),
        }
    }

    fn read_route(&self, offset: u32, size: AccessSize) -> Result<u64, Abort> {
        let half = half_of(offset, size)?;
        let Some((block, _, n)) = self.spi(offset.wrapping_sub(ROUTES) >> 3) else { return Ok(0) };
        let route = block.lock().route_of(n);
        Ok(match half {
            Half::Both => route,
            Half::Lower => route & 0xffff_ffff,
            Half::Upper => route >> 32,
        })
    }

    fn write_route(&self, offset: u32, size: AccessSize, value: u64) -> Result<Effects, Abort> {
        let half = half_of(offset, size)?;
        let Some((_, index, n)) = self.spi(offset.wrapping_sub(ROUTES) >> 3) else {
            return Ok(Effects::default());
        };
        let route = |old: u64| match half {
            Half::Both => value,
            Half::Lower => (old & !0xffff_ffff) | (value & 0xffff_ffff),
            Half::Upper => (old & 0xffff_ffff) | (value << 32),
        };
        Ok(self.reroute(index, n, core::iter::once(route)))
    }
}

/// Part of a register of 64 bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    Both,
    Lower,
    Upper,
}

/// The part that an access means.
pub(super) fn half_of(offset: u32, size: AccessSize) -> Result<Half, Abort> {
    match (size, offset & 7) {
        (AccessSize::Double, 0) => Ok(Half::Both),
        (AccessSize::Word, 0) => Ok(Half::Lower),
        (AccessSize::Word, 4) => Ok(Half::Upper),
        _ => Err(Abort),
    }
}
