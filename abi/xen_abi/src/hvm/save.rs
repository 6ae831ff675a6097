//! `hvm/save.h`: frame of the records that `XEN_DOMCTL_gethvmcontext` and `XEN_DOMCTL_sethvmcontext` move.

abi_structs! { STRUCTS, Both;
    /// Header of a record; its contents follow.
    #[c = "struct hvm_save_descriptor"]
    pub struct HvmSaveDescriptor {
        /// Kind; 0 ends the stream.
        pub typecode: u16,
        /// vCPU or device.
        pub instance: u16,
        /// Bytes that follow.
        pub length: u32,
    }
}
