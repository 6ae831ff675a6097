//! Redistributor registers of version 3: GICR_* of one vCPU, a frame for control and a frame for its interrupts.

use super::dist::{Half, IIDR_V3, PIDR2_V3, PIDR2_V3_VALUE, half_of};
use super::registers::{BitReg, byte_or_word, word_only};
use super::{Abort, Effects, Vgic};
use crate::affinity;
use crate::exit::AccessSize;

/// Offset of the second frame.
pub(super) const SGI_FRAME: u32 = 0x1_0000;

const IIDR: u32 = 0x0004;
const TYPER: u32 = 0x0008;
const TYPER_END: u32 = 0x0010;
const PRIORITIES: u32 = 0x400;
const PRIORITIES_END: u32 = 0x420;
const CONFIGS: u32 = 0xc00;
const CONFIGS_END: u32 = 0xc08;

impl Vgic {
    /// `vcpu` is the one whose redistributor it is.
    pub(super) fn redist_read(&self, vcpu: usize, offset: u32, size: AccessSize) -> Result<u64, Abort> {
        if offset >= SGI_FRAME {
            return self.sgi_frame_read(vcpu, offset & 0xffff, size);
        }
        // No LPIs: control, WAKER and the LPI tables read as zero.
        match offset {
            IIDR => word_only(offset, size).map(|()| IIDR_V3.into()),
            TYPER..TYPER_END => {
                let typer = self.redist_typer(vcpu);
                Ok(match half_of(offset, size)? {
                    Half::Both => typer,
                    Half::Lower => typer & 0xffff_ffff,
                    Half::Upper => typer >> 32,
                })
            }
            PIDR2_V3 => word_only(offset, size).map(|()| PIDR2_V3_VALUE.into()),
            _ => Ok(0),
        }
    }

    /// Value of GICR_TYPER: affinity, number, and whether it is the last of its region.
    fn redist_typer(&self, vcpu: usize) -> u64 {
        const LAST: u64 = 1 << 4;
        let mut end = 0usize;
        let mut is_last = false;
        for region in &self.redists {
            end = end.wrapping_add(region.nr_vcpus);
            is_last |= region.nr_vcpus != 0 && vcpu.wrapping_add(1) == end;
        }
        (affinity::of_vcpu(vcpu) << 32) | ((vcpu as u64) << 8) | if is_last { LAST } else { 0 }
    }

    fn sgi_frame_read(&self, vcpu: usize, offset: u32, size: AccessSize) -> Result<u64, Abort> {
        let value = match offset {
            0x80..PRIORITIES => {
                word_only(offset, size)?;
                match BitReg::at(offset) {
                    Some(reg) if offset & 0x7f == 0 => self.read_bits(vcpu, reg, 0),
                    _ => 0,
                }
            }
            PRIORITIES..PRIORITIES_END => {
                byte_or_word(offset, size)?;
                self.read_priorities(vcpu, offset.wrapping_sub(PRIORITIES), size)
            }
            CONFIGS..CONFIGS_END => {
                word_only(offset, size)?;
                self.read_config(vcpu, offset.wrapping_sub(CONFIGS) >> 2)
            }
            _ => 0,
        };
        Ok(value.into())
    }

    /// `vcpu` is the one whose redistributor it is.
    pub(super) fn redist_write(
        &self,
        vcpu: usize,
        offset: u32,
        size: AccessSize,
        value: u64,
    ) -> Result<Effects, Abort> {
        let word = value as u32;
        let none = Ok(Effects::default());
        let Some(offset) = offset.checked_sub(SGI_FRAME) else { return none };
        match offset {
            0x80..PRIORITIES => {
                word_only(offset, size)?;
                match BitReg::at(offset) {
                    Some(reg) if offset & 0x7f == 0 => Ok(self.write_bits(vcpu, reg, 0, word)),
                    _ => none,
                }
            }
            PRIORITIES..PRIORITIES_END => {
                byte_or_word(offset, size)?;
                Ok(self.write_priorities(vcpu, offset.wrapping_sub(PRIORITIES), size, word))
            }
            CONFIGS..CONFIGS_END => {
                word_only(offset, size)?;
                Ok(self.write_config(vcpu, offset.wrapping_sub(CONFIGS) >> 2, word))
            }
            _ => none,
        }
    }
}
