//! Formats of segment descriptors and interrupt gates (Intel SDM volume 3, 3.4.5, 6.14.1, 7.2.3).
#![forbid(unsafe_code)]

/// Selector of the 64-bit code segment.
pub const CODE: u16 = 0x08;
/// Selector of the task-state segment.
pub const TASK: u16 = 0x18;
/// 64-bit code of ring 0: present, accessed (so that the CPU need not write), readable, long.
pub const CODE_SEGMENT: u64 = 0x00af_9b00_0000_ffff;
/// Data of ring 0: present, accessed, writable.
pub const DATA_SEGMENT: u64 = 0x00cf_9300_0000_ffff;

/// Bytes in a 64-bit task-state segment without an I/O permission map.
pub const TASK_SIZE: u16 = 104;
/// The 32-bit word of the task-state segment where the first interrupt stack's address begins.
pub const TASK_IST1: usize = 9;
/// The 32-bit word whose upper half is the offset of the I/O permission map.
pub const TASK_IO_MAP: usize = 25;

const PRESENT: u64 = 1 << 15;
const INTERRUPT_GATE: u64 = 0xe << 8;
const AVAILABLE_TASK: u64 = 0x9 << 40;

/// A gate of ring 0 to `handler`, which is entered with interrupts masked on interrupt stack `stack`
/// (1 to 7; 0 keeps the stack).
pub const fn gate(handler: u64, stack: u8) -> [u64; 2] {
    let attributes = (CODE as u64) << 16 | ((stack & 7) as u64 | PRESENT | INTERRUPT_GATE) << 32;
    [handler & 0xffff | attributes | (handler >> 16 & 0xffff) << 48, handler >> 32]
}

/// The descriptor of a task-state segment of [`TASK_SIZE`] bytes at `base`.
pub const fn task_segment(base: u64) -> [u64; 2] {
    let limit = (TASK_SIZE as u64).saturating_sub(1);
    let low = limit | (base & 0xff_ffff) << 16 | AVAILABLE_TASK | PRESENT << 32 | (base >> 24 & 0xff) << 56;
    [low, base >> 32]
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: u64 = 0xffff_8200_1234_5678;

    #[test]
    fn gate_holds_handler_selector_and_stack() {
        let bytes: Vec<u8> = gate(ADDRESS, 1).iter().flat_map(|word| word.to_le_bytes()).collect();
        // Offset 15-0, selector, stack, type, offset 31-16, 63-32, reserved.
        assert_eq!(bytes, [0x78, 0x56, 8, 0, 1, 0x8e, 0x34, 0x12, 0x00, 0x82, 0xff, 0xff, 0, 0, 0, 0]);
    }

    #[test]
    fn task_segment_holds_limit_base_and_type() {
        let bytes: Vec<u8> = task_segment(ADDRESS).iter().flat_map(|word| word.to_le_bytes()).collect();
        // Limit 15-0, base 15-0, 23-16, type, limit and flags, base 31-24, 63-32, reserved.
        assert_eq!(bytes, [103, 0, 0x78, 0x56, 0x34, 0x89, 0, 0x12, 0x00, 0x82, 0xff, 0xff, 0, 0, 0, 0]);
    }
}
