//! `io/netif.h`: network devices.

abi_consts! { CONSTS, Both;
    /// Slots of a packet that every backend takes.
    pub const XEN_NETIF_NR_SLOTS_MIN: u32 = 18;
    /// Largest packet to the backend.
    pub const XEN_NETIF_MAX_TX_SIZE: u32 = 0xffff;
    /// From the guest: checksum to be filled in.
    pub const NETTXF_csum_blank: u16 = 1 << 0;
    /// From the guest: data was checked.
    pub const NETTXF_data_validated: u16 = 1 << 1;
    /// From the guest: the packet goes on in the next slot.
    pub const NETTXF_more_data: u16 = 1 << 2;
    /// From the guest: an extra slot follows.
    pub const NETTXF_extra_info: u16 = 1 << 3;
    /// To the guest: data was checked.
    pub const NETRXF_data_validated: u16 = 1 << 0;
    /// To the guest: checksum is to be filled in.
    pub const NETRXF_csum_blank: u16 = 1 << 1;
    /// To the guest: the packet goes on in the next slot.
    pub const NETRXF_more_data: u16 = 1 << 2;
    /// To the guest: an extra slot follows.
    pub const NETRXF_extra_info: u16 = 1 << 3;
    /// To the guest: old form of segmentation.
    pub const NETRXF_gso_prefix: u16 = 1 << 4;
    /// Extra: nothing.
    pub const XEN_NETIF_EXTRA_TYPE_NONE: u8 = 0;
    /// Extra: segmentation.
    pub const XEN_NETIF_EXTRA_TYPE_GSO: u8 = 1;
    /// Extra: add a multicast address.
    pub const XEN_NETIF_EXTRA_TYPE_MCAST_ADD: u8 = 2;
    /// Extra: remove a multicast address.
    pub const XEN_NETIF_EXTRA_TYPE_MCAST_DEL: u8 = 3;
    /// Extra: hash.
    pub const XEN_NETIF_EXTRA_TYPE_HASH: u8 = 4;
    /// Number of extra types.
    pub const XEN_NETIF_EXTRA_TYPE_MAX: u8 = 5;
    /// Extra: another extra slot follows.
    pub const XEN_NETIF_EXTRA_FLAG_MORE: u8 = 1;
    /// Segmentation: none.
    pub const XEN_NETIF_GSO_TYPE_NONE: u8 = 0;
    /// Segmentation: TCP over IPv4.
    pub const XEN_NETIF_GSO_TYPE_TCPV4: u8 = 1;
    /// Segmentation: TCP over IPv6.
    pub const XEN_NETIF_GSO_TYPE_TCPV6: u8 = 2;
    /// Packet dropped.
    pub const NETIF_RSP_DROPPED: i16 = -2;
    /// Failed.
    pub const NETIF_RSP_ERROR: i16 = -1;
    /// Done.
    pub const NETIF_RSP_OKAY: i16 = 0;
    /// No response; takes the place of an extra slot's.
    pub const NETIF_RSP_NULL: i16 = 1;
}

abi_structs! { STRUCTS, Both;
    /// Packet, or part of one, from the guest.
    #[c = "struct netif_tx_request"]
    pub struct NetifTxRequest {
        /// The page.
        pub gref: u32,
        /// First byte in it.
        pub offset: u16,
        /// `NETTXF_*`.
        pub flags: u16,
        /// Repeated in the response.
        pub id: u16,
        /// Bytes of the slot; in the first slot, of the packet.
        pub size: u16,
    }

    /// Extra slot behind a first slot.
    #[c = "struct netif_extra_info"]
    pub struct NetifExtraInfo {
        /// `XEN_NETIF_EXTRA_TYPE_*`.
        #[c = "type"]
        pub type_: u8,
        /// `XEN_NETIF_EXTRA_FLAG_*`.
        pub flags: u8,
        /// By type: [`NetifExtraGso`], [`NetifExtraHash`], or an Ethernet address.
        pub u: [u16; 3],
    }

    /// Segmentation in [`NetifExtraInfo`].
    #[c = "__typeof__(((struct netif_extra_info *)0)->u.gso)"]
    pub struct NetifExtraGso {
        /// Bytes of data in a segment.
        pub size: u16,
        /// `XEN_NETIF_GSO_TYPE_*`.
        #[c = "type"]
        pub type_: u8,
        /// Unused.
        pub pad: u8,
        /// 0.
        pub features: u16,
    }

    /// Hash in [`NetifExtraInfo`].
    #[c = "__typeof__(((struct netif_extra_info *)0)->u.hash)"]
    pub struct NetifExtraHash {
        /// Kind.
        #[c = "type"]
        pub type_: u8,
        /// Algorithm.
        pub algorithm: u8,
        /// Value, least significant byte first.
        pub value: [u8; 4],
    }

    /// Answer to a packet from the guest.
    #[c = "struct netif_tx_response"]
    pub struct NetifTxResponse {
        /// The request's.
        pub id: u16,
        /// `NETIF_RSP_*`.
        pub status: i16,
    }

    /// Page for a packet to the guest.
    #[c = "struct netif_rx_request"]
    pub struct NetifRxRequest {
        /// Repeated in the response.
        pub id: u16,
        /// Unused.
        pub pad: u16,
        /// The page.
        pub gref: u32,
    }

    /// Packet, or part of one, to the guest.
    #[c = "struct netif_rx_response"]
    pub struct NetifRxResponse {
        /// The request's.
        pub id: u16,
        /// First byte in the page.
        pub offset: u16,
        /// `NETRXF_*`.
        pub flags: u16,
        /// Bytes, or `NETIF_RSP_*` below 0.
        pub status: i16,
    }
}

abi_payload! {
    NetifExtraInfo.u: [u16; 3];
}
