//! Lists of hypercalls, and hypercalls as they come.

use super::{Duel, With};
use crate::testkit::words::word;
use crate::testkit::{ARGS, LISTS};
use alloc::vec::Vec;
use hv_spec::Model;
use xen_abi::xen::*;

/// Hypercalls that may stand in a list: what the model knows, and whose progress can be seen.
const LISTED: [u32; 6] = [
    __HYPERVISOR_memory_op,
    __HYPERVISOR_grant_table_op,
    __HYPERVISOR_event_channel_op,
    __HYPERVISOR_hvm_op,
    __HYPERVISOR_multicall,
    __HYPERVISOR_vcpu_op,
];

impl Duel {
    /// Arguments for a hypercall, which mostly point to something.
    fn wild_args(number: u32, n: &[u8]) -> [u64; 5] {
        let known = Model::operations(number);
        let cmd = known.get(usize::from(n[0]) % known.len().max(1)).copied().unwrap_or(0).into();
        let at = if n[1] < 230 { LISTS.0 + u64::from(n[1]) * 8 } else { word(n[1]) };
        match number {
            __HYPERVISOR_grant_table_op => [cmd, at, u64::from(n[2] % 3), 0, 0],
            __HYPERVISOR_vcpu_op => [cmd, u64::from(n[2] % 3), at, 0, 0],
            _ => [cmd, at, word(n[2]), 0, 0],
        }
    }

    /// A list of hypercalls.
    pub(super) fn multicall(&mut self, id: u16, with: With) {
        let count = if with[0] < 20 { 70 } else { usize::from(with[0] % 6) };
        let entries: Vec<MulticallEntry> = (0..count)
            .map(|n| {
                let bytes: [u8; 4] =
                    core::array::from_fn(|i| with[(n + i) % with.len()].wrapping_add(n as u8));
                let number = LISTED[usize::from(bytes[3]) % LISTED.len()];
                let [a0, a1, a2, a3, a4] = Self::wild_args(number, &bytes);
                MulticallEntry { op: number.into(), result: 0x77, args: [a0, a1, a2, a3, a4, 0] }
            })
            .collect();
        self.fill(id, with);
        let list = self.list(id, 0x1000, &entries);
        if self.call(id, __HYPERVISOR_multicall, [list, count as u64, 0, 0, 0]) == Some(Ok(0)) && count > 0 {
            self.note("multicall");
        }
    }

    /// A hypercall whose arguments are anything.
    pub(super) fn wild(&mut self, id: u16, with: With) {
        let number = LISTED[usize::from(with[9]) % 4];
        self.fill(id, with);
        self.call(id, number, Self::wild_args(number, &with[1..]));
    }

    /// Words that may stand anywhere, where wild arguments point.
    fn fill(&mut self, id: u16, with: With) {
        let words: [u64; 32] = core::array::from_fn(|n| word(with[n % with.len()].wrapping_add(n as u8)));
        self.put(id, LISTS, &words);
        self.put(id, ARGS, &words[..8].first_chunk::<8>().copied().unwrap_or_default());
    }
}
