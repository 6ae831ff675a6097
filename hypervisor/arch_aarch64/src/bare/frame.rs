//! Page frames that guests may share, through the direct map.

use core::arch::asm;
use core::marker::PhantomData;
use core::num::NonZeroUsize;
use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use hal::{FrameMem, Mfn, PAGE_SIZE, clip, insist};

use super::hold::Hold;
use super::memory::{copy_shared, zero_pages};
use crate::layout;

/// A frame of RAM that the hypervisor does not keep for itself.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Its address in the direct map.
    base: NonZeroUsize,
    machine: PhantomData<&'a super::Machine>,
}

/// `offset` within the page, aligned down to `size`.
#[inline(always)]
const fn within(offset: usize, size: usize) -> usize {
    offset & (PAGE_SIZE - 1) & !(size - 1)
}

/// Atomic operations on a word of a frame, as one pair of instructions (Arm ARM B2.9) that fails when another CPU was
/// there in between; `insist` then tries again.
macro_rules! exclusive {
    ($name:ident: $word:ty, $change:literal, $suffix:literal, $width:literal) => {
        #[inline(always)]
        fn $name(&self, offset: usize, operand: $word) -> $word {
            let at = self.at(within(offset, size_of::<$word>()));
            let attempt = || {
                let (old, failed): ($word, u32);
                // SAFETY: the word is in the frame, which `new` was promised to be mapped and free of references, and
                // it is aligned.
                unsafe {
                    asm!(
                        concat!("ldaxr", $suffix, " {old:", $width, "}, [{at}]"),
                        concat!($change, " {new:", $width, "}, {old:", $width, "}, {operand:", $width, "}"),
                        concat!("stlxr", $suffix, " {failed:w}, {new:", $width, "}, [{at}]"),
                        old = out(reg) old,
                        new = out(reg) _,
                        failed = out(reg) failed,
                        operand = in(reg) operand,
                        at = in(reg) at,
                        options(nostack, preserves_flags),
                    );
                }
                (failed == 0).then_some(old)
            };
            insist(attempt, Hold::new)
        }
    };
}

impl Frame<'_> {
    exclusive!(or16: u16, "orr", "h", "w");
    exclusive!(or32: u32, "orr", "", "w");
    exclusive!(or64: u64, "orr", "", "x");
    exclusive!(and16: u16, "and", "h", "w");
    exclusive!(and32: u32, "and", "", "w");
    exclusive!(and64: u64, "and", "", "x");

    /// The frame `mfn`.
    ///
    /// # Safety
    /// The frame is RAM in the direct map, and the hypervisor has no reference into it for as long
    /// as this is used, nor makes one.
    #[inline(always)]
    pub(super) unsafe fn new(mfn: Mfn) -> Self {
        // SAFETY: the direct map is far from address 0, and the frame lies in it.
        let base = unsafe { NonZeroUsize::new_unchecked(layout::direct(mfn.addr().0) as usize) };
        Self { base, machine: PhantomData }
    }

    #[inline(always)]
    fn at(&self, offset: usize) -> *mut u8 {
        core::ptr::with_exposed_provenance_mut(self.base.get().wrapping_add(offset))
    }

    #[inline(always)]
    fn u8(&self, offset: usize) -> &AtomicU8 {
        // SAFETY: in the frame, which `new` was promised to be mapped and free of references.
        unsafe { AtomicU8::from_ptr(self.at(within(offset, 1))) }
    }

    #[inline(always)]
    fn u16(&self, offset: usize) -> &AtomicU16 {
        // SAFETY: as above, and aligned.
        unsafe { AtomicU16::from_ptr(self.at(within(offset, 2)).cast()) }
    }

    #[inline(always)]
    fn u32(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: as above, and aligned.
        unsafe { AtomicU32::from_ptr(self.at(within(offset, 4)).cast()) }
    }

    #[inline(always)]
    fn u64(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: as above, and aligned.
        unsafe { AtomicU64::from_ptr(self.at(within(offset, 8)).cast()) }
    }

    /// The further attempts of an exchange.
    #[cold]
    #[inline(never)]
    fn exchange_again(&self, offset: usize, current: u32, new: u32) -> Result<u32, u32> {
        let word = self.u32(offset);
        let attempt = || match word.compare_exchange_weak(current, new, Ordering::SeqCst, Ordering::SeqCst) {
            Err(found) if found == current => None,
            result => Some(result),
        };
        insist(attempt, Hold::new)
    }

    /// Runs `f` on the `len` bytes from `offset`, if they are whole words in the page, and not too many; says whether
    /// they are.
    #[inline(always)]
    fn with_words(&self, offset: usize, len: usize, f: impl FnOnce(&[AtomicU64])) -> bool {
        let aligned = len.is_multiple_of(8) && offset.is_multiple_of(8);
        if !aligned || len > IN_LINE || offset > PAGE_SIZE - len {
            return false;
        }
        // SAFETY: as above: in the frame and aligned.
        f(unsafe { core::slice::from_raw_parts(self.at(offset).cast_const().cast(), len / 8) });
        true
    }
}

