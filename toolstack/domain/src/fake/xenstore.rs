//! Xenstore, which learns of domains' ends.

use std::sync::Mutex;

use xenstore_store::Store;

use super::hypervisor::Hypervisor;
use super::lock;

/// Tells the store which of its domains have shut down or are gone, as the daemon does after the hypervisor's interrupt.
pub(super) fn look_for_ends(store: &mut Store, hypervisor: &Mutex<Hypervisor>) {
    for domid in store.known_domains() {
        let is_shutdown = lock(hypervisor).domains.get(&domid.0).map(|domain| domain.shutdown.is_some());
        match is_shutdown {
            None => store.domain_gone(domid),
            Some(true) => store.domain_shutdown(domid),
            Some(false) => {}
        }
    }
}
