//! Requests that read or change the tree, under permissions and quotas.

use crate::caller::Caller;
use crate::quota::Quotas;
use crate::tree::{Node, Tree};
use std::rc::Rc;
use xen_abi::Errno;
use xenstore_wire::message::PAYLOAD_MAX;
use xenstore_wire::{Access, Path, Permission, payload};

/// A request about the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Read(Path),
    Directory(Path),
    /// With the offset into the list of names.
    DirectoryPart(Path, u64),
    GetPerms(Path),
    Write(Path, Rc<[u8]>),
    Mkdir(Path),
    Rm(Path),
    SetPerms(Path, Rc<[Permission]>),
}

/// The answer to an [`Operation`] that went well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Done,
    Value(Rc<[u8]>),
    Text(Vec<u8>),
    /// Part of a list, with the node's generation.
    Part(u64, Vec<u8>),
}

impl Reply {
    /// The payload.
    pub(crate) fn into_payload(self) -> Vec<u8> {
        match self {
            Self::Done => b"OK\0".to_vec(),
            Self::Value(value) => value.to_vec(),
            Self::Text(text) => text,
            Self::Part(generation, names) => [format!("{generation}\0").as_bytes(), &names].concat(),
        }
    }

    /// Whether a client that got one of these would have done the same with the other. Generations differ between a
    /// transaction and its second run without meaning anything.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Part(_, names), Self::Part(_, others)) => names == others,
            _ => self == other,
        }
    }

    /// Bytes that keeping the reply costs.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Done => 0,
            Self::Value(value) => value.len(),
            Self::Text(text) | Self::Part(_, text) => text.len(),
        }
    }
}

/// A node changed: what watches are told.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) path: Path,
    /// The node that was taken out, if it was: watches on nodes below it fire too.
    pub(crate) removed: Option<Rc<Node>>,
    /// Permissions of the node before and after, and of its parent: who may read one of them may know.
    pub(crate) seen_by: Vec<Rc<[Permission]>>,
}

impl Operation {
    /// Bytes that keeping the operation costs.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Write(path, value) => path.as_str().len() + value.len(),
            Self::SetPerms(path, permissions) => path.as_str().len() + 8 * permissions.len(),
            Self::Read(path)
            | Self::Directory(path)
            | Self::DirectoryPart(path, _)
            | Self::GetPerms(path)
            | Self::Mkdir(path)
            | Self::Rm(path) => path.as_str().len(),
        }
    }

    /// Whether the operation can change the tree.
    pub(crate) fn writes(&self) -> bool {
        matches!(self, Self::Write(..) | Self::Mkdir(_) | Self::Rm(_) | Self::SetPerms(..))
    }

    /// Runs the operation on `tree`; appends what changed to `changes`. After an error nothing has changed.
    ///
    /// # Errors
    /// As the protocol: `ENOENT`, `EACCES`, `EINVAL` (removing `/`), `EPERM` (giving a node away), `ENOSPC` (a
    /// quota), `E2BIG` (a list too long for one message).
    pub(crate) fn run(
        &self,
        tree: &mut Tree,
        caller: &Caller,
        quotas: &Quotas,
        changes: &mut Vec<Change>,
    ) -> Result<Reply, Errno> {
        match self {
            Self::Read(path) => Ok(Reply::Value(Rc::clone(&find(tree, caller, path, Access::READ)?.value))),
            Self::Directory(path) => {
                let names = find(tree, caller, path, Access::READ)?.listing();
                if names.len() > PAYLOAD_MAX { Err(Errno::E2BIG) } else { Ok(Reply::Text(names)) }
            }
            Self::DirectoryPart(path, offset) => {
                Ok(directory_part(find(tree, caller, path, Access::READ)?, *offset))
            }
            Self::GetPerms(path) => permission_list(&find(tree, caller, path, Access::READ)?.permissions),
            Self::Write(path, value) => write(tree, caller, quotas, path, value, changes),
            Self::Mkdir(path) => match find(tree, caller, path, Access::WRITE) {
                Ok(_) => Ok(Reply::Done),
                Err(Errno::ENOENT) => create(tree, caller, quotas, path, Rc::new([]), changes),
                Err(error) => Err(error),
            },
            Self::Rm(path) => remove(tree, caller, path, changes),
            Self::SetPerms(path, permissions) => {
                set_permissions(tree, caller, quotas, path, permissions, changes)
            }
        }
    }
}

/// Permissions as `GET_PERMS` answers.
pub(crate) fn permission_list(permissions: &[Permission]) -> Result<Reply, Errno> {
    let mut text = Vec::new();
    for permission in permissions {
        payload::push_string(&mut text, permission.to_string().as_bytes());
    }
    if text.len() > PAYLOAD_MAX { Err(Errno::E2BIG) } else { Ok(Reply::Text(text)) }
}

/// The node at `path`, if the caller may do `needed` with it. Where it is missing, only who may do that with the
/// nearest node above learns so.
fn find<'a>(tree: &'a Tree, caller: &Caller, path: &Path, needed: Access) -> Result<&'a Node, Errno> {
    let node = tree.get(path);
    let decides = node.unwrap_or_else(|| tree.nearest(path));
    if !caller.access(&decides.permissions).allows(needed) {
        return Err(Errno::EACCES);
    }
    node.ok_or(Errno::ENOENT)
}

