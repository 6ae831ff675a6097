//! The store: connections, and the one way from a request to its answer and its events.

use crate::caller::Caller;
use crate::connection::{Connection, ConnectionId, Peer};
use crate::domains::Domain;
use crate::operation::{Change, Operation, Reply, permission_list};
use crate::queue::Outgoing;
use crate::quota::Quotas;
use crate::request::{self, Request};
use crate::settings::Settings;
use crate::transaction::Transaction;
use crate::tree::Tree;
use crate::watch::{Watch, Watches};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use xen_abi::Errno;
use xen_abi::io::xs_wire::XENSTORE_SERVER_FEATURE_WATCHDEPTH;
use xenstore_wire::{Access, Domid, Message, MessageType, Path, Permission, SpecialPath, TooLong, payload};

/// Changes of the tree after which an unprivileged transaction is told to retry: its snapshot keeps old nodes alive.
const TRANSACTION_AGE_MAX: u64 = 1 << 16;
/// Changes of the tree between two looks for such transactions.
const TRANSACTION_AGE_STEP: u64 = 1 << 12;

/// What a store asks of the machine around it.
pub trait Host {
    /// Connects the domain's ring: the page at `gfn`, which is grant 1 to dom0, and the event channel to the domain's
    /// `port`. Sets the ring's indices to 0, and tells the domain what the ring can be used for. For a domain that has
    /// a ring, that one is replaced.
    ///
    /// # Errors
    /// What the client of `INTRODUCE` is told.
    fn introduce(&mut self, domid: Domid, gfn: u64, port: u32, features: u32) -> Result<(), Errno>;

    /// Lets go of the domain's ring.
    fn release(&mut self, domid: Domid);
}

/// The whole state of xenstore.
#[derive(Debug)]
pub struct Store {
    pub(crate) settings: Settings,
    pub(crate) tree: Tree,
    /// Of `@introduceDomain` and `@releaseDomain`, in the order of [`SpecialPath::ALL`].
    pub(crate) special_permissions: [Rc<[Permission]>; 2],
    pub(crate) connections: BTreeMap<ConnectionId, Connection>,
    pub(crate) domains: BTreeMap<Domid, Domain>,
    pub(crate) watches: Watches,
    /// Connections that something may wait for.
    pub(crate) talkative: BTreeSet<ConnectionId>,
    pub(crate) next_connection: u64,
    pub(crate) next_watch: u64,
    /// See [`Store::revision`].
    pub(crate) revision: u64,
    /// Generation at which old transactions were last looked for.
    pub(crate) aged_at: u64,
    /// Domains whose introduction is to be reported when the request is answered.
    pub(crate) introduced: Vec<Domid>,
}

impl Store {
    /// An empty store: `/` and `/tool/xenstored`, which are dom0's.
    pub fn new(quotas: Quotas) -> Self {
        let mut tree = Tree::empty();
        if let Ok(path) = Path::parse(b"/tool/xenstored") {
            tree.create(&path, Rc::new([]), None);
        }
        Self::with_tree(quotas, tree)
    }

    pub(crate) fn with_tree(quotas: Quotas, tree: Tree) -> Self {
        let closed: Rc<[Permission]> = Rc::new([Permission { domid: Domid::DOM0, access: Access::NONE }]);
        Self {
            settings: Settings::new(quotas),
            aged_at: tree.generation(),
            tree,
            special_permissions: [Rc::clone(&closed), closed],
            connections: BTreeMap::new(),
            domains: BTreeMap::new(),
            watches: Watches::default(),
            talkative: BTreeSet::new(),
            next_connection: 1,
            next_watch: 1,
            revision: 0,
            introduced: Vec::new(),
        }
    }

    /// Changes whenever anything does that outlives a socket: nodes, domains, quotas. What happens on domains' rings
    /// outlives the daemon anyhow and is not counted.
    pub fn revision(&self) -> u64 {
        self.revision + self.tree.generation()
    }

