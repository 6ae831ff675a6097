//! Domains that have a ring: connected, shut down, gone.

use crate::connection::{Connection, ConnectionId, Peer};
use crate::operation::{Change, remove_unchecked};
use crate::store::{Host, Store};
use crate::tree::Node;
use std::collections::BTreeSet;
use std::rc::Rc;
use xen_abi::Errno;
use xenstore_wire::{Access, Domid, Path, Permission, SpecialPath};

/// A domain that was introduced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Domain {
    pub(crate) connection: ConnectionId,
    /// Frame of the ring, as `INTRODUCE` gave it.
    pub(crate) gfn: u64,
    /// The domain's end of the event channel.
    pub(crate) port: u32,
    /// Its shutdown was reported.
    pub(crate) is_shutdown: bool,
    /// The domain that it acts for.
    pub(crate) target: Option<Domid>,
}

/// What the daemon needs to know of a domain to reach its ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DomainRing {
    /// The domain.
    pub domid: Domid,
    /// Its connection.
    pub connection: ConnectionId,
    /// Frame of the ring page in the domain, as `INTRODUCE` gave it.
    pub gfn: u64,
    /// The domain's end of the event channel.
    pub port: u32,
    /// Bytes taken from the ring so far, modulo 2^32: what the consumer index of requests has to be.
    pub received: u32,
    /// Bytes put into the ring so far, modulo 2^32: what the producer index of responses was when last noted.
    pub sent: u32,
    /// What the ring can be used for (`XENSTORE_SERVER_FEATURE_*`).
    pub features: u32,
}

impl Store {
    /// Connects dom0's own ring, whose indices stand where the kernel left them. A connection that dom0 had before
    /// ends.
    pub fn connect_dom0(&mut self, port: u32, received: u32, sent: u32) -> ConnectionId {
        if let Some(old) = self.domains.remove(&Domid::DOM0) {
            self.end(old.connection);
        }
        let id = self.add_domain(Domid::DOM0, 0, port);
        if let Some(connection) = self.connections.get_mut(&id) {
            (connection.received, connection.sent) = (received, sent);
        }
        id
    }

    /// The introduced domains' rings.
    pub fn rings(&self) -> Vec<DomainRing> {
        self.domains.keys().filter_map(|&domid| self.ring(domid)).collect()
    }

    /// The ring of a domain, if it is introduced.
    pub fn ring(&self, domid: Domid) -> Option<DomainRing> {
        let Domain { connection, gfn, port, .. } = *self.domains.get(&domid)?;
        let Connection { received, sent, .. } = *self.connections.get(&connection)?;
        let features = self.settings.features(domid);
        Some(DomainRing { domid, connection, gfn, port, received, sent, features })
    }

    /// What a domain's ring can be used for (`XENSTORE_SERVER_FEATURE_*`).
    pub fn features(&self, domid: Domid) -> u32 {
        self.settings.features(domid)
    }

    /// Domains that the store knows, apart from dom0: introduced ones, owners of nodes, and those that
    /// something was set for. Whether they still exist
    /// is to be looked up when the hypervisor reports that one ended.
    pub fn known_domains(&self) -> Vec<Domid> {
        let owners = self.tree.owners().filter(|owner| !self.domains.contains_key(owner));
        let set = self.settings.own.keys().copied().filter(|domid| !self.domains.contains_key(domid));
        let known: BTreeSet<_> = self.domains.keys().copied().chain(owners).chain(set).collect();
        known.into_iter().filter(|&domid| domid != Domid::DOM0).collect()
    }

    /// Takes note that a domain has shut down or crashed: `@releaseDomain` fires, once until `RESUME`.
    pub fn domain_shutdown(&mut self, domid: Domid) {
        if let Some(domain) = self.domains.get_mut(&domid).filter(|domain| !domain.is_shutdown) {
            domain.is_shutdown = true;
            self.revision += 1;
            self.fire_special(SpecialPath::ReleaseDomain, domid);
        }
    }

    /// Takes note that a domain is gone: its connection ends, its nodes go, and no permission stays for whoever gets
    /// its number next. `@releaseDomain` fires if it was introduced.
    pub fn domain_gone(&mut self, domid: Domid) {
        if domid == Domid::DOM0 {
            return;
        }
        self.settings.own.remove(&domid);
        let introduced = self.domains.remove(&domid);
        if let Some(domain) = &introduced {
            self.end(domain.connection);
        }
        for other in self.domains.values_mut().filter(|other| other.target == Some(domid)) {
            other.target = None;
        }
        for permissions in &mut self.special_permissions {
            *permissions = without(permissions, domid).unwrap_or_else(|| Rc::clone(permissions));
        }
        self.revision += 1;
        let changes = self.forget_nodes(domid);
        self.fire(&changes);
        if introduced.is_some() {
            self.fire_special(SpecialPath::ReleaseDomain, domid);
        }
    }

