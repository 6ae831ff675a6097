//! `io/protocols.h`: names of the ring layouts, as a frontend writes them to its `protocol` node.

/// 32-bit x86 layout.
pub const XEN_IO_PROTO_ABI_X86_32: &str = "x86_32-abi";
/// 64-bit x86 layout.
pub const XEN_IO_PROTO_ABI_X86_64: &str = "x86_64-abi";
/// Arm layout.
pub const XEN_IO_PROTO_ABI_ARM: &str = "arm-abi";
