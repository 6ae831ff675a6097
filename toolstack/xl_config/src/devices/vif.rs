//! Network cards: xl-network-configuration(5).
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::spec::{Param, SpecError, params};
use crate::types::{BadValue, InterfaceName, Mac, Rate, Text, in_range};

/// A virtual network card.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vif {
    /// Its number; `None` for the lowest that is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub devid: Option<u32>,
    /// Its address; `None` for a random one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// Bridge that it joins (with a script: what the script wants); `None` for the host's usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<Text>,
    /// Addresses for the script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<Text>,
    /// Name of the interface in the back end's domain; `None` for `vifDOMID.DEVID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vifname: Option<InterfaceName>,
    /// Most that the guest may send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Program that sets the interface up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<Text>,
    /// Domain (name or id) of the back end; `None` for this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<Text>,
    /// Model of the emulated card that HVM guests would have; without effect for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Text>,
    /// Interface through which a routed guest reaches the network, for the script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gatewaydev: Option<InterfaceName>,
    /// Largest packet in bytes; `None` for the bridge's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// Whether the guest is told to trust the back end; `None` for yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted: Option<bool>,
}

const PARAMETERS: &[&str] = &[
    "backend",
    "bridge",
    "devid",
    "gatewaydev",
    "ip",
    "mac",
    "model",
    "mtu",
    "rate",
    "script",
    "trusted",
    "type",
    "untrusted",
    "vifname",
];
/// Highest number of a card: more than a guest could use.
const MAX_DEVID: i64 = 1023;

/// As `xl network-attach` gets it.
impl FromStr for Vif {
    type Err = BadValue;

    fn from_str(spec: &str) -> Result<Self, BadValue> {
        Self::parse(spec).map_err(|error| error.in_spec(spec))
    }
}

impl Vif {
    /// Reads a network card of xl.cfg.
    pub(crate) fn parse(spec: &str) -> Result<Self, SpecError> {
        let mut vif = Self::default();
        for param in params(spec) {
            match param.key_value() {
                Some((key, value)) => vif.parameter(key, value, param)?,
                None if param.text == "trusted" => vif.trusted = Some(true),
                None if param.text == "untrusted" => vif.trusted = Some(false),
                None => return Err(param.unknown("vif", PARAMETERS)),
            }
        }
        let whole = Param { text: spec, at: 0 };
        vif.check().map_err(|error| whole.error(error.to_string()))?;
        Ok(vif)
    }

    fn parameter(&mut self, key: &str, value: Param<'_>, param: Param<'_>) -> Result<(), SpecError> {
        let number = |range| in_range(value.text, range).map_err(|error| value.error(error.to_string()));
        match key {
            "mac" => value.set(&mut self.mac, key),
            "bridge" => value.set(&mut self.bridge, key),
            "ip" => value.set(&mut self.ip, key),
            "vifname" => value.set(&mut self.vifname, key),
            "rate" => value.set(&mut self.rate, key),
            "script" => value.set(&mut self.script, key),
            "backend" => value.set(&mut self.backend, key),
            "model" => value.set(&mut self.model, key),
            "gatewaydev" | "netdev" => value.set(&mut self.gatewaydev, key),
            "devid" => {
                self.devid = u32::try_from(number(0..=MAX_DEVID)?).ok();
                Ok(())
            }
            "mtu" => {
                self.mtu = u16::try_from(number(68..=65535)?).ok();
                Ok(())
            }
            "type" if value.text == "vif" => Ok(()),
            "type" if value.text == "ioemu" => {
                Err(value.error("not built: emulated cards need HVM guests; leave type out"))
            }
            "type" => Err(value.error("type is vif")),
            "accel" => Err(param.error("xl has no accelerated vifs any more; leave accel out")),
            _ if key.starts_with("colo_") || key == "forwarddev" => {
                Err(param.error("not built: COLO replication"))
            }
            _ => Err(param.unknown("vif", PARAMETERS)),
        }
    }

    /// What a vif must also be.
    pub(crate) fn check(&self) -> Result<(), BadValue> {
        match &self.bridge {
            Some(bridge) if self.script.is_none() => bridge.parse::<InterfaceName>().map(|_| ()),
            _ => Ok(()),
        }
    }
}
