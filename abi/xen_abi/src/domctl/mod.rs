//! `domctl.h`: control of domains by the tools. The envelope, the numbers, and the structures by topic.
//!
//! The interface is not stable: [`Domctl::interface_version`] says which layouts the caller means. What
//! depends on the version is in a module named for the release ([`v4_17`], [`v4_19`]); the rest is the same from
//! 4.17 to 4.22.

pub mod device;
pub mod memory;
pub mod misc;
pub mod sched;
pub mod v4_17;
pub mod v4_19;
pub mod vcpu;

pub use device::*;
pub use memory::*;
pub use misc::*;
pub use sched::*;
pub use vcpu::*;

abi_consts! { CONSTS, Both;
    /// Interface version of Xen 4.17. Later: 0x16 in 4.18, 0x17 in 4.19 to 4.21, 0x18 in 4.22.
    pub const XEN_DOMCTL_INTERFACE_VERSION: u32 = 0x15;

    /// Creates a domain.
    pub const XEN_DOMCTL_createdomain: u32 = 1;
    /// Destroys a domain.
    pub const XEN_DOMCTL_destroydomain: u32 = 2;
    /// Pauses a domain.
    pub const XEN_DOMCTL_pausedomain: u32 = 3;
    /// Undoes one pause.
    pub const XEN_DOMCTL_unpausedomain: u32 = 4;
    /// Describes the first domain from an id on.
    pub const XEN_DOMCTL_getdomaininfo: u32 = 5;
    /// Sets a vCPU's affinity.
    pub const XEN_DOMCTL_setvcpuaffinity: u32 = 9;
    /// Shadow paging and dirty logging.
    pub const XEN_DOMCTL_shadow_op: u32 = 10;
    /// Sets the memory limit.
    pub const XEN_DOMCTL_max_mem: u32 = 11;
    /// Sets a vCPU's registers.
    pub const XEN_DOMCTL_setvcpucontext: u32 = 12;
    /// Reads a vCPU's registers.
    pub const XEN_DOMCTL_getvcpucontext: u32 = 13;
    /// Describes a vCPU.
    pub const XEN_DOMCTL_getvcpuinfo: u32 = 14;
    /// Creates the vCPUs.
    pub const XEN_DOMCTL_max_vcpus: u32 = 15;
    /// Scheduling parameters.
    pub const XEN_DOMCTL_scheduler_op: u32 = 16;
    /// Sets the UUID.
    pub const XEN_DOMCTL_setdomainhandle: u32 = 17;
    /// Marks as debugged.
    pub const XEN_DOMCTL_setdebugging: u32 = 18;
    /// Permits a physical interrupt.
    pub const XEN_DOMCTL_irq_permission: u32 = 19;
    /// Permits device memory.
    pub const XEN_DOMCTL_iomem_permission: u32 = 20;
    /// Permits I/O ports (x86).
    pub const XEN_DOMCTL_ioport_permission: u32 = 21;
    /// Fills a hypercall page (x86).
    pub const XEN_DOMCTL_hypercall_init: u32 = 22;
    /// Sets the wall clock offset.
    pub const XEN_DOMCTL_settimeoffset: u32 = 24;
    /// Reads a vCPU's affinity.
    pub const XEN_DOMCTL_getvcpuaffinity: u32 = 25;
    /// Obsolete.
    pub const XEN_DOMCTL_real_mode_area: u32 = 26;
    /// Resumes a domain that was shut down.
    pub const XEN_DOMCTL_resumedomain: u32 = 27;
    /// Sends a power button, reset or NMI.
    pub const XEN_DOMCTL_sendtrigger: u32 = 28;
    /// Names a port that is signalled at suspend.
    pub const XEN_DOMCTL_subscribe: u32 = 29;
    /// Reads the translated guest's state (x86).
    pub const XEN_DOMCTL_gethvmcontext: u32 = 33;
    /// Sets the translated guest's state (x86).
    pub const XEN_DOMCTL_sethvmcontext: u32 = 34;
    /// Chooses 32-bit or 64-bit.
    pub const XEN_DOMCTL_set_address_size: u32 = 35;
    /// Reads the choice.
    pub const XEN_DOMCTL_get_address_size: u32 = 36;
    /// Gives a device to a domain.
    pub const XEN_DOMCTL_assign_device: u32 = 37;
    /// Gives a device's interrupt to a domain.
    pub const XEN_DOMCTL_bind_pt_irq: u32 = 38;
    /// Maps device memory.
    pub const XEN_DOMCTL_memory_mapping: u32 = 39;
    /// Maps I/O ports (x86).
    pub const XEN_DOMCTL_ioport_mapping: u32 = 40;
    /// Sets more vCPU state (x86 PV).
    pub const XEN_DOMCTL_set_ext_vcpucontext: u32 = 42;
    /// Reads more vCPU state (x86 PV).
    pub const XEN_DOMCTL_get_ext_vcpucontext: u32 = 43;
    /// Obsolete.
    pub const XEN_DOMCTL_set_opt_feature: u32 = 44;
    /// Whether a device could be assigned.
    pub const XEN_DOMCTL_test_assign_device: u32 = 45;
    /// Lets a domain serve another as its device model.
    pub const XEN_DOMCTL_set_target: u32 = 46;
    /// Takes a device back.
    pub const XEN_DOMCTL_deassign_device: u32 = 47;
    /// Takes a device's interrupt back.
    pub const XEN_DOMCTL_unbind_pt_irq: u32 = 48;
    /// Devices that must go together.
    pub const XEN_DOMCTL_get_device_group: u32 = 50;
    /// Single step.
    pub const XEN_DOMCTL_debug_op: u32 = 54;
    /// Reads one record of the translated guest's state (x86).
    pub const XEN_DOMCTL_gethvmcontext_partial: u32 = 55;
    /// Memory event rings.
    pub const XEN_DOMCTL_vm_event_op: u32 = 56;
    /// Memory sharing on and off.
    pub const XEN_DOMCTL_mem_sharing_op: u32 = 57;
    /// Reads the time stamp counter's treatment (x86).
    pub const XEN_DOMCTL_gettscinfo: u32 = 59;
    /// Sets the time stamp counter's treatment (x86).
    pub const XEN_DOMCTL_settscinfo: u32 = 60;
    /// Kinds of page tables in a list of frames.
    pub const XEN_DOMCTL_getpageframeinfo3: u32 = 61;
    /// Sets extended register state (x86 PV).
    pub const XEN_DOMCTL_setvcpuextstate: u32 = 62;
    /// Reads extended register state (x86 PV).
    pub const XEN_DOMCTL_getvcpuextstate: u32 = 63;
    /// Whether an access listener must be there.
    pub const XEN_DOMCTL_set_access_required: u32 = 64;
    /// Checks the p2m.
    pub const XEN_DOMCTL_audit_p2m: u32 = 65;
    /// Sends a global virtual interrupt to this domain.
    pub const XEN_DOMCTL_set_virq_handler: u32 = 66;
    /// Marks a guest frame broken.
    pub const XEN_DOMCTL_set_broken_page_p2m: u32 = 67;
    /// Sets the node affinity.
    pub const XEN_DOMCTL_setnodeaffinity: u32 = 68;
    /// Reads the node affinity.
    pub const XEN_DOMCTL_getnodeaffinity: u32 = 69;
    /// Cleans guest frames to memory (arm).
    pub const XEN_DOMCTL_cacheflush: u32 = 71;
    /// Reads model-specific registers (x86 PV).
    pub const XEN_DOMCTL_get_vcpu_msrs: u32 = 72;
    /// Sets model-specific registers (x86 PV).
    pub const XEN_DOMCTL_set_vcpu_msrs: u32 = 73;
    /// Sets the NUMA layout.
    pub const XEN_DOMCTL_setvnumainfo: u32 = 74;
    /// Cache monitoring (x86).
    pub const XEN_DOMCTL_psr_cmt_op: u32 = 75;
    /// Which events the monitor gets.
    pub const XEN_DOMCTL_monitor_op: u32 = 77;
    /// Cache allocation (x86).
    pub const XEN_DOMCTL_psr_alloc: u32 = 78;
    /// Resets a domain, but keeps memory and vCPU state.
    pub const XEN_DOMCTL_soft_reset: u32 = 79;
    /// Virtual serial port (arm).
    pub const XEN_DOMCTL_vuart_op: u32 = 81;
    /// Reads the CPUID and MSR policy (x86).
    pub const XEN_DOMCTL_get_cpu_policy: u32 = 82;
    /// Sets the CPUID and MSR policy (x86).
    pub const XEN_DOMCTL_set_cpu_policy: u32 = 83;
    /// Processor trace.
    pub const XEN_DOMCTL_vmtrace_op: u32 = 84;
    /// Size of the pool for page tables.
    pub const XEN_DOMCTL_get_paging_mempool_size: u32 = 85;
    /// Sets the size of the pool for page tables.
    pub const XEN_DOMCTL_set_paging_mempool_size: u32 = 86;
    /// Debugger: guest memory.
    pub const XEN_DOMCTL_gdbsx_guestmemio: u32 = 1000;
    /// Debugger: pauses a vCPU.
    pub const XEN_DOMCTL_gdbsx_pausevcpu: u32 = 1001;
    /// Debugger: unpauses a vCPU.
    pub const XEN_DOMCTL_gdbsx_unpausevcpu: u32 = 1002;
    /// Debugger: what stopped the domain.
    pub const XEN_DOMCTL_gdbsx_domstatus: u32 = 1003;
}

