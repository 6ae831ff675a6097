//! Names for exceptions and their error codes (Intel SDM volume 3, 6.15; AMD APM volume 2, 8.2).
#![forbid(unsafe_code)]

/// The number of exception vectors.
pub const VECTORS: usize = 32;
/// The double fault's vector.
pub const DOUBLE_FAULT: u64 = 8;
/// The page fault's vector.
pub const PAGE_FAULT: u64 = 14;

/// The exceptions that push an error code, a bit each.
pub const WITH_ERROR_CODE: u32 = 1 << 8 | 0x1f << 10 | 1 << 17 | 1 << 21 | 1 << 29 | 1 << 30;

/// What happened, for a person.
pub fn name(vector: u64) -> &'static str {
    match vector {
        0 => "divide error",
        1 => "debug exception",
        2 => "non-maskable interrupt",
        3 => "breakpoint",
        4 => "overflow",
        5 => "bound range exceeded",
        6 => "invalid opcode",
        7 => "no floating-point unit",
        DOUBLE_FAULT => "double fault",
        10 => "invalid task-state segment",
        11 => "segment not present",
        12 => "stack segment fault",
        13 => "general protection fault",
        PAGE_FAULT => "page fault",
        16 => "floating-point error",
        17 => "misaligned access",
        18 => "machine check",
        19 => "vector floating-point error",
        20 => "virtualization exception",
        21 => "control protection fault",
        28 => "hypervisor injection exception",
        29 => "VMM communication exception",
        30 => "security exception",
        _ => "reserved exception",
    }
}

/// What a page fault's error code says: what was tried, and why it failed.
pub const fn page_fault(error: u64) -> (&'static str, &'static str) {
    let access = if error & 1 << 4 != 0 {
        "fetch"
    } else if error & 1 << 1 != 0 {
        "write"
    } else {
        "read"
    };
    let why = if error & 1 << 3 != 0 {
        "reserved bits in a table"
    } else if error & 1 != 0 {
        "permission"
    } else {
        "nothing mapped"
    };
    (access, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_fault_error_codes_are_told_apart() {
        assert_eq!(page_fault(0), ("read", "nothing mapped"));
        assert_eq!(page_fault(0x3), ("write", "permission"));
        assert_eq!(page_fault(0x11), ("fetch", "permission"));
        assert_eq!(page_fault(0x9), ("read", "reserved bits in a table"));
    }

    #[test]
    fn exceptions_with_an_error_code_are_those_of_the_manual() {
        let with: Vec<u32> = (0..32).filter(|vector| WITH_ERROR_CODE >> vector & 1 != 0).collect();
        assert_eq!(with, [8, 10, 11, 12, 13, 14, 17, 21, 29, 30]);
    }
}
