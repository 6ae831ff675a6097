//! Bitmaps in the caller's memory (struct xenctl_bitmap, domctl.h).

use super::Call;
use sched::{CpuId, CpuMask};
use xen_abi::Errno;
use xen_abi::xen::XenctlBitmap;

/// Bytes of a CPU mask.
const MASK_BYTES: usize = size_of::<[u64; 2]>();
/// Bytes that are written at once.
const ZEROES: usize = 64;
/// Bytes of a caller's bitmap that are written at most: those of 32768 pCPUs.
const MAX_BYTES: usize = 4096;

/// Reads a set of pCPUs; bits beyond what there can be are ignored.
pub(super) fn read_cpus(call: &Call<'_>, map: &XenctlBitmap) -> Result<CpuMask, Errno> {
    let mut bytes = [0; MASK_BYTES];
    let len = (map.nr_bits as usize).div_ceil(8).min(MASK_BYTES);
    call.guest().read_bytes(map.bitmap.0, bytes.get_mut(..len).ok_or(Errno::EINVAL)?)?;
    let mut mask = CpuMask::EMPTY;
    for bit in 0..(map.nr_bits as usize).min(MASK_BYTES * 8) {
        if bytes.get(bit / 8).is_some_and(|byte| byte >> (bit % 8) & 1 != 0)
            && let Some(cpu) = CpuId::new(bit)
        {
            mask.insert(cpu);
        }
    }
    Ok(mask)
}

/// Writes a set of pCPUs, cut to the caller's bitmap, the rest of which becomes zero.
pub(super) fn write_cpus(call: &Call<'_>, map: &XenctlBitmap, mask: CpuMask) -> Result<(), Errno> {
    let [low, high] = mask.words();
    write_words(call, map, &[low, high])
}

/// Writes a bitmap given as words, at most two; the bits of the caller's beyond them become zero.
pub(super) fn write_words(call: &Call<'_>, map: &XenctlBitmap, words: &[u64]) -> Result<(), Errno> {
    let guest = call.guest();
    let bits = map.nr_bits as usize;
    let len = bits.div_ceil(8);
    let mut bytes = [0; ZEROES];
    for (slot, byte) in bytes.iter_mut().zip(words.iter().flat_map(|word| word.to_le_bytes())) {
        *slot = byte;
    }
    if !bits.is_multiple_of(8)
        && let Some(last) = bytes.get_mut(bits / 8)
    {
        *last &= (1 << (bits % 8)) - 1;
    }
    let mut done = 0;
    while done < len.min(MAX_BYTES) {
        let piece = bytes.get(..ZEROES.min(len - done)).ok_or(Errno::EINVAL)?;
        let at = map.bitmap.0.checked_add(done as u64).ok_or(Errno::EFAULT)?;
        guest.write_bytes(at, piece)?;
        done += piece.len();
        bytes = [0; ZEROES];
    }
    Ok(())
}
