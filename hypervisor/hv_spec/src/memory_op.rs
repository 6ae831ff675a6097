//! HYPERVISOR_memory_op (`memory.h`): a domain's memory.

use crate::calls::Ran;
use crate::p2m::{BLOCK, Kind};
use crate::{Call, GUEST_FRAMES, Model, Outcome, PageId, Subject};
use xen_abi::Errno;
use xen_abi::memory::*;

/// Bits of the command that name the operation; the rest is how far the call has come.
const CMD_BITS: u32 = 6;
/// The largest extent.
const MAX_ORDER: u32 = 9;

impl Model {
    pub(crate) fn memory_op(&mut self, call: &Call, outcome: &Outcome, core: &dyn Subject) -> Ran {
        let [cmd, arg, ..] = call.args;
        let (op, start) = ((cmd & ((1 << CMD_BITS) - 1)) as u32, cmd >> CMD_BITS);
        let id = call.caller;
        match op {
            XENMEM_increase_reservation | XENMEM_decrease_reservation | XENMEM_populate_physmap => {
                self.extents(call, op, start, outcome, core)
            }
            XENMEM_current_reservation => {
                let of = self.managed(id, self.fetch::<MemoryDomain>(id, arg)?.domid)?;
                Ok(Outcome::Done(self.pages.charged_to(of)))
            }
            XENMEM_maximum_reservation => {
                let of = self.managed(id, self.fetch::<MemoryDomain>(id, arg)?.domid)?;
                Ok(Outcome::Done(self.dom(of).max_pages))
            }
            XENMEM_maximum_gpfn => {
                let of = self.managed(id, self.fetch::<MemoryDomain>(id, arg)?.domid)?;
                Ok(Outcome::Done(self.dom(of).p2m.max_gfn))
            }
            XENMEM_add_to_physmap => {
                let request: AddToPhysmap = self.fetch(id, arg)?;
                if request.space == XENMAPSPACE_gmfn_foreign {
                    return Err(Errno::ENOSYS);
                }
                let of = self.managed(id, request.domid)?;
                self.add(id, of, request.space, request.idx, request.gpfn, 0)?;
                Ok(Outcome::Done(0))
            }
            XENMEM_add_to_physmap_batch => self.add_batch(call, start, outcome),
            XENMEM_remove_from_physmap => {
                let request: RemoveFromPhysmap = self.fetch(id, arg)?;
                let of = self.managed(id, request.domid)?;
                if self.dom(of).dying {
                    return Err(Errno::EINVAL);
                }
                match self.dom(of).p2m.get(request.gpfn) {
                    None => Err(Errno::ENOENT),
                    Some(entry) if matches!(entry.kind, Kind::Grant { .. }) => Err(Errno::ENOENT),
                    Some(_) => self.empty(of, request.gpfn).map(|_| Outcome::Done(0)),
                }
            }
            XENMEM_acquire_resource => self.acquire(call, start, outcome),
            XENMEM_set_pod_target | XENMEM_get_pod_target => {
                // There is no memory on demand: the answer is what there is.
                let mut request: PodTarget = self.fetch(id, arg)?;
                let of = self.managed(id, request.domid)?;
                if !self.dom(id).privileged {
                    return Err(Errno::EPERM);
                }
                if op == XENMEM_set_pod_target && self.dom(of).dying {
                    return Err(Errno::EINVAL);
                }
                request.tot_pages = self.pages.charged_to(of);
                (request.pod_cache_pages, request.pod_entries) = (0, 0);
                self.put(id, arg, &request)?;
                Ok(Outcome::Done(0))
            }
            // Whatever it answers, it changes nothing.
            _ => Ok(*outcome),
        }
    }

    /// How many elements of a list this part of a call has done, when the core says how far it came.
    fn stop_at(&mut self, start: u64, count: u64, outcome: &Outcome) -> Option<u64> {
        match outcome {
            Outcome::Again([cmd, ..]) => {
                let done = cmd >> CMD_BITS;
                self.expect(done > start && done < count, || format!("from {start} of {count} to {done}"));
                Some(done)
            }
            _ => None,
        }
    }

