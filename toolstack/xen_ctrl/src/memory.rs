//! Memory of domains: reservations and the physical map (`memory_op`).

use std::mem::offset_of;

use xen_abi::domctl::{Cacheflush, XEN_DOMCTL_cacheflush};
use xen_abi::memory::*;
use xen_abi::xen::__HYPERVISOR_memory_op;
use xen_dev::{Domid, Errno};
use zerocopy::{FromZeros, IntoBytes};

use crate::ctrl::again;
use crate::{CtrlError, XenCtrl};

/// Extents in one hypercall.
const BATCH: usize = 1 << 15;
/// Frames whose caches one hypercall cleans: the largest range that the hypervisor takes is larger on every CPU.
const FLUSH_BATCH: u64 = 1 << 16;

impl XenCtrl {
    /// Gives a domain memory: an extent of 2^`order` pages at each of `gfns`. `flags` are `XENMEMF_*`.
    pub fn populate_physmap(
        &self,
        domid: Domid,
        gfns: &[u64],
        order: u32,
        flags: u32,
    ) -> Result<(), CtrlError> {
        let call = "XENMEM_populate_physmap";
        self.reserve(call, XENMEM_populate_physmap, domid, &mut gfns.to_vec(), order, flags)
    }

    /// Gives a domain `count` extents of 2^`order` pages without a place in its physical map. Returns their machine
    /// frames.
    pub fn increase_reservation(
        &self,
        domid: Domid,
        count: usize,
        order: u32,
        flags: u32,
    ) -> Result<Vec<u64>, CtrlError> {
        let mut frames = vec![0; count];
        let call = "XENMEM_increase_reservation";
        self.reserve(call, XENMEM_increase_reservation, domid, &mut frames, order, flags)?;
        Ok(frames)
    }

    /// Takes the extents of 2^`order` pages at `gfns` from a domain.
    pub fn decrease_reservation(&self, domid: Domid, gfns: &[u64], order: u32) -> Result<(), CtrlError> {
        let call = "XENMEM_decrease_reservation";
        self.reserve(call, XENMEM_decrease_reservation, domid, &mut gfns.to_vec(), order, 0)
    }

    fn reserve(
        &self,
        call: &'static str,
        cmd: u32,
        domid: Domid,
        frames: &mut [u64],
        order: u32,
        flags: u32,
    ) -> Result<(), CtrlError> {
        let asked = frames.len();
        let mut before = 0;
        for batch in frames.chunks_mut(BATCH) {
            let mut op = reservation(domid, batch.len() as u64);
            op.extent_order = order;
            op.mem_flags = flags;
            let pointed = &mut [(offset_of!(MemoryReservation, extent_start), batch.as_mut_bytes())];
            let done = self.memory_op(call, cmd, Some(domid), &mut op, pointed)? as usize;
            before += done;
            if done > batch.len() {
                let what = "more extents than asked for";
                return Err(CtrlError::Answer { call, domid: Some(domid), what });
            }
            if done < batch.len() {
                return Err(CtrlError::Partial { call, domid: Some(domid), done: before, asked });
            }
        }
        Ok(())
    }

    /// Sets aside pages for a domain, so that its building does not run out of them: `pages` in all, with those that it
    /// has. 0 gives back what is left.
    pub fn claim_pages(&self, domid: Domid, pages: u64) -> Result<(), CtrlError> {
        let call = "XENMEM_claim_pages";
        let mut op = reservation(domid, pages);
        self.memory_op(call, XENMEM_claim_pages, Some(domid), &mut op, &mut []).map(drop)
    }

    /// Puts frame `idx` of a space (`XENMAPSPACE_*`) at a guest frame.
    pub fn add_to_physmap(&self, domid: Domid, space: u32, idx: u64, gfn: u64) -> Result<(), CtrlError> {
        let call = "XENMEM_add_to_physmap";
        let mut op = AddToPhysmap { domid: domid.get(), size: 0, space, idx, gpfn: gfn };
        self.memory_op(call, XENMEM_add_to_physmap, Some(domid), &mut op, &mut []).map(drop)
    }

