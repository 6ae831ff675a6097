//! The few things of the device tree that a guest needs: its command line and its interrupt controller.
//!
//! The tree is the loader's, and trusted: one that makes no sense ends the guest.

const MAGIC: u32 = 0xd00d_feed;
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;
/// What a tree has at most.
const LARGEST: usize = 2 << 20;

/// A flattened device tree.
pub(crate) struct Tree(&'static [u8]);

impl Tree {
    /// The tree at a physical address.
    pub(crate) fn at(address: u64) -> Self {
        let start = core::ptr::with_exposed_provenance::<u8>(address as usize);
        // SAFETY: RAM is mapped at its own addresses, and a tree has a header of 40 bytes that nobody changes.
        let head = unsafe { core::slice::from_raw_parts(start, 40) };
        assert_eq!(word(head, 0), MAGIC, "no device tree at {address:#x}");
        let size = word(head, 4) as usize;
        assert!(size <= LARGEST);
        // SAFETY: the tree's own size, and nobody writes to it.
        Self(unsafe { core::slice::from_raw_parts(start, size) })
    }

    /// The kernel's command line.
    pub(crate) fn arguments(&self) -> Option<&'static str> {
        let mut found = None;
        self.properties(|_, name, value| {
            if name == "bootargs" {
                found = text(value);
            }
        });
        found
    }

    /// The first two addresses in `reg` of a node that is compatible with something. Both have two cells.
    pub(crate) fn registers(&self, compatible: &str) -> Option<[u64; 2]> {
        let mut wanted = None;
        self.properties(|node, name, value| {
            if name == "compatible" && value.split(|byte| *byte == 0).any(|one| one == compatible.as_bytes())
            {
                wanted = wanted.or(Some(node));
            }
        });
        let mut found = None;
        self.properties(|node, name, value| {
            if name == "reg" && Some(node) == wanted {
                let cell = |index: usize| u64::from(word(value, 4 * index));
                found = Some([cell(0) << 32 | cell(1), cell(4) << 32 | cell(5)]);
            }
        });
        found
    }

    /// Calls `each` with a node's place, a property's name and its value.
    fn properties(&self, mut each: impl FnMut(usize, &'static str, &'static [u8])) {
        let (structure, strings) = (word(self.0, 8) as usize, word(self.0, 12) as usize);
        let mut at = structure;
        // Nodes that are open, by their places; trees here are never deep.
        let mut open = [0; 16];
        let mut depth = 0;
        loop {
            match word(self.0, at) {
                BEGIN_NODE => {
                    open[depth] = at;
                    depth += 1;
                    let name =
                        self.0[at + 4..].iter().position(|byte| *byte == 0).expect("a name without end");
                    at += (4 + name + 1).next_multiple_of(4);
                }
                END_NODE => {
                    depth -= 1;
                    at += 4;
                }
                PROPERTY => {
                    let len = word(self.0, at + 4) as usize;
                    let name = text(&self.0[strings + word(self.0, at + 8) as usize..]).unwrap_or("");
                    each(open[depth - 1], name, &self.0[at + 12..at + 12 + len]);
                    at += (12 + len).next_multiple_of(4);
                }
                NOP => at += 4,
                _ => return,
            }
        }
    }
}

/// A big-endian cell.
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The text up to the first zero.
fn text(bytes: &'static [u8]) -> Option<&'static str> {
    core::str::from_utf8(bytes.split(|byte| *byte == 0).next()?).ok()
}