    fn again(call: &Call, done: u64) -> Ran {
        let [cmd, arg, a2, a3, a4] = call.args;
        Ok(Outcome::Again([cmd & ((1 << CMD_BITS) - 1) | done << CMD_BITS, arg, a2, a3, a4]))
    }

    /// A list of extents; the answer is how many were done.
    fn extents(&mut self, call: &Call, op: u32, start: u64, outcome: &Outcome, core: &dyn Subject) -> Ran {
        let request: MemoryReservation = self.fetch(call.caller, call.args[1])?;
        let (count, order) = (request.nr_extents, request.extent_order);
        if start >= count || order > MAX_ORDER || count > u64::MAX >> CMD_BITS {
            return Ok(Outcome::Done(start));
        }
        let of = match self.managed(call.caller, request.domid) {
            Ok(of) => of,
            Err(_) if start > 0 => return Ok(Outcome::Done(start)),
            Err(e) => return Err(e),
        };
        let stop = self.stop_at(start, count, outcome);
        for n in start..count {
            if stop == Some(n) {
                return Self::again(call, n);
            }
            let Ok(gfn) = self.element::<u64>(call.caller, request.extent_start.0, n) else {
                return Ok(Outcome::Done(n));
            };
            let done = match op {
                XENMEM_populate_physmap => {
                    // Memory may be in pieces that are too small, which is the allocator's affair.
                    let stopped = *outcome == Outcome::Done(n)
                        && order > 0
                        && core.free_frames() < self.limits.frames / 2;
                    if stopped { Err(Errno::ENOMEM) } else { self.populate(of, gfn, order) }
                }
                XENMEM_decrease_reservation => self.decrease(of, gfn, order),
                _ => Err(Errno::EOPNOTSUPP),
            };
            if done.is_err() {
                return Ok(Outcome::Done(n));
            }
        }
        Ok(Outcome::Done(count))
    }

    /// Gives a domain new memory.
    ///
    /// # Errors
    /// EINVAL, ENOMEM, EBUSY.
    pub fn populate(&mut self, id: u16, gfn: u64, order: u32) -> Result<(), Errno> {
        let count = 1 << order;
        if !gfn.is_multiple_of(count) || gfn.checked_add(count).is_none_or(|end| end > GUEST_FRAMES) {
            return Err(Errno::EINVAL);
        }
        if self.pages.charged_to(id) + count > self.dom(id).max_pages {
            return Err(Errno::ENOMEM);
        }
        if self.dom(id).dying {
            return Err(Errno::EINVAL);
        }
        if count == 1 {
            self.empty(id, gfn)?;
        }
        let pages: Vec<PageId> = (0..count).map(|_| self.pages.alloc(id, true)).collect();
        let p2m = &mut self.dom_mut(id).p2m;
        let step = if count == BLOCK { count as usize } else { 1 };
        let mut done = Ok(());
        for (n, part) in pages.chunks(step).enumerate() {
            done = p2m.insert(gfn + (n * step) as u64, part, Kind::Ram);
            if done.is_err() {
                for back in 0..n as u64 {
                    p2m.remove(gfn + back).expect("not a block");
                }
                break;
            }
        }
        self.collect();
        done
    }

    /// Takes memory back; what comes before a page that is not there is gone.
    fn decrease(&mut self, id: u16, gfn: u64, order: u32) -> Result<(), Errno> {
        for n in 0..1 << order {
            let gfn = gfn.checked_add(n).ok_or(Errno::EINVAL)?;
            let entry = self.dom(id).p2m.get(gfn).filter(|e| e.kind == Kind::Ram && !self.dom(id).dying);
            entry.ok_or(Errno::EINVAL)?;
            self.empty(id, gfn)?;
        }
        Ok(())
    }

