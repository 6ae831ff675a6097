//! vCPUs: registers, state, and where they may run.

use std::mem::offset_of;

use xen_abi::domctl::*;
use xen_abi::{arch_arm, arch_x86};
use xen_dev::Domid;
use zerocopy::{FromZeros, IntoBytes};

use crate::{BITMAP_BITS, Bitmap, Cpu, CtrlError, XenCtrl};

/// The registers of a vCPU (`vcpu_guest_context`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registers {
    /// On an arm64 host.
    Arm64(Box<arch_arm::VcpuGuestContext>),
    /// On an x86 host.
    X86(Box<arch_x86::VcpuGuestContext>),
}

impl Registers {
    fn zeroed(cpu: Cpu) -> Self {
        match cpu {
            Cpu::Arm64 => Self::Arm64(Box::new(FromZeros::new_zeroed())),
            Cpu::X86 => Self::X86(Box::new(FromZeros::new_zeroed())),
        }
    }

    fn cpu(&self) -> Cpu {
        match self {
            Self::Arm64(_) => Cpu::Arm64,
            Self::X86(_) => Cpu::X86,
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Arm64(registers) => registers.as_mut_bytes(),
            Self::X86(registers) => registers.as_mut_bytes(),
        }
    }
}

/// On which CPUs a vCPU may run, and on which it prefers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affinity {
    /// Where it may run.
    pub hard: Bitmap,
    /// Where it prefers to run.
    pub soft: Bitmap,
}

impl XenCtrl {
    /// Sets a vCPU's registers. On arm64 `VGCF_online` in the flags brings it up.
    pub fn set_registers(&self, domid: Domid, vcpu: u32, registers: &Registers) -> Result<(), CtrlError> {
        const CALL: &str = "XEN_DOMCTL_setvcpucontext";
        if registers.cpu() != self.cpu {
            let what = "the registers are those of another CPU than the host's";
            return Err(CtrlError::Argument { call: CALL, domid: Some(domid), what });
        }
        self.context(CALL, XEN_DOMCTL_setvcpucontext, domid, vcpu, &mut registers.clone())
    }

    /// Reads a vCPU's registers.
    pub fn registers(&self, domid: Domid, vcpu: u32) -> Result<Registers, CtrlError> {
        let mut registers = Registers::zeroed(self.cpu);
        let call = "XEN_DOMCTL_getvcpucontext";
        self.context(call, XEN_DOMCTL_getvcpucontext, domid, vcpu, &mut registers)?;
        Ok(registers)
    }

    fn context(
        &self,
        call: &'static str,
        cmd: u32,
        domid: Domid,
        vcpu: u32,
        registers: &mut Registers,
    ) -> Result<(), CtrlError> {
        let mut context = VcpuContext::new_zeroed();
        context.vcpu = vcpu;
        let pointed = &mut [(offset_of!(VcpuContext, ctxt), registers.bytes_mut())];
        self.domctl(call, cmd, domid, &mut context, pointed)
    }

    /// Describes a vCPU: whether it is online, blocked or running, its CPU time in nanoseconds, and its CPU.
    pub fn vcpu(&self, domid: Domid, vcpu: u32) -> Result<GetVcpuInfo, CtrlError> {
        let mut info = GetVcpuInfo::new_zeroed();
        info.vcpu = vcpu;
        self.domctl("XEN_DOMCTL_getvcpuinfo", XEN_DOMCTL_getvcpuinfo, domid, &mut info, &mut [])?;
        Ok(info)
    }

    /// Where a vCPU may run and prefers to run.
    pub fn vcpu_affinity(&self, domid: Domid, vcpu: u32) -> Result<Affinity, CtrlError> {
        let mut affinity = Affinity { hard: Bitmap::default(), soft: Bitmap::default() };
        let call = "XEN_DOMCTL_getvcpuaffinity";
        let flags = VcpuAffinityFlags::HARD | VcpuAffinityFlags::SOFT;
        self.affinity(call, XEN_DOMCTL_getvcpuaffinity, domid, vcpu, flags, &mut affinity)?;
        Ok(affinity)
    }

    /// Sets where a vCPU may run, where it prefers to run, or both, as `flags` say; `FORCE` ends a pin by the domain
    /// itself. Returns what took effect; what `flags` leave out is empty in it.
    pub fn set_vcpu_affinity(
        &self,
        domid: Domid,
        vcpu: u32,
        flags: VcpuAffinityFlags,
        affinity: &Affinity,
    ) -> Result<Affinity, CtrlError> {
        let mut affinity = affinity.clone();
        if !flags.contains(VcpuAffinityFlags::HARD) {
            affinity.hard = Bitmap::default();
        }
        if !flags.contains(VcpuAffinityFlags::SOFT) {
            affinity.soft = Bitmap::default();
        }
        let call = "XEN_DOMCTL_setvcpuaffinity";
        self.affinity(call, XEN_DOMCTL_setvcpuaffinity, domid, vcpu, flags, &mut affinity)?;
        Ok(affinity)
    }

