//! `io/libxenvchan.h`: the shared page of a data channel.

abi_consts! { CONSTS, Both;
    /// Notify: when data is written.
    pub const VCHAN_NOTIFY_WRITE: u8 = 1;
    /// Notify: when data is read.
    pub const VCHAN_NOTIFY_READ: u8 = 2;
}

abi_structs! { STRUCTS, Both;
    /// Indices of one direction; they run freely.
    #[c = "struct ring_shared"]
    pub struct VchanRing {
        /// Bytes read.
        pub cons: u32,
        /// Bytes written.
        pub prod: u32,
    }

    /// The page; grants of larger rings (`u32`) follow.
    #[c = "struct vchan_interface"]
    pub struct VchanInterface {
        /// Client writes, server reads.
        pub left: VchanRing,
        /// Client reads, server writes.
        pub right: VchanRing,
        /// Size of the left ring as a power of two; 10 and 11 lie in this page.
        pub left_order: u16,
        /// Size of the right ring as a power of two.
        pub right_order: u16,
        /// 0: the client is gone; 1: it is connected; 2: not yet.
        pub cli_live: u8,
        /// 0: the server is gone; 1: it is connected.
        pub srv_live: u8,
        /// What the client wants to know, `VCHAN_NOTIFY_*`.
        pub cli_notify: u8,
        /// What the server wants to know, `VCHAN_NOTIFY_*`.
        pub srv_notify: u8,
    }
}
