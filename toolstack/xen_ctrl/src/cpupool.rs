//! CPU pools.

use std::mem::offset_of;

use xen_abi::sysctl::*;
use xen_dev::{Domid, Errno};
use zerocopy::FromZeros;

use crate::{BITMAP_BITS, Bitmap, CtrlError, XenCtrl};

const CALL: &str = "XEN_SYSCTL_cpupool_op";
/// Pools that a list may have; there cannot be more than CPUs, and pool 0.
const MAX_POOLS: usize = BITMAP_BITS as usize + 1;

/// A CPU pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpupool {
    /// Its id.
    pub id: u32,
    /// Its scheduler (`XEN_SCHEDULER_*`).
    pub scheduler: u32,
    /// Domains in it.
    pub domains: u32,
    /// Its CPUs.
    pub cpus: Bitmap,
}

impl XenCtrl {
    /// Creates an empty pool with this id, or with a free one, and this scheduler. Returns the id.
    pub fn create_cpupool(&self, id: Option<u32>, scheduler: u32) -> Result<u32, CtrlError> {
        let mut op = pool_op(XEN_SYSCTL_CPUPOOL_OP_CREATE, id.unwrap_or(XEN_SYSCTL_CPUPOOL_PAR_ANY));
        op.sched_id = scheduler;
        self.cpupool_op(&mut op, None)?;
        Ok(op.cpupool_id)
    }

    /// Destroys a pool without domains.
    pub fn destroy_cpupool(&self, id: u32) -> Result<(), CtrlError> {
        self.cpupool_op(&mut pool_op(XEN_SYSCTL_CPUPOOL_OP_DESTROY, id), None)
    }

    /// All pools, by rising id.
    pub fn cpupools(&self) -> Result<Vec<Cpupool>, CtrlError> {
        let mut pools: Vec<Cpupool> = Vec::new();
        let mut next = 0;
        while pools.len() < MAX_POOLS {
            let mut op = pool_op(XEN_SYSCTL_CPUPOOL_OP_INFO, next);
            let mut cpus = Bitmap::default();
            match self.cpupool_op(&mut op, Some(&mut cpus)) {
                Err(error) if error.errno() == Some(Errno::NOENT) => return Ok(pools),
                done => done?,
            }
            if op.cpupool_id < next {
                return Err(CtrlError::Answer { call: CALL, domid: None, what: "pools out of order" });
            }
            pools.push(Cpupool { id: op.cpupool_id, scheduler: op.sched_id, domains: op.n_dom, cpus });
            match op.cpupool_id.checked_add(1) {
                Some(id) => next = id,
                None => return Ok(pools),
            }
        }
        Err(CtrlError::Answer { call: CALL, domid: None, what: "more pools than CPUs" })
    }

    /// Adds a CPU, or any free one, to a pool.
    pub fn add_cpu(&self, id: u32, cpu: Option<u32>) -> Result<(), CtrlError> {
        self.move_cpu(XEN_SYSCTL_CPUPOOL_OP_ADDCPU, id, cpu)
    }

    /// Removes a CPU, or any one, from a pool.
    pub fn remove_cpu(&self, id: u32, cpu: Option<u32>) -> Result<(), CtrlError> {
        self.move_cpu(XEN_SYSCTL_CPUPOOL_OP_RMCPU, id, cpu)
    }

    fn move_cpu(&self, what: u32, id: u32, cpu: Option<u32>) -> Result<(), CtrlError> {
        let mut op = pool_op(what, id);
        op.cpu = cpu.unwrap_or(XEN_SYSCTL_CPUPOOL_PAR_ANY);
        self.cpupool_op(&mut op, None)
    }

    /// Moves a domain to a pool.
    pub fn move_domain(&self, id: u32, domid: Domid) -> Result<(), CtrlError> {
        let mut op = pool_op(XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN, id);
        op.domid = domid.into();
        self.cpupool_op(&mut op, None)
    }

