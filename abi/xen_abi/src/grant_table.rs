//! `grant_table.h`: entries of the shared table and the operations on grants.

use bitflags::bitflags;

use crate::GuestHandle;

abi_consts! { ENTRY_CONSTS, Both;
    /// Entries at the start of a table that keep their place when the version changes.
    pub const GNTTAB_NR_RESERVED_ENTRIES: u32 = 8;
    /// Entry of the console ring.
    pub const GNTTAB_RESERVED_CONSOLE: u32 = 0;
    /// Entry of the xenstore ring.
    pub const GNTTAB_RESERVED_XENSTORE: u32 = 1;

    /// Entry type: grants nothing.
    pub const GTF_invalid: u16 = 0;
    /// Entry type: the other domain may map or copy the frame.
    pub const GTF_permit_access: u16 = 1;
    /// Entry type: the other domain may give a frame away to this one.
    pub const GTF_accept_transfer: u16 = 2;
    /// Entry type: stands for another domain's grant (version 2).
    pub const GTF_transitive: u16 = 3;
    /// Bits of the type.
    pub const GTF_type_mask: u16 = 3;
    /// Read access only. Written by the guest.
    pub const GTF_readonly: u16 = 1 << 2;
    /// In use for reading. Written by the hypervisor.
    pub const GTF_reading: u16 = 1 << 3;
    /// In use for writing. Written by the hypervisor.
    pub const GTF_writing: u16 = 1 << 4;
    /// Cache attribute bit (x86).
    pub const GTF_PWT: u16 = 1 << 5;
    /// Cache attribute bit (x86).
    pub const GTF_PCD: u16 = 1 << 6;
    /// Cache attribute bit (x86).
    pub const GTF_PAT: u16 = 1 << 7;
    /// Only a part of the page, and only for copies (version 2).
    pub const GTF_sub_page: u16 = 1 << 8;
    /// Transfer: the hypervisor has committed to it.
    pub const GTF_transfer_committed: u16 = 1 << 2;
    /// Transfer: the frame number has been written.
    pub const GTF_transfer_completed: u16 = 1 << 3;
}

abi_consts! { CONSTS, Both;
    /// Maps a grant.
    pub const GNTTABOP_map_grant_ref: u32 = 0;
    /// Unmaps a grant.
    pub const GNTTABOP_unmap_grant_ref: u32 = 1;
    /// Grows the table and lists its frames.
    pub const GNTTABOP_setup_table: u32 = 2;
    /// Prints the table.
    pub const GNTTABOP_dump_table: u32 = 3;
    /// Gives a frame away.
    pub const GNTTABOP_transfer: u32 = 4;
    /// Copies between frames.
    pub const GNTTABOP_copy: u32 = 5;
    /// Current and largest size of the table.
    pub const GNTTABOP_query_size: u32 = 6;
    /// Unmaps and moves another mapping into the place.
    pub const GNTTABOP_unmap_and_replace: u32 = 7;
    /// Chooses the entry version.
    pub const GNTTABOP_set_version: u32 = 8;
    /// Lists the status frames (version 2).
    pub const GNTTABOP_get_status_frames: u32 = 9;
    /// Entry version of a domain.
    pub const GNTTABOP_get_version: u32 = 10;
    /// Swaps two entries.
    pub const GNTTABOP_swap_grant_ref: u32 = 11;
    /// Cache maintenance on a frame (arm).
    pub const GNTTABOP_cache_flush: u32 = 12;

    /// Map for devices.
    pub const GNTMAP_device_map: u32 = 1 << 0;
    /// Map for the CPU.
    pub const GNTMAP_host_map: u32 = 1 << 1;
    /// Map for reading only.
    pub const GNTMAP_readonly: u32 = 1 << 2;
    /// The mapping is for user mode (x86 PV).
    pub const GNTMAP_application_map: u32 = 1 << 3;
    /// `host_addr` is the machine address of a page table entry (x86 PV).
    pub const GNTMAP_contains_pte: u32 = 1 << 4;
    /// Software bits for the page table entry (x86 PV).
    pub const GNTMAP_guest_avail_mask: u32 = 0xffff_0000;

    /// The source of a copy is a grant.
    pub const GNTCOPY_source_gref: u16 = 1 << 0;
    /// The destination of a copy is a grant.
    pub const GNTCOPY_dest_gref: u16 = 1 << 1;

    /// Cache flush: clean.
    pub const GNTTAB_CACHE_CLEAN: u32 = 1 << 0;
    /// Cache flush: invalidate.
    pub const GNTTAB_CACHE_INVAL: u32 = 1 << 1;
    /// Cache flush: the frame is named by a grant.
    pub const GNTTAB_CACHE_SOURCE_GREF: u32 = 1 << 31;

    /// Done.
    pub const GNTST_okay: i16 = 0;
    /// Failed for a reason without a code.
    pub const GNTST_general_error: i16 = -1;
    /// No such domain.
    pub const GNTST_bad_domain: i16 = -2;
    /// No such grant, or not usable.
    pub const GNTST_bad_gntref: i16 = -3;
    /// No such mapping handle.
    pub const GNTST_bad_handle: i16 = -4;
    /// Bad host address.
    pub const GNTST_bad_virt_addr: i16 = -5;
    /// Bad device address.
    pub const GNTST_bad_dev_addr: i16 = -6;
    /// No room in the IOMMU.
    pub const GNTST_no_device_space: i16 = -7;
    /// Not permitted.
    pub const GNTST_permission_denied: i16 = -8;
    /// The page cannot be used so.
    pub const GNTST_bad_page: i16 = -9;
    /// Copy crosses a page.
    pub const GNTST_bad_copy_arg: i16 = -10;
    /// Frame number too large for the domain.
    pub const GNTST_address_too_big: i16 = -11;
    /// Try again.
    pub const GNTST_eagain: i16 = -12;
    /// No space.
    pub const GNTST_no_space: i16 = -13;
}

