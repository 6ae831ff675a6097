//! The index of a checked blob's nodes, and what can be asked of it.
use alloc::vec::Vec;

use super::blob::{Cursor, FdtError, MAX_DEPTH, MAX_NODES, Property, Token};
use super::blob::{find_reservations, name_at, total_size, word_at};
use super::value;
use crate::fault::{Fault, Problem};
use crate::range::{OutOfMemory, Range, push};
use crate::sort::sort;
use crate::text::Text;

/// The longest node name accepted, in bytes (the specification has 31 and an address).
const MAX_NAME: usize = 255;
/// No node has these phandles.
const NO_PHANDLE: [u32; 2] = [0, u32::MAX];
/// Stands for "more cells than any bus has".
const NONSENSE: u8 = 255;

/// A node of one [`Tree`]: its place in the order of the blob, the root being the first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct NodeId(u16);

impl NodeId {
    /// The root node.
    pub const ROOT: Self = Self(0);

    /// The node's place in the order of the blob.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// What the index keeps of a node.
struct Entry {
    /// Where the name is in the structure block.
    name: u32,
    /// Where the first property is in the structure block.
    props: u32,
    /// Own `phandle`, or 0.
    phandle: u32,
    /// Own `interrupt-parent`, or 0.
    irq_parent: u32,
    /// Where `ranges` is in the structure block, or 0.
    ranges: u32,
    /// The first node behind this one's subtree.
    next: u16,
    parent: u16,
    name_len: u8,
    /// `#address-cells` for the children: own or inherited.
    address_cells: u8,
    /// `#size-cells` for the children: own or inherited.
    size_cells: u8,
    /// Whether `address_cells` is its own.
    own_address_cells: bool,
    /// Own `#interrupt-cells`, or 0.
    interrupt_cells: u8,
    /// Whether this node and all above it are enabled.
    enabled: bool,
    /// Whether it has `interrupt-controller`.
    controller: bool,
}

/// A checked blob with an index of its nodes.
pub struct Tree<'a> {
    data: &'a [u8],
    structure: &'a [u8],
    strings: &'a [u8],
    /// Bytes of `strings` that names reach to.
    strings_used: usize,
    /// Bytes of `structure` up to and including the end token.
    structure_used: usize,
    reservations: &'a [u8],
    nodes: Vec<Entry>,
    /// Sorted; the first node wins where two claim the same phandle.
    phandles: Vec<(u32, u16)>,
}

impl<'a> Tree<'a> {
    /// Checks the blob in `data` (bytes behind its total size are ignored) and indexes it: two
    /// walks over it, 32 bytes of heap per node.
    pub fn parse(data: &'a [u8]) -> Result<Self, FdtError> {
        let total = total_size(data)?;
        let data = data.get(..total).ok_or(FdtError::Truncated { total, have: data.len() })?;
        let word = |at: usize| word_at(data, at).unwrap_or(0) as usize;
        let block = |name, offset: usize, size: usize| {
            data.get(offset..).and_then(|tail| tail.get(..size)).ok_or(FdtError::BadBlock(name))
        };
        let structure = block("structure", word(8), word(36))?;
        if !word(8).is_multiple_of(4) {
            return Err(FdtError::BadBlock("structure"));
        }
        let mut tree = Self {
            data,
            structure,
            strings: block("strings", word(12), word(32))?,
            strings_used: 0,
            structure_used: 0,
            reservations: find_reservations(data, word(16))?,
            nodes: Vec::new(),
            phandles: Vec::new(),
        };
        let count = tree.count_nodes(word(8))?;
        tree.nodes.try_reserve_exact(count).map_err(|_| FdtError::OutOfMemory)?;
        tree.index(word(8))?;
        Ok(tree)
    }

