//! What the tools do to domains (`domctl.h`), and parameters of guests.

use crate::calls::Ran;
use crate::domain::{NewDomain, Vcpu};
use crate::{Answer, Call, Model, Outcome, PAGE, Subject};
use xen_abi::Errno;
use xen_abi::domctl::v4_17::arm64::CreateDomain;
use xen_abi::domctl::v4_17::{XEN_DOMCTL_CDF_hap, XEN_DOMCTL_CDF_hvm};
use xen_abi::domctl::*;
use xen_abi::hvm::hvm_op::{HVMOP_get_param, HVMOP_set_param, HvmParam};
use xen_abi::hvm::params::*;
use xen_abi::xen::{NR_VIRQS, virq_is_per_vcpu};
use zerocopy::{FromZeros, IntoBytes as _};

/// Numbers from here on are no domains'.
const FIRST_RESERVED: u16 = 0x7ff0;
/// Pauses that a domain can have.
const MAX_PAUSES: u32 = 255;

impl Model {
    /// HYPERVISOR_domctl. One that goes on later is told to the model when it is done.
    pub(crate) fn domctl(&mut self, call: &Call, outcome: &Outcome, core: &dyn Subject) -> Ran {
        let id = call.caller;
        let op: Domctl = self.fetch(id, call.args[0])?;
        if !(XEN_DOMCTL_INTERFACE_VERSION..=0x16).contains(&op.interface_version) {
            return Err(Errno::EACCES);
        }
        if !self.dom(id).privileged {
            return Err(Errno::EPERM);
        }
        if op.cmd == XEN_DOMCTL_createdomain {
            return self.create_as_asked(call, op, core);
        }
        let of = op.domain;
        if !self.domains.contains_key(&of) {
            return Err(Errno::ESRCH);
        }
        let other = || if of == id { Err(Errno::EINVAL) } else { Ok(()) };
        match op.cmd {
            XEN_DOMCTL_destroydomain => {
                other()?;
                if !self.dom(of).dying {
                    self.destroy(of);
                }
            }
            XEN_DOMCTL_pausedomain => {
                other()?;
                if self.dom(of).pauses == MAX_PAUSES {
                    return Err(Errno::EOVERFLOW);
                }
                self.dom_mut(of).pauses += 1;
            }
            XEN_DOMCTL_unpausedomain => {
                let domain = self.dom_mut(of);
                domain.pauses = domain.pauses.checked_sub(1).ok_or(Errno::EINVAL)?;
            }
            XEN_DOMCTL_resumedomain => {
                other()?;
                self.dom_mut(of).shut_down = false;
            }
            XEN_DOMCTL_max_mem => {
                let pages = op.read_payload::<MaxMem>().max_memkb / (PAGE as u64 / 1024);
                self.dom_mut(of).max_pages = pages.min(u32::MAX.into());
            }
            XEN_DOMCTL_set_paging_mempool_size => {
                self.set_pool(of, op.read_payload::<PagingMempool>().size)?
            }
            XEN_DOMCTL_max_vcpus => {
                other()?;
                let domain = self.dom_mut(of);
                if op.read_payload::<MaxVcpus>().max != domain.max_vcpus || domain.dying {
                    return Err(Errno::EINVAL);
                }
                domain.vcpus.resize_with(domain.max_vcpus as usize, Vcpu::default);
            }
            XEN_DOMCTL_setvcpucontext => {
                other()?;
                let request: VcpuContext = op.read_payload();
                let vcpu = self.dom_mut(of).vcpus.get_mut(request.vcpu as usize).ok_or(Errno::EINVAL)?;
                if request.ctxt.is_null() {
                    vcpu.up = false;
                } else {
                    // Registers are not modelled; whether the vCPU is up afterwards is.
                    return Ok(*outcome);
                }
            }
            XEN_DOMCTL_set_virq_handler => {
                let virq = op.read_payload::<SetVirqHandler>().virq;
                let known = virq < NR_VIRQS && virq_is_per_vcpu(virq) != Some(true);
                if self.dom(of).dying || !known {
                    return Err(Errno::EINVAL);
                }
                self.handlers.set(virq, of);
            }
            _ => return Ok(*outcome),
        }
        Ok(Outcome::Done(0))
    }

