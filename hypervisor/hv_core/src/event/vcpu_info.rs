//! Where a vCPU learns that events are pending: its `vcpu_info` (`xen.h`, `vcpu.h`).
//!
//! The first vCPUs have one in the shared information page; each can have it moved to a page of
//! the guest's, once. A vCPU without one gets no upcall: what is pending meanwhile is announced
//! when it registers one.

use super::deliver;
use super::poll_word::PollWord;
use super::{Abi, DomainEvents};
use crate::Hypervisor;
use crate::domain::{Domain, Vcpu};
use crate::memory::HeldPage;
use core::mem::size_of;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use hal::{FrameMem as _, Gfn, MachineOps as _, Maddr, PAGE_SIZE};
use lock::Mutex;
use machine::Frame;
use xen_abi::xen::NR_VIRQS;
use xen_abi::{Arch, Errno};

/// `struct vcpu_info` of the CPU.
type Info = <Abi as Arch>::VcpuInfo;

const NOT_REGISTERED: u64 = u64::MAX;
const PENDING: u16 = 1;
// The byte is set as the low half of a 16-bit word.
const _: () = assert!(Abi::VCPU_INFO_UPCALL_PENDING.is_multiple_of(2));

/// What a vCPU needs of event channels.
#[derive(Debug)]
pub struct VcpuEvents {
    /// The machine address of the vcpu_info that it registered.
    info: AtomicU64,
    /// The reference to the page of it.
    page: Mutex<Option<HeldPage>, 9>,
    /// The port of each virtual interrupt, 0 for none; of a global one on vCPU 0. Written under the
    /// port lock.
    pub(super) virqs: [AtomicU32; NR_VIRQS as usize],
    /// What SCHEDOP_poll waits for; see `poll.rs`.
    pub(super) polling: PollWord,
}

impl Default for VcpuEvents {
    fn default() -> Self {
        Self {
            info: AtomicU64::new(NOT_REGISTERED),
            page: Mutex::new(None),
            virqs: [const { AtomicU32::new(0) }; NR_VIRQS as usize],
            polling: PollWord::new(),
        }
    }
}

impl VcpuEvents {
    /// The domain is gone: the page goes back.
    pub(super) fn release(&self, hv: &Hypervisor) {
        let page = self.page.lock().take();
        if let Some(page) = page {
            self.info.store(NOT_REGISTERED, Ordering::Release);
            page.release(hv);
        }
    }
}

impl DomainEvents {
    /// A soft reset: the vCPUs have their vcpu_info where those of a new domain have it.
    pub(crate) fn forget_infos(&self, hv: &Hypervisor, domain: &Domain) {
        domain.vcpus().for_each(|vcpu| vcpu.events.release(hv));
    }

    /// The frame of a vCPU's vcpu_info and the offset in it.
    #[inline]
    fn info<'a>(&self, hv: &'a Hypervisor, vcpu: &Vcpu) -> Option<(Frame<'a>, usize)> {
        match vcpu.events.info.load(Ordering::Acquire) {
            NOT_REGISTERED if vcpu.id < Abi::LEGACY_MAX_VCPUS as usize => {
                Some((self.shared_frame(hv)?, vcpu.id * size_of::<Info>()))
            }
            NOT_REGISTERED => None,
            info => Some((hv.machine.frame(Maddr(info).frame())?, Maddr(info).page_offset())),
        }
    }

    /// Whether `evtchn_upcall_pending` of a vCPU is set: the level of its upcall line.
    #[inline]
    pub fn upcall_pending(&self, hv: &Hypervisor, vcpu: &Vcpu) -> bool {
        self.info(hv, vcpu)
            .is_some_and(|(frame, offset)| frame.load8(offset + Abi::VCPU_INFO_UPCALL_PENDING) != 0)
    }

    /// Sets `evtchn_upcall_pending`; true when it was not set and the vCPU needs an upcall.
    #[inline]
    pub(super) fn mark_upcall(&self, hv: &Hypervisor, vcpu: &Vcpu) -> bool {
        self.info(hv, vcpu).is_some_and(mark)
    }

    /// Sets a bit of `evtchn_pending_sel`, and the above if the bit is news; true when the vCPU
    /// needs an upcall.
    pub(super) fn select(&self, hv: &Hypervisor, vcpu: &Vcpu, bit: u64) -> bool {
        self.info(hv, vcpu).is_some_and(|(frame, offset)| {
            frame.fetch_or64(offset + Abi::VCPU_INFO_PENDING_SEL, bit) & bit == 0 && mark((frame, offset))
        })
    }
}

#[inline]
fn mark((frame, offset): (Frame<'_>, usize)) -> bool {
    frame.fetch_or16(offset + Abi::VCPU_INFO_UPCALL_PENDING, PENDING) & PENDING == 0
}

impl DomainEvents {
    /// VCPUOP_register_vcpu_info: moves the vcpu_info of `vcpu` to `offset` of the domain's page
    /// `gfn`.
    ///
    /// # Errors
    /// ENXIO when it would cross the end of the page or is not aligned to 8 bytes; EINVAL when the
    /// vCPU has registered before, is up and not the caller, or `gfn` is not the domain's memory.
    pub fn register_vcpu_info(
        &self,
        hv: &Hypervisor,
        domain: &Domain,
        vcpu: &Vcpu,
        gfn: Gfn,
        offset: u32,
    ) -> Result<(), Errno> {
        let offset = offset as usize;
        if offset > PAGE_SIZE - size_of::<Info>() || !offset.is_multiple_of(align_of::<Info>()) {
            return Err(Errno::ENXIO);
        }
        let is_caller = vcpu.pcpu() == Some(hv.machine.this_cpu());
        let mut held = vcpu.events.page.lock();
        if held.is_some() || (vcpu.is_up() && !is_caller) {
            return Err(Errno::EINVAL);
        }
        let page = domain.guest_page(hv, gfn).ok_or(Errno::EINVAL)?;
        let frame = page.frame().ok_or(Errno::EINVAL)?;
        self.move_info(hv, vcpu, frame, offset);
        let info = page.mfn().addr().plus(offset as u64);
        *held = Some(page.keep());
        vcpu.events.info.store(info.0, Ordering::SeqCst);
        drop(held);

        // What was set in the old place after the copy is not lost: everything is news, and the
        // guest can cope with an event too many.
        frame.store64(offset + Abi::VCPU_INFO_PENDING_SEL, u64::MAX);
        if mark((frame, offset)) {
            deliver::upcall(hv, domain, vcpu);
        }
        Ok(())
    }

    /// Copies the vcpu_info that the vCPU has, or makes one that is empty and takes no upcalls.
    fn move_info(&self, hv: &Hypervisor, vcpu: &Vcpu, frame: Frame<'_>, offset: usize) {
        match self.info(hv, vcpu) {
            Some((old, at)) => {
                frame.copy_from(offset, &old, at, size_of::<Info>());
            }
            None => {
                frame.write(offset, &[0; size_of::<Info>()]);
                if let Some(mask) = Abi::VCPU_INFO_UPCALL_MASK {
                    frame.store8(offset + mask, 1);
                }
            }
        }
    }
}