    /// Puts page `idx` of a space at a guest frame.
    fn add(&mut self, caller: u16, id: u16, space: u32, idx: u64, gfn: u64, other: u16) -> Result<(), Errno> {
        match space {
            XENMAPSPACE_shared_info => {
                let page = self.dom(id).shared_info.filter(|_| idx == 0).ok_or(Errno::EINVAL)?;
                self.place(id, gfn, page, Kind::Shared)
            }
            XENMAPSPACE_grant_table => {
                let page = self.grant_frame(id, idx)?;
                self.place(id, gfn, page, Kind::Shared)?;
                self.dom_mut(id).grants.places.insert(idx, gfn);
                Ok(())
            }
            XENMAPSPACE_gmfn_foreign => {
                let owner = self.named(caller, other)?;
                if owner == id {
                    return Err(Errno::EINVAL);
                }
                if !self.dom(caller).privileged {
                    return Err(Errno::EPERM);
                }
                let page = self.own_page(owner, idx).ok_or(Errno::EINVAL)?;
                self.place(id, gfn, page, Kind::Foreign)
            }
            // No registers are anybody's here: what dom0 may not have is passed over.
            XENMAPSPACE_dev_mmio => self.maps_registers(caller, id),
            _ => Err(Errno::ENOSYS),
        }
    }

    /// Dom0 alone maps registers, for itself.
    fn maps_registers(&self, caller: u16, id: u16) -> Result<(), Errno> {
        if self.dom(caller).privileged && caller == id { Ok(()) } else { Err(Errno::EACCES) }
    }

    fn add_batch(&mut self, call: &Call, start: u64, outcome: &Outcome) -> Ran {
        let request: AddToPhysmapBatch = self.fetch(call.caller, call.args[1])?;
        let (size, space) = (u64::from(request.size), u32::from(request.space));
        if start >= size {
            return if start == 0 { Ok(Outcome::Done(0)) } else { Err(Errno::EILSEQ) };
        }
        let id = self.managed(call.caller, request.domid)?;
        match space {
            XENMAPSPACE_gmfn_range => return Err(Errno::EOPNOTSUPP),
            XENMAPSPACE_dev_mmio => {
                self.maps_registers(call.caller, id)?;
                if request.u != 0 {
                    return Err(Errno::EOPNOTSUPP);
                }
            }
            _ => {}
        }
        let stop = self.stop_at(start, size, outcome);
        for n in start..size {
            if stop == Some(n) {
                return Self::again(call, n);
            }
            let idx: u64 = self.element(call.caller, request.idxs.0, n)?;
            let gfn: u64 = self.element(call.caller, request.gpfns.0, n)?;
            let error = match self.add(call.caller, id, space, idx, gfn, request.u) {
                Ok(()) => 0,
                Err(e) => -(e as i32),
            };
            self.put(call.caller, Self::element_at::<i32>(request.errs.0, n)?, &error)?;
        }
        Ok(Outcome::Done(0))
    }

    /// Maps a domain's pages of grant entries into the tools.
    fn acquire(&mut self, call: &Call, start: u64, outcome: &Outcome) -> Ran {
        let id = call.caller;
        let mut request: MemAcquireResource = self.fetch(id, call.args[1])?;
        if request.pad != 0 {
            return Err(Errno::EINVAL);
        }
        let owner = self.named(id, request.domid)?;
        if !self.dom(id).privileged || owner == id {
            return Err(Errno::EPERM);
        }
        if u32::from(request.type_) != XENMEM_resource_grant_table {
            return Err(Errno::EOPNOTSUPP);
        }
        if request.id != XENMEM_resource_grant_table_id_shared {
            return Err(Errno::EINVAL);
        }
        let limit = self.dom(owner).grants.max_frames;
        let count = u64::from(request.nr_frames);
        if request.frame_list.is_null() {
            if count != 0 {
                return Err(Errno::EINVAL);
            }
            request.nr_frames = limit;
            self.put(id, call.args[1], &request)?;
            return Ok(Outcome::Done(0));
        }
        let end = request.frame.checked_add(count).ok_or(Errno::EINVAL)?;
        if count == 0 || start >= count || end > u64::from(limit) {
            return Err(Errno::EINVAL);
        }
        let stop = self.stop_at(start, count, outcome);
        for n in start..count {
            if stop == Some(n) {
                return Self::again(call, n);
            }
            let gfn: u64 = self.element(id, request.frame_list.0, n)?;
            let page = self.grant_frame(owner, request.frame + n)?;
            self.place(id, gfn, page, Kind::Foreign)?;
        }
        Ok(Outcome::Done(0))
    }
}
