//! Network interfaces, served by the kernel's netback and put into a bridge.

use std::path::PathBuf;

use host_devices::InterfaceName;
use xen_dev::Domid;
use xl_config::Mac;

use super::script::{self, NO_SCRIPT};
use super::{DeviceId, Kind, Record, check_back_end, state};
use crate::DomainError;

/// The bridge of an interface whose configuration names none, as with libxl.
const BRIDGE: &str = "xenbr0";
/// Largest packet of a bridge that says nothing else.
const MTU: u32 = 1500;

/// A network interface that a domain shall have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Vif {
    /// Its number.
    pub(crate) id: u32,
    /// Its address.
    pub(crate) mac: Mac,
    /// How Dom0's end comes into the network.
    pub(crate) network: Network,
    /// Name of Dom0's end, if not `vif`, domain, dot, number.
    pub(crate) name: Option<InterfaceName>,
    /// Largest packet in bytes, if not the bridge's.
    pub(crate) mtu: Option<u32>,
    /// Bytes that it may send in an interval, and that interval in microseconds.
    pub(crate) rate: Option<(u64, u32)>,
    /// Addresses that scripts are told.
    pub(crate) ip: Option<String>,
    /// Whether the guest is told to trust the back end.
    pub(crate) trusted: bool,
}

/// How Dom0's end of an interface comes into the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// Into this bridge.
    Bridge(InterfaceName),
    /// As a script does it, which is told these.
    Script { path: PathBuf, bridge: String, gateway: Option<String> },
}

impl Vif {
    /// The interface that a configuration describes, under this number.
    ///
    /// # Errors
    /// When it asks for what these tools do not have.
    pub(crate) fn from_config(vif: &xl_config::Vif, id: u32) -> Result<Self, DomainError> {
        check_back_end("vif", &vif.backend)?;
        let failed = |source| DomainError::Host { device: format!("network interface {id}"), source };
        let bridge = vif.bridge.as_ref().map_or(BRIDGE, |bridge| bridge.as_str());
        let gateway = vif.gatewaydev.as_ref().map(|name| name.to_string());
        let network = match (&vif.script, gateway) {
            (Some(script), gateway) => {
                Network::Script { path: script::path(script), bridge: bridge.to_owned(), gateway }
            }
            (None, None) => Network::Bridge(InterfaceName::new(bridge).map_err(failed)?),
            (None, Some(_)) => {
                let why = format!("{id}: gatewaydev is for a script alone; leave it out, or name the script");
                return Err(DomainError::Key { key: "vif", why });
            }
        };
        let name = vif.vifname.as_ref().map(|name| InterfaceName::new(name.as_str())).transpose();
        Ok(Self {
            id,
            mac: vif.mac.map_or_else(crate::random::mac, Ok)?,
            network,
            name: name.map_err(failed)?,
            mtu: vif.mtu.map(u32::from),
            rate: vif.rate.map(|rate| (rate.bytes_per_interval(), rate.interval_us())),
            ip: vif.ip.as_ref().map(|ip| ip.to_string()),
            trusted: vif.trusted.unwrap_or(true),
        })
    }

    /// The interface for people.
    pub(crate) fn title(&self) -> String {
        format!("network interface {}", self.id)
    }

    pub(crate) fn record(&self, domid: Domid) -> Record {
        let text = str::to_owned;
        let (script, bridge, gateway) = match &self.network {
            Network::Bridge(bridge) => (text(NO_SCRIPT), bridge.to_string(), None),
            Network::Script { path, bridge, gateway } => {
                (path.display().to_string(), bridge.clone(), gateway.clone())
            }
        };
        let mut back = vec![
            // Netback does not start without the node.
            ("script", script),
            ("mac", self.mac.to_string()),
            ("bridge", bridge),
            ("handle", self.id.to_string()),
            ("type", text("vif")),
            // While this is not "connected", netback waits.
            ("hotplug-status", String::new()),
        ];
        back.extend(gateway.map(|gateway| ("gatewaydev", gateway)));
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

/// The lowest number that is free for each interface that asks for none, in order.
pub(crate) fn number(vifs: &[xl_config::Vif], used: &[u32]) -> Result<Vec<Vif>, DomainError> {
    let mut numbered: Vec<Vif> = Vec::new();
    for vif in vifs {
        // Neither an earlier one may have it, nor another ask for it.
        let is_taken = |id: &u32| {
            used.contains(id)
                || numbered.iter().any(|vif| vif.id == *id)
                || vifs.iter().any(|vif| vif.devid == Some(*id))
        };
        let id = vif.devid.or_else(|| (0..).find(|id| !is_taken(id))).unwrap_or(0);
        numbered.push(Vif::from_config(vif, id)?);
    }
    Ok(numbered)
}
