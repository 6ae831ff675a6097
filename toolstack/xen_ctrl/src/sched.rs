//! Parameters of the credit2 scheduler, and which scheduler there is.

use xen_abi::domctl::{
    SchedCredit2, SchedulerOp, XEN_DOMCTL_SCHEDOP_getinfo, XEN_DOMCTL_SCHEDOP_putinfo,
    XEN_DOMCTL_scheduler_op, XEN_SCHEDULER_CREDIT2,
};
use xen_abi::sysctl::{
    Credit2Schedule, SchedId, SchedulerOp as GlobalOp, XEN_SYSCTL_SCHEDOP_getinfo,
    XEN_SYSCTL_SCHEDOP_putinfo, XEN_SYSCTL_sched_id, XEN_SYSCTL_scheduler_op,
};
use xen_dev::Domid;
use zerocopy::FromZeros;

use crate::{CtrlError, XenCtrl};

impl XenCtrl {
    /// The default scheduler (`XEN_SCHEDULER_*`).
    pub fn scheduler(&self) -> Result<u32, CtrlError> {
        let mut id = SchedId::new_zeroed();
        self.sysctl("XEN_SYSCTL_sched_id", XEN_SYSCTL_sched_id, &mut id, &mut [])?;
        Ok(id.sched_id)
    }

    /// A domain's weight and cap under credit2; `EINVAL` when its pool has another scheduler.
    pub fn credit2(&self, domid: Domid) -> Result<SchedCredit2, CtrlError> {
        self.domain_op(domid, XEN_DOMCTL_SCHEDOP_getinfo, SchedCredit2::new_zeroed())
    }

    /// Sets a domain's weight and cap under credit2; `EINVAL` when its pool has another scheduler.
    pub fn set_credit2(&self, domid: Domid, params: SchedCredit2) -> Result<(), CtrlError> {
        self.domain_op(domid, XEN_DOMCTL_SCHEDOP_putinfo, params).map(drop)
    }

    fn domain_op(&self, domid: Domid, cmd: u32, params: SchedCredit2) -> Result<SchedCredit2, CtrlError> {
        let mut op = SchedulerOp::new_zeroed();
        op.sched_id = XEN_SCHEDULER_CREDIT2;
        op.cmd = cmd;
        op.write_payload(&params);
        self.domctl("XEN_DOMCTL_scheduler_op", XEN_DOMCTL_scheduler_op, domid, &mut op, &mut [])?;
        Ok(op.read_payload())
    }

    /// The rate limit of a pool's credit2, in microseconds.
    pub fn credit2_ratelimit(&self, cpupool: u32) -> Result<u32, CtrlError> {
        self.pool_op(cpupool, XEN_SYSCTL_SCHEDOP_getinfo, 0)
    }

    /// Sets the rate limit of a pool's credit2, in microseconds; 0 is none.
    pub fn set_credit2_ratelimit(&self, cpupool: u32, us: u32) -> Result<(), CtrlError> {
        self.pool_op(cpupool, XEN_SYSCTL_SCHEDOP_putinfo, us).map(drop)
    }

    fn pool_op(&self, cpupool: u32, cmd: u32, ratelimit_us: u32) -> Result<u32, CtrlError> {
        let mut op = GlobalOp::new_zeroed();
        op.cpupool_id = cpupool;
        op.sched_id = XEN_SCHEDULER_CREDIT2;
        op.cmd = cmd;
        op.write_payload(&Credit2Schedule { ratelimit_us });
        self.sysctl("XEN_SYSCTL_scheduler_op", XEN_SYSCTL_scheduler_op, &mut op, &mut [])?;
        Ok(op.read_payload::<Credit2Schedule>().ratelimit_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cpu;
    use crate::testkit::{GUEST, ctrl, domctl_bytes, domctl_of, only};

    #[test]
    fn weight_and_cap_are_sent_as_credit2_parameters() {
        let (ctrl, xen) = ctrl(Cpu::Arm64);
        ctrl.set_credit2(GUEST, SchedCredit2 { weight: 0x200, cap: 50 }).unwrap();
        let bytes = domctl_bytes(&xen, 16);
        assert_eq!(bytes[..12], [6, 0, 0, 0, 0, 0, 0, 0, 0, 2, 50, 0]);
        assert!(bytes[12..].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn weight_and_cap_are_read_from_the_answer() {
        let (ctrl, xen) = ctrl(Cpu::Arm64);
        xen.on_hypercall(|call| {
            let mut op = domctl_of(call);
            let mut sched: SchedulerOp = op.read_payload();
            assert_eq!((sched.sched_id, sched.cmd), (6, 1));
            sched.write_payload(&SchedCredit2 { weight: 256, cap: 7 });
            op.write_payload(&sched);
            call.write(call.args[0], &op)?;
            Ok(0)
        });
        assert_eq!(ctrl.credit2(GUEST).unwrap(), SchedCredit2 { weight: 256, cap: 7 });
    }

    #[test]
    fn rate_limit_is_sent_for_its_pool() {
        let (ctrl, xen) = ctrl(Cpu::Arm64);
        ctrl.set_credit2_ratelimit(2, 1000).unwrap();
        let call = only(&xen);
        assert_eq!(call.number, 35);
        assert_eq!(call.buffers[0][..20], [19, 0, 0, 0, 0x15, 0, 0, 0, 2, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(call.buffers[0][24..28], 1000u32.to_le_bytes());
    }
}