    pub(crate) fn introduce(
        &mut self,
        domid: Domid,
        gfn: u64,
        port: u32,
        host: &mut dyn Host,
    ) -> Result<(), Errno> {
        host.introduce(domid, gfn, port, self.settings.features(domid))?;
        self.revision += 1;
        match self.domains.get_mut(&domid) {
            Some(domain) => {
                (domain.gfn, domain.port) = (gfn, port);
                let connection = domain.connection;
                self.reset(connection);
            }
            None => {
                self.add_domain(domid, gfn, port);
                self.introduced.push(domid);
            }
        }
        Ok(())
    }

    pub(crate) fn release(&mut self, domid: Domid, host: &mut dyn Host) -> Result<(), Errno> {
        if !self.domains.contains_key(&domid) {
            return Err(Errno::ENOENT);
        }
        host.release(domid);
        self.domain_gone(domid);
        Ok(())
    }

    pub(crate) fn resume(&mut self, domid: Domid) -> Result<(), Errno> {
        self.domains.get_mut(&domid).ok_or(Errno::ENOENT)?.is_shutdown = false;
        self.revision += 1;
        Ok(())
    }

    pub(crate) fn set_target(&mut self, domid: Domid, target: Domid) -> Result<(), Errno> {
        if !self.domains.contains_key(&target) {
            return Err(Errno::ENOENT);
        }
        self.domains.get_mut(&domid).ok_or(Errno::ENOENT)?.target = Some(target);
        self.revision += 1;
        Ok(())
    }

    /// Ends a domain's connection, when the domain is not known any more.
    fn end(&mut self, id: ConnectionId) {
        self.reset(id);
        self.connections.remove(&id);
    }

    fn add_domain(&mut self, domid: Domid, gfn: u64, port: u32) -> ConnectionId {
        let connection = self.connect(Peer::Domain(domid));
        self.domains.insert(domid, Domain { connection, gfn, port, is_shutdown: false, target: None });
        self.revision += 1;
        connection
    }

    /// Removes the domain's nodes with all below them, and its entries in others' permissions.
    fn forget_nodes(&mut self, domid: Domid) -> Vec<Change> {
        let mut found = Found::default();
        found.look(self.tree.root(), &mut String::new(), domid);
        for (path, permissions) in found.mentioned {
            self.tree.update(&path, |node| node.permissions = permissions);
        }
        found.owned.iter().filter_map(|path| remove_unchecked(&mut self.tree, path)).collect()
    }
}

/// Nodes that have to do with a domain.
#[derive(Default)]
struct Found {
    owned: Vec<Path>,
    /// With the permissions that are left when the domain is left out.
    mentioned: Vec<(Path, Rc<[Permission]>)>,
}

impl Found {
    /// Looks at `node`, whose path is `path` (empty for `/`), and below; not below nodes that are owned.
    fn look(&mut self, node: &Node, path: &mut String, domid: Domid) {
        let named = |path: &str| Path::parse(if path.is_empty() { "/" } else { path }.as_bytes()).ok();
        if node.owner() == domid && !path.is_empty() {
            self.owned.extend(named(path));
            return;
        }
        if let Some(rest) = without(&node.permissions, domid) {
            self.mentioned.extend(named(path).map(|path| (path, rest)));
        }
        for child in &node.children {
            let length = path.len();
            path.push('/');
            path.push_str(&child.name);
            self.look(child, path, domid);
            path.truncate(length);
        }
    }
}

/// The list without the domain; `None` if it is not in it. An owner that is gone is replaced by dom0.
fn without(permissions: &[Permission], domid: Domid) -> Option<Rc<[Permission]>> {
    if !permissions.iter().any(|entry| entry.domid == domid) {
        return None;
    }
    let (first, rest) = permissions.split_first()?;
    let first =
        if first.domid == domid { Permission { domid: Domid::DOM0, access: Access::NONE } } else { *first };
    Some([first].into_iter().chain(rest.iter().copied().filter(|entry| entry.domid != domid)).collect())
}