    /// The blob.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// The part of the strings block that property names use.
    pub fn strings(&self) -> &'a [u8] {
        self.strings.get(..self.strings_used).unwrap_or_default()
    }

    /// Bytes of the structure block that are in use.
    pub fn structure_len(&self) -> usize {
        self.structure_used
    }

    /// The memory reservation block: start and size in bytes of each entry.
    pub fn reservations(&self) -> impl Iterator<Item = (u64, u64)> + use<'a> {
        let (entries, _) = self.reservations.as_chunks::<16>();
        entries.iter().filter_map(|entry| {
            let (start, rest) = value::take(entry, 2)?;
            Some((start, value::take(rest, 2)?.0))
        })
    }

    /// All nodes in the order of the blob.
    pub fn nodes(&self) -> Descendants {
        // At most MAX_NODES.
        Descendants(0..self.nodes.len() as u16)
    }

    /// `node` and all below it, in the order of the blob.
    pub fn subtree(&self, node: NodeId) -> Descendants {
        Descendants(node.0..self.after(node).0)
    }

    /// The node behind `node`'s subtree, in the order of the blob. May be behind the last one.
    pub fn after(&self, node: NodeId) -> NodeId {
        NodeId(self.entry(node).map_or(node.0, |e| e.next))
    }

    /// Whether there is such a node.
    pub fn exists(&self, node: NodeId) -> bool {
        node.index() < self.nodes.len()
    }

    /// The nodes right below `node`.
    pub fn children(&self, node: NodeId) -> Children<'_, 'a> {
        Children { tree: self, next: node.0.saturating_add(1), end: self.after(node).0 }
    }

    /// The node above; `None` for the root.
    pub fn parent(&self, node: NodeId) -> Option<NodeId> {
        (node != NodeId::ROOT).then(|| NodeId(self.entry(node).map_or(0, |e| e.parent)))
    }

    /// The node's name with its unit address; empty for the root.
    pub fn name(&self, node: NodeId) -> &'a str {
        self.entry(node)
            .and_then(|e| {
                let tail = self.structure.get(e.name as usize..)?;
                core::str::from_utf8(tail.get(..usize::from(e.name_len))?).ok()
            })
            .unwrap_or_default()
    }

    /// Cells of an address and of a size in `reg` of `node`'s *children*: own or inherited, as
    /// boot loaders and Linux do; 255 for values that no bus has.
    pub fn child_cells(&self, node: NodeId) -> (u8, u8) {
        self.entry(node).map_or((2, 1), |e| (e.address_cells, e.size_cells))
    }

    /// Own `#interrupt-cells`; `None` when the node has none.
    pub fn interrupt_cells(&self, node: NodeId) -> Option<u8> {
        self.entry(node).map(|e| e.interrupt_cells).filter(|cells| *cells != 0)
    }

    /// Own `#address-cells`; `None` when the node has none.
    pub fn own_address_cells(&self, node: NodeId) -> Option<u8> {
        self.entry(node).filter(|e| e.own_address_cells).map(|e| e.address_cells)
    }

    /// The value of `ranges`; `None` when the node has none. Kept in the index, since every
    /// register of every node below asks for it.
    pub fn ranges(&self, node: NodeId) -> Option<&'a [u8]> {
        let at = self.entry(node).map(|e| e.ranges as usize).filter(|at| *at != 0)?;
        match (Cursor { block: self.structure, pos: at }).next() {
            Ok(Token::Prop(property)) => Some(property.value),
            _ => None,
        }
    }

    /// Own `phandle`; `None` when the node has none.
    pub fn phandle(&self, node: NodeId) -> Option<u32> {
        self.entry(node).map(|e| e.phandle).filter(|p| *p != 0)
    }

    /// Whether neither the node nor one above it has a `status` other than "okay".
    pub fn enabled(&self, node: NodeId) -> bool {
        self.entry(node).is_some_and(|e| e.enabled)
    }

    /// Whether the node has `interrupt-controller`.
    pub fn is_interrupt_controller(&self, node: NodeId) -> bool {
        self.entry(node).is_some_and(|e| e.controller)
    }

    /// The node with this phandle.
    pub fn by_phandle(&self, phandle: u32) -> Option<NodeId> {
        let at = self.phandles.partition_point(|(p, _)| *p < phandle);
        self.phandles.get(at).filter(|(p, _)| *p == phandle).map(|(_, node)| NodeId(*node))
    }

    /// The node that `node`'s `interrupts` go to: the nearest `interrupt-parent` upwards, or the
    /// nearest node above with `#interrupt-cells`.
    pub fn interrupt_parent(&self, node: NodeId) -> Option<NodeId> {
        let mut at = node;
        // Each step goes up or along a phandle; phandles could go in circles.
        for _ in 0..MAX_DEPTH.saturating_mul(2) {
            let entry = self.entry(at)?;
            at = match entry.irq_parent {
                0 => self.parent(at)?,
                phandle => self.by_phandle(phandle)?,
            };
            if self.interrupt_cells(at).is_some() {
                return Some(at);
            }
        }
        None
    }

    /// The node's properties in the order of the blob.
    pub fn properties(&self, node: NodeId) -> impl Iterator<Item = Property<'a>> + use<'a> {
        let mut cursor = Cursor {
            block: self.structure,
            pos: self.entry(node).map_or(self.structure.len(), |e| e.props as usize),
        };
        core::iter::from_fn(move || match cursor.next() {
            Ok(Token::Prop(property)) => Some(property),
            _ => None,
        })
    }

    /// A property's name.
    pub fn property_name(&self, property: &Property<'_>) -> &'a [u8] {
        name_at(self.strings, property.name_offset).unwrap_or_default()
    }

    /// The value of the node's property `name`.
    pub fn property(&self, node: NodeId, name: &str) -> Option<&'a [u8]> {
        self.properties(node)
            .find(|p| {
                let tail = self.strings.get(p.name_offset as usize..);
                tail.and_then(|tail| tail.strip_prefix(name.as_bytes()))
                    .is_some_and(|rest| rest.first() == Some(&0))
            })
            .map(|p| p.value)
    }

    /// The value of property `name`, if it is exactly one word.
    pub fn property_u32(&self, node: NodeId, name: &str) -> Option<u32> {
        self.property(node, name).and_then(value::u32_of)
    }

    /// The text of property `name`; `None` when the node has no such property.
    pub fn property_text(&self, node: NodeId, name: &'static str) -> Result<Option<&'a str>, Fault> {
        match self.property(node, name) {
            None => Ok(None),
            Some(bytes) => {
                value::text_of(bytes).map(Some).ok_or_else(|| self.fault(node, Problem::NotText(name)))
            }
        }
    }

    /// Whether `compatible` of the node lists one of `wanted`.
    pub fn is_compatible(&self, node: NodeId, wanted: &[&str]) -> bool {
        self.property(node, "compatible").is_some_and(|list| value::has_text(list, wanted))
    }

    /// The child of `node` with this name; without a unit address in `name`, the first child of
    /// that name with any.
    pub fn child(&self, node: NodeId, name: &str) -> Option<NodeId> {
        let same = |child: &NodeId| {
            self.name(*child).strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
        };
        self.children(node)
            .find(|child| self.name(*child) == name)
            .or_else(|| self.children(node).find(same).filter(|_| !name.contains('@')))
    }

    /// The node at `path` (`/a/b@1`), or at the path that the alias `path` of /aliases stands for.
    pub fn find(&self, path: &str) -> Option<NodeId> {
        let full = if path.starts_with('/') {
            path
        } else {
            let aliases = self.child(NodeId::ROOT, "aliases")?;
            value::text_of(self.property(aliases, path)?).filter(|p| p.starts_with('/'))?
        };
        full.split('/')
            .filter(|part| !part.is_empty())
            .try_fold(NodeId::ROOT, |node, part| self.child(node, part))
    }

    /// The node's full path, for messages.
    #[inline(never)]
    pub fn path(&self, node: NodeId) -> Text {
        let mut up = [NodeId::ROOT; MAX_DEPTH];
        let mut count = 0usize;
        let mut at = node;
        while let (Some(parent), Some(slot)) = (self.parent(at), up.get_mut(count)) {
            *slot = at;
            count = count.saturating_add(1);
            at = parent;
        }
        let mut path = Text::new();
        if count == 0 {
            path.push_str("/");
        }
        for id in up.iter().take(count).rev() {
            path.push_str("/");
            path.push_str(self.name(*id));
        }
        path
    }

    /// A fault at `node`.
    pub fn fault(&self, node: NodeId, problem: Problem) -> Fault {
        Fault { node: Some(node), problem }
    }

    /// A range of `size` bytes from `start`, or the fault of `node` that it is none.
    pub fn range(&self, node: NodeId, start: u64, size: u64) -> Result<Range, Fault> {
        Range::new(start, size).ok_or_else(|| self.fault(node, Problem::Wraps { start, size }))
    }

    fn entry(&self, node: NodeId) -> Option<&Entry> {
        self.nodes.get(node.index())
    }

    /// First walk: checks the order of tokens and counts nodes.
    fn count_nodes(&mut self, base: usize) -> Result<usize, FdtError> {
        let mut cursor = Cursor { block: self.structure, pos: 0 };
        let at = |cursor: &Cursor<'_>| base.saturating_add(cursor.pos);
        let (mut nodes, mut depth) = (0usize, 0usize);
        // Properties come before child nodes.
        let mut in_properties = false;
        loop {
            let bad = FdtError::BadToken(at(&cursor));
            match cursor.next().map_err(|e| e.at(base))? {
                Token::Begin { .. } => {
                    if depth == 0 && nodes > 0 {
                        return Err(bad);
                    }
                    if depth == MAX_DEPTH {
                        return Err(FdtError::TooDeep(at(&cursor)));
                    }
                    if nodes == MAX_NODES {
                        return Err(FdtError::TooManyNodes);
                    }
                    nodes = nodes.saturating_add(1);
                    depth = depth.saturating_add(1);
                    in_properties = true;
                }
                Token::End => {
                    depth = depth.checked_sub(1).ok_or(bad)?;
                    in_properties = false;
                }
                Token::Prop(_) if in_properties => {}
                Token::Prop(_) => return Err(bad),
                Token::Finish => {
                    if depth != 0 || nodes == 0 {
                        return Err(bad);
                    }
                    self.structure_used = cursor.pos;
                    return Ok(nodes);
                }
            }
        }
    }

    /// Second walk: fills the index. The order of tokens is known to be right.
    fn index(&mut self, base: usize) -> Result<(), FdtError> {
        let mut cursor = Cursor { block: self.structure, pos: 0 };
        // The open node; its `parent` leads to the other open ones.
        let mut open = 0u16;
        loop {
            let at = cursor.pos;
            match cursor.next().map_err(|e| e.at(base))? {
                Token::Begin { name, len } => {
                    let id = self.nodes.len() as u16;
                    let above = self.nodes.get(usize::from(open));
                    let entry = Entry {
                        name: name as u32,
                        name_len: self.check_name(name, len).map_err(|e| e.at(base))?,
                        props: cursor.pos as u32,
                        phandle: 0,
                        irq_parent: 0,
                        ranges: 0,
                        next: 0,
                        parent: open,
                        // Defaults of the specification for the root.
                        address_cells: above.map_or(2, |e| e.address_cells),
                        size_cells: above.map_or(1, |e| e.size_cells),
                        own_address_cells: false,
                        interrupt_cells: 0,
                        enabled: above.is_none_or(|e| e.enabled),
                        controller: false,
                    };
                    self.nodes.push(entry);
                    open = id;
                }
                Token::End => {
                    let next = self.nodes.len() as u16;
                    let Some(entry) = self.nodes.get_mut(usize::from(open)) else {
                        return Err(FdtError::BadToken(base));
                    };
                    entry.next = next;
                    open = entry.parent;
                }
                Token::Prop(property) => self.note(open, at, &property)?,
                Token::Finish => break,
            }
        }
        sort(&mut self.phandles);
        Ok(())
    }

    /// Keeps what the index needs of a property of node `open`, which is at `at` in the structure
    /// block, and checks its name.
    fn note(&mut self, open: u16, at: usize, property: &Property<'a>) -> Result<(), FdtError> {
        let offset = property.name_offset;
        let name = name_at(self.strings, offset).ok_or(FdtError::BadName(offset as usize))?;
        let end = (offset as usize).saturating_add(name.len());
        self.strings_used = self.strings_used.max(end.saturating_add(1));
        let Some(entry) = self.nodes.get_mut(usize::from(open)) else {
            return Ok(());
        };
        let number = value::u32_of(property.value);
        // Nothing has more than four cells.
        let cells = number.map_or(NONSENSE, |n| if n <= 4 { n as u8 } else { NONSENSE });
        match name {
            b"#address-cells" => (entry.address_cells, entry.own_address_cells) = (cells, true),
            b"#size-cells" => entry.size_cells = cells,
            b"#interrupt-cells" => entry.interrupt_cells = cells,
            b"interrupt-parent" => entry.irq_parent = number.unwrap_or(0),
            b"interrupt-controller" => entry.controller = true,
            b"ranges" => entry.ranges = at as u32,
            b"status" => entry.enabled &= value::has_text(property.value, &["okay", "ok"]),
            b"phandle" | b"linux,phandle" => {
                let phandle = number.filter(|p| !NO_PHANDLE.contains(p));
                if let Some(phandle) = phandle.filter(|p| *p != entry.phandle) {
                    entry.phandle = phandle;
                    push(&mut self.phandles, (phandle, open)).map_err(|OutOfMemory| FdtError::OutOfMemory)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The length of the node name at `start`, if it is one. The root's name counts as empty.
    fn check_name(&self, start: usize, len: usize) -> Result<u8, FdtError> {
        if self.nodes.is_empty() {
            return Ok(0);
        }
        let name = start.checked_add(len).and_then(|end| self.structure.get(start..end)).unwrap_or_default();
        let good = name.iter().all(|b| b.is_ascii_graphic() && *b != b'/');
        if good && (1..=MAX_NAME).contains(&len) { Ok(len as u8) } else { Err(FdtError::BadName(start)) }
    }
}

/// Nodes that follow each other in the blob.
#[derive(Clone)]
pub struct Descendants(core::ops::Range<u16>);

impl Iterator for Descendants {
    type Item = NodeId;

    fn next(&mut self) -> Option<NodeId> {
        self.0.next().map(NodeId)
    }
}

/// The nodes right below one.
#[derive(Clone)]
pub struct Children<'t, 'a> {
    tree: &'t Tree<'a>,
    next: u16,
    end: u16,
}

impl Iterator for Children<'_, '_> {
    type Item = NodeId;

    fn next(&mut self) -> Option<NodeId> {
        if self.next >= self.end {
            return None;
        }
        let child = NodeId(self.next);
        self.next = self.tree.after(child).0;
        Some(child)
    }
}
