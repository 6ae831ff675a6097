//! Messages: a header of 16 bytes (`struct xsd_sockmsg`) and a payload of at most 4096.

use thiserror::Error;
use xen_abi::io::xs_wire as wire;

/// Bytes of a header.
pub const HEADER_SIZE: usize = 16;
/// Largest payload, in bytes (`XENSTORE_PAYLOAD_MAX`).
pub const PAYLOAD_MAX: usize = wire::XENSTORE_PAYLOAD_MAX;

/// Declares the message types from one list.
macro_rules! message_types {
    ($($(#[doc = $doc:expr])* $name:ident = $number:ident,)*) => {
        /// What a message asks or says (`enum xsd_sockmsg_type`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum MessageType {
            $($(#[doc = $doc])* $name,)*
        }

        impl MessageType {
            /// All types.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The number on the wire.
            pub fn number(self) -> u32 {
                match self {
                    $(Self::$name => wire::$number,)*
                }
            }

            /// The type of this number, if it has one.
            pub fn from_number(number: u32) -> Option<Self> {
                match number {
                    $(wire::$number => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

message_types! {
    /// Commands to the daemon itself.
    Control = XS_CONTROL,
    /// Lists children.
    Directory = XS_DIRECTORY,
    /// Reads a value.
    Read = XS_READ,
    /// Reads permissions.
    GetPerms = XS_GET_PERMS,
    /// Sets a watch.
    Watch = XS_WATCH,
    /// Removes a watch.
    Unwatch = XS_UNWATCH,
    /// Starts a transaction.
    TransactionStart = XS_TRANSACTION_START,
    /// Commits or drops a transaction.
    TransactionEnd = XS_TRANSACTION_END,
    /// Connects a new domain.
    Introduce = XS_INTRODUCE,
    /// Disconnects a domain.
    Release = XS_RELEASE,
    /// Asks for a domain's home.
    GetDomainPath = XS_GET_DOMAIN_PATH,
    /// Writes a value.
    Write = XS_WRITE,
    /// Makes a node.
    Mkdir = XS_MKDIR,
    /// Removes a node and all below it.
    Rm = XS_RM,
    /// Sets permissions.
    SetPerms = XS_SET_PERMS,
    /// From the daemon: a watch fired.
    WatchEvent = XS_WATCH_EVENT,
    /// From the daemon: the request failed.
    Error = XS_ERROR,
    /// Whether a domain is connected.
    IsDomainIntroduced = XS_IS_DOMAIN_INTRODUCED,
    /// A domain that had shut down runs again.
    Resume = XS_RESUME,
    /// Lets a domain act for another.
    SetTarget = XS_SET_TARGET,
    /// Removes the caller's watches and transactions.
    ResetWatches = XS_RESET_WATCHES,
    /// Lists children in parts.
    DirectoryPart = XS_DIRECTORY_PART,
    /// Reads what rings can be used for.
    GetFeature = XS_GET_FEATURE,
    /// Sets what a domain's ring can be used for.
    SetFeature = XS_SET_FEATURE,
    /// Reads a quota, or the names of all.
    GetQuota = XS_GET_QUOTA,
    /// Sets a quota.
    SetQuota = XS_SET_QUOTA,
}

/// Head of a message. Numbers travel little-endian, the byte order of all CPUs that Xen supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Number of a [`MessageType`]; a client may send any.
    pub kind: u32,
    /// Chosen by the client, repeated in the answer.
    pub request: u32,
    /// Transaction, or 0.
    pub transaction: u32,
    /// Bytes of payload that follow.
    pub length: u32,
}

impl Header {
    /// From wire bytes.
    pub fn decode(bytes: &[u8; HEADER_SIZE]) -> Self {
        let field = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Self { kind: field(0), request: field(4), transaction: field(8), length: field(12) }
    }

    /// To wire bytes.
    pub fn encode(self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        let fields = [self.kind, self.request, self.transaction, self.length];
        for (place, field) in bytes.chunks_exact_mut(4).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }
}

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Number of a [`MessageType`]; a client may send any.
    pub kind: u32,
    /// Chosen by the client, repeated in the answer.
    pub request: u32,
    /// Transaction, or 0.
    pub transaction: u32,
    /// At most [`PAYLOAD_MAX`] bytes.
    pub payload: Vec<u8>,
}

impl Message {
    /// A message of a known type.
    ///
    /// # Errors
    /// [`TooLong`] when the payload is longer than [`PAYLOAD_MAX`].
    pub fn new(kind: MessageType, request: u32, transaction: u32, payload: Vec<u8>) -> Result<Self, TooLong> {
        if payload.len() > PAYLOAD_MAX {
            return Err(TooLong { length: payload.len() as u64 });
        }
        Ok(Self { kind: kind.number(), request, transaction, payload })
    }

    /// To wire bytes, header first.
    pub fn encode(&self) -> Vec<u8> {
        let header = Header {
            kind: self.kind,
            request: self.request,
            transaction: self.transaction,
            length: self.payload.len() as u32,
        };
        let mut bytes = Vec::with_capacity(HEADER_SIZE + self.payload.len());
        bytes.extend_from_slice(&header.encode());
        bytes.extend_from_slice(&self.payload);
        bytes
    }
}

/// A payload is longer than the protocol allows. The stream cannot be trusted any more: close the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a message announces {length} bytes of payload, more than the protocol's {PAYLOAD_MAX}")]
pub struct TooLong {
    /// Bytes that the header announced.
    pub length: u64,
}

/// Cuts a stream of bytes into messages.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Bytes of `buffer` that were handed out already.
    taken: usize,
}

impl Decoder {
    /// Takes in more of the stream. Call [`next_message`](Self::next_message) until it has no more before the next
    /// call: the buffer then never holds more than one message besides these bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, if it has arrived.
    ///
    /// # Errors
    /// [`TooLong`], again at each further call.
    pub fn next_message(&mut self) -> Result<Option<Message>, TooLong> {
        let Some((header, rest)) = self.rest().split_first_chunk() else {
            return Ok(None);
        };
        let header = Header::decode(header);
        if header.length as usize > PAYLOAD_MAX {
            return Err(TooLong { length: header.length.into() });
        }
        let Some(payload) = rest.get(..header.length as usize) else {
            return Ok(None);
        };
        let payload = payload.to_vec();
        self.taken += HEADER_SIZE + payload.len();
        let Header { kind, request, transaction, .. } = header;
        Ok(Some(Message { kind, request, transaction, payload }))
    }

    /// Bytes of messages that have not been handed out.
    pub fn rest(&self) -> &[u8] {
        self.buffer.get(self.taken..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_type_survives_its_number_and_gaps_have_none() {
        for &kind in MessageType::ALL {
            assert_eq!(MessageType::from_number(kind.number()), Some(kind));
        }
        for number in [20, 27, wire::XS_INVALID, u32::MAX] {
            assert_eq!(MessageType::from_number(number), None);
        }
    }

    #[test]
    fn a_message_has_the_layout_of_xs_wire() {
        let message = Message::new(MessageType::Read, 7, 9, b"/a\0".to_vec()).unwrap();
        assert_eq!(message.encode(), b"\x02\0\0\0\x07\0\0\0\x09\0\0\0\x03\0\0\0/a\0");
    }

    #[test]
    fn a_payload_beyond_the_limit_is_refused_on_both_ways() {
        assert!(Message::new(MessageType::Write, 0, 0, vec![0; PAYLOAD_MAX]).is_ok());
        assert!(Message::new(MessageType::Write, 0, 0, vec![0; PAYLOAD_MAX + 1]).is_err());
        let mut decoder = Decoder::default();
        decoder.push(&Header { kind: 2, request: 0, transaction: 0, length: 4097 }.encode());
        assert_eq!(decoder.next_message(), Err(TooLong { length: 4097 }));
        assert_eq!(decoder.next_message(), Err(TooLong { length: 4097 }));
    }

    fn message() -> impl Strategy<Value = Message> {
        let payload = proptest::collection::vec(any::<u8>(), 0..300);
        (any::<u32>(), any::<u32>(), any::<u32>(), payload)
            .prop_map(|(kind, request, transaction, payload)| Message { kind, request, transaction, payload })
    }

    proptest! {
        #[test]
        fn messages_survive_a_stream_cut_anywhere(
            messages in proptest::collection::vec(message(), 0..6),
            cut in 1usize..64,
        ) {
            let stream: Vec<u8> = messages.iter().flat_map(Message::encode).collect();
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for piece in stream.chunks(cut) {
                decoder.push(piece);
                while let Some(message) = decoder.next_message().unwrap() {
                    seen.push(message);
                }
            }
            prop_assert_eq!(seen, messages);
            prop_assert!(decoder.rest().is_empty());
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..9000)) {
            let mut decoder = Decoder::default();
            decoder.push(&bytes);
            while let Ok(Some(message)) = decoder.next_message() {
                prop_assert!(message.payload.len() <= PAYLOAD_MAX);
            }
            prop_assert!(decoder.rest().len() <= bytes.len());
        }
    }
}