    /// CPUs in no pool.
    pub fn free_cpus(&self) -> Result<Bitmap, CtrlError> {
        let mut cpus = Bitmap::default();
        self.cpupool_op(&mut pool_op(XEN_SYSCTL_CPUPOOL_OP_FREEINFO, 0), Some(&mut cpus))?;
        Ok(cpus)
    }

    fn cpupool_op(&self, op: &mut CpupoolOp, cpus: Option<&mut Bitmap>) -> Result<(), CtrlError> {
        match cpus {
            Some(cpus) => {
                op.cpumap.nr_bits = BITMAP_BITS;
                let pointed = &mut [(offset_of!(CpupoolOp, cpumap.bitmap), cpus.bytes_mut())];
                self.sysctl(CALL, XEN_SYSCTL_cpupool_op, op, pointed)
            }
            None => self.sysctl(CALL, XEN_SYSCTL_cpupool_op, op, &mut []),
        }
    }
}

fn pool_op(op: u32, id: u32) -> CpupoolOp {
    CpupoolOp { op, cpupool_id: id, ..CpupoolOp::new_zeroed() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cpu;
    use crate::testkit::{GUEST, ctrl, only, sysctl_of};

    #[test]
    fn pools_are_listed_until_there_are_no_more() {
        let (ctrl, xen) = ctrl(Cpu::Arm64);
        xen.on_hypercall(|call| {
            let mut op = sysctl_of(call);
            let mut pool: CpupoolOp = op.read_payload();
            assert_eq!((pool.op, pool.cpumap.nr_bits), (XEN_SYSCTL_CPUPOOL_OP_INFO, 4096));
            let id = [0, 7].into_iter().find(|&id| id >= pool.cpupool_id).ok_or(Errno::NOENT)?;
            (pool.cpupool_id, pool.sched_id, pool.n_dom) = (id, 6, id + 1);
            call.bytes_at_mut(pool.cpumap.bitmap.0)?[0] = 1 + id as u8;
            op.write_payload(&pool);
            call.write(call.args[0], &op)?;
            Ok(0)
        });
        let pools = ctrl.cpupools().unwrap();
        let seen: Vec<_> =
            pools.iter().map(|pool| (pool.id, pool.domains, pool.cpus.iter().collect::<Vec<_>>())).collect();
        assert_eq!(seen, [(0, 1, vec![0]), (7, 8, vec![3])]);
    }

    #[test]
    fn list_that_does_not_rise_ends_with_an_error() {
        let (ctrl, xen) = ctrl(Cpu::Arm64);
        assert!(matches!(ctrl.cpupools(), Err(CtrlError::Answer { what: "more pools than CPUs", .. })));
        xen.on_hypercall(|call| {
            let mut op = sysctl_of(call);
            let mut pool: CpupoolOp = op.read_payload();
            pool.cpupool_id = 0;
            op.write_payload(&pool);
            call.write(call.args[0], &op)?;
            Ok(0)
        });
        assert!(matches!(ctrl.cpupools(), Err(CtrlError::Answer { what: "pools out of order", .. })));
    }

    #[test]
    fn operations_fill_the_fields_that_they_need() {
        let (ctrl, xen) = ctrl(Cpu::Arm64);
        let sent = |done: Result<(), CtrlError>| {
            done.unwrap();
            let op: CpupoolOp = sysctl_of(&only(&xen)).read_payload();
            (op.op, op.cpupool_id, op.sched_id, op.domid, op.cpu)
        };
        assert_eq!(sent(ctrl.create_cpupool(None, 6).map(drop)), (1, u32::MAX, 6, 0, 0));
        assert_eq!(sent(ctrl.destroy_cpupool(2)), (2, 2, 0, 0, 0));
        assert_eq!(sent(ctrl.add_cpu(2, Some(3))), (4, 2, 0, 0, 3));
        assert_eq!(sent(ctrl.remove_cpu(2, None)), (5, 2, 0, 0, u32::MAX));
        assert_eq!(sent(ctrl.move_domain(2, GUEST)), (6, 2, 0, 5, 0));
    }
}