bitflags! {
    /// Flags of an entry in the shared table (`GTF_*`), for an entry of type `GTF_permit_access`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct GrantEntryFlags: u16 {
        /// [`GTF_readonly`].
        const READONLY = GTF_readonly;
        /// [`GTF_reading`].
        const READING = GTF_reading;
        /// [`GTF_writing`].
        const WRITING = GTF_writing;
        /// [`GTF_sub_page`].
        const SUB_PAGE = GTF_sub_page;
        /// The type bits and whatever else a guest writes.
        const _ = !0;
    }
}

impl GrantEntryFlags {
    /// The type, `GTF_invalid` to `GTF_transitive`.
    #[inline]
    pub const fn entry_type(self) -> u16 {
        self.bits() & GTF_type_mask
    }
}

bitflags! {
    /// Flags of `map_grant_ref` (`GNTMAP_*`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct GntmapFlags: u32 {
        /// [`GNTMAP_device_map`].
        const DEVICE_MAP = GNTMAP_device_map;
        /// [`GNTMAP_host_map`].
        const HOST_MAP = GNTMAP_host_map;
        /// [`GNTMAP_readonly`].
        const READONLY = GNTMAP_readonly;
        /// [`GNTMAP_application_map`].
        const APPLICATION_MAP = GNTMAP_application_map;
        /// [`GNTMAP_contains_pte`].
        const CONTAINS_PTE = GNTMAP_contains_pte;
    }
}

bitflags! {
    /// Flags of `copy` (`GNTCOPY_*`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct GntcopyFlags: u16 {
        /// [`GNTCOPY_source_gref`].
        const SOURCE_GREF = GNTCOPY_source_gref;
        /// [`GNTCOPY_dest_gref`].
        const DEST_GREF = GNTCOPY_dest_gref;
    }
}

