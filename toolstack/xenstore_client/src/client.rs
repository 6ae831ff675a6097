//! The client: requests and answers, watches, and connecting again.

use crate::error::Error;
use crate::operations::{Operations, string};
use crate::transaction::Transaction;
use crate::transport::{Transport, default_path};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};
use xen_abi::Errno;
use xenstore_wire::{Decoder, Domid, Message, MessageType, error_from_name, payload};

/// How long a daemon may take to come back before a request fails.
const RECONNECT_TIME: Duration = Duration::from_secs(10);
/// Requests to read that are on their way at a time; even the longest answers fit into a socket's buffer.
const READS_AT_ONCE: usize = 32;
/// Pause between two attempts to connect.
const RECONNECT_PAUSE: Duration = Duration::from_millis(20);

/// A watch fired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchEvent {
    /// The path that changed, relative if the watch was.
    pub path: String,
    /// The token that the watch was set with.
    pub token: String,
}

/// A watch that is set, to set it again on a new connection.
#[derive(Debug, PartialEq, Eq)]
struct SetWatch {
    path: String,
    token: String,
    depth: Option<u32>,
}

/// A connection to xenstore.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    transport: Transport,
    decoder: Decoder,
    next_request: u32,
    events: VecDeque<WatchEvent>,
    watches: Vec<SetWatch>,
    /// Counts connections: a transaction is lost with the one that it began on.
    pub(crate) connection: u64,
}

impl Client {
    /// Connects to where the daemon listens: see [`default_path`].
    ///
    /// # Errors
    /// [`Error::Connect`].
    pub fn open() -> Result<Self, Error> {
        Self::connect(default_path())
    }

    /// Connects to a socket or device.
    ///
    /// # Errors
    /// [`Error::Connect`].
    pub fn connect(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref().to_owned();
        let transport = Transport::open(&path)?;
        Ok(Self {
            path,
            transport,
            decoder: Decoder::default(),
            next_request: 1,
            events: VecDeque::new(),
            watches: Vec::new(),
            connection: 0,
        })
    }

    /// Runs `body` in a transaction, again and again until it commits without conflict.
    ///
    /// # Errors
    /// What `body` returns, other than a refusal with `EAGAIN`; or what starting and committing return.
    pub fn transaction<T>(
        &mut self,
        mut body: impl FnMut(&mut Transaction<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        loop {
            let mut transaction = self.start_transaction()?;
            let outcome = body(&mut transaction).and_then(|value| transaction.commit().map(|()| value));
            match outcome {
                Err(error) if error.errno() == Some(Errno::EAGAIN) => {}
                outcome => return outcome,
            }
        }
    }

    /// Starts a transaction.
    ///
    /// # Errors
    /// Any [`Error`].
    pub fn start_transaction(&mut self) -> Result<Transaction<'_>, Error> {
        let number = self.request(MessageType::TransactionStart, "a transaction", string("")?)?;
        let number = payload::one_string(&number).and_then(payload::number);
        let number = number.filter(|&number| number != 0).ok_or(Error::Answer("no transaction number"))?;
        let connection = self.connection;
        Ok(Transaction { client: self, number, connection, is_over: false })
    }

    /// Sets a watch on a node and all below it. It fires once at once.
    ///
    /// # Errors
    /// [`Error::Refused`] with `EEXIST` if path and token are watched already; any other [`Error`].
    pub fn watch(&mut self, path: &str, token: &str) -> Result<(), Error> {
        self.set_watch(SetWatch { path: path.to_owned(), token: token.to_owned(), depth: None })
    }

    /// Sets a watch that looks only so many levels below the path. Xen 4.17's daemons refuse it.
    ///
    /// # Errors
    /// As [`watch`](Self::watch).
    pub fn watch_depth(&mut self, path: &str, token: &str, depth: u32) -> Result<(), Error> {
        self.set_watch(SetWatch { path: path.to_owned(), token: token.to_owned(), depth: Some(depth) })
    }

    /// Removes a watch. Events of it that have arrived stay.
    ///
    /// # Errors
    /// [`Error::Refused`] with `ENOENT` if there is none; any other [`Error`].
    pub fn unwatch(&mut self, path: &str, token: &str) -> Result<(), Error> {
        self.watches.retain(|watch| watch.path != path || watch.token != token);
        let payload = [string(path)?, string(token)?].concat();
        self.request(MessageType::Unwatch, path, payload).map(drop)
    }

