//! Quotas and features, for all domains and for single ones.

use crate::quota::Quotas;
use std::collections::BTreeMap;
use xen_abi::Errno;
use xen_abi::io::xs_wire::{
    XENSTORE_SERVER_FEATURE_ERROR, XENSTORE_SERVER_FEATURE_RECONNECTION, XENSTORE_SERVER_FEATURE_WATCHDEPTH,
};
use xenstore_wire::Domid;

/// What rings can be used for, unless a domain is to have less (`docs/misc/xenstore-ring.txt`).
const FEATURES: u32 =
    XENSTORE_SERVER_FEATURE_RECONNECTION | XENSTORE_SERVER_FEATURE_ERROR | XENSTORE_SERVER_FEATURE_WATCHDEPTH;

/// What is set.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Quotas of domains that have none of their own.
    pub(crate) quotas: Quotas,
    /// Only a privileged client adds to it; a domain's goes with the domain.
    pub(crate) own: BTreeMap<Domid, Own>,
}

/// What is set for one domain.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    pub(crate) quotas: Quotas,
    pub(crate) features: u32,
}

impl Settings {
    pub(crate) fn new(quotas: Quotas) -> Self {
        Self { quotas, own: BTreeMap::new() }
    }

    /// A domain's quotas.
    pub(crate) fn quotas(&self, domid: Domid) -> &Quotas {
        self.own.get(&domid).map_or(&self.quotas, |own| &own.quotas)
    }

    /// A domain's features (`XENSTORE_SERVER_FEATURE_*`).
    pub(crate) fn features(&self, domid: Domid) -> u32 {
        self.own.get(&domid).map_or(FEATURES, |own| own.features)
    }

    /// Sets a quota of a domain, or the one of those that have none of their own.
    ///
    /// # Errors
    /// `EINVAL` if there is no quota of this name.
    pub(crate) fn set_quota(&mut self, domid: Option<Domid>, name: &str, value: u64) -> Result<(), Errno> {
        // A name that is none leaves nothing behind.
        self.quotas.get(name).ok_or(Errno::EINVAL)?;
        match domid {
            Some(domid) => self.own(domid).quotas.set(name, value),
            None => self.quotas.set(name, value),
        };
        Ok(())
    }

    /// Sets a domain's features.
    ///
    /// # Errors
    /// `EINVAL` if there are more than there can be.
    pub(crate) fn set_features(&mut self, domid: Domid, features: u32) -> Result<(), Errno> {
        if features & !FEATURES != 0 {
            return Err(Errno::EINVAL);
        }
        self.own(domid).features = features;
        Ok(())
    }

    fn own(&mut self, domid: Domid) -> &mut Own {
        let Self { quotas, own } = self;
        own.entry(domid).or_insert_with(|| Own { quotas: quotas.clone(), features: FEATURES })
    }
}
