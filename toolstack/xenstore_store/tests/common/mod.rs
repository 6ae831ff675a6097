//! A store with clients to ask it through, as bytes, the way a daemon does.
#![allow(dead_code, reason = "not every test uses every helper")]

use xen_abi::Errno;
use xenstore_store::{ConnectionId, Host, Peer, Quotas, Store};
use xenstore_wire::{Decoder, Domid, Message, MessageType, error_from_name};

/// What the store asked of the machine.
#[derive(Default)]
pub struct Machine {
    pub introduced: Vec<(Domid, u64, u32, u32)>,
    pub released: Vec<Domid>,
    /// What introductions fail with.
    pub refuse: Option<Errno>,
}

impl Host for Machine {
    fn introduce(&mut self, domid: Domid, gfn: u64, port: u32, features: u32) -> Result<(), Errno> {
        self.introduced.push((domid, gfn, port, features));
        self.refuse.map_or(Ok(()), Err)
    }

    fn release(&mut self, domid: Domid) {
        self.released.push(domid);
    }
}

pub struct Rig {
    pub store: Store,
    pub machine: Machine,
    /// A privileged socket.
    pub dom0: ConnectionId,
    next: u32,
}

pub type Answer = Result<Vec<u8>, Errno>;

impl Rig {
    pub fn new() -> Self {
        Self::with(Quotas::default())
    }

    pub fn with(quotas: Quotas) -> Self {
        let mut store = Store::new(quotas);
        let dom0 = store.connect(Peer::Socket { read_only: false });
        Self { store, machine: Machine::default(), dom0, next: 0 }
    }

    /// Introduces a domain whose home is its own, and gives its connection.
    pub fn domain(&mut self, domid: u16) -> ConnectionId {
        let home = format!("/local/domain/{domid}");
        self.ok(self.dom0, MessageType::Mkdir, 0, format!("{home}\0"));
        self.ok(self.dom0, MessageType::SetPerms, 0, format!("{home}\0n{domid}\0"));
        self.introduce(domid);
        self.connection(domid)
    }

    pub fn introduce(&mut self, domid: u16) {
        self.ok(self.dom0, MessageType::Introduce, 0, format!("{domid}\01\05\0"));
    }

    pub fn connection(&self, domid: u16) -> ConnectionId {
        self.store.rings().iter().find(|ring| ring.domid == Domid(domid)).unwrap().connection
    }

    /// Sends a request and takes what waits for this client: the answer, and events.
    pub fn exchange(
        &mut self,
        id: ConnectionId,
        kind: u32,
        transaction: u32,
        payload: &[u8],
    ) -> (Option<Message>, Vec<(String, String)>) {
        self.next += 1;
        let request = Message { kind, request: self.next, transaction, payload: payload.to_vec() };
        self.store.receive(id, &request.encode(), &mut self.machine).unwrap();
        let (mut answers, events) = self.take(id);
        let answer = answers.pop();
        assert!(answers.is_empty(), "one request has one answer");
        if let Some(answer) = &answer {
            assert_eq!((answer.request, answer.transaction), (self.next, transaction));
        }
        (answer, events)
    }

    /// Takes all messages that wait.
    pub fn take(&mut self, id: ConnectionId) -> (Vec<Message>, Vec<(String, String)>) {
        let mut bytes = Vec::new();
        self.store.pending(id, &mut bytes, usize::MAX);
        self.store.sent(id, bytes.len());
        let mut decoder = Decoder::default();
        decoder.push(&bytes);
        let (mut answers, mut events) = (Vec::new(), Vec::new());
        while let Some(message) = decoder.next_message().unwrap() {
            if message.kind == MessageType::WatchEvent.number() {
                assert_eq!((message.request, message.transaction), (0, 0));
                let text = String::from_utf8(message.payload).unwrap();
                let (path, token) = text.strip_suffix('\0').unwrap().split_once('\0').unwrap();
                events.push((path.to_owned(), token.to_owned()));
            } else {
                answers.push(message);
            }
        }
        assert!(decoder.rest().is_empty());
        (answers, events)
    }

    pub fn events(&mut self, id: ConnectionId) -> Vec<(String, String)> {
        let (answers, events) = self.take(id);
        assert!(answers.is_empty());
        events
    }

    /// Paths of the events that wait.
    pub fn fired(&mut self, id: ConnectionId) -> Vec<String> {
        self.events(id).into_iter().map(|(path, _)| path).collect()
    }

    /// Sends a request and gives the answer.
    pub fn ask(
        &mut self,
        id: ConnectionId,
        kind: MessageType,
        transaction: u32,
        payload: impl AsRef<[u8]>,
    ) -> Answer {
        let (answer, _) = self.exchange(id, kind.number(), transaction, payload.as_ref());
        let answer = answer.expect("the connection lives");
        if answer.kind == MessageType::Error.number() {
            return Err(error_from_name(answer.payload.strip_suffix(b"\0").unwrap()).unwrap());
        }
        assert_eq!(answer.kind, kind.number());
        Ok(answer.payload)
    }

    /// As [`ask`](Self::ask), for what must work.
    pub fn ok(
        &mut self,
        id: ConnectionId,
        kind: MessageType,
        transaction: u32,
        payload: impl AsRef<[u8]>,
    ) -> Vec<u8> {
        let payload = payload.as_ref();
        let shown = String::from_utf8_lossy(payload).into_owned();
        self.ask(id, kind, transaction, payload)
            .unwrap_or_else(|error| panic!("{kind:?} {shown:?}: {error:?}"))
    }

    pub fn write(&mut self, id: ConnectionId, path: &str, value: &str) -> Answer {
        self.ask(id, MessageType::Write, 0, format!("{path}\0{value}"))
    }

    pub fn read(&mut self, id: ConnectionId, path: &str) -> Answer {
        self.ask(id, MessageType::Read, 0, format!("{path}\0"))
    }

    pub fn list(&mut self, id: ConnectionId, path: &str) -> String {
        let names = self.ok(id, MessageType::Directory, 0, format!("{path}\0"));
        String::from_utf8(names).unwrap().replace('\0', " ").trim_end().to_owned()
    }

    pub fn permissions(&mut self, id: ConnectionId, path: &str) -> String {
        let list = self.ok(id, MessageType::GetPerms, 0, format!("{path}\0"));
        String::from_utf8(list).unwrap().replace('\0', " ").trim_end().to_owned()
    }

    pub fn watch(&mut self, id: ConnectionId, path: &str, token: &str) {
        self.ok(id, MessageType::Watch, 0, format!("{path}\0{token}\0"));
        self.take(id);
    }

    pub fn start(&mut self, id: ConnectionId) -> u32 {
        let number = self.ok(id, MessageType::TransactionStart, 0, "\0");
        String::from_utf8(number).unwrap().trim_end_matches('\0').parse().unwrap()
    }

    pub fn commit(&mut self, id: ConnectionId, transaction: u32) -> Answer {
        self.ask(id, MessageType::TransactionEnd, transaction, "T\0")
    }
}
