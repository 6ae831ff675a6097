//! Device registers.

use core::arch::asm;

/// A mapped range of device registers.
#[derive(Clone, Copy, Debug)]
pub struct Mmio {
    base: usize,
    len: usize,
}

impl Mmio {
    /// The registers mapped at `base`.
    ///
    /// # Safety
    /// `len` bytes at `base` are mapped as device memory and stay so, and accesses to these
    /// registers do not make the device write to the hypervisor's memory.
    pub unsafe fn new(base: usize, len: usize) -> Self {
        Self { base, len }
    }

    /// The part from `offset` on, `len` bytes long; `None` if it is not within this one.
    pub fn part(&self, offset: usize, len: usize) -> Option<Self> {
        let end = offset.checked_add(len)?;
        (end <= self.len).then_some(Self { base: self.base + offset, len })
    }

    #[inline(always)]
    fn address(&self, offset: usize, size: usize) -> usize {
        assert!(offset + size <= self.len && offset.is_multiple_of(size), "no such device register");
        self.base + offset
    }

    /// Reads 32 bits. Always an acquiring load: erratum 832075 of Cortex-A57 asks for it, and it
    /// costs others nothing.
    #[inline(always)]
    pub fn read32(&self, offset: usize) -> u32 {
        let address = self.address(offset, 4);
        let value;
        // SAFETY: the address is in the range that `new` was promised.
        unsafe { asm!("ldar {v:w}, [{a}]", v = out(reg) value, a = in(reg) address, options(nostack)) };
        value
    }

    /// Writes 32 bits.
    #[inline(always)]
    pub fn write32(&self, offset: usize, value: u32) {
        let address = self.address(offset, 4);
        // SAFETY: the address is in the range that `new` was promised.
        unsafe { asm!("str {v:w}, [{a}]", v = in(reg) value, a = in(reg) address, options(nostack)) };
    }

    /// Writes 8 bits.
    #[inline(always)]
    pub fn write8(&self, offset: usize, value: u8) {
        let address = self.address(offset, 1);
        // SAFETY: the address is in the range that `new` was promised.
        unsafe { asm!("strb {v:w}, [{a}]", v = in(reg) value, a = in(reg) address, options(nostack)) };
    }

    /// Reads 64 bits as two halves, low first; for registers that do not change.
    pub fn read64(&self, offset: usize) -> u64 {
        u64::from(self.read32(offset)) | u64::from(self.read32(offset + 4)) << 32
    }

    /// Writes 64 bits as two halves, low first.
    pub fn write64(&self, offset: usize, value: u64) {
        self.write32(offset, value as u32);
        self.write32(offset + 4, (value >> 32) as u32);
    }
}