/// Continues an interrupted soft reset. Not in the tools' view of the header.
pub const XEN_DOMCTL_soft_reset_cont: u32 = 23;

abi_structs! { STRUCTS, Both;
    /// What every domctl call passes.
    #[c = "struct xen_domctl"]
    pub struct Domctl {
        /// `XEN_DOMCTL_*`.
        pub cmd: u32,
        /// `XEN_DOMCTL_INTERFACE_VERSION`; any other than the hypervisor's is refused with `EACCES`.
        pub interface_version: u32,
        /// The domain; OUT for some operations.
        pub domain: u16,
        /// Unused.
        pub _pad: [u16; 3],
        /// The operation's structure.
        pub u: [u64; 16],
    }
}

abi_payload! {
    Domctl.u: [u64; 16];
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromZeros;

    #[test]
    fn payload_survives_and_the_rest_of_the_union_stays() {
        let mut op = Domctl::new_zeroed();
        op.u = [u64::MAX; 16];
        let want = PagingMempool { size: 0x1234_5678_9abc };
        op.write_payload(&want);
        assert_eq!(op.read_payload::<PagingMempool>(), want);
        assert_eq!(op.u[0], want.size);
        assert!(op.u[1..].iter().all(|&word| word == u64::MAX));
    }

    #[test]
    fn largest_payload_fits() {
        let mut op = Domctl::new_zeroed();
        let mut info = v4_17::arm64::GetDomainInfo::new_zeroed();
        info.arch_config.clock_frequency = 7;
        op.write_payload(&info);
        assert_eq!(op.read_payload::<v4_17::arm64::GetDomainInfo>(), info);
    }
}
