//! `io/blkif.h`: block devices. The 64-bit layouts of x86 and arm are the same.

abi_consts! { CONSTS, Both;
    /// Reads.
    pub const BLKIF_OP_READ: u8 = 0;
    /// Writes.
    pub const BLKIF_OP_WRITE: u8 = 1;
    /// Writes after all before and before all after.
    pub const BLKIF_OP_WRITE_BARRIER: u8 = 2;
    /// Makes what was written durable.
    pub const BLKIF_OP_FLUSH_DISKCACHE: u8 = 3;
    /// Reserved.
    pub const BLKIF_OP_RESERVED_1: u8 = 4;
    /// Gives sectors back.
    pub const BLKIF_OP_DISCARD: u8 = 5;
    /// Reads or writes through pages of segments.
    pub const BLKIF_OP_INDIRECT: u8 = 6;
    /// Segments of a request.
    pub const BLKIF_MAX_SEGMENTS_PER_REQUEST: usize = 11;
    /// Pages of segments of a request.
    pub const BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST: usize = 8;
    /// Discard: the data must be unreadable after it.
    pub const BLKIF_DISCARD_SECURE: u8 = 1;
    /// Done.
    pub const BLKIF_RSP_OKAY: i16 = 0;
    /// Failed.
    pub const BLKIF_RSP_ERROR: i16 = -1;
    /// Not supported.
    pub const BLKIF_RSP_EOPNOTSUPP: i16 = -2;
    /// Device: CD-ROM.
    pub const VDISK_CDROM: u32 = 1;
    /// Device: removable.
    pub const VDISK_REMOVABLE: u32 = 2;
    /// Device: read-only.
    pub const VDISK_READONLY: u32 = 4;
}

abi_structs! { STRUCTS, Both;
    /// Part of a page.
    #[c = "struct blkif_request_segment"]
    pub struct BlkifRequestSegment {
        /// The page.
        pub gref: u32,
        /// First 512-byte sector in it.
        pub first_sect: u8,
        /// Last sector in it.
        pub last_sect: u8,
        /// C padding.
        pub _gap0: u16,
    }

    /// Read, write, barrier, flush.
    #[c = "struct blkif_request"]
    pub struct BlkifRequest {
        /// `BLKIF_OP_*`.
        pub operation: u8,
        /// Segments.
        pub nr_segments: u8,
        /// The device, for reads and writes.
        pub handle: u16,
        /// C padding.
        pub _gap0: u32,
        /// Repeated in the response.
        pub id: u64,
        /// First sector on the device.
        pub sector_number: u64,
        /// Segments.
        pub seg: [BlkifRequestSegment; BLKIF_MAX_SEGMENTS_PER_REQUEST],
    }

    /// Discard.
    #[c = "struct blkif_request_discard"]
    pub struct BlkifRequestDiscard {
        /// `BLKIF_OP_DISCARD`.
        pub operation: u8,
        /// `BLKIF_DISCARD_SECURE`.
        pub flag: u8,
        /// The device.
        pub handle: u16,
        /// C padding.
        pub _gap0: u32,
        /// Repeated in the response.
        pub id: u64,
        /// First sector.
        pub sector_number: u64,
        /// Sectors.
        pub nr_sectors: u64,
    }

    /// Read or write through pages of segments.
    #[c = "struct blkif_request_indirect"]
    pub struct BlkifRequestIndirect {
        /// `BLKIF_OP_INDIRECT`.
        pub operation: u8,
        /// `BLKIF_OP_READ` or `BLKIF_OP_WRITE`.
        pub indirect_op: u8,
        /// Segments.
        pub nr_segments: u16,
        /// C padding.
        pub _gap0: u32,
        /// Repeated in the response.
        pub id: u64,
        /// First sector on the device.
        pub sector_number: u64,
        /// The device.
        pub handle: u16,
        /// C padding.
        pub _gap1: u16,
        /// Pages of [`BlkifRequestSegment`].
        pub indirect_grefs: [u32; BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST],
        /// C padding.
        pub _gap2: u32,
    }

    /// Answer to a request.
    #[c = "struct blkif_response"]
    pub struct BlkifResponse {
        /// The request's.
        pub id: u64,
        /// The request's.
        pub operation: u8,
        /// C padding.
        pub _gap0: u8,
        /// `BLKIF_RSP_*`.
        pub status: i16,
        /// C padding.
        pub _gap1: u32,
    }
}
