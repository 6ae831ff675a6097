//! `io/console.h`: the ring page of a console.

/// Input bytes of the ring.
pub const XENCONS_IN_SIZE: usize = 1024;
/// Output bytes of the ring.
pub const XENCONS_OUT_SIZE: usize = 2048;

abi_structs! { STRUCTS, Both;
    /// The page. Indices run freely; a place is the index modulo the buffer's size.
    #[c = "struct xencons_interface"]
    pub struct XenconsInterface {
        /// To the guest.
        #[c = "in"]
        pub input: [u8; XENCONS_IN_SIZE],
        /// From the guest.
        #[c = "out"]
        pub output: [u8; XENCONS_OUT_SIZE],
        /// Input bytes that the guest took.
        pub in_cons: u32,
        /// Input bytes written.
        pub in_prod: u32,
        /// Output bytes that the backend took.
        pub out_cons: u32,
        /// Output bytes that the guest wrote.
        pub out_prod: u32,
    }
}
