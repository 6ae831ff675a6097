//! Watches: who is told when a node changes.

use crate::connection::ConnectionId;
use crate::operation::Change;
use std::collections::BTreeMap;
use std::rc::Rc;
use xenstore_wire::{Domid, Path, Permission, SpecialPath};

/// One watch.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) connection: ConnectionId,
    /// An absolute path, or one that begins with `@`.
    pub(crate) path: Rc<str>,
    /// Bytes to leave out at the front of reported paths: the home and its `/`, if it was set by a relative path.
    pub(crate) hidden: usize,
    /// Chosen by the client; holds no NUL.
    pub(crate) token: Box<[u8]>,
    /// Levels below `path` that count; all, if none is given.
    pub(crate) depth: Option<u32>,
    /// Orders watches by their registration.
    pub(crate) serial: u64,
}

impl Watch {
    /// Bytes that count against the memory quota.
    pub(crate) fn size(&self) -> u64 {
        (size_of::<Self>() + self.path.len() + self.token.len()) as u64
    }

    /// How the client wants to see `path`.
    pub(crate) fn reported<'a>(&self, path: &'a str) -> &'a str {
        path.get(self.hidden..).unwrap_or(path)
    }
}

/// A watch that fires.
pub(crate) struct Hit {
    pub(crate) watch: Rc<Watch>,
    /// The path to report.
    pub(crate) path: Rc<str>,
    /// Permission lists of which the client must be able to read one.
    pub(crate) seen_by: Vec<Rc<[Permission]>>,
}

/// All watches by path.
#[derive(Debug, Default)]
pub(crate) struct Watches(BTreeMap<Rc<str>, Vec<Rc<Watch>>>);

impl Watches {
    pub(crate) fn insert(&mut self, watch: Rc<Watch>) {
        self.0.entry(Rc::clone(&watch.path)).or_default().push(watch);
    }

    pub(crate) fn remove(&mut self, watch: &Watch) {
        if let Some(list) = self.0.get_mut(&watch.path) {
            list.retain(|other| other.serial != watch.serial);
            if list.is_empty() {
                self.0.remove(&watch.path);
            }
        }
    }

    pub(crate) fn find(&self, connection: ConnectionId, path: &str, token: &[u8]) -> Option<&Rc<Watch>> {
        let mut list = self.0.get(path)?.iter();
        list.find(|watch| watch.connection == connection && *watch.token == *token)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// Watches that a change fires: those of the path and above it in the order of registration, then those on nodes
    /// that were removed with it.
    pub(crate) fn matching(&self, change: &Change) -> Vec<Hit> {
        let mut hits = Vec::new();
        let changed: Rc<str> = change.path.as_str().into();
        let all_levels = change.path.names().count();
        for ancestor in change.path.ancestors() {
            let Some(list) = self.0.get(ancestor) else { continue };
            let levels = all_levels - ancestor.split('/').filter(|name| !name.is_empty()).count();
            let deep_enough = |depth| depth as usize >= levels;
            for watch in list.iter().filter(|watch| watch.depth.is_none_or(deep_enough)) {
                let path = Rc::clone(&changed);
                hits.push(Hit { watch: Rc::clone(watch), path, seen_by: change.seen_by.clone() });
            }
        }
        hits.sort_by_key(|hit| hit.watch.serial);
        if let Some(removed) = &change.removed {
            let below = format!("{changed}/");
            let watches =
                self.0.range::<str, _>((std::ops::Bound::Excluded(&*below), std::ops::Bound::Unbounded));
            for (path, list) in watches.take_while(|(path, _)| path.starts_with(&below)) {
                let names = || path[below.len()..].split('/');
                let Some(node) = removed.descend(names()) else { continue };
                let parent = removed.descend(names().take(names().count() - 1));
                let lists = [Some(node), parent].into_iter().flatten();
                let seen_by: Vec<_> = lists.map(|node| Rc::clone(&node.permissions)).collect();
                for watch in list {
                    let hit =
                        Hit { watch: Rc::clone(watch), path: Rc::clone(path), seen_by: seen_by.clone() };
                    hits.push(hit);
                }
            }
        }
        hits
    }

    /// Watches that an event about `domid` fires.
    pub(crate) fn matching_special(
        &self,
        special: SpecialPath,
        domid: Domid,
        permissions: &Rc<[Permission]>,
    ) -> Vec<Hit> {
        let named: Rc<str> = format!("{}/{domid}", special.as_str()).into();
        let plain: Rc<str> = special.as_str().into();
        let mut hits = Vec::new();
        for key in [&plain, &named] {
            for watch in self.0.get(key).into_iter().flatten() {
                let path = if watch.depth == Some(1) { &named } else { key };
                let seen_by = vec![Rc::clone(permissions)];
                hits.push(Hit { watch: Rc::clone(watch), path: Rc::clone(path), seen_by });
            }
        }
        hits.sort_by_key(|hit| hit.watch.serial);
        hits
    }
}

/// The path of a watch as the index holds it, and how many bytes of it to hide from the client.
pub(crate) fn watched_path(home: &Path, text: &[u8]) -> Option<(Rc<str>, usize)> {
    if text.starts_with(b"@") {
        let text = xenstore_wire::path::valid_characters(text).ok()?;
        let fits = text.len() <= xen_abi::io::xs_wire::XENSTORE_REL_PATH_MAX;
        return fits.then(|| (text.into(), 0));
    }
    let path = Path::resolve(home, text).ok()?;
    let hidden = if text.starts_with(b"/") { 0 } else { home.as_str().len() + 1 };
    Some((path.as_str().into(), hidden))
}
