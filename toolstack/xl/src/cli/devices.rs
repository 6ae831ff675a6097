//! Options of the verbs for disks and network interfaces.

use clap::Args;

/// Options of `block-list` and `network-list`.
#[derive(Args, Debug)]
pub struct DeviceList {
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// The domains' names or ids
    #[arg(required = true)]
    pub domains: Vec<String>,
}

/// Options of `block-attach`.
#[derive(Args, Debug)]
pub struct BlockAttach {
    /// The domain's name or id
    pub domain: String,
    /// The disk, as `disk` of a configuration has it, such as `phy:/dev/sdb,xvdb,w`; parts may be arguments of their own
    #[arg(value_name = "SPEC", required = true)]
    pub spec: Vec<String>,
}

/// Options of `block-detach`.
#[derive(Args, Debug)]
pub struct BlockDetach {
    /// Take the disk at once, whether the guest uses it or not
    #[arg(short, long)]
    pub force: bool,
    /// The domain's name or id
    pub domain: String,
    /// The disk's name, such as xvdb, or its number
    #[arg(value_name = "DISK")]
    pub disk: String,
}

/// Options of `network-attach`.
#[derive(Args, Debug)]
pub struct NetworkAttach {
    /// The domain's name or id
    pub domain: String,
    /// The interface, as `vif` of a configuration has it, such as `bridge=xenbr0 mac=00:16:3e:01:02:03`
    #[arg(value_name = "KEY=VALUE")]
    pub spec: Vec<String>,
}

/// Options of `network-detach`.
#[derive(Args, Debug)]
pub struct NetworkDetach {
    /// Take the interface at once, without asking the guest
    #[arg(short, long)]
    pub force: bool,
    /// The domain's name or id
    pub domain: String,
    /// The interface's number or address
    #[arg(value_name = "NUMBER|MAC")]
    pub interface: String,
}