/// Names from `offset` on, as many as fit into a message; an empty name marks the end of the list.
fn directory_part(node: &Node, offset: u64) -> Reply {
    /// Room for the generation and its NUL.
    const NAMES_MAX: usize = PAYLOAD_MAX - 21;
    let listing = node.listing();
    let rest = usize::try_from(offset).ok().and_then(|offset| listing.get(offset..)).unwrap_or_default();
    let mut names = match rest.get(..NAMES_MAX) {
        None => rest.to_vec(),
        Some(head) => {
            let whole = head.iter().rposition(|&byte| byte == 0).map_or(0, |last| last + 1);
            head[..whole].to_vec()
        }
    };
    if names.len() == rest.len() {
        names.push(0);
    }
    Reply::Part(node.generation, names)
}

fn write(
    tree: &mut Tree,
    caller: &Caller,
    quotas: &Quotas,
    path: &Path,
    value: &Rc<[u8]>,
    changes: &mut Vec<Change>,
) -> Result<Reply, Errno> {
    let node = match find(tree, caller, path, Access::WRITE) {
        Ok(node) => node,
        Err(Errno::ENOENT) => return create(tree, caller, quotas, path, Rc::clone(value), changes),
        Err(error) => return Err(error),
    };
    check_size(caller, quotas, node.size() - node.value.len() as u64 + value.len() as u64)?;
    tree.update(path, |node| node.value = Rc::clone(value));
    changes.push(changed(tree, path, None));
    Ok(Reply::Done)
}

fn create(
    tree: &mut Tree,
    caller: &Caller,
    quotas: &Quotas,
    path: &Path,
    value: Rc<[u8]>,
    changes: &mut Vec<Change>,
) -> Result<Reply, Errno> {
    let owner = (!caller.privileged).then_some(caller.domid);
    if let Some(domid) = owner {
        let mut missing = path.names();
        let mut above = tree.root();
        let first_missing = loop {
            let name = missing.next().ok_or(Errno::EEXIST)?;
            match above.child(name) {
                Some(child) => above = child,
                None => break name,
            }
        };
        check_size(caller, quotas, above.size() + first_missing.len() as u64 + 1)?;
        let permissions = 8 * above.permissions.len() as u64;
        check_size(caller, quotas, 24 + permissions + value.len() as u64)?;
        if tree.usage(domid).nodes + 1 + missing.count() as u64 > quotas.nodes {
            return Err(Errno::ENOSPC);
        }
    }
    tree.create(path, value, owner);
    changes.push(changed(tree, path, None));
    Ok(Reply::Done)
}

fn remove(tree: &mut Tree, caller: &Caller, path: &Path, changes: &mut Vec<Change>) -> Result<Reply, Errno> {
    match find(tree, caller, path, Access::WRITE) {
        Ok(_) => {}
        Err(Errno::ENOENT) => {
            // Gone already is as good, if there is a node that it would be gone from.
            let parent = path.parent().and_then(|parent| tree.get(&parent));
            return parent.map(|_| Reply::Done).ok_or(Errno::ENOENT);
        }
        Err(error) => return Err(error),
    }
    changes.push(remove_unchecked(tree, path).ok_or(Errno::EINVAL)?);
    Ok(Reply::Done)
}

/// Removes a node whatever its permissions. `None` if there is none, or for `/`.
pub(crate) fn remove_unchecked(tree: &mut Tree, path: &Path) -> Option<Change> {
    let removed = tree.remove(path)?;
    let before = Rc::clone(&removed.permissions);
    let mut change = changed(tree, path, Some(before));
    change.removed = Some(removed);
    Some(change)
}

fn set_permissions(
    tree: &mut Tree,
    caller: &Caller,
    quotas: &Quotas,
    path: &Path,
    permissions: &Rc<[Permission]>,
    changes: &mut Vec<Change>,
) -> Result<Reply, Errno> {
    let node = find(tree, caller, path, Access::WRITE)?;
    if !caller.owns(&node.permissions) {
        return Err(Errno::EACCES);
    }
    let before = Rc::clone(&node.permissions);
    if !caller.privileged && permissions.first().map(|owner| owner.domid) != Some(node.owner()) {
        return Err(Errno::EPERM);
    }
    let (old, new) = (8 * before.len() as u64, 8 * permissions.len() as u64);
    check_size(caller, quotas, node.size() - old + new)?;
    tree.update(path, |node| node.permissions = Rc::clone(permissions));
    changes.push(changed(tree, path, Some(before)));
    Ok(Reply::Done)
}

fn check_size(caller: &Caller, quotas: &Quotas, size: u64) -> Result<(), Errno> {
    if caller.privileged || size <= quotas.node_size { Ok(()) } else { Err(Errno::ENOSPC) }
}

/// The change at `path`, seen from the tree as it is now.
fn changed(tree: &Tree, path: &Path, before: Option<Rc<[Permission]>>) -> Change {
    let mut above = None;
    let mut node = Some(tree.root());
    for name in path.names() {
        above = node;
        node = node.and_then(|node| node.child(name)).map(Rc::as_ref);
    }
    let now = [node, above].into_iter().flatten().map(|node| Rc::clone(&node.permissions));
    Change { path: path.clone(), removed: None, seen_by: before.into_iter().chain(now).collect() }
}
