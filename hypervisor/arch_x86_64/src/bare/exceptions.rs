//! The descriptor tables: segments, exception gates, and the stack for exception reports.

use core::arch::global_asm;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::descriptor::{
    CODE, CODE_SEGMENT, DATA_SEGMENT, TASK, TASK_IO_MAP, TASK_IST1, TASK_SIZE, gate, task_segment,
};
use crate::exception::{VECTORS, WITH_ERROR_CODE};

const STUB_SIZE: u64 = 16;
/// The size of the stack that exception reports run on.
const REPORT_STACK_SIZE: usize = 8 << 10;
/// The interrupt stack that all exceptions use: they all end the run, and the stack of the code that
/// failed may be what failed.
const REPORT_STACK: u8 = 1;

global_asm!(
    include_str!("exceptions.S"),
    vectors = const VECTORS,
    with_error_code = const WITH_ERROR_CODE,
    report = sym super::report::report,
);

// SAFETY: as declared in `exceptions.S`; of the stubs only the address is used.
unsafe extern "C" {
    safe static exception_stubs: u8;
    /// # Safety
    /// The tables must be valid, and remain so for good.
    fn load_tables(gdt: &TablePointer, idt: &TablePointer, code: u16, task: u16);
}

/// What LGDT and LIDT load.
#[repr(C, packed)]
struct TablePointer {
    limit: u16,
    base: u64,
}

impl TablePointer {
    fn new<const N: usize>(table: &'static [AtomicU64; N]) -> Self {
        Self {
            limit: size_of_val(table).saturating_sub(1) as u16,
            base: table.as_ptr().expose_provenance() as u64,
        }
    }
}

// Atomic, because the CPU writes them too: the busy bit of the task-state segment, and the stack.
static GDT: [AtomicU64; 5] = [const { AtomicU64::new(0) }; 5];
static IDT: [AtomicU64; 2 * VECTORS] = [const { AtomicU64::new(0) }; 2 * VECTORS];
static TASK_STATE: [AtomicU32; TASK_SIZE as usize / 4] =
    [const { AtomicU32::new(0) }; TASK_SIZE as usize / 4];

#[repr(C, align(16))]
struct Stack([AtomicU64; REPORT_STACK_SIZE / 8]);

static STACK: Stack = Stack([const { AtomicU64::new(0) }; REPORT_STACK_SIZE / 8]);

fn fill(table: &[AtomicU64], words: impl IntoIterator<Item = u64>) {
    for (slot, word) in table.iter().zip(words) {
        slot.store(word, Ordering::Relaxed);
    }
}

/// Makes exceptions be reported.
pub(super) fn start() {
    let task = TASK_STATE.as_ptr().expose_provenance() as u64;
    fill(&GDT, [0, CODE_SEGMENT, DATA_SEGMENT].into_iter().chain(task_segment(task)));

    let stubs = core::ptr::from_ref(&exception_stubs).expose_provenance() as u64;
    let gates = (stubs..).step_by(STUB_SIZE as usize).flat_map(|stub| gate(stub, REPORT_STACK));
    fill(&IDT, gates);

    let top = STACK.0.as_ptr_range().end.expose_provenance() as u64;
    let words = [
        (TASK_IST1, top as u32),
        (TASK_IST1 + 1, (top >> 32) as u32),
        (TASK_IO_MAP, u32::from(TASK_SIZE) << 16),
    ];
    for (index, word) in words {
        if let Some(slot) = TASK_STATE.get(index) {
            slot.store(word, Ordering::Relaxed);
        }
    }

    // SAFETY: the tables are static; their entries were made above as the manuals have them, and the
    // selectors are those of the code segment and the task-state segment in them.
    unsafe { load_tables(&TablePointer::new(&GDT), &TablePointer::new(&IDT), CODE, TASK) };
}
