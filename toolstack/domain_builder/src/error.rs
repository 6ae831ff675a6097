//! Why a guest cannot be built.
use kernel_header::HeaderError;

/// What is wrong with a kernel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// No format that is known.
    #[error("it is no arm64 Image, neither plain nor compressed with gzip or zstd")]
    Unknown,
    /// A known format that is not supported.
    #[error(
        "it is of an unsupported format ({0}); use an arm64 Image, plain or compressed with gzip or zstd"
    )]
    Unsupported(&'static str),
    /// Its header.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The compressed data does not unpack.
    #[error("its {format} data is damaged or cut off: {detail}")]
    BadData {
        /// The compression.
        format: &'static str,
        /// What the unpacker says.
        detail: String,
    },
    /// More than any kernel has, or than fits into the guest.
    #[error(
        "it has more than {limit} bytes unpacked, which do not fit into the guest's memory; raise `memory` if it is the right file"
    )]
    TooLarge {
        /// The most bytes.
        limit: u64,
    },
}

/// What is wrong with a partial device tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartialTreeError {
    /// Not a flattened device tree.
    #[error("it is no device tree: {0}")]
    Malformed(String),
    /// Too large or too deep.
    #[error("it is larger than {0} bytes, or nested more than {1} deep")]
    TooLarge(usize, usize),
    /// Without the node that it is for.
    #[error("it has no node /passthrough")]
    NothingToCopy,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The kernel.
    #[error("the kernel cannot be used: {0}")]
    Kernel(#[from] KernelError),
    /// The partial device tree.
    #[error("the partial device tree cannot be used: {0}")]
    PartialTree(#[from] PartialTreeError),
    /// No memory at all.
    #[error("the guest has no memory; set `memory`")]
    NoMemory,
    /// More memory than the guest's addresses reach.
    #[error(
        "{mib} MiB are more memory than an arm64 guest can have here ({most_mib} MiB); lower `memory` and `maxmem`"
    )]
    TooMuchMemory {
        /// Asked for.
        mib: u64,
        /// Possible.
        most_mib: u64,
    },
    /// Kernel, device tree and RAM disk do not fit.
    #[error(
        "kernel, device tree and RAM disk need {need_mib} MiB, and the guest has {have_mib} MiB below 4 GiB; raise \
         `memory`"
    )]
    NoRoom {
        /// Needed, rounded up.
        need_mib: u64,
        /// There is.
        have_mib: u64,
    },
    /// A number of vCPUs that the interrupt controller does not support.
    #[error("an arm64 guest with {gic} has 1 to {most} vCPUs, not {vcpus}; change `vcpus` and `maxvcpus`")]
    Vcpus {
        /// Asked for.
        vcpus: u32,
        /// Possible.
        most: u32,
        /// The interrupt controller.
        gic: &'static str,
    },
    /// A command line with a zero in it, which ends it.
    #[error("the kernel's command line has a zero byte in it")]
    BadCommandLine,
    /// A device tree that kernels do not accept.
    #[error("the guest's device tree has {bytes} bytes, kernels accept {most}; shorten the command line")]
    TreeTooLarge {
        /// It has.
        bytes: usize,
        /// The most.
        most: u64,
    },
}
