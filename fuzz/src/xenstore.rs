//! Xenstore's protocol: streams of bytes from several clients, and all else that happens to the store, with the
//! answers checked against the requests, and the store's state against its journal.

mod clients;
mod tree;

use xen_abi::Errno;
use xenstore_store::journal::replay;
use xenstore_store::{ConnectionId, Effect, Host, Peer, Quotas, Record, Store};
use xenstore_wire::{Domid, Message, MessageType};

use crate::input::Input;
use clients::{Client, Clients};

/// Few of everything, so that an input of some hundred bytes reaches the limits.
const QUOTAS: Quotas = Quotas {
    nodes: 12,
    node_size: 256,
    watches: 3,
    transactions: 2,
    transaction_requests: 8,
    permissions: 3,
    path_length: 64,
    outstanding: 4,
    memory: 8192,
};
/// What domains may hold beyond the quota of memory: it is looked at before something is taken in, not after.
const MEMORY_SLACK: u64 = 128 << 10;
/// Most steps of one input: more would not reach more, and cost time.
const STEPS: usize = 200;

pub(crate) fn one_input(bytes: &[u8]) {
    let mut daemon = Daemon::new();
    let mut input = Input(bytes);
    for _ in 0..STEPS {
        let Some(step) = input.byte() else { break };
        daemon.step(step, &mut input);
        assert_eq!(daemon.store.check(), None);
    }
    daemon.finish();
}

/// The daemon's side of a store.
struct Daemon {
    store: Store,
    clients: Clients,
    /// The state that the journal begins at.
    base: Vec<u8>,
    journal: Vec<u8>,
    machine: Machine,
    /// Dom0 did something that gives domains more than they could take.
    is_generous: bool,
}

/// Connects every domain, but for one.
#[derive(Default)]
struct Machine {
    journal: Vec<u8>,
    /// Domains whose connections began anew or ended.
    restarted: Vec<Domid>,
}

impl Host for Machine {
    fn introduce(&mut self, domid: Domid, gfn: u64, _port: u32, _features: u32) -> Result<(), Errno> {
        let answer = if gfn == 13 { Err(Errno::EINVAL) } else { Ok(()) };
        Record::HostAnswer(answer).append(&mut self.journal);
        if answer.is_ok() {
            self.restarted.push(domid);
        }
        answer
    }

    fn release(&mut self, domid: Domid) {
        self.restarted.push(domid);
    }
}

impl Daemon {
    /// Dom0 on its ring and two sockets, and two domains that have homes.
    fn new() -> Self {
        let mut store = Store::new(QUOTAS);
        let base = store.save();
        let mut daemon = Self {
            store,
            clients: Clients::default(),
            base,
            journal: Vec::new(),
            machine: Machine::default(),
            is_generous: false,
        };
        daemon.connect(Client::DOM0_SOCKET, false);
        daemon.connect(Client::READ_ONLY_SOCKET, true);
        Record::ConnectDom0 { port: 1, received: 0, sent: 0 }.append(&mut daemon.journal);
        daemon.store.connect_dom0(1, 0, 0);
        for domid in Client::DOMAINS {
            let home = format!("/local/domain/{domid}\0");
            daemon.ask(Client::DOM0_SOCKET, MessageType::Mkdir, &home);
            daemon.ask(Client::DOM0_SOCKET, MessageType::SetPerms, &format!("{home}n{domid}\0"));
            daemon.ask(Client::DOM0_SOCKET, MessageType::Introduce, &format!("{domid}\x001\x002\0"));
        }
        daemon.is_generous = false;
        daemon
    }

    fn connect(&mut self, client: usize, read_only: bool) {
        Record::Connect { read_only }.append(&mut self.journal);
        let id = self.store.connect(Peer::Socket { read_only });
        self.clients.connected(client, id);
    }

    /// One thing that happens.
    fn step(&mut self, step: u8, input: &mut Input<'_>) {
        let client = usize::from(step & 7) % Client::COUNT;
        match step >> 3 {
            kind @ 0..24 => {
                let transaction = u32::from(input.byte().unwrap_or(0));
                let length = usize::from(input.byte().unwrap_or(0));
                let payload = input.take(length).to_vec();
                self.send(client, Message { kind: kind.into(), request: 0, transaction, payload });
            }
            24 => {
                let length = usize::from(input.byte().unwrap_or(0));
                self.receive(client, input.take(length));
            }
            25 => self.take(client, usize::from(input.byte().unwrap_or(0))),
            26 => self.take(client, usize::MAX),
            27 => {
                let domid = Domid(u16::from(input.byte().unwrap_or(0) % 8));
                Record::Shutdown(domid).append(&mut self.journal);
                self.store.domain_shutdown(domid);
            }
            28 => {
                let domid = Domid(u16::from(input.byte().unwrap_or(0) % 8));
                Record::Gone(domid).append(&mut self.journal);
                self.store.domain_gone(domid);
                self.clients.restarted(domid);
            }
            29 => {
                if let Some(id) = self.clients.id(client, &self.store) {
                    Record::Reset(id).append(&mut self.journal);
                    self.store.reset(id);
                    self.clients.forget(client);
                }
            }
            30 if client <= Client::READ_ONLY_SOCKET => {
                self.disconnect(client);
                self.connect(client, client == Client::READ_ONLY_SOCKET);
            }
            30 => {
                // A value that is as long as a message allows.
                let payload = [&b"long\0"[..], &[b'v'; 4091]].concat();
                self.send(
                    client,
                    Message { kind: MessageType::Write.number(), request: 0, transaction: 0, payload },
                );
            }
            _ => self.restart(),
        }
    }

