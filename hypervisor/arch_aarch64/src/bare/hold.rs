//! Keeping all guests from running for a moment, so that an operation on memory that they share comes to an end.

use core::sync::atomic::{AtomicU32, Ordering};

use super::gic::SGI_HOLD;
use super::machine::machine;

/// How many pCPUs want no guest to run.
static HOLDERS: AtomicU32 = AtomicU32::new(0);

/// While it lives, the other pCPUs leave their guests and wait, each as soon as it takes an interrupt. One that is in the
/// hypervisor goes on there, and waits when it is about to enter a guest: the interrupt comes before the guest's first
/// instruction. Who waits took the interrupt from a guest or in the idle loop, so it holds no lock.
pub(super) struct Hold(());

impl Hold {
    /// Tells all other pCPUs to wait; does not wait until they do.
    pub(super) fn new() -> Self {
        HOLDERS.fetch_add(1, Ordering::SeqCst);
        if let Some(machine) = machine() {
            machine.send_to_others(SGI_HOLD);
        }
        Self(())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        HOLDERS.fetch_sub(1, Ordering::Release);
    }
}

/// Waits until no pCPU holds guests: what a pCPU does that was told to.
pub(super) fn wait() {
    while HOLDERS.load(Ordering::Acquire) != 0 {
        lock::pause();
    }
}
