//! Putting an interface into a bridge.

use crate::{HostError, InterfaceName, Link, Links};

impl Links {
    /// The bridge of this name. The error for a missing one names those that the host has.
    pub fn bridge(&self, name: &InterfaceName) -> Result<Link, HostError> {
        match self.find(name)? {
            Some(link) if link.is_bridge() => Ok(link),
            Some(_) => Err(HostError::NotABridge(name.clone())),
            None => {
                let bridges = self.all()?.into_iter().filter(Link::is_bridge).map(|link| link.name).collect();
                Err(HostError::NoBridge { name: name.clone(), bridges })
            }
        }
    }

    /// Puts an interface into a bridge with the bridge's MTU, or another, and switches it on. After an error the
    /// interface is off and in no bridge.
    pub fn plug(&self, port: &Link, bridge: &Link, mtu: Option<u32>) -> Result<(), HostError> {
        let plugged = self
            .set_mtu(port, mtu.unwrap_or(bridge.mtu))
            .and_then(|()| self.set_bridge(port, Some(bridge)))
            .and_then(|()| self.set_up(port, true));
        if plugged.is_err() {
            // The interface may be gone, which was the error then.
            let _ = self.unplug(port);
        }
        plugged
    }

    /// Switches an interface off and takes it out of its bridge.
    pub fn unplug(&self, port: &Link) -> Result<(), HostError> {
        self.set_up(port, false)?;
        self.set_bridge(port, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_that_is_no_bridge_and_one_that_is_missing_are_told_apart() {
        let links = Links::open().unwrap();
        let lo = InterfaceName::new("lo").unwrap();
        assert_eq!(links.bridge(&lo), Err(HostError::NotABridge(lo)));
        let missing = InterfaceName::new("no-such-bridge").unwrap();
        assert!(matches!(links.bridge(&missing), Err(HostError::NoBridge { name, .. }) if name == missing));
    }
}
