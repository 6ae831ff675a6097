//! Network interfaces, served by the kernel's netback and put into a bridge.

use host_devices::InterfaceName;
use xen_dev::Domid;
use xl_config::Mac;

use super::{DeviceId, Kind, Record, state};

/// What libxl's tools run when they remove the interface. Netback does not start without the node.
const SCRIPT: &str = "/etc/xen/scripts/vif-bridge";
/// Largest packet of a bridge that says nothing else.
const MTU: u32 = 1500;

/// A network interface that a domain shall have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vif {
    /// Its number.
    pub id: u32,
    /// Its address.
    pub mac: Mac,
    /// The bridge into which Dom0's end goes.
    pub bridge: InterfaceName,
    /// Name of Dom0's end, if not `vif`, domain, dot, number.
    pub name: Option<InterfaceName>,
    /// Largest packet in bytes, if not the bridge's.
    pub mtu: Option<u32>,
    /// Bytes that it may send in an interval, and that interval in microseconds.
    pub rate: Option<(u64, u32)>,
    /// Addresses that scripts of libxl's tools are told.
    pub ip: Option<String>,
    /// Whether the guest is told to trust the back end.
    pub trusted: bool,
}

impl Vif {
    /// The interface for people.
    pub(crate) fn title(&self) -> String {
        format!("network interface {}", self.id)
    }

    /// The name that netback gives to Dom0's end.
    pub(crate) fn kernel_name(&self, domid: Domid) -> String {
        format!("vif{domid}.{}", self.id)
    }

    pub(crate) fn record(&self, domid: Domid) -> Record {
        let text = str::to_owned;
        let mut back = vec![
            ("script", text(SCRIPT)),
            ("mac", self.mac.to_string()),
            ("bridge", self.bridge.to_string()),
            ("handle", self.id.to_string()),
            ("type", text("vif")),
            // While this is not "connected", netback waits.
            ("hotplug-status", String::new()),
        ];
        back.extend(self.name.as_ref().map(|name| ("vifname", name.to_string())));
        back.extend(self.mtu.map(|mtu| ("mtu", mtu.to_string())));
        back.extend(self.rate.map(|(bytes, interval)| ("rate", format!("{bytes},{interval}"))));
        back.extend(self.ip.clone().map(|ip| ("ip", ip)));
        Record {
            device: DeviceId { kind: Kind::Vif, domid, id: self.id },
            back,
            front: vec![
                ("state", text(state::INITIALISING)),
                ("handle", self.id.to_string()),
                ("mac", self.mac.to_string()),
                ("trusted", text(if self.trusted { "1" } else { "0" })),
            ],
            fixed: vec![("mtu", self.mtu.unwrap_or(MTU).to_string())],
            noted: Vec::new(),
        }
    }
}
