//! Guests that write to a frame without end, and the hold on guests that lets an atomic operation there come to its end.

use crate::frame::Frame;
use crate::machine::Machine;
use crate::ram::CONTENDED;
use core::sync::atomic::{AtomicU64, Ordering};
use hal::{Mfn, insist};

/// Holds on all guests.
#[derive(Default)]
pub(crate) struct Holds {
    now: AtomicU64,
    ever: AtomicU64,
}

struct Hold<'a>(&'a Holds);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Machine {
    /// From now on (or no more) guests on other pCPUs write to all lines of a frame without a pause: an atomic operation
    /// of the hypervisor there succeeds only while guests are held. Panics where there is no RAM.
    pub fn set_contended(&self, mfn: Mfn, on: bool) {
        self.ram.slot(mfn).expect("guests share RAM").set(CONTENDED, on);
    }

    /// How often guests were held. Panics if they are now: who held them let them go.
    pub fn holds(&self) -> u64 {
        assert_eq!(self.holds.now.load(Ordering::SeqCst), 0, "guests are held");
        self.holds.ever.load(Ordering::SeqCst)
    }

    fn hold(&self) -> Hold<'_> {
        self.holds.now.fetch_add(1, Ordering::SeqCst);
        self.holds.ever.fetch_add(1, Ordering::SeqCst);
        Hold(&self.holds)
    }
}

impl Frame<'_> {
    /// Carries out an atomic operation, which may take several tries.
    pub(crate) fn atomically<T>(&self, operation: impl Fn() -> T) -> T {
        let fails =
            || self.slot.flags() & CONTENDED != 0 && self.machine.holds.now.load(Ordering::SeqCst) == 0;
        insist(|| (!fails()).then(&operation), || self.machine.hold())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use hal::{FrameMem, MachineOps};

    const MFN: Mfn = Mfn(0x40010);

    #[test]
    fn operations_on_a_contended_frame_end_and_are_done_once() {
        let m = Machine::new(Config { fill: 0, ..Config::default() });
        let f = m.frame(MFN).unwrap();
        m.set_contended(MFN, true);
        assert_eq!((f.fetch_or16(0, 3), f.fetch_and16(0, 1), f.load16(0)), (0, 3, 1));
        assert_eq!((f.fetch_or32(4, 3), f.fetch_and32(4, 1), f.load32(4)), (0, 3, 1));
        assert_eq!((f.fetch_or64(8, 3), f.fetch_and64(8, 1), f.swap64(8, 7), f.load64(8)), (0, 3, 1, 7));
        assert_eq!((f.compare_exchange32(4, 1, 5), f.compare_exchange32(4, 1, 6)), (Ok(1), Err(5)));
        assert_eq!(m.holds(), 9);
        // Stores and loads are one step, and another frame is another matter.
        f.store32(0, 1);
        f.store64(8, 2);
        m.frame(MFN.plus(1)).unwrap().fetch_or32(0, 1);
        m.set_contended(MFN, false);
        f.fetch_or32(0, 2);
        assert_eq!((m.holds(), f.load32(0)), (9, 3));
    }
}
