//! The serial port of a guest (SBSA UART): the model's registers, a console ring in a page of the
//! guest's, and an event channel to the console daemon.

use crate::guest::{ArmGuest, kick_all};
use alloc::sync::Arc;
use arm_vm::exit::AccessSize;
use arm_vm::vgic::Line;
use arm_vm::vpl011::{ConsoleRing, IN_SIZE, Outcome, RingIndex, Vpl011};
use hal::{Domid, FrameMem as _, Gfn};
use hv_core::event::{alloc_for_hypervisor, notify_from_hypervisor};
use hv_core::memory::HeldPage;
use hv_core::{Domain, Hypervisor};
use lock::Mutex;
use machine::Frame;
use xen_abi::Errno;
use xen_abi::arch_arm::{GUEST_PL011_BASE, GUEST_PL011_SIZE, GUEST_VPL011_SPI};

/// Where the ring's parts stand in its page (io/console.h, struct xencons_interface).
const OUT: usize = IN_SIZE as usize;
const IN_CONS: usize = 3072;
const IN_PROD: usize = 3076;
const OUT_CONS: usize = 3080;
const OUT_PROD: usize = 3084;

/// A domain's serial port, once the toolstack has asked for it.
#[derive(Debug, Default)]
pub struct Vuart(Mutex<Option<Port>, 3>);

#[derive(Debug)]
struct Port {
    model: Vpl011,
    ring: HeldPage,
    evtchn: u32,
}

struct Ring<'a>(Frame<'a>);

fn index_offset(index: RingIndex) -> usize {
    match index {
        RingIndex::InCons => IN_CONS,
        RingIndex::InProd => IN_PROD,
        RingIndex::OutCons => OUT_CONS,
        RingIndex::OutProd => OUT_PROD,
    }
}

impl ConsoleRing for Ring<'_> {
    fn load(&self, index: RingIndex) -> u32 {
        self.0.load32(index_offset(index))
    }

    fn store(&self, index: RingIndex, value: u32) {
        self.0.store32(index_offset(index), value);
    }

    fn read_in(&self, at: u32) -> u8 {
        self.0.load8(at as usize)
    }

    fn write_out(&self, at: u32, byte: u8) {
        self.0.store8(OUT + at as usize, byte);
    }
}

impl Vuart {
    /// Whether the domain has one.
    pub fn exists(&self) -> bool {
        self.0.lock().is_some()
    }

    /// Makes the port: its ring is the guest's page at `gfn`. Returns the event channel port for the
    /// console daemon in `backend`.
    ///
    /// # Errors
    /// EINVAL when there is one already, or for a page that is not the guest's memory; those of
    /// [`alloc_for_hypervisor`].
    pub fn create(&self, hv: &Hypervisor, domain: &Domain, gfn: Gfn, backend: Domid) -> Result<u32, Errno> {
        let page = domain.guest_page(hv, gfn).ok_or(Errno::EINVAL)?;
        let mut port = self.0.lock();
        if port.is_some() {
            return Err(Errno::EINVAL);
        }
        let evtchn = alloc_for_hypervisor(domain, backend, ring_event)?;
        *port = Some(Port { model: Vpl011::new(), ring: page.keep(), evtchn });
        Ok(evtchn)
    }

    /// Gives up the ring's page.
    pub fn release(&self, hv: &Hypervisor) {
        let port = self.0.lock().take();
        if let Some(port) = port {
            port.ring.release(hv);
        }
    }

    /// The register that an address is, if the domain has the port.
    pub fn locate(&self, gpa: u64) -> Option<u32> {
        let offset = gpa.wrapping_sub(GUEST_PL011_BASE);
        (offset < GUEST_PL011_SIZE && self.0.lock().is_some()).then_some(offset as u32)
    }

    /// Runs `f` on the model and its ring, and does what it leaves to do.
    fn with<R>(
        &self,
        hv: &Hypervisor,
        domain: &Domain,
        f: impl FnOnce(&Vpl011, &Ring<'_>) -> Option<(R, Outcome)>,
    ) -> Option<R> {
        let guest = ArmGuest::of(domain)?;
        let (result, notify, evtchn, kicks) = {
            let port = self.0.lock();
            let port = port.as_ref()?;
            let (result, outcome) = f(&port.model, &Ring(port.ring.frame(hv)?))?;
            // Under the lock, so that the level of the last access is the one that stays.
            let kicks = guest.vgic.set_level(Line::Spi { intid: GUEST_VPL011_SPI }, outcome.level);
            (result, outcome.notify, port.evtchn, kicks)
        };
        kick_all(hv, domain, kicks, None);
        if notify {
            notify_from_hypervisor(hv, domain, evtchn);
        }
        Some(result)
    }

    /// The guest reads a register; `None` for one that cannot be read so.
    pub fn read(&self, hv: &Hypervisor, domain: &Domain, offset: u32, size: AccessSize) -> Option<u64> {
        self.with(hv, domain, |model, ring| {
            let (value, outcome) = model.read(ring, offset, size).ok()?;
            Some((u64::from(value), outcome))
        })
    }

    /// The guest writes a register; `None` for one that cannot be written so.
    pub fn write(
        &self,
        hv: &Hypervisor,
        domain: &Domain,
        offset: u32,
        size: AccessSize,
        value: u64,
    ) -> Option<()> {
        self.with(hv, domain, |model, ring| Some(((), model.write(ring, offset, size, value as u32).ok()?)))
    }
}

/// The console daemon has taken or brought bytes.
fn ring_event(hv: &Hypervisor, domain: &Arc<Domain>, _: u32) {
    if let Some(guest) = ArmGuest::of(domain) {
        guest.vuart.with(hv, domain, |model, ring| Some(((), model.ring_event(ring))));
    }
}
