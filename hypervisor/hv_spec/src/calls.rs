//! From a hypercall's number to what it does, who may name whom, and lists of hypercalls.

use crate::{Call, Model, Outcome, PAGE, PageId, Reads, Subject, Verdict};
use xen_abi::Errno;
use xen_abi::xen::*;

/// What a handler of the model ends with.
pub(crate) type Ran = Result<Outcome, Errno>;

impl Model {
    /// A hypercall has been issued to the core, which read `reads` and made `outcome` of it. The model does the same,
    /// and panics where it ends otherwise.
    #[track_caller]
    pub fn call(&mut self, call: &Call, outcome: &Outcome, reads: &Reads, core: &dyn Subject) -> Verdict {
        self.argued.borrow_mut().clear();
        (self.tangled, self.disagreement) = (false, None);
        self.begin_reads(reads);
        let mut shared = self.shared_pages();
        let expected = self.run(call, outcome, core).unwrap_or_else(Outcome::Failed);
        self.end_reads(core);
        shared.append(&mut self.shared_pages());
        self.check_reads(&shared);
        let is_changed = |(id, gfn): &(u16, u64)| {
            self.domains.get(id).is_none_or(|domain| domain.p2m.changed.contains(gfn))
        };
        if self.tangled || self.argued.borrow().iter().any(is_changed) {
            return Verdict::Unknown;
        }
        if let Some(disagreement) = &self.disagreement {
            panic!("{call:x?}: {disagreement}");
        }
        assert_eq!(*outcome, expected, "the core's answer to {call:x?}, and what it should be");
        self.reap();
        Verdict::Agreed
    }

    /// Something is not as it should be.
    pub(crate) fn expect(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds && self.disagreement.is_none() {
            self.disagreement = Some(what());
        }
    }