/// Bytes up to which a structure is read and written word by word in line.
const IN_LINE: usize = 64;

impl FrameMem for Frame<'_> {
    #[inline]
    fn read(&self, offset: usize, buf: &mut [u8]) -> usize {
        let len = clip(offset, buf.len());
        // SAFETY: `len` bytes from `offset` are in the frame, and as many fit into `buf`.
        unsafe { copy_shared(buf.as_mut_ptr(), self.at(offset), len) };
        len
    }

    #[inline]
    fn write(&self, offset: usize, bytes: &[u8]) -> usize {
        let len = clip(offset, bytes.len());
        // SAFETY: `len` bytes from `offset` are in the frame, and `bytes` has as many.
        unsafe { copy_shared(self.at(offset), bytes.as_ptr(), len) };
        len
    }

    #[inline(always)]
    fn read_words(&self, offset: usize, buf: &mut [u8]) -> usize {
        let len = buf.len();
        let whole = self.with_words(offset, len, |words| {
            for (part, word) in buf.chunks_exact_mut(8).zip(words) {
                part.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
            }
        });
        if whole { len } else { self.read(offset, buf) }
    }

    #[inline(always)]
    fn write_words(&self, offset: usize, bytes: &[u8]) -> usize {
        if bytes.len() == 2 && offset.is_multiple_of(2) {
            self.u16(offset).store(bytes.try_into().map_or(0, u16::from_ne_bytes), Ordering::Relaxed);
            return bytes.len();
        }
        let whole = self.with_words(offset, bytes.len(), |words| {
            for (part, word) in bytes.chunks_exact(8).zip(words) {
                word.store(part.try_into().map_or(0, u64::from_ne_bytes), Ordering::Relaxed);
            }
        });
        if whole { bytes.len() } else { self.write(offset, bytes) }
    }

    #[inline]
    fn copy_from(&self, offset: usize, src: &Self, src_offset: usize, len: usize) -> usize {
        let len = clip(offset, clip(src_offset, len));
        // SAFETY: `len` bytes from either offset are in their frames. The frames may be the same
        // and overlap: the copy is then some mixture, but stays in the frame.
        unsafe { copy_shared(self.at(offset), src.at(src_offset), len) };
        len
    }

    #[inline]
    fn zero(&self) {
        // SAFETY: exactly the frame's bytes.
        unsafe { zero_pages(self.at(0), self.at(PAGE_SIZE)) };
    }

    #[inline]
    fn load8(&self, offset: usize) -> u8 {
        self.u8(offset).load(Ordering::Relaxed)
    }

    #[inline]
    fn store8(&self, offset: usize, value: u8) {
        self.u8(offset).store(value, Ordering::Relaxed);
    }

    #[inline]
    fn load16(&self, offset: usize) -> u16 {
        self.u16(offset).load(Ordering::Acquire)
    }

    #[inline]
    fn fetch_or16(&self, offset: usize, bits: u16) -> u16 {
        self.or16(offset, bits)
    }

    #[inline]
    fn fetch_and16(&self, offset: usize, bits: u16) -> u16 {
        self.and16(offset, bits)
    }

    #[inline]
    fn load32(&self, offset: usize) -> u32 {
        self.u32(offset).load(Ordering::Acquire)
    }

    #[inline]
    fn store32(&self, offset: usize, value: u32) {
        self.u32(offset).store(value, Ordering::Release);
    }

    #[inline]
    fn compare_exchange32(&self, offset: usize, current: u32, new: u32) -> Result<u32, u32> {
        match self.u32(offset).compare_exchange_weak(current, new, Ordering::SeqCst, Ordering::SeqCst) {
            // The value is right; the store failed.
            Err(found) if found == current => self.exchange_again(offset, current, new),
            result => result,
        }
    }

    #[inline]
    fn fetch_or32(&self, offset: usize, bits: u32) -> u32 {
        self.or32(offset, bits)
    }

    #[inline]
    fn fetch_and32(&self, offset: usize, bits: u32) -> u32 {
        self.and32(offset, bits)
    }

    #[inline]
    fn load64(&self, offset: usize) -> u64 {
        self.u64(offset).load(Ordering::Acquire)
    }

    #[inline]
    fn store64(&self, offset: usize, value: u64) {
        self.u64(offset).store(value, Ordering::Release);
    }

    #[inline]
    fn fetch_or64(&self, offset: usize, bits: u64) -> u64 {
        self.or64(offset, bits)
    }

    #[inline]
    fn fetch_and64(&self, offset: usize, bits: u64) -> u64 {
        self.and64(offset, bits)
    }

    #[inline]
    fn swap64(&self, offset: usize, value: u64) -> u64 {
        let word = self.u64(offset);
        let attempt = || {
            let old = word.load(Ordering::Relaxed);
            word.compare_exchange_weak(old, value, Ordering::SeqCst, Ordering::Relaxed).ok()
        };
        insist(attempt, Hold::new)
    }
}
