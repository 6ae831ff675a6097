//! The tree of nodes. Nodes are shared between the tree and the snapshots that transactions keep, and copied when
//! they change while shared.

use std::collections::BTreeMap;
use std::rc::Rc;
use xenstore_wire::{Access, Domid, Path, Permission};

/// Bytes that each node counts besides its content.
const NODE_BASE_SIZE: u64 = 24;

/// One node.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) name: Rc<str>,
    pub(crate) value: Rc<[u8]>,
    /// Never empty: the first entry names the owner.
    pub(crate) permissions: Rc<[Permission]>,
    /// Changes whenever the node or its list of children does.
    pub(crate) generation: u64,
    /// Sorted by name.
    pub(crate) children: Vec<Rc<Node>>,
}

impl Node {
    pub(crate) fn owner(&self) -> Domid {
        self.permissions.first().map_or(Domid::DOM0, |owner| owner.domid)
    }

    pub(crate) fn child(&self, name: &str) -> Option<&Rc<Self>> {
        self.position(name).ok().and_then(|at| self.children.get(at))
    }

    /// The node at the end of these names, starting here.
    pub(crate) fn descend<'a>(&self, mut names: impl Iterator<Item = &'a str>) -> Option<&Self> {
        names.try_fold(self, |node, name| node.child(name).map(Rc::as_ref))
    }

    /// Names of all children, each with a NUL.
    pub(crate) fn listing(&self) -> Vec<u8> {
        self.children.iter().flat_map(|child| child.name.bytes().chain([0])).collect()
    }

    /// Bytes that count against the quota of node size.
    pub(crate) fn size(&self) -> u64 {
        let children: usize = self.children.iter().map(|child| child.name.len() + 1).sum();
        NODE_BASE_SIZE + (self.value.len() + 8 * self.permissions.len() + children) as u64
    }

    /// Bytes that the owner is charged for.
    fn memory(&self) -> u64 {
        NODE_BASE_SIZE + (self.name.len() + self.value.len() + 8 * self.permissions.len()) as u64
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.children.binary_search_by(|child| (*child.name).cmp(name))
    }
}

/// What a domain's nodes amount to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) nodes: u64,
    pub(crate) bytes: u64,
}

/// All nodes. A clone is a snapshot and costs two pointers.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    root: Rc<Node>,
    /// Counts changes; names the state of the whole tree.
    generation: u64,
    usage: Rc<BTreeMap<Domid, Usage>>,
}

impl Tree {
    /// A tree that holds `root`, which must be named "" (the empty name).
    pub(crate) fn new(root: Node, generation: u64) -> Self {
        let mut usage = BTreeMap::new();
        count(&root, &mut usage);
        Self { root: Rc::new(root), generation, usage: Rc::new(usage) }
    }

    /// A tree with `/` only, which is dom0's and closed to others.
    pub(crate) fn empty() -> Self {
        let permissions = Rc::new([Permission { domid: Domid::DOM0, access: Access::NONE }]);
        let root =
            Node { name: "".into(), value: Rc::new([]), permissions, generation: 0, children: Vec::new() };
        Self::new(root, 0)
    }

