//! `hvm/ioreq.h`: requests to device models, in pages shared with them.

abi_consts! { CONSTS, Both;
    /// Direction: read.
    pub const IOREQ_READ: u8 = 1;
    /// Direction: write.
    pub const IOREQ_WRITE: u8 = 0;
    /// State: empty.
    pub const STATE_IOREQ_NONE: u8 = 0;
    /// State: for the device model.
    pub const STATE_IOREQ_READY: u8 = 1;
    /// State: the device model has taken it.
    pub const STATE_IOREQ_INPROCESS: u8 = 2;
    /// State: answered.
    pub const STATE_IORESP_READY: u8 = 3;
    /// Request: I/O port.
    pub const IOREQ_TYPE_PIO: u8 = 0;
    /// Request: memory.
    pub const IOREQ_TYPE_COPY: u8 = 1;
    /// Request: PCI configuration.
    pub const IOREQ_TYPE_PCI_CONFIG: u8 = 2;
    /// Request: wall clock changed.
    pub const IOREQ_TYPE_TIMEOFFSET: u8 = 7;
    /// Request: drop cached mappings.
    pub const IOREQ_TYPE_INVALIDATE: u8 = 8;
    /// Slots of the buffered ring.
    pub const IOREQ_BUFFER_SLOT_NUM: usize = 511;
}

abi_structs! { STRUCTS, Both;
    /// A synchronous request, one per vCPU.
    #[c = "struct ioreq"]
    pub struct Ioreq {
        /// Address or port.
        pub addr: u64,
        /// Data, or its guest physical address.
        pub data: u64,
        /// Repetitions.
        pub count: u32,
        /// Bytes each.
        pub size: u32,
        /// Port for the answer.
        pub vp_eport: u32,
        /// Unused.
        pub _pad0: u16,
        /// State and flags, packed: see [`Ioreq::state`].
        #[c = "-"]
        pub bits: u8,
        /// `IOREQ_TYPE_*`.
        #[c = "type"]
        pub type_: u8,
    }

    /// A buffered request: a write whose answer nobody waits for.
    #[c = "struct buf_ioreq"]
    pub struct BufIoreq {
        /// Kind, direction, size and address, packed: see [`BufIoreq::pack`].
        #[c = "-"]
        pub bits: u32,
        /// Data; a second slot holds the high half of 8 bytes.
        pub data: u32,
    }

    /// The page with buffered requests.
    #[c = "struct buffered_iopage"]
    pub struct BufferedIopage {
        /// Requests taken.
        pub read_pointer: u32,
        /// Requests written.
        pub write_pointer: u32,
        /// Slots.
        pub buf_ioreq: [BufIoreq; IOREQ_BUFFER_SLOT_NUM],
    }
}

impl Ioreq {
    /// `STATE_*`.
    #[inline]
    pub const fn state(&self) -> u8 {
        self.bits & 0xf
    }

    /// Sets the state and leaves the flags.
    #[inline]
    pub const fn set_state(&mut self, state: u8) {
        self.bits = (self.bits & 0xf0) | (state & 0xf);
    }

    /// Whether `data` is the guest physical address of the data.
    #[inline]
    pub const fn data_is_ptr(&self) -> bool {
        self.bits & 0x10 != 0
    }

    /// Whether the guest reads.
    #[inline]
    pub const fn is_read(&self) -> bool {
        self.bits & 0x20 != 0
    }

    /// Whether repetitions go downwards.
    #[inline]
    pub const fn df(&self) -> bool {
        self.bits & 0x40 != 0
    }

    /// The packed byte for these values.
    #[inline]
    pub const fn pack(state: u8, data_is_ptr: bool, is_read: bool, df: bool) -> u8 {
        (state & 0xf) | (data_is_ptr as u8) << 4 | (is_read as u8) << 5 | (df as u8) << 6
    }
}

impl BufIoreq {
    /// The packed word: kind, direction, size (0 to 3 for 1, 2, 4 or 8 bytes) and a 20-bit address.
    #[inline]
    pub const fn pack(type_: u8, is_read: bool, size_log2: u8, addr: u32) -> u32 {
        (type_ as u32) | (is_read as u32) << 9 | ((size_log2 & 3) as u32) << 10 | (addr & 0xf_ffff) << 12
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromZeros;

    #[test]
    fn state_changes_without_touching_the_flags() {
        let mut request = Ioreq::new_zeroed();
        request.bits = Ioreq::pack(STATE_IOREQ_READY, true, true, true);
        request.set_state(STATE_IORESP_READY);
        assert_eq!(request.state(), STATE_IORESP_READY);
        assert!(request.data_is_ptr() && request.is_read() && request.df());
    }
}
