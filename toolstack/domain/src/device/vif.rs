//! Network interfaces, served by the kernel's netback and put into a bridge.

use std::fmt;
use std::str::FromStr;

use host_devices::InterfaceName;
use rustix::io::Errno;
use thiserror::Error;
use xen_dev::Domid;

use super::{DeviceId, Kind, Record, state};
use crate::uuid::random_bytes;

/// What libxl's tools run when they remove the interface. Netback does not start without the node.
const SCRIPT: &str = "/etc/xen/scripts/vif-bridge";
/// Largest packet of a bridge that says nothing else.
const MTU: u32 = 1500;
/// First bytes of the addresses that the IEEE gave to Xen.
const XEN_PREFIX: [u8; 3] = [0x00, 0x16, 0x3e];

/// The hardware address of a network interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 6]);

/// Text that is no hardware address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no hardware address of an interface: write it as 00:16:3e:12:34:56, with an even first byte"
)]
pub struct MacError(String);

impl Mac {
    /// A random one in Xen's range.
    pub fn random() -> Result<Self, Errno> {
        let mut bytes = [0; 6];
        random_bytes(&mut bytes)?;
        bytes[..3].copy_from_slice(&XEN_PREFIX);
        // The upper half of the range is for addresses that are assigned by hand.
        bytes[3] &= 0x7f;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Self, MacError> {
        let wrong = || MacError(text.chars().take(32).collect());
        let mut parts = text.split(':');
        let mut bytes = [0; 6];
        for byte in &mut bytes {
            let part = parts.next().filter(|part| matches!(part.len(), 1 | 2)).ok_or_else(wrong)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
        }
        // An odd first byte addresses a group.
        if parts.next().is_some() || bytes[0] & 1 != 0 || bytes == [0; 6] {
            Err(wrong())
        } else {
            Ok(Self(bytes))
        }
    }
}

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
                ("trusted", text("1")),
            ],
            fixed: vec![("mtu", self.mtu.unwrap_or(MTU).to_string())],
            noted: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_of_groups_and_other_text_are_refused() {
        for text in
            ["", "01:16:3e:00:00:00", "00:00:00:00:00:00", "0:1:2:3:4", "0:1:2:3:4:5:6", "+1:1:2:3:4:5"]
        {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
        assert!("00:16:3e:000:00:00".parse::<Mac>().is_err());
    }

    #[test]
    fn random_address_is_one_of_xens() {
        let mac = Mac::random().unwrap();
        assert!(mac.to_string().starts_with("00:16:3e:"), "{mac}");
        assert_eq!(mac.to_string().parse(), Ok(mac));
    }

    proptest! {
        #[test]
        fn any_text_is_an_address_or_refused(text in "[0-9a-fA-F:+]{0,18}") {
            if let Ok(mac) = text.parse::<Mac>() {
                prop_assert_eq!(mac.to_string().parse(), Ok(mac));
            }
        }
    }
}
