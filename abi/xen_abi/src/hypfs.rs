//! `hypfs.h`: run-time parameters as a file system. Numbers and the entry header.

abi_consts! { CONSTS, Both;
    /// Interface version.
    pub const XEN_HYPFS_VERSION: u32 = 1;
    /// Longest path with its zero.
    pub const XEN_HYPFS_MAX_PATHLEN: u32 = 1024;
    /// Returns the interface version.
    pub const XEN_HYPFS_OP_get_version: u32 = 0;
    /// Reads an entry.
    pub const XEN_HYPFS_OP_read: u32 = 1;
    /// Writes an entry.
    pub const XEN_HYPFS_OP_write_contents: u32 = 2;
    /// Entry: directory.
    pub const XEN_HYPFS_TYPE_DIR: u8 = 0;
    /// Entry: bytes.
    pub const XEN_HYPFS_TYPE_BLOB: u8 = 1;
    /// Entry: text.
    pub const XEN_HYPFS_TYPE_STRING: u8 = 2;
    /// Entry: unsigned number.
    pub const XEN_HYPFS_TYPE_UINT: u8 = 3;
    /// Entry: signed number.
    pub const XEN_HYPFS_TYPE_INT: u8 = 4;
    /// Entry: truth value.
    pub const XEN_HYPFS_TYPE_BOOL: u8 = 5;
    /// Contents: as they are.
    pub const XEN_HYPFS_ENC_PLAIN: u8 = 0;
    /// Contents: gzip.
    pub const XEN_HYPFS_ENC_GZIP: u8 = 1;
}

abi_structs! { STRUCTS, Both;
    /// Describes an entry; its contents follow.
    #[c = "struct xen_hypfs_direntry"]
    pub struct HypfsDirentry {
        /// `XEN_HYPFS_TYPE_*`.
        #[c = "type"]
        pub type_: u8,
        /// `XEN_HYPFS_ENC_*`.
        pub encoding: u8,
        /// 0.
        pub pad: u16,
        /// Bytes now.
        pub content_len: u32,
        /// Bytes that may be written; 0 is read-only.
        pub max_write_len: u32,
    }
}
