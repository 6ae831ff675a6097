//! `io/xs_wire.h`: messages between xenstore and its clients, and the ring page.

use crate::Errno;

abi_consts! { CONSTS, Both;
    /// Control of the daemon.
    pub const XS_CONTROL: u32 = 0;
    /// Lists children.
    pub const XS_DIRECTORY: u32 = 1;
    /// Reads a node.
    pub const XS_READ: u32 = 2;
    /// Reads permissions.
    pub const XS_GET_PERMS: u32 = 3;
    /// Sets a watch.
    pub const XS_WATCH: u32 = 4;
    /// Removes a watch.
    pub const XS_UNWATCH: u32 = 5;
    /// Starts a transaction.
    pub const XS_TRANSACTION_START: u32 = 6;
    /// Ends a transaction.
    pub const XS_TRANSACTION_END: u32 = 7;
    /// Reports a new domain.
    pub const XS_INTRODUCE: u32 = 8;
    /// Reports that a domain is gone.
    pub const XS_RELEASE: u32 = 9;
    /// Path of a domain.
    pub const XS_GET_DOMAIN_PATH: u32 = 10;
    /// Writes a node.
    pub const XS_WRITE: u32 = 11;
    /// Makes a node.
    pub const XS_MKDIR: u32 = 12;
    /// Removes a node.
    pub const XS_RM: u32 = 13;
    /// Sets permissions.
    pub const XS_SET_PERMS: u32 = 14;
    /// A watch fired; sent by the daemon.
    pub const XS_WATCH_EVENT: u32 = 15;
    /// An error; sent by the daemon.
    pub const XS_ERROR: u32 = 16;
    /// Whether a domain is known.
    pub const XS_IS_DOMAIN_INTRODUCED: u32 = 17;
    /// A domain was resumed.
    pub const XS_RESUME: u32 = 18;
    /// A domain serves another.
    pub const XS_SET_TARGET: u32 = 19;
    /// Removes all watches.
    pub const XS_RESET_WATCHES: u32 = 21;
    /// Lists children in parts.
    pub const XS_DIRECTORY_PART: u32 = 22;
    /// Number of message types.
    pub const XS_TYPE_COUNT: u32 = 23;
    /// No message.
    pub const XS_INVALID: u32 = 0xffff;

    /// Piece of a watch event: the path.
    pub const XS_WATCH_PATH: u32 = 0;
    /// Piece of a watch event: the token.
    pub const XS_WATCH_TOKEN: u32 = 1;

    /// Bytes of each direction of the ring.
    pub const XENSTORE_RING_SIZE: usize = 1024;
    /// Bytes of a message behind its header.
    pub const XENSTORE_PAYLOAD_MAX: usize = 4096;
    /// Bytes of an absolute path.
    pub const XENSTORE_ABS_PATH_MAX: usize = 3072;
    /// Bytes of a relative path.
    pub const XENSTORE_REL_PATH_MAX: usize = 2048;

    /// The server can reconnect.
    pub const XENSTORE_SERVER_FEATURE_RECONNECTION: u32 = 1;
    /// The server reports errors in the ring.
    pub const XENSTORE_SERVER_FEATURE_ERROR: u32 = 2;
    /// Connection: in use.
    pub const XENSTORE_CONNECTED: u32 = 0;
    /// Connection: the guest asks for a new one.
    pub const XENSTORE_RECONNECT: u32 = 1;
    /// Error: none.
    pub const XENSTORE_ERROR_NONE: u32 = 0;
    /// Error: communication.
    pub const XENSTORE_ERROR_COMM: u32 = 1;
    /// Error: bad index.
    pub const XENSTORE_ERROR_RINGIDX: u32 = 2;
    /// Error: bad message.
    pub const XENSTORE_ERROR_PROTO: u32 = 3;
}

// Later than Xen 4.17, whose headers the layout test reads.

/// Reads features.
pub const XS_GET_FEATURE: u32 = 23;
/// Sets features of a domain.
pub const XS_SET_FEATURE: u32 = 24;
/// Reads a quota.
pub const XS_GET_QUOTA: u32 = 25;
/// Sets a quota.
pub const XS_SET_QUOTA: u32 = 26;
/// `WATCH` takes a depth.
pub const XENSTORE_SERVER_FEATURE_WATCHDEPTH: u32 = 4;

abi_structs! { STRUCTS, Both;
    /// Header of a message.
    #[c = "struct xsd_sockmsg"]
    pub struct XsdSockmsg {
        /// `XS_*`.
        #[c = "type"]
        pub type_: u32,
        /// Chosen by the client; repeated in the answer.
        pub req_id: u32,
        /// Transaction, or 0.
        pub tx_id: u32,
        /// Bytes that follow.
        pub len: u32,
    }

    /// The ring page. Indices run freely; a place is the index modulo the size.
    #[c = "struct xenstore_domain_interface"]
    pub struct XenstoreDomainInterface {
        /// From the guest.
        pub req: [u8; XENSTORE_RING_SIZE],
        /// To the guest.
        pub rsp: [u8; XENSTORE_RING_SIZE],
        /// Request bytes that the daemon took.
        pub req_cons: u32,
        /// Request bytes that the guest wrote.
        pub req_prod: u32,
        /// Response bytes that the guest took.
        pub rsp_cons: u32,
        /// Response bytes that the daemon wrote.
        pub rsp_prod: u32,
        /// `XENSTORE_SERVER_FEATURE_*`.
        pub server_features: u32,
        /// `XENSTORE_CONNECTED` or `XENSTORE_RECONNECT`.
        pub connection: u32,
        /// `XENSTORE_ERROR_*`.
        pub error: u32,
    }
}

/// Errors that an `XS_ERROR` message names, by [`Errno::name`].
#[doc(alias = "xsd_errors")]
pub const XSD_ERRORS: &[Errno] = &[
    Errno::EINVAL,
    Errno::EACCES,
    Errno::EEXIST,
    Errno::EISDIR,
    Errno::ENOENT,
    Errno::ENOMEM,
    Errno::ENOSPC,
    Errno::EIO,
    Errno::ENOTEMPTY,
    Errno::ENOSYS,
    Errno::EROFS,
    Errno::EBUSY,
    Errno::EAGAIN,
    Errno::EISCONN,
    Errno::E2BIG,
    Errno::EPERM,
];
