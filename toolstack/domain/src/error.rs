//! What can go wrong with a domain, said for people.

use host_devices::HostError;
use thiserror::Error;
use xen_ctrl::CtrlError;
use xen_dev::Domid;

/// An operation on a domain failed.
#[derive(Debug, Error)]
pub enum DomainError {
    /// The hypervisor refused.
    #[error(transparent)]
    Ctrl(#[from] CtrlError),
    /// Xenstore refused, or is not there.
    #[error(transparent)]
    Store(#[from] xenstore_client::Error),
    /// A device of the host cannot be used.
    #[error("{device}: {source}")]
    Host {
        /// The guest's device for which it was wanted.
        device: String,
        /// The reason.
        source: HostError,
    },
    /// There is no such domain.
    #[error("there is no domain {0}; `xl list` shows those that there are")]
    NoSuchDomain(String),
    /// Two domains cannot have one name.
    #[error("the name {name} is taken by domain {domid}")]
    NameTaken {
        /// The name.
        name: String,
        /// Who has it.
        domid: Domid,
    },
    /// Not a name that a domain can have.
    #[error(
        "{0:?} cannot be a domain's name: 1 to 200 printable characters without spaces around, not a number"
    )]
    BadName(String),
    /// There is no such CPU pool.
    #[error("there is no CPU pool {0}; `xl cpupool-list` shows those that there are")]
    NoSuchPool(String),
    /// Two CPU pools cannot have one name.
    #[error("the name {name} is taken by pool {pool}")]
    PoolNameTaken {
        /// The name.
        name: String,
        /// Which pool has it.
        pool: u32,
    },
    /// Not a name that a CPU pool can have.
    #[error("{0:?} cannot be a CPU pool's name: printable characters without spaces, not a number")]
    BadPoolName(String),
    /// A CPU, or every one, is in a pool already.
    #[error("{}; take it out first (try: xl cpupool-cpu-remove)", match .cpu {
        Some(cpu) => format!("CPU {cpu} is in a pool, or not there"),
        None => "every CPU is in a pool".to_owned(),
    })]
    CpuTaken {
        /// Which, if one was asked for.
        cpu: Option<u32>,
    },
    /// The pool still has domains.
    #[error("CPU pool {pool} has {domains} domain(s); move them first (try: xl cpupool-migrate)")]
    PoolInUse {
        /// The pool.
        pool: u32,
        /// How many.
        domains: u32,
    },
    /// The first pool has Dom0 and stays.
    #[error("CPU pool 0 is Dom0's and stays")]
    FirstPool,
    /// The operation is not for Dom0.
    #[error("domain 0 is the one that runs this program: it cannot be {0} from here")]
    Dom0(&'static str),
    /// The domain's state does not allow it.
    #[error("domain {domid} is {state}{hint}")]
    State {
        /// The domain.
        domid: Domid,
        /// What it is.
        state: &'static str,
        /// What to do, with what stands before it.
        hint: &'static str,
    },
    /// The guest did not take a request.
    #[error(
        "domain {domid} did not take the {request} request within {seconds} s: its kernel does not know Xen, is not up \
         yet, or hangs (try: xl destroy {domid})"
    )]
    NoAnswer {
        /// The domain.
        domid: Domid,
        /// What was asked.
        request: &'static str,
        /// How long was waited.
        seconds: u64,
    },
    /// The domain still runs after that time.
    #[error("domain {domid} still runs after {seconds} s")]
    StillRuns {
        /// The domain.
        domid: Domid,
        /// How long was waited.
        seconds: u64,
    },
    /// A back end reported an error.
    #[error("{device} of domain {domid}: its back end failed: {reason}")]
    BackEnd {
        /// The domain.
        domid: Domid,
        /// The guest's device.
        device: String,
        /// What the back end wrote.
        reason: String,
    },
    /// A back end did not come up, or did not go.
    #[error("{device} of domain {domid}: its back end did not {what} within {seconds} s{hint}")]
    BackEndTime {
        /// The domain.
        domid: Domid,
        /// The guest's device.
        device: String,
        /// What was waited for.
        what: &'static str,
        /// How long.
        seconds: u64,
        /// What to do, with what stands before it.
        hint: String,
    },
    /// A node in xenstore that should be there is missing or makes no sense.
    #[error("xenstore: {path} of domain {domid} is missing or no number")]
    Node {
        /// The domain.
        domid: Domid,
        /// The node.
        path: String,
    },
    /// A number is out of bounds.
    #[error("{what} of domain {domid}: {asked} is more than {limit}")]
    TooMuch {
        /// The domain.
        domid: Domid,
        /// What was to be set.
        what: &'static str,
        /// The number.
        asked: u64,
        /// The largest that is possible.
        limit: u64,
    },
    /// Another domain uses a disk, and one of the two writes it.
    #[error(
        "{disk}: {path} is in use by domain {domid}, and two domains that write would destroy it (read-only for both \
         is possible)"
    )]
    DiskInUse {
        /// The new disk.
        disk: String,
        /// What is behind it.
        path: String,
        /// The other domain.
        domid: Domid,
    },
    /// Another domain has an address.
    #[error(
        "the hardware address {mac} is that of an interface of domain {domid}; leave it out to get a free one"
    )]
    MacInUse {
        /// The address.
        mac: String,
        /// The other domain.
        domid: Domid,
    },
    /// The domain has such a device.
    #[error("domain {domid} has {device} already")]
    DeviceThere {
        /// The domain.
        domid: Domid,
        /// `vbd` or `vif`, and its number.
        device: String,
    },
    /// The domain has no such device.
    #[error(
        "domain {domid} has no {device} with a back end in domain 0; `xl block-list` and `xl network-list` show what it has"
    )]
    NoDevice {
        /// The domain.
        domid: Domid,
        /// `vbd` or `vif`, and its number.
        device: String,
    },
    /// The guest was asked for a device and keeps it.
    #[error(
        "{device} of domain {domid}: the guest did not let go of it within {seconds} s{hint} (to take it: --force)"
    )]
    NotReleased {
        /// The domain.
        domid: Domid,
        /// `vbd` or `vif`, and its number.
        device: String,
        /// How long was waited.
        seconds: u64,
        /// Why, with what stands before it.
        hint: &'static str,
    },
    /// The kernel has no random numbers.
    #[error("the kernel gives no random numbers: {0}")]
    Random(rustix::io::Errno),
    /// A key of the configuration asks for what is not there.
    #[error("{key}: {why}")]
    Key {
        /// The key.
        key: &'static str,
        /// Why not, and what to do.
        why: String,
    },
    /// A file cannot be read.
    #[error("{key}: cannot read {}: {source}", .path.display())]
    File {
        /// The key of the configuration.
        key: &'static str,
        /// The file.
        path: std::path::PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A file that is kept about a domain cannot be used.
    #[error("cannot {what} {}: {source}", .path.display())]
    UserData {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: std::path::PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The configuration that is kept of a domain makes no sense.
    #[error("the kept configuration of domain {domid} cannot be used: {why} (try: xl config-update)")]
    Kept {
        /// The domain.
        domid: Domid,
        /// The reason.
        why: String,
    },
    /// The guest cannot be built.
    #[error(transparent)]
    Build(domain_builder::BuildError),
    /// There is too little memory.
    #[error(
        "the domain needs {needed_mib} MiB, and the host has {free_mib} MiB free (try: xl mem-set 0 with less)"
    )]
    Memory {
        /// Needed.
        needed_mib: u64,
        /// Free.
        free_mib: u64,
    },
    /// Another domain has the UUID.
    #[error("the UUID {uuid} is that of domain {domid}; leave it out to get a free one")]
    UuidTaken {
        /// The UUID.
        uuid: xl_config::Uuid,
        /// Who has it.
        domid: Domid,
    },
    /// An operation failed, and what it had done could not all be undone.
    #[error("{error}; and not all could be undone: {undo}")]
    NotUndone {
        /// Why it failed.
        error: Box<DomainError>,
        /// Why something is left.
        undo: Box<DomainError>,
    },
}

impl DomainError {
    /// This error, after an attempt to undo what had been done.
    pub(crate) fn undone(self, undo: Result<(), DomainError>) -> Self {
        match undo {
            Ok(()) => self,
            Err(undo) => Self::NotUndone { error: Box::new(self), undo: Box::new(undo) },
        }
    }
}