    /// The next event; waits for one at most `timeout`, or for ever.
    ///
    /// # Errors
    /// Any [`Error`]; not that the daemon is restarted.
    pub fn wait_event(&mut self, timeout: Option<Duration>) -> Result<Option<WatchEvent>, Error> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            // Events may have come together with an answer.
            while let Some(message) = self.next_message()? {
                self.keep_event(&message)?;
            }
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if !self.transport.wait(deadline)? {
                return Ok(None);
            }
            match self.take_in() {
                Err(Error::Io(error)) => self.reconnect(error)?,
                other => other?,
            }
        }
    }

    /// Tells the daemon of a new domain: the frame of its ring page, and its end of the event channel.
    ///
    /// # Errors
    /// Any [`Error`].
    pub fn introduce(&mut self, domid: Domid, gfn: u64, port: u32) -> Result<(), Error> {
        let payload = format!("{domid}\0{gfn}\0{port}\0").into_bytes();
        self.request(MessageType::Introduce, &format!("domain {domid}"), payload).map(drop)
    }

    /// Tells the daemon to disconnect a domain.
    ///
    /// # Errors
    /// [`Error::Refused`] with `ENOENT` if it is not connected; any other [`Error`].
    pub fn release(&mut self, domid: Domid) -> Result<(), Error> {
        self.about_domain(MessageType::Release, domid).map(drop)
    }

    /// Tells the daemon that a domain which had shut down runs again.
    ///
    /// # Errors
    /// As [`release`](Self::release).
    pub fn resume(&mut self, domid: Domid) -> Result<(), Error> {
        self.about_domain(MessageType::Resume, domid).map(drop)
    }

    /// Lets a domain act for another.
    ///
    /// # Errors
    /// As [`release`](Self::release), for either.
    pub fn set_target(&mut self, domid: Domid, target: Domid) -> Result<(), Error> {
        let payload = format!("{domid}\0{target}\0").into_bytes();
        self.request(MessageType::SetTarget, &format!("domain {domid}"), payload).map(drop)
    }

    /// Whether a domain is connected.
    ///
    /// # Errors
    /// Any [`Error`].
    pub fn is_introduced(&mut self, domid: Domid) -> Result<bool, Error> {
        Ok(self.about_domain(MessageType::IsDomainIntroduced, domid)? == b"T\0")
    }

    /// Where a domain's relative paths start.
    ///
    /// # Errors
    /// Any [`Error`].
    pub fn domain_path(&mut self, domid: Domid) -> Result<String, Error> {
        let path = self.about_domain(MessageType::GetDomainPath, domid)?;
        let path = payload::one_string(&path).ok_or(Error::Answer("a path without an end"))?;
        Ok(String::from_utf8_lossy(path).into_owned())
    }

    /// Gives a command to the daemon itself, with arguments, and returns what it says.
    ///
    /// # Errors
    /// Any [`Error`].
    pub fn control(&mut self, words: &[&str]) -> Result<String, Error> {
        let mut payload = Vec::new();
        for word in words {
            payload.append(&mut string(word)?);
        }
        let text = self.request(MessageType::Control, &words.join(" "), payload)?;
        Ok(String::from_utf8_lossy(text.strip_suffix(b"\0").unwrap_or(&text)).into_owned())
    }

    fn about_domain(&mut self, kind: MessageType, domid: Domid) -> Result<Vec<u8>, Error> {
        self.request(kind, &format!("domain {domid}"), string(&domid.to_string())?)
    }

    fn set_watch(&mut self, watch: SetWatch) -> Result<(), Error> {
        let payload = watch.payload()?;
        self.request(MessageType::Watch, &watch.path, payload)?;
        self.watches.push(watch);
        Ok(())
    }

    /// Sends a request once and waits for its answer.
    pub(crate) fn exchange(
        &mut self,
        kind: MessageType,
        transaction: u32,
        subject: &str,
        payload: Vec<u8>,
    ) -> Result<Vec<u8>, Error> {
        let (request, message) = self.number(kind, transaction, payload)?;
        self.transport.send(&message)?;
        self.answer(request, kind, subject)
    }

    /// Reads nodes once, `None` where there is none. Many requests are on their way at a time, which costs a fraction of
    /// one after the other.
    pub(crate) fn exchange_reads(
        &mut self,
        transaction: u32,
        paths: &[String],
    ) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let at_once = if self.transport.is_socket { READS_AT_ONCE } else { 1 };
        let mut values = Vec::with_capacity(paths.len());
        for paths in paths.chunks(at_once) {
            let mut bytes = Vec::new();
            let mut requests = Vec::with_capacity(paths.len());
            for path in paths {
                let (request, message) = self.number(MessageType::Read, transaction, string(path)?)?;
                requests.push(request);
                bytes.extend(message);
            }
            self.transport.send(&bytes)?;
            for (request, path) in requests.into_iter().zip(paths) {
                // After an error the other answers are passed over, as nobody asks for them.
                values.push(match self.answer(request, MessageType::Read, path) {
                    Err(error) if error.is_not_found() => None,
                    outcome => Some(outcome?),
                });
            }
        }
        Ok(values)
    }

    /// A request with its number, as it is sent.
    fn number(
        &mut self,
        kind: MessageType,
        transaction: u32,
        payload: Vec<u8>,
    ) -> Result<(u32, Vec<u8>), Error> {
        let request = self.next_request;
        self.next_request = request.wrapping_add(1);
        Ok((request, Message::new(kind, request, transaction, payload)?.encode()))
    }

    /// Waits for the answer to a request; events that come first are kept.
    fn answer(&mut self, request: u32, kind: MessageType, subject: &str) -> Result<Vec<u8>, Error> {
        loop {
            while let Some(message) = self.next_message()? {
                if self.keep_event(&message)? || message.request != request {
                    continue;
                }
                if message.kind == MessageType::Error.number() {
                    let errno = payload::one_string(&message.payload).and_then(error_from_name);
                    let errno = errno.ok_or(Error::Answer("an unknown error"))?;
                    return Err(Error::Refused { request: kind, subject: subject.to_owned(), errno });
                }
                if message.kind != kind.number() {
                    return Err(Error::Answer("an answer to something else"));
                }
                return Ok(message.payload);
            }
            self.take_in()?;
        }
    }

    fn take_in(&mut self) -> Result<(), Error> {
        let mut buffer = [0; 8192];
        let bytes = self.transport.receive(&mut buffer)?;
        self.decoder.push(bytes);
        Ok(())
    }

    fn next_message(&mut self) -> Result<Option<Message>, Error> {
        self.decoder.next_message().map_err(|_| Error::Answer("it is too long"))
    }

    /// Keeps the message if it is an event, and says whether it is.
    fn keep_event(&mut self, message: &Message) -> Result<bool, Error> {
        if message.kind != MessageType::WatchEvent.number() {
            return Ok(false);
        }
        let strings = payload::strings(&message.payload).unwrap_or_default();
        let [path, token, ..] = strings[..] else {
            return Err(Error::Answer("an event without path and token"));
        };
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        self.events.push_back(WatchEvent { path: text(path), token: text(token) });
        Ok(true)
    }

    /// Connects again after `error`, waiting for the daemon to come back, and sets all watches again.
    pub(crate) fn reconnect(&mut self, error: io::Error) -> Result<(), Error> {
        if !self.transport.is_socket {
            return Err(error.into());
        }
        let deadline = Instant::now() + RECONNECT_TIME;
        loop {
            match self.try_reconnect() {
                Err(Error::Connect { .. } | Error::Io(_)) if Instant::now() < deadline => {
                    sleep(RECONNECT_PAUSE)
                }
                outcome => return outcome,
            }
        }
    }

    fn try_reconnect(&mut self) -> Result<(), Error> {
        self.transport = Transport::open(&self.path)?;
        self.decoder = Decoder::default();
        self.connection += 1;
        for at in 0..self.watches.len() {
            let payload = self.watches[at].payload()?;
            self.exchange(MessageType::Watch, 0, "a watch that was set before", payload)?;
        }
        Ok(())
    }
}

impl Operations for Client {
    fn request(&mut self, kind: MessageType, subject: &str, payload: Vec<u8>) -> Result<Vec<u8>, Error> {
        loop {
            match self.exchange(kind, 0, subject, payload.clone()) {
                // To do any of these requests twice is as good as once.
                Err(Error::Io(error)) => self.reconnect(error)?,
                outcome => return outcome,
            }
        }
    }

    fn read_all(&mut self, paths: &[String]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        loop {
            match self.exchange_reads(0, paths) {
                Err(Error::Io(error)) => self.reconnect(error)?,
                outcome => return outcome,
            }
        }
    }
}

impl AsFd for Client {
    /// Readable when an event may have arrived: then call [`Client::wait_event`] with a time-out of zero until it has
    /// no more. Events that arrived during a request are there without it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.transport.as_fd()
    }
}

impl SetWatch {
    fn payload(&self) -> Result<Vec<u8>, Error> {
        let depth = self.depth.map(|depth| string(&depth.to_string())).transpose()?;
        Ok([string(&self.path)?, string(&self.token)?, depth.unwrap_or_default()].concat())
    }
}