    fn create_as_asked(&mut self, call: &Call, mut op: Domctl, core: &dyn Subject) -> Ran {
        let asked: CreateDomain = op.read_payload();
        let common = asked.common;
        let limit = |asked: i32, least: u32, most: u32| match u32::try_from(asked) {
            Ok(n) if n < least || n > most => Err(Errno::EINVAL),
            Ok(n) => Ok(n),
            Err(_) => Ok(most),
        };
        if common.flags != XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap || !(1..=128).contains(&common.max_vcpus) {
            return Err(Errno::EINVAL);
        }
        let mut made = Domctl::new_zeroed();
        self.core_bytes(call.caller, call.args[0], made.as_mut_bytes(), core);
        let is_free = |id: u16| !self.domains.contains_key(&id);
        let id = match op.domain {
            id if id > 0 && id < FIRST_RESERVED && !is_free(id) => return Err(Errno::EEXIST),
            id if id > 0 && id < FIRST_RESERVED => id,
            // Any that is free.
            _ => made.domain,
        };
        let new = NewDomain {
            id,
            privileged: false,
            max_vcpus: common.max_vcpus,
            max_port: common.max_evtchn_port,
            max_grant_frames: limit(common.max_grant_frames, 1, self.limits.grant_frames)?,
            max_maptrack: limit(common.max_maptrack_frames, 0, self.limits.maptrack_frames)?,
        };
        assert!(id > 0 && id < FIRST_RESERVED && is_free(id), "a new domain has the number {id}");
        self.create(new);
        self.adopt_shared_info(id, core);
        op.domain = id;
        op.write_payload(&CreateDomain { common, arch: FromZeros::new_zeroed() });
        self.put(call.caller, call.args[0], &op)?;
        Ok(Outcome::Done(0))
    }

    /// Sizes the pool of tables. Those in use cannot be taken away; those not in use are, until then.
    fn set_pool(&mut self, id: u16, size: u64) -> Result<(), Errno> {
        if !size.is_multiple_of(PAGE as u64) || self.dom(id).dying {
            return Err(Errno::EINVAL);
        }
        let p2m = &mut self.dom_mut(id).p2m;
        let (wanted, used) = (size / PAGE as u64, p2m.tables());
        if p2m.pool.is_some() {
            p2m.pool = Some(wanted.max(used));
        }
        if wanted < used { Err(Errno::EBUSY) } else { Ok(()) }
    }

    /// HYPERVISOR_hvm_op: parameters that the tools leave for a guest.
    pub(crate) fn hvm_op(&mut self, call: &Call, outcome: &Outcome) -> Answer {
        let [cmd, arg, ..] = call.args;
        let set = match cmd as u32 {
            HVMOP_set_param => true,
            HVMOP_get_param => false,
            // Whatever it answers, it changes nothing.
            _ => return answered(outcome),
        };
        let mut op: HvmParam = self.fetch(call.caller, arg)?;
        if op.index >= HVM_NR_PARAMS {
            return Err(Errno::EINVAL);
        }
        let of = self.managed(call.caller, op.domid)?;
        const KNOWN: [u32; 6] = [
            HVM_PARAM_CALLBACK_IRQ,
            HVM_PARAM_STORE_PFN,
            HVM_PARAM_STORE_EVTCHN,
            HVM_PARAM_CONSOLE_PFN,
            HVM_PARAM_CONSOLE_EVTCHN,
            HVM_PARAM_MONITOR_RING_PFN,
        ];
        if !KNOWN.contains(&op.index) {
            return Err(Errno::EINVAL);
        }
        if of == call.caller && (set || op.index == HVM_PARAM_MONITOR_RING_PFN) {
            return Err(Errno::EPERM);
        }
        if set {
            self.dom_mut(of).params.insert(op.index, op.value);
        } else {
            op.value = self.dom(of).params.get(&op.index).copied().unwrap_or(0);
            self.put(call.caller, arg, &op)?;
        }
        Ok(0)
    }
}

/// What the core answered.
fn answered(outcome: &Outcome) -> Answer {
    match outcome {
        Outcome::Failed(errno) => Err(*errno),
        Outcome::Done(value) => Ok(*value),
        Outcome::Again(_) => Ok(0),
    }
}
