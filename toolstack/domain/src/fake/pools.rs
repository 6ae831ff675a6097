//! The fake hypervisor's CPU pools: four CPUs.
#![allow(non_upper_case_globals, reason = "the ABI's constants keep their header spelling, in patterns too")]

use std::collections::BTreeMap;

use xen_abi::domctl::XEN_SCHEDULER_CREDIT2;
use xen_abi::sysctl::*;
use xen_dev::Errno;

use super::hypervisor::FakeDomain;

const ALL_CPUS: u8 = 0b1111;

/// Pools by their ids: scheduler and set of CPUs.
pub(super) struct Pools(BTreeMap<u32, (u32, u8)>);

impl Pools {
    pub(super) fn new() -> Self {
        Self(BTreeMap::from([(0, (XEN_SCHEDULER_CREDIT2, ALL_CPUS))]))
    }

    /// Does an operation; gives the CPUs that it asks for.
    pub(super) fn op(
        &mut self,
        op: &mut CpupoolOp,
        domains: &mut BTreeMap<u16, FakeDomain>,
    ) -> Result<Option<u8>, Errno> {
        let used = self.0.values().fold(0, |used, (_, cpus)| used | cpus);
        match op.op {
            XEN_SYSCTL_CPUPOOL_OP_CREATE => {
                let id = (0..).find(|id| !self.0.contains_key(id)).ok_or(Errno::NOSPC)?;
                self.0.insert(id, (op.sched_id, 0));
                op.cpupool_id = id;
            }
            XEN_SYSCTL_CPUPOOL_OP_DESTROY => match self.0.get(&op.cpupool_id) {
                Some((_, 0)) => drop(self.0.remove(&op.cpupool_id)),
                Some(_) => return Err(Errno::BUSY),
                None => return Err(Errno::NOENT),
            },
            XEN_SYSCTL_CPUPOOL_OP_INFO => {
                let (&id, &(scheduler, cpus)) = self.0.range(op.cpupool_id..).next().ok_or(Errno::NOENT)?;
                (op.cpupool_id, op.sched_id) = (id, scheduler);
                op.n_dom = domains.values().filter(|domain| domain.cpupool == id).count() as u32;
                return Ok(Some(cpus));
            }
            XEN_SYSCTL_CPUPOOL_OP_FREEINFO => return Ok(Some(ALL_CPUS & !used)),
            XEN_SYSCTL_CPUPOOL_OP_ADDCPU => {
                let cpu = 1 << op.cpu;
                if used & cpu != 0 {
                    return Err(Errno::BUSY);
                }
                self.0.get_mut(&op.cpupool_id).ok_or(Errno::NOENT)?.1 |= cpu;
            }
            XEN_SYSCTL_CPUPOOL_OP_RMCPU => {
                self.0.get_mut(&op.cpupool_id).ok_or(Errno::NOENT)?.1 &= !(1 << op.cpu);
            }
            XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN => {
                let domid = u16::try_from(op.domid).map_err(|_| Errno::SRCH)?;
                domains.get_mut(&domid).ok_or(Errno::SRCH)?.cpupool = op.cpupool_id;
            }
            _ => return Err(Errno::NOSYS),
        }
        Ok(None)
    }
}