    pub(crate) fn root(&self) -> &Node {
        &self.root
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn usage(&self, domid: Domid) -> Usage {
        self.usage.get(&domid).copied().unwrap_or_default()
    }

    /// Domains that own nodes.
    pub(crate) fn owners(&self) -> impl Iterator<Item = Domid> {
        self.usage.keys().copied()
    }

    pub(crate) fn get(&self, path: &Path) -> Option<&Node> {
        self.root.descend(path.names())
    }

    /// The node at `path`, or else the last one on the way to it.
    pub(crate) fn nearest(&self, path: &Path) -> &Node {
        let mut node = &*self.root;
        for name in path.names() {
            match node.child(name) {
                Some(child) => node = child,
                None => break,
            }
        }
        node
    }

    /// Changes the node at `path` in place. `false` if there is none.
    pub(crate) fn update(&mut self, path: &Path, change: impl FnOnce(&mut Node)) -> bool {
        if self.get(path).is_none() {
            return false;
        }
        self.generation += 1;
        let generation = self.generation;
        let Some(node) = make_mut(&mut self.root, path.names()) else { return false };
        let (owner, bytes) = (node.owner(), node.memory());
        change(node);
        node.generation = generation;
        let (new_owner, new_bytes) = (node.owner(), node.memory());
        if (owner, bytes) != (new_owner, new_bytes) {
            self.discharge(owner, Usage { nodes: 1, bytes });
            self.charge(new_owner, Usage { nodes: 1, bytes: new_bytes });
        }
        true
    }

    /// Makes the node at `path` and all that miss above it. New nodes have the permissions of the one above, and
    /// belong to `owner` if given. The value goes to the last one.
    pub(crate) fn create(&mut self, path: &Path, value: Rc<[u8]>, owner: Option<Domid>) {
        self.generation += 1;
        let generation = self.generation;
        let mut made = Vec::new();
        let mut node = &mut self.root;
        for name in path.names() {
            let parent = Rc::make_mut(node);
            let at = match parent.position(name) {
                Ok(at) => at,
                Err(at) => {
                    parent.generation = generation;
                    let permissions = inherited(&parent.permissions, owner);
                    let value = Rc::new([]);
                    let child =
                        Node { name: name.into(), value, permissions, generation, children: Vec::new() };
                    made.push((child.owner(), child.memory()));
                    parent.children.insert(at, Rc::new(child));
                    at
                }
            };
            node = &mut parent.children[at];
        }
        if let Some((_, bytes)) = made.last_mut() {
            *bytes += value.len() as u64;
            Rc::make_mut(node).value = value;
        }
        for (owner, bytes) in made {
            self.charge(owner, Usage { nodes: 1, bytes });
        }
    }

    /// Takes the node at `path` out, with all below it. `None` if there is none, or for `/`.
    pub(crate) fn remove(&mut self, path: &Path) -> Option<Rc<Node>> {
        self.get(path)?;
        let name = path.name()?;
        self.generation += 1;
        let generation = self.generation;
        let names = path.names().count().saturating_sub(1);
        let parent = make_mut(&mut self.root, path.names().take(names))?;
        let at = parent.position(name).ok()?;
        let removed = parent.children.remove(at);
        parent.generation = generation;
        let mut usage = BTreeMap::new();
        count(&removed, &mut usage);
        for (owner, usage) in usage {
            self.discharge(owner, usage);
        }
        Some(removed)
    }

    /// Whether the kept sums are those of the nodes.
    pub(crate) fn is_consistent(&self) -> bool {
        let mut usage = BTreeMap::new();
        count(&self.root, &mut usage);
        usage == *self.usage
    }

    fn charge(&mut self, owner: Domid, more: Usage) {
        let usage = Rc::make_mut(&mut self.usage).entry(owner).or_default();
        usage.nodes += more.nodes;
        usage.bytes += more.bytes;
    }

    fn discharge(&mut self, owner: Domid, less: Usage) {
        let all = Rc::make_mut(&mut self.usage);
        if let Some(usage) = all.get_mut(&owner) {
            usage.nodes = usage.nodes.saturating_sub(less.nodes);
            usage.bytes = usage.bytes.saturating_sub(less.bytes);
            if usage.nodes == 0 {
                all.remove(&owner);
            }
        }
    }
}

/// The node at the end of these names, with all on the way made unshared.
fn make_mut<'a, 'b>(root: &'a mut Rc<Node>, names: impl Iterator<Item = &'b str>) -> Option<&'a mut Node> {
    let mut node = Rc::make_mut(root);
    for name in names {
        let at = node.position(name).ok()?;
        node = Rc::make_mut(node.children.get_mut(at)?);
    }
    Some(node)
}

fn inherited(permissions: &Rc<[Permission]>, owner: Option<Domid>) -> Rc<[Permission]> {
    match (permissions.split_first(), owner) {
        (Some((first, rest)), Some(domid)) if first.domid != domid => {
            [Permission { domid, access: first.access }].into_iter().chain(rest.iter().copied()).collect()
        }
        _ => Rc::clone(permissions),
    }
}

fn count(node: &Node, usage: &mut BTreeMap<Domid, Usage>) {
    let sum = usage.entry(node.owner()).or_default();
    sum.nodes += 1;
    sum.bytes += node.memory();
    for child in &node.children {
        count(child, usage);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        Path::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_snapshot_keeps_what_the_tree_changes() {
        let mut tree = Tree::empty();
        tree.create(&path("/a/b"), Rc::from(*b"1"), None);
        let snapshot = tree.clone();
        tree.update(&path("/a/b"), |node| node.value = Rc::from(*b"2"));
        tree.create(&path("/a/c"), Rc::new([]), None);
        tree.remove(&path("/a/b")).unwrap();
        assert_eq!(&*snapshot.get(&path("/a/b")).unwrap().value, b"1");
        assert!(snapshot.get(&path("/a/c")).is_none());
        assert!(tree.get(&path("/a/b")).is_none());
        assert!(snapshot.is_consistent() && tree.is_consistent());
    }

    #[test]
    fn only_changed_nodes_are_copied() {
        let mut tree = Tree::empty();
        tree.create(&path("/a/b"), Rc::new([]), None);
        tree.create(&path("/c/d"), Rc::new([]), None);
        let snapshot = tree.clone();
        tree.update(&path("/a/b"), |node| node.value = Rc::from(*b"2"));
        let (old, new) = (snapshot.root().child("c").unwrap(), tree.root().child("c").unwrap());
        assert!(Rc::ptr_eq(old, new));
    }

    #[test]
    fn owners_are_charged_for_their_nodes_and_nothing_stays_behind() {
        let mut tree = Tree::empty();
        tree.create(&path("/a/b"), Rc::from(*b"value"), Some(Domid(3)));
        assert_eq!(tree.usage(Domid(3)).nodes, 2);
        let permissions = Rc::new([Permission { domid: Domid(4), access: Access::NONE }]);
        tree.update(&path("/a/b"), |node| node.permissions = permissions);
        assert_eq!((tree.usage(Domid(3)).nodes, tree.usage(Domid(4)).nodes), (1, 1));
        assert!(tree.is_consistent());
        tree.remove(&path("/a")).unwrap();
        assert_eq!(tree.owners().collect::<Vec<_>>(), [Domid::DOM0]);
        assert!(tree.is_consistent());
    }

    #[test]
    fn the_root_cannot_be_removed() {
        assert!(Tree::empty().remove(&Path::root()).is_none());
    }
}