    /// Answers one request: the answer, and events for all whose watches fire, wait in the connections' queues.
    pub fn handle(&mut self, id: ConnectionId, message: &Message, host: &mut dyn Host) {
        let Some(caller) = self.caller(id) else { return };
        let mut changes = Vec::new();
        let answer = self.answer(id, &caller, message, host, &mut changes);
        let kind = MessageType::from_number(message.kind).unwrap_or(MessageType::Error);
        let is_watched = kind == MessageType::Watch && answer.is_ok();
        self.reply(id, kind, message, answer);
        if is_watched && let Some(watch) = self.connections.get(&id).and_then(|it| it.watches.last()) {
            let watch = Rc::clone(watch);
            self.send_event(&watch, &watch.path);
        }
        self.fire(&changes);
        for domid in std::mem::take(&mut self.introduced) {
            self.fire_special(SpecialPath::IntroduceDomain, domid);
        }
        // Requests that only read may be missing in a journal: nothing may follow from them.
        if !request::only_reads(message) {
            self.age_transactions();
        }
    }

    fn answer(
        &mut self,
        id: ConnectionId,
        caller: &Caller,
        message: &Message,
        host: &mut dyn Host,
        changes: &mut Vec<Change>,
    ) -> Result<Reply, Errno> {
        let kind = MessageType::from_number(message.kind).ok_or(Errno::ENOSYS)?;
        if request::is_privileged(kind) && !caller.privileged {
            return Err(Errno::EACCES);
        }
        let connection = self.connections.get_mut(&id).ok_or(Errno::EINVAL)?;
        if connection.peer == (Peer::Socket { read_only: true }) && !request::is_read_only(kind) {
            return Err(Errno::EROFS);
        }
        let number = message.transaction;
        let ignores_transaction = matches!(kind, MessageType::Watch | MessageType::Unwatch);
        if number != 0 && !ignores_transaction && !connection.transactions.contains_key(&number) {
            return Err(Errno::ENOENT);
        }
        let home = caller.domid.home();
        match request::decode(kind, message, &home, self.settings.quotas(caller.domid))? {
            Request::Tree(operation) => self.operate(id, caller, number, operation, changes),
            Request::GetSpecialPerms(special) => {
                let list = &self.special_permissions[special as usize];
                if !caller.access(list).allows(Access::READ) {
                    return Err(Errno::EACCES);
                }
                permission_list(list)
            }
            Request::SetSpecialPerms(special, list) => self.set_special(caller, special, list),
            Request::Watch { path, hidden, token, depth } => {
                self.watch(id, caller, Watch { connection: id, path, hidden, token, depth, serial: 0 })
            }
            Request::Unwatch { path, token } => self.unwatch(id, &path, &token),
            Request::TransactionStart if number != 0 => Err(Errno::EBUSY),
            Request::TransactionStart => self.start_transaction(id, caller),
            Request::TransactionEnd(commit) => {
                let transaction = connection.transactions.remove(&number).ok_or(Errno::ENOENT)?;
                if commit {
                    *changes =
                        transaction.commit(&mut self.tree, caller, self.settings.quotas(caller.domid))?;
                }
                Ok(Reply::Done)
            }
            Request::Introduce { domid, gfn, port } => {
                self.introduce(domid, gfn, port, host).map(|()| Reply::Done)
            }
            Request::Release(domid) => self.release(domid, host).map(|()| Reply::Done),
            Request::Resume(domid) => self.resume(domid).map(|()| Reply::Done),
            Request::SetTarget(domid, target) => self.set_target(domid, target).map(|()| Reply::Done),
            Request::GetDomainPath(domid) => Ok(Reply::Text(format!("{}\0", domid.home()).into_bytes())),
            Request::IsDomainIntroduced(domid) => {
                let is_known = domid == Domid::SELF || self.domains.contains_key(&domid);
                Ok(Reply::Text(if is_known { b"T\0" } else { b"F\0" }.to_vec()))
            }
            Request::GetFeature(None) => Ok(number_reply(self.settings.features(caller.domid).into())),
            Request::GetFeature(Some(_)) if !caller.privileged => Err(Errno::EACCES),
            Request::GetFeature(Some(domid)) => Ok(number_reply(self.settings.features(domid).into())),
            Request::SetFeature(domid, _) if self.domains.contains_key(&domid) => Err(Errno::EBUSY),
            Request::SetFeature(domid, features) => {
                self.settings.set_features(domid, features)?;
                self.revision += 1;
                Ok(Reply::Done)
            }
            Request::QuotaNames => {
                let names = self.settings.quotas.list().map(|(name, _)| name).join(" ");
                Ok(Reply::Text(format!("{names}\0").into_bytes()))
            }
            Request::GetQuota(domid, name) => {
                let quotas = domid.map_or(&self.settings.quotas, |domid| self.settings.quotas(domid));
                quotas.get(&name).map(number_reply).ok_or(Errno::EINVAL)
            }
            Request::SetQuota(domid, name, value) => {
                self.settings.set_quota(domid, &name, value)?;
                self.revision += 1;
                Ok(Reply::Done)
            }
            Request::ResetWatches => {
                connection.transactions.clear();
                for watch in std::mem::take(&mut connection.watches) {
                    self.watches.remove(&watch);
                }
                Ok(Reply::Done)
            }
            Request::Control(words) => {
                self.control(&words).map(|text| Reply::Text(format!("{text}\0").into_bytes()))
            }
        }
    }

