//! The way from the boot loader to Rust, and the image's place in memory.

use core::arch::global_asm;

use crate::layout;
use crate::ram::Span;

use super::smp::StartRecord;

/// Page tables that the assembly fills: levels 0, 1 and 2, and level 3 of the image and the stacks.
const TABLES: usize = 5;

global_asm!(
    include_str!("boot.S"),
    mair = const crate::paging::MAIR,
    table_pages = const TABLES,
    image_base = const layout::IMAGE_BASE,
    stack_base = const layout::STACK_BASE,
    stack_size = const layout::STACK_SIZE,
    record = sym super::smp::START_RECORD,
    record_mpidr = const core::mem::offset_of!(StartRecord, mpidr),
    record_stack = const core::mem::offset_of!(StartRecord, stack_top),
    record_cpu = const core::mem::offset_of!(StartRecord, cpu),
    arrived = const super::smp::ARRIVED as i64,
    mpidr_mask = const super::cpu::MPIDR_AFFINITY,
);

// SAFETY: the linker script defines these symbols; only their addresses are used.
unsafe extern "C" {
    safe static image_head: u8;
    safe static text_end: u8;
    safe static image_end: u8;
    safe static boot_tables: u8;
    safe static secondary_start: u8;
}

fn address(symbol: &'static u8) -> u64 {
    core::ptr::from_ref(symbol).addr() as u64
}

/// What the boot loader passed.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The physical address of the device tree.
    pub fdt: u64,
    /// The physical address of the image.
    pub image: u64,
    /// The exception level: 2, or 1 when the machine was set up wrongly, and then nothing but the
    /// console and the power calls may be used.
    pub level: u64,
}

impl Entry {
    /// The physical memory that the image and its zeroed data lie in.
    pub fn image_span(&self) -> Span {
        Span { start: self.image, end: self.image + (address(&image_end) - layout::IMAGE_BASE) }
    }

    /// The physical address of something in the image, by its address.
    pub(super) fn physical(&self, va: u64) -> u64 {
        va - layout::IMAGE_BASE + self.image
    }

    /// The physical address of the root table.
    pub(super) fn root_table(&self) -> u64 {
        self.physical(address(&boot_tables))
    }

    /// The physical address at which another CPU starts.
    pub(super) fn secondary_start(&self) -> u64 {
        self.physical(address(&secondary_start))
    }
}

/// Whether `va` is in the hypervisor's code.
pub(super) fn is_code(va: u64) -> bool {
    (address(&image_head)..address(&text_end)).contains(&va)
}