    /// The operations of a hypercall that the model knows, if it knows any; those whose progress cannot be seen from
    /// outside are left out.
    pub fn operations(number: u32) -> &'static [u32] {
        use xen_abi::event_channel::*;
        use xen_abi::grant_table::*;
        use xen_abi::hvm::hvm_op::{HVMOP_get_param, HVMOP_set_param};
        use xen_abi::memory::*;
        use xen_abi::vcpu::VCPUOP_register_vcpu_info;
        match number {
            __HYPERVISOR_memory_op => &[
                XENMEM_increase_reservation,
                XENMEM_decrease_reservation,
                XENMEM_populate_physmap,
                XENMEM_current_reservation,
                XENMEM_maximum_reservation,
                XENMEM_maximum_gpfn,
                XENMEM_add_to_physmap,
                XENMEM_add_to_physmap_batch,
                XENMEM_remove_from_physmap,
                XENMEM_acquire_resource,
                XENMEM_set_pod_target,
                XENMEM_get_pod_target,
            ],
            __HYPERVISOR_grant_table_op => &[
                GNTTABOP_map_grant_ref,
                GNTTABOP_unmap_grant_ref,
                GNTTABOP_copy,
                GNTTABOP_swap_grant_ref,
                GNTTABOP_setup_table,
                GNTTABOP_transfer,
                GNTTABOP_unmap_and_replace,
                GNTTABOP_query_size,
                GNTTABOP_get_version,
                GNTTABOP_set_version,
                GNTTABOP_get_status_frames,
            ],
            __HYPERVISOR_event_channel_op => &[
                EVTCHNOP_bind_interdomain,
                EVTCHNOP_bind_virq,
                EVTCHNOP_bind_pirq,
                EVTCHNOP_close,
                EVTCHNOP_send,
                EVTCHNOP_status,
                EVTCHNOP_alloc_unbound,
                EVTCHNOP_bind_ipi,
                EVTCHNOP_bind_vcpu,
                EVTCHNOP_unmask,
                EVTCHNOP_init_control,
                EVTCHNOP_expand_array,
                EVTCHNOP_set_priority,
            ],
            __HYPERVISOR_hvm_op => &[HVMOP_set_param, HVMOP_get_param],
            __HYPERVISOR_vcpu_op => &[VCPUOP_register_vcpu_info],
            _ => &[],
        }
    }

    /// Whether the model knows a hypercall. Of the others, and of operations that it does not know, it takes any
    /// answer, and expects that they change nothing that it has.
    pub fn knows(number: u64) -> bool {
        const KNOWN: [u32; 8] = [
            __HYPERVISOR_memory_op,
            __HYPERVISOR_grant_table_op,
            __HYPERVISOR_event_channel_op,
            __HYPERVISOR_vcpu_op,
            __HYPERVISOR_sched_op,
            __HYPERVISOR_hvm_op,
            __HYPERVISOR_domctl,
            __HYPERVISOR_multicall,
        ];
        KNOWN.iter().any(|known| u64::from(*known) == number)
    }

    fn run(&mut self, call: &Call, outcome: &Outcome, core: &dyn Subject) -> Ran {
        self.ledger.borrow_mut().add_call();
        if !Self::knows(call.number) {
            return Ok(*outcome);
        }
        match call.number as u32 {
            __HYPERVISOR_memory_op => self.memory_op(call, outcome, core),
            __HYPERVISOR_grant_table_op => self.grant_table_op(call, outcome, core),
            __HYPERVISOR_event_channel_op => self.event_channel_op(call, outcome),
            __HYPERVISOR_vcpu_op => self.vcpu_op(call).map(Outcome::Done),
            __HYPERVISOR_sched_op => self.sched_op(call).map(Outcome::Done),
            __HYPERVISOR_hvm_op => self.hvm_op(call, outcome).map(Outcome::Done),
            __HYPERVISOR_domctl => self.domctl(call, outcome, core),
            _ => self.multicall(call, outcome, core),
        }
    }

    /// The domain that a number names, which may be DOMID_SELF.
    pub(crate) fn named(&self, caller: u16, domid: u16) -> Result<u16, Errno> {
        let id = if domid == DOMID_SELF { caller } else { domid };
        if self.domains.contains_key(&id) { Ok(id) } else { Err(Errno::ESRCH) }
    }

    /// The same, if the caller may manage it: itself, or any if it is privileged.
    pub(crate) fn managed(&self, caller: u16, domid: u16) -> Result<u16, Errno> {
        let id = self.named(caller, domid)?;
        if id == caller || self.dom(caller).privileged { Ok(id) } else { Err(Errno::EPERM) }
    }

    /// The bytes that the core has now at an address of a guest, as far as the model knows where that is.
    pub(crate) fn core_bytes(&self, id: u16, va: u64, buf: &mut [u8], core: &dyn Subject) {
        for (at, start, len) in Self::pieces(va, buf.len()).unwrap_or_default() {
            let page = self.domains.get(&id).and_then(|d| d.p2m.get(at >> 12)).map(|entry| entry.page);
            if let Some(mfn) = page.and_then(|page| self.pages.get(page).mfn) {
                core.load(mfn, at as usize % PAGE, &mut buf[start..start + len]);
            }
        }
    }

    /// The bytes that the core has now in a page.
    pub(crate) fn load_from_core(&self, page: PageId, offset: usize, buf: &mut [u8], core: &dyn Subject) {
        if let Some(mfn) = self.pages.get(page).mfn {
            core.load(mfn, offset, buf);
        }
    }

    /// multicall(list, count): each call's result goes to its entry; one that is to be issued again stops the list.
    fn multicall(&mut self, call: &Call, outcome: &Outcome, core: &dyn Subject) -> Ran {
        let [list, count, ..] = call.args;
        let count = u64::from(count as u32);
        let stop = match outcome {
            Outcome::Again([at, ..]) => {
                let size = size_of::<MulticallEntry>() as u64;
                let done = at.wrapping_sub(list);
                let fits = done.is_multiple_of(size) && done / size < count;
                self.expect(fits, || format!("a list at {list:x} goes on at {at:x}"));
                Some(done / size)
            }
            _ => None,
        };
        for n in 0..count {
            let at = Self::element_at::<MulticallEntry>(list, n)?;
            let again = Outcome::Again([at, count - n, 0, 0, 0]);
            let mut entry: MulticallEntry = match self.fetch_answered(call.caller, at) {
                // It has not got so far as to read it.
                Err(_) if stop == Some(n) => return Ok(again),
                read => read?,
            };
            let mut made = entry;
            self.core_bytes(call.caller, at, zerocopy::IntoBytes::as_mut_bytes(&mut made), core);
            let [a0, a1, a2, a3, a4, _] = entry.args;
            let [b0, b1, b2, b3, b4, _] = made.args;
            let (args, goes_on) = ([a0, a1, a2, a3, a4], [b0, b1, b2, b3, b4]);
            if stop == Some(n) && args == goes_on {
                return Ok(again);
            }
            let inner = Call { number: entry.op, args, ..*call };
            let code = (made.result as i64).checked_neg().and_then(|e| u32::try_from(e).ok());
            let answer = match code.and_then(Errno::from_code) {
                _ if stop == Some(n) => Outcome::Again(goes_on),
                Some(errno) => Outcome::Failed(errno),
                None => Outcome::Done(made.result),
            };
            let ran = if entry.op == u64::from(__HYPERVISOR_multicall) {
                Outcome::Failed(Errno::EINVAL)
            } else {
                self.run(&inner, &answer, core).unwrap_or_else(Outcome::Failed)
            };
            match ran {
                Outcome::Done(value) => entry.result = value,
                Outcome::Failed(errno) => entry.result = (-(errno as i64)) as u64,
                Outcome::Again(args) => {
                    entry.args[..5].copy_from_slice(&args);
                    self.put(call.caller, at, &entry)?;
                    return Ok(again);
                }
            }
            self.put(call.caller, at, &entry)?;
        }
        Ok(Outcome::Done(0))
    }
}