    fn affinity(
        &self,
        call: &'static str,
        cmd: u32,
        domid: Domid,
        vcpu: u32,
        flags: VcpuAffinityFlags,
        affinity: &mut Affinity,
    ) -> Result<(), CtrlError> {
        let mut op = VcpuAffinity::new_zeroed();
        op.vcpu = vcpu;
        op.flags = flags.bits();
        op.cpumap_hard.nr_bits = BITMAP_BITS;
        op.cpumap_soft.nr_bits = BITMAP_BITS;
        let pointed = &mut [
            (offset_of!(VcpuAffinity, cpumap_hard.bitmap), affinity.hard.bytes_mut()),
            (offset_of!(VcpuAffinity, cpumap_soft.bitmap), affinity.soft.bytes_mut()),
        ];
        self.domctl(call, cmd, domid, &mut op, pointed)
    }

    /// The NUMA nodes from which the domain gets memory.
    pub fn node_affinity(&self, domid: Domid) -> Result<Bitmap, CtrlError> {
        let mut nodes = Bitmap::default();
        self.node_map("XEN_DOMCTL_getnodeaffinity", XEN_DOMCTL_getnodeaffinity, domid, &mut nodes)?;
        Ok(nodes)
    }

    /// Sets the NUMA nodes from which the domain gets memory.
    pub fn set_node_affinity(&self, domid: Domid, nodes: &Bitmap) -> Result<(), CtrlError> {
        let call = "XEN_DOMCTL_setnodeaffinity";
        self.node_map(call, XEN_DOMCTL_setnodeaffinity, domid, &mut nodes.clone())
    }

    fn node_map(
        &self,
        call: &'static str,
        cmd: u32,
        domid: Domid,
        nodes: &mut Bitmap,
    ) -> Result<(), CtrlError> {
        let mut op = NodeAffinity::new_zeroed();
        op.nodemap.nr_bits = BITMAP_BITS;
        let pointed = &mut [(offset_of!(NodeAffinity, nodemap.bitmap), nodes.bytes_mut())];
        self.domctl(call, cmd, domid, &mut op, pointed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{GUEST, ctrl, domctl_of, only};

    #[test]
    fn registers_go_in_and_come_out_whole() {
        let (ctrl, xen) = ctrl(Cpu::Arm64);
        let mut registers = arch_arm::VcpuGuestContext::new_zeroed();
        registers.user_regs.pc64 = 0x4020_0000;
        let registers = Registers::Arm64(Box::new(registers));
        ctrl.set_registers(GUEST, 2, &registers).unwrap();
        let call = only(&xen);
        let op = domctl_of(&call);
        let context: VcpuContext = op.read_payload();
        assert_eq!((op.cmd, context.vcpu), (12, 2));
        let bytes = call.bytes_at(context.ctxt.0).unwrap().to_vec();
        assert_eq!(bytes, registers.clone().bytes_mut());
        xen.on_hypercall(move |call| {
            let context: VcpuContext = domctl_of(call).read_payload();
            call.bytes_at_mut(context.ctxt.0)?.copy_from_slice(&bytes);
            Ok(0)
        });
        assert_eq!(ctrl.registers(GUEST, 2).unwrap(), registers);
    }

    #[test]
    fn registers_of_another_cpu_are_refused() {
        let (ctrl, xen) = ctrl(Cpu::X86);
        let registers = Registers::zeroed(Cpu::Arm64);
        assert!(matches!(ctrl.set_registers(GUEST, 0, &registers), Err(CtrlError::Argument { .. })));
        assert!(xen.take_calls().is_empty());
    }

    #[test]
    fn affinity_points_to_both_maps_and_sends_only_what_is_set() {
        let (ctrl, xen) = ctrl(Cpu::Arm64);
        let mut affinity = Affinity { hard: Bitmap::default(), soft: Bitmap::all() };
        assert!(affinity.hard.insert(1));
        let effective = ctrl.set_vcpu_affinity(GUEST, 3, VcpuAffinityFlags::HARD, &affinity).unwrap();
        assert!(effective.hard == affinity.hard && effective.soft.is_empty());
        let call = only(&xen);
        let op: VcpuAffinity = domctl_of(&call).read_payload();
        assert_eq!((op.vcpu, op.flags, op.cpumap_hard.nr_bits), (3, 1, 4096));
        assert_eq!(call.bytes_at(op.cpumap_hard.bitmap.0).unwrap()[..2], [2, 0]);
        assert_eq!(call.bytes_at(op.cpumap_soft.bitmap.0).unwrap(), [0; 512]);
    }

    #[test]
    fn nodes_are_read_from_the_map() {
        let (ctrl, xen) = ctrl(Cpu::Arm64);
        xen.on_hypercall(|call| {
            let op = domctl_of(call);
            let nodes: NodeAffinity = op.read_payload();
            assert_eq!((op.cmd, nodes.nodemap.nr_bits), (69, 4096));
            call.bytes_at_mut(nodes.nodemap.bitmap.0)?[0] = 0b101;
            Ok(0)
        });
        assert_eq!(ctrl.node_affinity(GUEST).unwrap().iter().collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn vcpu_is_described_from_the_answer() {
        let (ctrl, xen) = ctrl(Cpu::Arm64);
        xen.on_hypercall(|call| {
            let mut op = domctl_of(call);
            let mut info: GetVcpuInfo = op.read_payload();
            (info.online, info.cpu_time, info.cpu) = (1, 99, info.vcpu + 1);
            op.write_payload(&info);
            call.write(call.args[0], &op)?;
            Ok(0)
        });
        let info = ctrl.vcpu(GUEST, 1).unwrap();
        assert_eq!((info.vcpu, info.online, info.cpu_time, info.cpu), (1, 1, 99, 2));
    }
}
