//! How a vCPU spends its time, and the guest's view of it (vcpu.h, vcpu_runstate_info).

use crate::Hypervisor;
use crate::hypercall::Call;
use crate::memory::{HeldPage, PageGuard};
use core::sync::atomic::{Ordering, fence};
use hal::{FrameMem as _, MachineOps as _, PAGE_SIZE};
use lock::Mutex;
use xen_abi::Errno;
use xen_abi::vcpu::{RUNSTATE_offline, VcpuRunstateInfo, XEN_RUNSTATE_UPDATE};
use xen_abi::xen::VMASST_TYPE_runstate_update_flag;
use zerocopy::{FromZeros as _, IntoBytes as _};

const SIZE: usize = size_of::<VcpuRunstateInfo>();
/// Where state_entry_time stands.
const ENTRY_TIME: usize = core::mem::offset_of!(VcpuRunstateInfo, state_entry_time);

/// A vCPU's times in each state.
#[derive(Debug)]
pub struct Runstate(Mutex<Inner, 14>);

#[derive(Debug)]
struct Inner {
    info: VcpuRunstateInfo,
    area: Option<Area>,
    /// The guest wants to see updates under way (VMASST_TYPE_runstate_update_flag).
    flagged: bool,
}

/// The guest's copy, pinned: one page, or two when it lies across a boundary.
#[derive(Debug)]
struct Area {
    first: HeldPage,
    second: Option<HeldPage>,
    offset: usize,
}

impl Area {
    fn write(&self, hv: &Hypervisor, at: usize, bytes: &[u8]) {
        let start = self.offset + at;
        let in_first = PAGE_SIZE.saturating_sub(start).min(bytes.len());
        let (head, tail) = bytes.split_at(in_first);
        if let Some(frame) = self.first.frame(hv) {
            frame.write(start, head);
        }
        if let Some(frame) = self.second.as_ref().and_then(|page| page.frame(hv)) {
            frame.write(start + in_first - PAGE_SIZE, tail);
        }
    }

    fn release(self, hv: &Hypervisor) {
        self.first.release(hv);
        if let Some(page) = self.second {
            page.release(hv);
        }
    }
}

impl Inner {
    fn show(&self, hv: &Hypervisor) {
        let Some(area) = &self.area else { return };
        if !self.flagged {
            area.write(hv, 0, self.info.as_bytes());
            return;
        }
        let mut info = self.info;
        info.state_entry_time |= XEN_RUNSTATE_UPDATE;
        area.write(hv, ENTRY_TIME, info.state_entry_time.as_bytes());
        fence(Ordering::SeqCst);
        area.write(hv, 0, info.as_bytes());
        fence(Ordering::SeqCst);
        area.write(hv, ENTRY_TIME, self.info.state_entry_time.as_bytes());
    }

    fn add_time(&mut self, now: u64) {
        let spent = now.saturating_sub(self.info.state_entry_time);
        if let Some(time) = self.info.time.get_mut(self.info.state as usize) {
            *time = time.saturating_add(spent);
        }
    }
}

impl Runstate {
    /// Offline since `now`.
    pub fn new(now: u64) -> Self {
        let mut info = VcpuRunstateInfo::new_zeroed();
        info.state = RUNSTATE_offline;
        info.state_entry_time = now;
        Self(Mutex::new(Inner { info, area: None, flagged: false }))
    }

    /// The vCPU enters a state.
    pub(crate) fn change(&self, hv: &Hypervisor, state: u32, now: u64) {
        let mut inner = self.0.lock();
        if inner.info.state != state {
            inner.add_time(now);
            inner.info.state = state;
            inner.info.state_entry_time = now.max(inner.info.state_entry_time);
            inner.show(hv);
        }
    }

    /// State and times as of `now`.
    pub fn read(&self, now: u64) -> VcpuRunstateInfo {
        let mut inner = Inner { info: self.0.lock().info, area: None, flagged: false };
        inner.add_time(now);
        inner.info
    }

    /// VCPUOP_register_runstate_memory_area: shows it at `va` of the caller from now on; 0 ends that.
    ///
    /// # Errors
    /// EFAULT for an address that is not memory of the caller's.
    pub fn register(&self, call: &Call<'_>, va: u64) -> Result<(), Errno> {
        let area = if va == 0 { None } else { Some(pin(call, va)?) };
        let flags = call.domain.vm_assist.load(Ordering::Relaxed);
        let old = {
            let mut inner = self.0.lock();
            inner.flagged = flags & 1 << VMASST_TYPE_runstate_update_flag != 0;
            let old = core::mem::replace(&mut inner.area, area);
            inner.show(call.hv);
            old
        };
        if let Some(old) = old {
            old.release(call.hv);
        }
        Ok(())
    }

    /// The domain switched the update flag.
    pub(crate) fn set_flagged(&self, flagged: bool) {
        self.0.lock().flagged = flagged;
    }

    /// The guest's pages that it holds.
    #[cfg(any(test, feature = "testkit"))]
    pub(crate) fn held(&self) -> alloc::vec::Vec<hal::Mfn> {
        let inner = self.0.lock();
        let pages = inner.area.iter().flat_map(|area| [Some(&area.first), area.second.as_ref()]);
        pages.flatten().map(HeldPage::mfn).collect()
    }

    /// Gives up the guest's pages.
    pub(crate) fn release(&self, hv: &Hypervisor) {
        let area = self.0.lock().area.take();
        if let Some(area) = area {
            area.release(hv);
        }
    }
}

/// Takes references to the pages of a guest structure at `va`.
fn pin(call: &Call<'_>, va: u64) -> Result<Area, Errno> {
    let hv = call.hv;
    let page = |va: u64| {
        let maddr = hv.machine.translate(va, true).ok_or(Errno::EFAULT)?;
        PageGuard::get(hv, maddr.frame(), call.domain.id).ok_or(Errno::EFAULT)
    };
    let offset = va as usize % PAGE_SIZE;
    let first = page(va)?;
    let second = if offset + SIZE > PAGE_SIZE {
        Some(page(va.checked_add(SIZE as u64 - 1).ok_or(Errno::EFAULT)?)?)
    } else {
        None
    };
    Ok(Area { first: first.keep(), second: second.map(PageGuard::keep), offset })
}
