//! Where a domain's nodes are in xenstore, and how they are made. The layout is libxl's, so that its tools find their
//! way in domains of ours.

use xen_dev::Domid;
use xenstore_client::{Error, Operations};
use xenstore_wire::{Access, Permission};

/// Where the domains' own nodes are.
pub(crate) const DOMAINS: &str = "/local/domain";
/// Where Dom0's back ends are.
pub(crate) const BACK_ENDS: &str = "/local/domain/0/backend";

/// A domain's own nodes.
pub(crate) fn home(domid: Domid) -> String {
    format!("{DOMAINS}/{domid}")
}

/// What the tools note about a domain, for themselves.
pub(crate) fn notes(domid: Domid) -> String {
    format!("/libxl/{domid}")
}

/// Belongs to `owner` alone.
pub(crate) fn owned(owner: Domid) -> Vec<Permission> {
    vec![entry(owner, Access::NONE)]
}

/// Belongs to `owner`; `reader` may read it.
pub(crate) fn readable(owner: Domid, reader: Domid) -> Vec<Permission> {
    vec![entry(owner, Access::NONE), entry(reader, Access::READ)]
}

fn entry(domid: Domid, access: Access) -> Permission {
    Permission { domid: xenstore_wire::Domid(domid.get()), access }
}

/// Makes an empty node with these permissions.
pub(crate) fn make(store: &mut impl Operations, path: &str, permissions: &[Permission]) -> Result<(), Error> {
    store.mkdir(path)?;
    store.set_permissions(path, permissions)
}

/// Makes a node anew: what was there before is gone.
pub(crate) fn make_anew(
    store: &mut impl Operations,
    path: &str,
    permissions: &[Permission],
) -> Result<(), Error> {
    remove(store, path)?;
    make(store, path, permissions)
}

/// Writes values below a path, with these permissions or those of the node above.
pub(crate) fn write_all(
    store: &mut impl Operations,
    base: &str,
    values: &[(&str, String)],
    permissions: Option<&[Permission]>,
) -> Result<(), Error> {
    for (name, value) in values {
        let path = format!("{base}/{name}");
        store.write(&path, value)?;
        if let Some(permissions) = permissions {
            store.set_permissions(&path, permissions)?;
        }
    }
    Ok(())
}

/// Removes a node with all below it; nothing happens when it is not there.
pub(crate) fn remove(store: &mut impl Operations, path: &str) -> Result<(), Error> {
    match store.rm(path) {
        Err(error) if error.is_not_found() => Ok(()),
        other => other,
    }
}

/// Removes a node, and those above it that have no other.
pub(crate) fn remove_with_empty_parents(store: &mut impl Operations, path: &str) -> Result<(), Error> {
    remove(store, path)?;
    let mut path = path;
    while let Some((parent, _)) = path.rsplit_once('/').filter(|(parent, _)| !parent.is_empty()) {
        if !children(store, parent)?.is_empty() {
            break;
        }
        remove(store, parent)?;
        path = parent;
    }
    Ok(())
}

/// Names below a node; none when it is not there.
pub(crate) fn children(store: &mut impl Operations, path: &str) -> Result<Vec<String>, Error> {
    match store.directory(path) {
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        other => other,
    }
}

/// The names of domains, where they have some.
pub(crate) fn names(store: &mut impl Operations, domids: &[Domid]) -> Result<Vec<Option<String>>, Error> {
    let paths: Vec<String> = domids.iter().map(|&domid| format!("{}/name", home(domid))).collect();
    let names = store.read_all(&paths)?.into_iter();
    Ok(names.map(|name| name.map(|name| String::from_utf8_lossy(&name).into_owned())).collect())
}

/// The text of a node, if it is there.
pub(crate) fn text(store: &mut impl Operations, path: &str) -> Result<Option<String>, Error> {
    Ok(store.read_optional(path)?.map(|value| String::from_utf8_lossy(&value).into_owned()))
}