    fn ask(&mut self, client: usize, kind: MessageType, payload: &str) {
        self.send(
            client,
            Message { kind: kind.number(), request: 0, transaction: 0, payload: payload.into() },
        );
    }

    /// Sends a whole message, with a number of its own.
    fn send(&mut self, client: usize, message: Message) {
        let request = self.clients.next_request();
        self.receive(client, &Message { request, ..message }.encode());
    }

    /// Lets the store take in bytes, if it would from this client.
    fn receive(&mut self, client: usize, bytes: &[u8]) {
        let Some(id) = self.clients.id(client, &self.store).filter(|&id| self.store.may_receive(id)) else {
            return;
        };
        let revision = self.store.revision();
        self.is_generous |= self.clients.sent(client, bytes);
        let outcome = self.store.receive(id, bytes, &mut self.machine);
        self.journal.append(&mut self.machine.journal);
        // What a socket reads leads nowhere that others see.
        let noted = outcome != Ok(Effect::None) || client > Client::READ_ONLY_SOCKET;
        if noted {
            Record::Receive(id, bytes).append(&mut self.journal);
        }
        for domid in std::mem::take(&mut self.machine.restarted) {
            self.clients.restarted(domid);
        }
        if outcome.is_err() {
            self.clients.forget(client);
            if client <= Client::READ_ONLY_SOCKET {
                self.disconnect(client);
            }
        }
        if client == Client::READ_ONLY_SOCKET {
            assert_eq!(self.store.revision(), revision, "a read-only socket changed something");
        }
    }

    fn disconnect(&mut self, client: usize) {
        if let Some(id) = self.clients.id(client, &self.store) {
            Record::Disconnect(id).append(&mut self.journal);
            self.store.disconnect(id);
            self.clients.forget(client);
        }
    }

    /// Takes up to `most` of the bytes that wait, and checks them.
    fn take(&mut self, client: usize, most: usize) {
        let Some(id) = self.clients.id(client, &self.store) else { return };
        let bytes = self.pending(id, most);
        if client > Client::READ_ONLY_SOCKET {
            Record::Sent(id, bytes.len() as u32).append(&mut self.journal);
        }
        self.store.sent(id, bytes.len());
        self.clients.received(client, &bytes);
        if most == usize::MAX {
            assert!(!self.store.has_pending(id));
            self.clients.check_all_answered(client);
        }
    }

    fn pending(&self, id: ConnectionId, most: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.store.pending(id, &mut bytes, most);
        assert!(bytes.len() <= most);
        bytes
    }

    /// Goes on as a successor would: sockets are connected anew.
    fn restart(&mut self) {
        self.check_journal();
        self.base = self.store.save();
        self.journal.clear();
        self.store = Store::load(&self.base).expect("what is saved can be loaded");
        self.connect(Client::DOM0_SOCKET, false);
        self.connect(Client::READ_ONLY_SOCKET, true);
    }

    /// What the journal leads to is where the store is, but for sockets, which end with the daemon.
    fn check_journal(&mut self) {
        let mut again = Store::load(&self.base).expect("what is saved can be loaded");
        replay(&mut again, &self.journal).expect("a journal that was written can be read");
        for client in [Client::DOM0_SOCKET, Client::READ_ONLY_SOCKET] {
            if let Some(id) = self.clients.id(client, &self.store) {
                again.disconnect(id);
            }
            self.disconnect(client);
        }
        assert!(again.save() == self.store.save(), "the journal leads to another state");
    }

    fn finish(&mut self) {
        for client in 0..Client::COUNT {
            self.take(client, usize::MAX);
        }
        self.check_journal();
        let usage = tree::check(&mut self.store, &mut self.machine);
        if !self.is_generous {
            for (domid, usage) in usage {
                assert!(usage.nodes <= QUOTAS.nodes, "domain {domid} has {} nodes", usage.nodes);
                assert!(usage.watches <= QUOTAS.watches, "domain {domid} has {} watches", usage.watches);
                assert!(usage.transactions <= QUOTAS.transactions);
                assert!(
                    usage.memory <= QUOTAS.memory + MEMORY_SLACK,
                    "domain {domid} holds {}",
                    usage.memory
                );
            }
        }
    }
}
