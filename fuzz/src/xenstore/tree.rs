//! The whole tree, as a client sees it, against what the store says its owners use.

use std::collections::BTreeMap;

use xenstore_store::{ConnectionId, Peer, Store};
use xenstore_wire::{Decoder, Domid, Message, MessageType, Path, Permission, payload};

use super::Machine;

/// What a domain uses, as `xenstore-control quota` tells.
#[derive(Default)]
pub(super) struct Usage {
    pub(super) nodes: u64,
    pub(super) watches: u64,
    pub(super) transactions: u64,
    pub(super) memory: u64,
}

/// Walks the tree and checks it. Gives what the introduced domains use.
pub(super) fn check(store: &mut Store, machine: &mut Machine) -> BTreeMap<Domid, Usage> {
    let id = store.connect(Peer::Socket { read_only: false });
    let mut walk = Walk { store, machine, id, owned: BTreeMap::new() };
    walk.look(&Path::root());
    let domids: Vec<Domid> = walk.store.rings().iter().map(|ring| ring.domid).collect();
    let usages: BTreeMap<Domid, Usage> = domids
        .into_iter()
        .filter(|&domid| domid != Domid::DOM0)
        .map(|domid| (domid, walk.usage(domid)))
        .collect();
    for (domid, usage) in &usages {
        assert_eq!(usage.nodes, walk.owned.get(domid).copied().unwrap_or(0), "nodes of domain {domid}");
    }
    usages
}

struct Walk<'a> {
    store: &'a mut Store,
    machine: &'a mut Machine,
    id: ConnectionId,
    /// How many nodes each domain owns.
    owned: BTreeMap<Domid, u64>,
}

impl Walk<'_> {
    /// Asks something; `None` if it is refused.
    fn ask(&mut self, kind: MessageType, payload: String) -> Option<Vec<u8>> {
        let request = Message::new(kind, 1, 0, payload.into_bytes()).expect("paths are short");
        self.store.receive(self.id, &request.encode(), self.machine).expect("the connection is in use");
        let mut bytes = Vec::new();
        self.store.pending(self.id, &mut bytes, usize::MAX);
        self.store.sent(self.id, bytes.len());
        let mut decoder = Decoder::default();
        decoder.push(&bytes);
        let answer = decoder.next_message().expect("an answer is short").expect("there is an answer");
        (answer.kind == kind.number()).then_some(answer.payload)
    }

    /// Looks at a node and all below it.
    fn look(&mut self, path: &Path) {
        self.ask(MessageType::Read, format!("{path}\0")).expect("a node has a value");
        // Dom0 may give a list that is longer than an answer.
        if let Some(list) = self.ask(MessageType::GetPerms, format!("{path}\0")) {
            let list = payload::strings(&list).expect("permissions are strings");
            let owner = Permission::parse(list.first().expect("a node has an owner")).expect("a permission");
            *self.owned.entry(owner.domid).or_default() += 1;
        }
        let names = self.ask(MessageType::Directory, format!("{path}\0")).expect("a list of few children");
        let names = payload::strings(&names).expect("names are strings");
        assert!(names.is_sorted_by(|one, next| one < next), "children are sorted, each once");
        for name in names {
            let name = str::from_utf8(name).expect("a name is ASCII");
            self.look(&path.join(name).expect("a child has a path"));
        }
    }

    fn usage(&mut self, domid: Domid) -> Usage {
        let text = self.ask(MessageType::Control, format!("quota\0{domid}\0")).expect("the domain is known");
        let text = String::from_utf8(text).expect("the answer is text");
        let value = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).expect("a quota has a line");
            line.rsplit(' ').next().expect("a line has a value").parse().expect("a value is a number")
        };
        Usage {
            nodes: value("nodes"),
            watches: value("watches"),
            transactions: value("transactions"),
            memory: value("memory"),
        }
    }
}
