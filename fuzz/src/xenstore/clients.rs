//! What the clients know: what they asked, and what they were told.

use std::collections::VecDeque;

use xenstore_store::{ConnectionId, Store};
use xenstore_wire::{Decoder, Domid, Message, MessageType, error_from_name, payload};

/// One client.
#[derive(Default)]
pub(super) struct Client {
    /// Of a socket.
    id: Option<ConnectionId>,
    requests: Decoder,
    answers: Decoder,
    /// Requests that are not answered yet: kind, number, transaction.
    asked: VecDeque<(u32, u32, u32)>,
}

impl Client {
    /// A socket that may do everything.
    pub(super) const DOM0_SOCKET: usize = 0;
    /// A socket that may only read.
    pub(super) const READ_ONLY_SOCKET: usize = 1;
    /// Domains with rings: clients from 3 on. Client 2 is dom0 on its ring.
    pub(super) const DOMAINS: [u16; 2] = [1, 2];
    /// How many there are.
    pub(super) const COUNT: usize = 5;
}

/// All clients.
#[derive(Default)]
pub(super) struct Clients {
    clients: [Client; Client::COUNT],
    requests: u32,
}

impl Clients {
    /// A number that no request had.
    pub(super) fn next_request(&mut self) -> u32 {
        self.requests += 1;
        self.requests
    }

    /// A socket's connection is this from now on.
    pub(super) fn connected(&mut self, client: usize, id: ConnectionId) {
        self.clients[client] = Client { id: Some(id), ..Client::default() };
    }

    /// The client's connection, if it has one.
    pub(super) fn id(&self, client: usize, store: &Store) -> Option<ConnectionId> {
        match client {
            Client::DOM0_SOCKET | Client::READ_ONLY_SOCKET => {
                self.clients[client].id.filter(|&id| store.is_connected(id))
            }
            domain => store.ring(Domid((domain - 2) as u16)).map(|ring| ring.connection),
        }
    }

    /// The client's connection ended, or began anew.
    pub(super) fn forget(&mut self, client: usize) {
        let id = self.clients[client].id;
        self.clients[client] = Client { id, ..Client::default() };
    }

    /// As [`forget`](Self::forget), for a domain.
    pub(super) fn restarted(&mut self, domid: Domid) {
        if Client::DOMAINS.contains(&domid.0) {
            self.forget(usize::from(domid.0) + 2);
        }
    }

    /// The client sends these bytes. Gives whether dom0 may thereby give something to domains.
    pub(super) fn sent(&mut self, client: usize, bytes: &[u8]) -> bool {
        let mut is_generous = false;
        let sender = &mut self.clients[client];
        sender.requests.push(bytes);
        while let Ok(Some(message)) = sender.requests.next_message() {
            sender.asked.push_back((message.kind, message.request, message.transaction));
            let kind = MessageType::from_number(message.kind);
            is_generous |= matches!(
                kind,
                Some(MessageType::Control | MessageType::SetPerms | MessageType::Write | MessageType::Mkdir)
            );
        }
        is_generous && client < 3
    }

    /// The client gets these bytes.
    pub(super) fn received(&mut self, client: usize, bytes: &[u8]) {
        let receiver = &mut self.clients[client];
        receiver.answers.push(bytes);
        while let Some(message) = receiver.answers.next_message().expect("no message is too long") {
            if message.kind == MessageType::WatchEvent.number() {
                check_event(&message);
            } else {
                let asked = receiver.asked.pop_front().expect("an answer has a request");
                check_answer(&message, asked);
            }
        }
    }

    /// Nothing is missing.
    pub(super) fn check_all_answered(&self, client: usize) {
        let client = &self.clients[client];
        assert!(client.asked.is_empty(), "without an answer: {:?}", client.asked);
        assert!(client.answers.rest().is_empty(), "half a message");
    }
}

fn check_event(event: &Message) {
    assert_eq!((event.request, event.transaction), (0, 0));
    let strings = payload::strings(&event.payload).expect("an event has strings");
    let [path, _token] = strings[..] else { panic!("an event has a path and a token: {strings:?}") };
    assert!(!path.is_empty() && path.is_ascii());
}

fn check_answer(answer: &Message, (kind, request, transaction): (u32, u32, u32)) {
    assert_eq!((answer.request, answer.transaction), (request, transaction));
    if answer.kind == MessageType::Error.number() {
        let name = payload::one_string(&answer.payload).expect("an error is a string");
        assert!(error_from_name(name).is_some(), "{name:?} is no error of the protocol");
        return;
    }
    assert_eq!(answer.kind, kind);
    match MessageType::from_number(kind).expect("only known requests go well") {
        MessageType::Read => {}
        MessageType::Directory | MessageType::GetPerms => {
            assert!(payload::strings(&answer.payload).is_some(), "a list is of strings");
        }
        MessageType::DirectoryPart => {
            let (generation, _names) =
                payload::string_and_rest(&answer.payload).expect("a part has two parts");
            assert!(payload::number::<u64>(generation).is_some());
        }
        MessageType::TransactionStart => {
            let number = payload::one_string(&answer.payload).and_then(payload::number::<u32>);
            assert!(number.is_some_and(|number| number != 0));
        }
        MessageType::IsDomainIntroduced => assert!([&b"T\0"[..], b"F\0"].contains(&&answer.payload[..])),
        MessageType::GetDomainPath | MessageType::Control => {
            assert!(payload::one_string(&answer.payload).is_some());
        }
        _ => assert_eq!(answer.payload, b"OK\0"),
    }
}