    /// Empties a guest frame.
    pub fn remove_from_physmap(&self, domid: Domid, gfn: u64) -> Result<(), CtrlError> {
        let call = "XENMEM_remove_from_physmap";
        let mut op = RemoveFromPhysmap { domid: domid.get(), _gap0: [0; 3], gpfn: gfn };
        self.memory_op(call, XENMEM_remove_from_physmap, Some(domid), &mut op, &mut []).map(drop)
    }

    /// The host's largest machine frame. Above 8 TiB the number does not fit through the kernel.
    pub fn maximum_ram_page(&self) -> Result<u64, CtrlError> {
        let call = "XENMEM_maximum_ram_page";
        self.memory_op(call, XENMEM_maximum_ram_page, None, &mut [0u64; 0], &mut []).map(u64::from)
    }

    /// The domain's largest guest frame.
    pub fn maximum_gfn(&self, domid: Domid) -> Result<u64, CtrlError> {
        self.pages_of("XENMEM_maximum_gpfn", XENMEM_maximum_gpfn, domid)
    }

    /// Pages that the domain has.
    pub fn current_reservation(&self, domid: Domid) -> Result<u64, CtrlError> {
        self.pages_of("XENMEM_current_reservation", XENMEM_current_reservation, domid)
    }

    /// Pages that the domain may have.
    pub fn maximum_reservation(&self, domid: Domid) -> Result<u64, CtrlError> {
        self.pages_of("XENMEM_maximum_reservation", XENMEM_maximum_reservation, domid)
    }

    fn pages_of(&self, call: &'static str, cmd: u32, domid: Domid) -> Result<u64, CtrlError> {
        let mut domain = MemoryDomain { domid: domid.get() };
        self.memory_op(call, cmd, Some(domid), &mut domain, &mut []).map(u64::from)
    }

    /// Pages saved by sharing, and pages that are shared.
    pub fn shared_memory(&self) -> Result<(u64, u64), CtrlError> {
        let ask = |call, cmd| self.memory_op(call, cmd, None, &mut [0u64; 0], &mut []).map(u64::from);
        Ok((
            ask("XENMEM_get_sharing_freed_pages", XENMEM_get_sharing_freed_pages)?,
            ask("XENMEM_get_sharing_shared_pages", XENMEM_get_sharing_shared_pages)?,
        ))
    }

    /// Cleans the caches of guest frames that were written from here, so that a guest whose caches are off sees them;
    /// arm64 only.
    pub fn flush_caches(&self, domid: Domid, gfn: u64, count: u64) -> Result<(), CtrlError> {
        const CALL: &str = "XEN_DOMCTL_cacheflush";
        let end = gfn.checked_add(count).ok_or(CtrlError::Argument {
            call: CALL,
            domid: Some(domid),
            what: "the frames do not exist",
        })?;
        let mut start_pfn = gfn;
        while start_pfn < end {
            let nr_pfns = FLUSH_BATCH.min(end - start_pfn);
            let mut op = Cacheflush { start_pfn, nr_pfns };
            self.domctl(CALL, XEN_DOMCTL_cacheflush, domid, &mut op, &mut [])?;
            start_pfn += nr_pfns;
        }
        Ok(())
    }