abi_structs! { STRUCTS, Both;
    /// Version 1 entry. The guest may change it at any time: read it once, change flags by compare and
    /// exchange.
    #[c = "struct grant_entry_v1"]
    pub struct GrantEntryV1 {
        /// `GTF_*`.
        pub flags: u16,
        /// Domain to which the grant is given.
        pub domid: u16,
        /// Guest frame.
        pub frame: u32,
    }

    /// First half of an entry in both versions.
    #[c = "struct grant_entry_header"]
    pub struct GrantEntryHeader {
        /// `GTF_*`.
        pub flags: u16,
        /// Domain to which the grant is given.
        pub domid: u16,
    }

    /// Version 2 entry: [`GrantEntryV2FullPage`], [`GrantEntryV2SubPage`] or [`GrantEntryV2Transitive`], by
    /// its flags.
    #[c = "union grant_entry_v2"]
    pub struct GrantEntryV2 {
        /// Flags and domain.
        pub hdr: GrantEntryHeader,
        /// Offset and length of a part of a page, or the other domain of a transitive grant.
        #[c = "full_page.pad0"]
        pub word: u32,
        /// Guest frame, or the other domain's grant.
        #[c = "full_page.frame"]
        pub frame: u64,
    }

    /// Version 2 entry of a whole page.
    #[c = "__typeof__(((union grant_entry_v2 *)0)->full_page)"]
    pub struct GrantEntryV2FullPage {
        /// Flags and domain.
        pub hdr: GrantEntryHeader,
        /// Unused.
        pub pad0: u32,
        /// Guest frame.
        pub frame: u64,
    }

    /// Version 2 entry of a part of a page.
    #[c = "__typeof__(((union grant_entry_v2 *)0)->sub_page)"]
    pub struct GrantEntryV2SubPage {
        /// Flags and domain.
        pub hdr: GrantEntryHeader,
        /// First byte.
        pub page_off: u16,
        /// Number of bytes.
        pub length: u16,
        /// Guest frame.
        pub frame: u64,
    }

    /// Version 2 entry that stands for another domain's grant.
    #[c = "__typeof__(((union grant_entry_v2 *)0)->transitive)"]
    pub struct GrantEntryV2Transitive {
        /// Flags and domain.
        pub hdr: GrantEntryHeader,
        /// Domain of the other grant.
        pub trans_domid: u16,
        /// Unused.
        pub pad0: u16,
        /// The other grant.
        pub gref: u32,
    }

    /// `GNTTABOP_map_grant_ref`.
    #[c = "struct gnttab_map_grant_ref"]
    pub struct GnttabMapGrantRef {
        /// IN: where to map; a guest physical address for translated guests.
        pub host_addr: u64,
        /// IN: `GNTMAP_*`.
        pub flags: u32,
        /// IN: the grant.
        #[c = "ref"]
        pub ref_: u32,
        /// IN: the domain that gave it.
        pub dom: u16,
        /// OUT: `GNTST_*`.
        pub status: i16,
        /// OUT: names the mapping.
        pub handle: u32,
        /// OUT: address for devices.
        pub dev_bus_addr: u64,
    }

    /// `GNTTABOP_unmap_grant_ref`.
    #[c = "struct gnttab_unmap_grant_ref"]
    pub struct GnttabUnmapGrantRef {
        /// IN: where it is mapped, or 0.
        pub host_addr: u64,
        /// IN: address for devices, or 0.
        pub dev_bus_addr: u64,
        /// IN: names the mapping.
        pub handle: u32,
        /// OUT: `GNTST_*`.
        pub status: i16,
        /// C padding.
        pub _gap0: u16,
    }

    /// `GNTTABOP_setup_table`.
    #[c = "struct gnttab_setup_table"]
    pub struct GnttabSetupTable {
        /// IN: owner of the table.
        pub dom: u16,
        /// C padding.
        pub _gap0: u16,
        /// IN: frames wanted.
        pub nr_frames: u32,
        /// OUT: `GNTST_*`.
        pub status: i16,
        /// C padding.
        pub _gap1: [u16; 3],
        /// IN: array for the frame numbers (`u64`).
        pub frame_list: GuestHandle,
    }

    /// `GNTTABOP_dump_table`.
    #[c = "struct gnttab_dump_table"]
    pub struct GnttabDumpTable {
        /// IN: owner of the table.
        pub dom: u16,
        /// OUT: `GNTST_*`.
        pub status: i16,
    }

    /// `GNTTABOP_transfer`.
    #[c = "struct gnttab_transfer"]
    pub struct GnttabTransfer {
        /// IN: frame to give away.
        pub mfn: u64,
        /// IN: domain that gets it.
        pub domid: u16,
        /// C padding.
        pub _gap0: u16,
        /// IN: that domain's grant that accepts it.
        #[c = "ref"]
        pub ref_: u32,
        /// OUT: `GNTST_*`.
        pub status: i16,
        /// C padding.
        pub _gap1: [u16; 3],
    }

    /// One side of a copy.
    #[c = "struct gnttab_copy_ptr"]
    pub struct GnttabCopyPtr {
        /// A grant (low 32 bits) or a guest frame; see [`GnttabCopyPtr::gref`].
        pub u: u64,
        /// Domain that gave the grant or owns the frame.
        pub domid: u16,
        /// First byte in the page.
        pub offset: u16,
        /// C padding.
        pub _gap0: u32,
    }

    /// `GNTTABOP_copy`.
    #[c = "struct gnttab_copy"]
    pub struct GnttabCopy {
        /// IN: from.
        pub source: GnttabCopyPtr,
        /// IN: to.
        pub dest: GnttabCopyPtr,
        /// IN: bytes; neither side may cross its page.
        pub len: u16,
        /// IN: `GNTCOPY_*`.
        pub flags: u16,
        /// OUT: `GNTST_*`.
        pub status: i16,
        /// C padding.
        pub _gap0: u16,
    }

    /// `GNTTABOP_query_size`.
    #[c = "struct gnttab_query_size"]
    pub struct GnttabQuerySize {
        /// IN: owner of the table.
        pub dom: u16,
        /// C padding.
        pub _gap0: u16,
        /// OUT: frames now.
        pub nr_frames: u32,
        /// OUT: frames at most.
        pub max_nr_frames: u32,
        /// OUT: `GNTST_*`.
        pub status: i16,
        /// C padding.
        pub _gap1: u16,
    }

    /// `GNTTABOP_unmap_and_replace`.
    #[c = "struct gnttab_unmap_and_replace"]
    pub struct GnttabUnmapAndReplace {
        /// IN: where the grant is mapped.
        pub host_addr: u64,
        /// IN: mapping that moves there.
        pub new_addr: u64,
        /// IN: names the mapping.
        pub handle: u32,
        /// OUT: `GNTST_*`.
        pub status: i16,
        /// C padding.
        pub _gap0: u16,
    }

    /// `GNTTABOP_set_version`.
    #[c = "struct gnttab_set_version"]
    pub struct GnttabSetVersion {
        /// IN: 1 or 2; OUT: the version in use.
        pub version: u32,
    }

    /// `GNTTABOP_get_status_frames`.
    #[c = "struct gnttab_get_status_frames"]
    pub struct GnttabGetStatusFrames {
        /// IN: frames wanted.
        pub nr_frames: u32,
        /// IN: owner of the table.
        pub dom: u16,
        /// OUT: `GNTST_*`.
        pub status: i16,
        /// IN: array for the frame numbers (`u64`).
        pub frame_list: GuestHandle,
    }

    /// `GNTTABOP_get_version`.
    #[c = "struct gnttab_get_version"]
    pub struct GnttabGetVersion {
        /// IN: owner of the table.
        pub dom: u16,
        /// Unused.
        pub pad: u16,
        /// OUT: its version.
        pub version: u32,
    }

    /// `GNTTABOP_swap_grant_ref`.
    #[c = "struct gnttab_swap_grant_ref"]
    pub struct GnttabSwapGrantRef {
        /// IN: one entry.
        pub ref_a: u32,
        /// IN: the other.
        pub ref_b: u32,
        /// OUT: `GNTST_*`.
        pub status: i16,
        /// C padding.
        pub _gap0: u16,
    }

    /// `GNTTABOP_cache_flush`.
    #[c = "struct gnttab_cache_flush"]
    pub struct GnttabCacheFlush {
        /// IN: device address, or a grant in the low 32 bits with `GNTTAB_CACHE_SOURCE_GREF`.
        pub a: u64,
        /// IN: first byte in the page.
        pub offset: u16,
        /// IN: bytes.
        pub length: u16,
        /// IN: `GNTTAB_CACHE_*`.
        pub op: u32,
    }
}

