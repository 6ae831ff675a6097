//! Kernel files and partial device trees: bytes to a plan of a guest.

use domain_builder::{Gic, Guest, KernelFile, plan};

use crate::input::Input;

/// Memory that the guests can have, in MiB.
const MEMORY: [u64; 4] = [2, 16, 64, 4096];

pub(crate) fn one_input(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (Some(shape), Some(ramdisk)) = (input.byte(), input.byte()) else { return };
    let memory = MEMORY[usize::from(shape & 3)] << 20;
    // In a quarter of the shapes the bytes are a partial tree, and the kernel is fine.
    let partial_tree = (shape & 0x0c == 0x0c).then_some(input.0);
    let kernel = if partial_tree.is_some() { IMAGE } else { input.0 };
    let guest = Guest {
        kernel: KernelFile { bytes: kernel, len: kernel.len() as u64 },
        ramdisk: Some(u64::from(ramdisk) << 8),
        cmdline: Some("console=hvc0"),
        memory,
        vcpus: 1 + u32::from(shape >> 4 & 7),
        gic: if shape & 0x80 == 0 { Gic::V3 } else { Gic::V2 },
        vuart: true,
        xen_version: (4, 17),
        address_bits: 40,
        timer_hz: None,
        rng_seed: [7; 128],
        partial_tree,
    };
    match plan(&guest) {
        Ok(plan) => {
            let ram = plan.banks[0];
            let kernel = plan.segments.first().expect("there is a kernel");
            assert!(kernel.len >= 64, "a kernel is not shorter than its header");
            let mut ranges = Vec::new();
            for segment in &plan.segments {
                let end = segment.address + segment.len;
                assert!(segment.address.is_multiple_of(4096), "{} is not on a page", segment.what);
                assert!(ram.base <= segment.address && end <= ram.end(), "{} is outside RAM", segment.what);
                ranges.push((segment.address, end));
            }
            ranges.sort_unstable();
            assert!(ranges.is_sorted_by(|one, next| one.1 <= next.0), "segments overlap");
        }
        Err(error) => {
            let message = error.to_string();
            assert!(!message.is_empty() && message.len() < 500, "{message}");
            assert!(!message.contains(char::is_control), "one line: {message:?}");
        }
    }
}

/// A kernel that is fine.
const IMAGE: &[u8] = {
    static BYTES: [u8; 64] = {
        let mut bytes = [0; 64];
        bytes[16] = 64;
        (bytes[56], bytes[57], bytes[58], bytes[59]) = (b'A', b'R', b'M', b'd');
        bytes
    };
    &BYTES
};
