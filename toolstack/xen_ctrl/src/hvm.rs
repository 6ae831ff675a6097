//! Parameters of translated guests (`hvm_op`).

use xen_abi::hvm::hvm_op::{HVMOP_get_param, HVMOP_set_param, HvmParam};
use xen_abi::xen::__HYPERVISOR_hvm_op;
use xen_dev::Domid;

use crate::{CtrlError, XenCtrl};

impl XenCtrl {
    /// Sets a parameter (`HVM_PARAM_*`).
    pub fn set_hvm_param(&self, domid: Domid, index: u32, value: u64) -> Result<(), CtrlError> {
        self.param("HVMOP_set_param", HVMOP_set_param, domid, index, value).map(drop)
    }

    /// Reads a parameter (`HVM_PARAM_*`).
    pub fn hvm_param(&self, domid: Domid, index: u32) -> Result<u64, CtrlError> {
        self.param("HVMOP_get_param", HVMOP_get_param, domid, index, 0)
    }

    fn param(
        &self,
        call: &'static str,
        cmd: u32,
        domid: Domid,
        index: u32,
        value: u64,
    ) -> Result<u64, CtrlError> {
        let mut param = HvmParam { domid: domid.get(), pad: 0, index, value };
        self.operate(__HYPERVISOR_hvm_op, cmd, &mut param, &mut [])
            .map(|_| param.value)
            .map_err(|errno| CtrlError::Call { call, domid: Some(domid), errno })
    }
}

#[cfg(test)]
mod tests {
    use xen_abi::hvm::params::HVM_PARAM_CONSOLE_PFN;

    use super::*;
    use crate::Cpu;
    use crate::testkit::{GUEST, ctrl, only};

    #[test]
    fn parameter_is_set_and_read_by_index() {
        let (ctrl, xen) = ctrl(Cpu::Arm64);
        ctrl.set_hvm_param(GUEST, HVM_PARAM_CONSOLE_PFN, 0x39000).unwrap();
        let call = only(&xen);
        assert_eq!((call.number, call.args[0]), (34, 0));
        assert_eq!(
            call.bytes_at(call.args[1]).unwrap(),
            [5, 0, 0, 0, 17, 0, 0, 0, 0, 0x90, 3, 0, 0, 0, 0, 0]
        );
        xen.on_hypercall(|call| {
            let mut param: HvmParam = call.read(call.args[1])?;
            assert_eq!((call.args[0], param.index), (1, 17));
            param.value = 0x39000;
            call.write(call.args[1], &param)?;
            Ok(0)
        });
        assert_eq!(ctrl.hvm_param(GUEST, HVM_PARAM_CONSOLE_PFN).unwrap(), 0x39000);
    }
}