/// A status entry (version 2): `GTF_reading` and `GTF_writing` of one grant.
#[doc(alias = "grant_status_t")]
pub type GrantStatus = u16;

impl GnttabCopyPtr {
    /// The grant, when the copy's flags say that this side is one.
    #[inline]
    pub const fn gref(&self) -> u32 {
        self.u as u32
    }

    /// The guest frame, when this side is no grant.
    #[inline]
    pub const fn gmfn(&self) -> u64 {
        self.u
    }
}

impl GnttabCacheFlush {
    /// The grant, when `GNTTAB_CACHE_SOURCE_GREF` is set.
    #[inline]
    pub const fn gref(&self) -> u32 {
        self.a as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::{FromZeros, transmute};

    #[test]
    fn gref_is_the_low_half_of_the_union() {
        let mut side = GnttabCopyPtr::new_zeroed();
        side.u = 0xffff_ffff_0000_0009;
        assert_eq!(side.gref(), 9);
        let mut flush = GnttabCacheFlush::new_zeroed();
        flush.a = 0x1_0000_0007;
        assert_eq!(flush.gref(), 7);
    }

    #[test]
    fn version_2_entry_reads_as_each_of_its_forms() {
        let page = GrantEntryV2FullPage {
            hdr: GrantEntryHeader { flags: GTF_permit_access, domid: 3 },
            pad0: 0,
            frame: 0x1234,
        };
        let entry: GrantEntryV2 = transmute!(page);
        assert_eq!(entry.hdr.domid, 3);
        let sub: GrantEntryV2SubPage = transmute!(entry);
        assert_eq!((sub.page_off, sub.frame), (0, 0x1234));
    }

    #[test]
    fn unknown_entry_flags_are_kept_and_the_type_is_masked() {
        let flags = GrantEntryFlags::from_bits_retain(0xfe00 | GTF_readonly | GTF_permit_access);
        assert_eq!(flags.entry_type(), GTF_permit_access);
        assert!(flags.contains(GrantEntryFlags::READONLY));
        assert_eq!(flags.bits(), 0xfe05);
    }
}