    fn operate(
        &mut self,
        id: ConnectionId,
        caller: &Caller,
        transaction: u32,
        operation: Operation,
        changes: &mut Vec<Change>,
    ) -> Result<Reply, Errno> {
        if let Operation::SetPerms(_, list) = &operation {
            self.check_permissions(caller, list)?;
        }
        if operation.writes() || transaction != 0 {
            self.check_memory(id, caller)?;
        }
        let connection = self.connections.get_mut(&id).ok_or(Errno::EINVAL)?;
        let quotas = self.settings.quotas(caller.domid);
        match connection.transactions.get_mut(&transaction) {
            Some(transaction) => transaction.run(operation, caller, quotas),
            None => operation.run(&mut self.tree, caller, quotas, changes),
        }
    }

    fn set_special(
        &mut self,
        caller: &Caller,
        special: SpecialPath,
        list: Rc<[Permission]>,
    ) -> Result<Reply, Errno> {
        self.check_permissions(caller, &list)?;
        let place = &mut self.special_permissions[special as usize];
        if !caller.owns(place) {
            return Err(Errno::EACCES);
        }
        if !caller.privileged
            && list.first().map(|owner| owner.domid) != place.first().map(|owner| owner.domid)
        {
            return Err(Errno::EPERM);
        }
        *place = list;
        self.revision += 1;
        Ok(Reply::Done)
    }

    fn watch(&mut self, id: ConnectionId, caller: &Caller, mut watch: Watch) -> Result<Reply, Errno> {
        let may_limit = self.settings.features(caller.domid) & XENSTORE_SERVER_FEATURE_WATCHDEPTH != 0;
        if watch.depth.is_some() && !may_limit {
            return Err(Errno::EINVAL);
        }
        if self.watches.find(id, &watch.path, &watch.token).is_some() {
            return Err(Errno::EEXIST);
        }
        self.check_memory(id, caller)?;
        let connection = self.connections.get_mut(&id).ok_or(Errno::EINVAL)?;
        if !caller.privileged && connection.watches.len() as u64 >= self.settings.quotas(caller.domid).watches
        {
            return Err(Errno::E2BIG);
        }
        watch.serial = self.next_watch;
        self.next_watch += 1;
        let watch = Rc::new(watch);
        connection.watches.push(Rc::clone(&watch));
        self.watches.insert(watch);
        Ok(Reply::Done)
    }