    fn memory_op<T: xen_abi::Plain>(
        &self,
        call: &'static str,
        cmd: u32,
        domid: Option<Domid>,
        argument: &mut T,
        pointed: &mut [crate::ctrl::Pointed<'_>],
    ) -> Result<u32, CtrlError> {
        again(|| self.operate(__HYPERVISOR_memory_op, cmd, argument, pointed))
            .map_err(|errno: Errno| CtrlError::Call { call, domid, errno })
    }
}

fn reservation(domid: Domid, extents: u64) -> MemoryReservation {
    let mut op = MemoryReservation::new_zeroed();
    op.domid = domid.get();
    op.nr_extents = extents;
    op
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cpu;
    use crate::testkit::{GUEST, ctrl, domctl_of, only};

    #[test]
    fn populate_sends_the_frames_in_batches_until_all_are_done() {
        let (ctrl, xen) = ctrl(Cpu::Arm64);
        xen.on_hypercall(|call| Ok(call.read::<MemoryReservation>(call.args[1])?.nr_extents as u32));
        let gfns: Vec<u64> = (0x40000..0x40000 + BATCH as u64 + 3).collect();
        ctrl.populate_physmap(GUEST, &gfns, 9, XENMEMF_exact_node_request).unwrap();
        let calls = xen.take_calls();
        assert_eq!(calls.len(), 2);
        assert_eq!((calls[1].number, calls[1].args[0]), (12, 6));
        let op: MemoryReservation = calls[1].read(calls[1].args[1]).unwrap();
        assert_eq!((op.nr_extents, op.extent_order, op.mem_flags, op.domid), (3, 9, 1 << 17, 5));
        let frames: [u64; 3] = calls[1].read(op.extent_start.0).unwrap();
        assert_eq!(frames[..], gfns[BATCH..]);
    }

    #[test]
    fn populate_that_stops_early_says_how_far_it_came() {
        let (ctrl, xen) = ctrl(Cpu::Arm64);
        xen.on_hypercall(|_| Ok(2));
        let error = ctrl.populate_physmap(GUEST, &[1, 2, 3], 0, 0).unwrap_err().to_string();
        assert!(error.starts_with("XENMEM_populate_physmap on domain 5 stopped after 2 of 3"), "{error}");
        let error = ctrl.populate_physmap(GUEST, &[1], 0, 0).unwrap_err();
        assert!(matches!(error, CtrlError::Answer { .. }), "{error}");
    }

    #[test]
    fn claim_has_no_list_of_frames() {
        let (ctrl, xen) = ctrl(Cpu::Arm64);
        ctrl.claim_pages(GUEST, 0x123).unwrap();
        let call = only(&xen);
        let op: MemoryReservation = call.read(call.args[1]).unwrap();
        assert_eq!((call.args[0], op.nr_extents, op.domid), (24, 0x123, 5));
        assert!(op.extent_start.is_null());
    }

    #[test]
    fn frames_of_an_increase_come_back() {
        let (ctrl, xen) = ctrl(Cpu::Arm64);
        xen.on_hypercall(|call| {
            let op: MemoryReservation = call.read(call.args[1])?;
            call.write(op.extent_start.0, &[77u64, 78])?;
            Ok(2)
        });
        assert_eq!(ctrl.increase_reservation(GUEST, 2, 0, 0).unwrap(), [77, 78]);
    }

    #[test]
    fn physical_map_is_changed_by_space_index_and_frame() {
        let (ctrl, xen) = ctrl(Cpu::Arm64);
        ctrl.add_to_physmap(GUEST, XENMAPSPACE_grant_table, 2, 0x38000).unwrap();
        let call = only(&xen);
        assert_eq!((call.number, call.args[0]), (12, 7));
        let bytes = call.bytes_at(call.args[1]).unwrap();
        assert_eq!(bytes[..8], [5, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(bytes[8..], [2u64.to_le_bytes(), 0x38000u64.to_le_bytes()].concat());
        ctrl.remove_from_physmap(GUEST, 0x38000).unwrap();
        assert_eq!(only(&xen).args[0], 15);
    }

    #[test]
    fn numbers_of_pages_are_the_results() {
        let (ctrl, xen) = ctrl(Cpu::Arm64);
        xen.on_hypercall(|call| Ok(call.args[0] as u32));
        assert_eq!(ctrl.maximum_ram_page().unwrap(), 2);
        assert_eq!(ctrl.current_reservation(GUEST).unwrap(), 3);
        assert_eq!(ctrl.maximum_reservation(GUEST).unwrap(), 4);
        assert_eq!(ctrl.maximum_gfn(GUEST).unwrap(), 14);
        assert_eq!(ctrl.shared_memory().unwrap(), (18, 19));
    }

    #[test]
    fn cache_flush_goes_over_the_range_piece_by_piece() {
        let (ctrl, xen) = ctrl(Cpu::Arm64);
        ctrl.flush_caches(GUEST, 0x40000, FLUSH_BATCH + 1).unwrap();
        let ranges: Vec<_> = xen
            .take_calls()
            .iter()
            .map(|call| domctl_of(call).read_payload::<Cacheflush>())
            .map(|flush| (flush.start_pfn, flush.nr_pfns))
            .collect();
        assert_eq!(ranges, [(0x40000, FLUSH_BATCH), (0x40000 + FLUSH_BATCH, 1)]);
        assert!(matches!(ctrl.flush_caches(GUEST, u64::MAX, 2), Err(CtrlError::Argument { .. })));
    }
}
