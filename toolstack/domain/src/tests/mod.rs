//! The operations on a host in memory.

mod create;
mod detach;
mod devices;
mod kept;
mod life;
mod progress;
mod scripts;
mod supervise;

use xen_dev::Domid;

/// The domain with this id.
fn id(number: u16) -> Domid {
    Domid::new(number).unwrap()
}
