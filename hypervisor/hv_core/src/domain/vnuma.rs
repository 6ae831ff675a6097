//! The NUMA nodes that a domain is told of. The tools set them, the guest asks for them; nothing else
//! depends on them.

use alloc::vec::Vec;
use hal::PAGE_SIZE;
use xen_abi::Errno;
use xen_abi::memory::Vmemrange;

/// A domain's virtual nodes.
#[derive(Debug, Default)]
pub struct Vnuma {
    /// How many nodes there are.
    pub nodes: u32,
    /// The distance of each node to each.
    pub distances: Vec<u32>,
    /// The node of each vCPU.
    pub vcpus: Vec<u32>,
    /// Memory ranges and their nodes.
    pub ranges: Vec<Vmemrange>,
}

impl Vnuma {
    /// Checks how many there may be: each list fits in a page, as in Xen.
    ///
    /// # Errors
    /// EINVAL for no node, or too many of anything.
    pub fn check_counts(nodes: u32, ranges: u32) -> Result<(), Errno> {
        let words = PAGE_SIZE / size_of::<u32>();
        let square = (nodes as usize).checked_mul(nodes as usize);
        let fits =
            square.is_some_and(|n| n <= words) && ranges as usize <= PAGE_SIZE / size_of::<Vmemrange>();
        if nodes == 0 || !fits { Err(Errno::EINVAL) } else { Ok(()) }
    }
}
