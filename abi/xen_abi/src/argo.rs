//! `argo.h`: numbers of the message ring operations.

abi_consts! { CONSTS, Both;
    /// Registers a ring.
    pub const XEN_ARGO_OP_register_ring: u32 = 1;
    /// Unregisters a ring.
    pub const XEN_ARGO_OP_unregister_ring: u32 = 2;
    /// Sends.
    pub const XEN_ARGO_OP_sendv: u32 = 3;
    /// Asks about rings.
    pub const XEN_ARGO_OP_notify: u32 = 4;
    /// Any sender.
    pub const XEN_ARGO_DOMID_ANY: u16 = crate::xen::DOMID_INVALID;
    /// Bytes of the largest ring.
    pub const XEN_ARGO_MAX_RING_SIZE: u64 = 0x100_0000;
    /// Pieces of a message.
    pub const XEN_ARGO_MAXIOV: u32 = 8;
    /// Messages are padded to a multiple of this.
    pub const XEN_ARGO_MSG_SLOT_SIZE: u32 = 0x10;
    /// Register only when there is no such ring.
    pub const XEN_ARGO_REGISTER_FLAG_FAIL_EXIST: u32 = 1;
    /// Notify: the ring is there.
    pub const XEN_ARGO_RING_EXISTS: u32 = 1 << 0;
    /// Notify: any domain may send.
    pub const XEN_ARGO_RING_SHARED: u32 = 1 << 1;
    /// Notify: empty.
    pub const XEN_ARGO_RING_EMPTY: u32 = 1 << 2;
    /// Notify: enough room.
    pub const XEN_ARGO_RING_SUFFICIENT: u32 = 1 << 3;
    /// Notify: never enough room.
    pub const XEN_ARGO_RING_EMSGSIZE: u32 = 1 << 4;
    /// Notify: too many wait.
    pub const XEN_ARGO_RING_EBUSY: u32 = 1 << 5;
}