    fn unwatch(&mut self, id: ConnectionId, path: &str, token: &[u8]) -> Result<Reply, Errno> {
        let watch = Rc::clone(self.watches.find(id, path, token).ok_or(Errno::ENOENT)?);
        self.watches.remove(&watch);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.watches.retain(|other| other.serial != watch.serial);
        }
        Ok(Reply::Done)
    }

    fn start_transaction(&mut self, id: ConnectionId, caller: &Caller) -> Result<Reply, Errno> {
        self.check_memory(id, caller)?;
        let connection = self.connections.get_mut(&id).ok_or(Errno::EINVAL)?;
        let most = self.settings.quotas(caller.domid).transactions;
        if !caller.privileged && connection.transactions.len() as u64 >= most {
            return Err(Errno::ENOSPC);
        }
        let number = connection.unused_transaction();
        connection.transactions.insert(number, Transaction::start(&self.tree));
        Ok(Reply::Text(format!("{number}\0").into_bytes()))
    }

    fn check_permissions(&self, caller: &Caller, list: &[Permission]) -> Result<(), Errno> {
        let fits = caller.privileged || list.len() as u64 <= self.settings.quotas(caller.domid).permissions;
        if fits { Ok(()) } else { Err(Errno::ENOSPC) }
    }

    /// Refuses what would grow when the domain holds all the memory that it may.
    fn check_memory(&self, id: ConnectionId, caller: &Caller) -> Result<(), Errno> {
        let most = self.settings.quotas(caller.domid).memory;
        if !caller.privileged && self.memory(id, caller.domid) >= most {
            return Err(Errno::ENOMEM);
        }
        Ok(())
    }

    pub(crate) fn memory(&self, id: ConnectionId, domid: Domid) -> u64 {
        let connection = self.connections.get(&id).map_or(0, Connection::memory);
        self.tree.usage(domid).bytes + connection
    }

    /// On whose behalf the connection's requests run.
    pub(crate) fn caller(&self, id: ConnectionId) -> Option<Caller> {
        let peer = self.connections.get(&id)?.peer;
        let domid = peer.domid();
        let target = match peer {
            Peer::Socket { .. } => None,
            Peer::Domain(_) => self.domains.get(&domid).and_then(|domain| domain.target),
        };
        Some(Caller { domid, target, privileged: domid == Domid::DOM0 })
    }

    fn reply(
        &mut self,
        id: ConnectionId,
        kind: MessageType,
        request: &Message,
        answer: Result<Reply, Errno>,
    ) {
        let error = |error| {
            let mut payload = Vec::new();
            payload::push_string(&mut payload, xenstore_wire::error_name(error).as_bytes());
            Message { kind: MessageType::Error.number(), payload, ..*request }
        };
        let message = match answer.map(Reply::into_payload) {
            Ok(payload) => Message::new(kind, request.request, request.transaction, payload)
                .unwrap_or_else(|TooLong { .. }| error(Errno::E2BIG)),
            Err(errno) => error(errno),
        };
        if let Some(connection) = self.connections.get_mut(&id) {
            let bytes = message.encode().into();
            connection.queue.push(Outgoing { bytes, is_event: false }, false);
            self.talkative.insert(id);
        }
    }

    /// Lets go of snapshots that unprivileged domains hold for long.
    fn age_transactions(&mut self) {
        let now = self.tree.generation();
        if now.saturating_sub(self.aged_at) < TRANSACTION_AGE_STEP {
            return;
        }
        self.aged_at = now;
        for connection in self.connections.values_mut() {
            if connection.peer.domid() == Domid::DOM0 {
                continue;
            }
            for transaction in connection.transactions.values_mut() {
                if now.saturating_sub(transaction.base()) >= TRANSACTION_AGE_MAX {
                    *transaction = Transaction::doomed(&self.tree);
                }
            }
        }
    }
}

/// A number as an answer.
fn number_reply(number: u64) -> Reply {
    Reply::Text(format!("{number}\0").into_bytes())
}
