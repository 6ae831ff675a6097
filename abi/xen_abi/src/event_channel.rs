//! `event_channel.h`: ports, their operations, and the two ways in which a guest sees them (2-level and
//! FIFO).

abi_consts! { CONSTS, Both;
    /// Binds to an unbound port of another domain.
    pub const EVTCHNOP_bind_interdomain: u32 = 0;
    /// Binds a virtual interrupt.
    pub const EVTCHNOP_bind_virq: u32 = 1;
    /// Binds a physical interrupt.
    pub const EVTCHNOP_bind_pirq: u32 = 2;
    /// Closes a port.
    pub const EVTCHNOP_close: u32 = 3;
    /// Signals the other end.
    pub const EVTCHNOP_send: u32 = 4;
    /// Describes a port.
    pub const EVTCHNOP_status: u32 = 5;
    /// Makes a port to which a given domain may bind.
    pub const EVTCHNOP_alloc_unbound: u32 = 6;
    /// Makes a port that signals one of the domain's own vCPUs.
    pub const EVTCHNOP_bind_ipi: u32 = 7;
    /// Chooses the vCPU that a port notifies.
    pub const EVTCHNOP_bind_vcpu: u32 = 8;
    /// Unmasks a port and delivers what is pending.
    pub const EVTCHNOP_unmask: u32 = 9;
    /// Closes all ports of a domain.
    pub const EVTCHNOP_reset: u32 = 10;
    /// Switches to the FIFO interface and places a vCPU's control block.
    pub const EVTCHNOP_init_control: u32 = 11;
    /// Adds a page of FIFO event words.
    pub const EVTCHNOP_expand_array: u32 = 12;
    /// Sets a port's FIFO priority.
    pub const EVTCHNOP_set_priority: u32 = 13;

    /// Flag of `bind_pirq`: the line may be shared.
    pub const BIND_PIRQ__WILL_SHARE: u32 = 1;

    /// State: not in use.
    pub const EVTCHNSTAT_closed: u32 = 0;
    /// State: waits for the other domain to bind.
    pub const EVTCHNSTAT_unbound: u32 = 1;
    /// State: connected to a port of a domain.
    pub const EVTCHNSTAT_interdomain: u32 = 2;
    /// State: bound to a physical interrupt.
    pub const EVTCHNSTAT_pirq: u32 = 3;
    /// State: bound to a virtual interrupt.
    pub const EVTCHNSTAT_virq: u32 = 4;
    /// State: bound to a vCPU of the domain itself.
    pub const EVTCHNSTAT_ipi: u32 = 5;

    /// Ports that the 2-level interface can express with 64-bit words.
    pub const EVTCHN_2L_NR_CHANNELS: u32 = 4096;

    /// Highest priority.
    pub const EVTCHN_FIFO_PRIORITY_MAX: u32 = 0;
    /// Priority of a new port.
    pub const EVTCHN_FIFO_PRIORITY_DEFAULT: u32 = 7;
    /// Lowest priority.
    pub const EVTCHN_FIFO_PRIORITY_MIN: u32 = 15;
    /// Queues of a vCPU, one per priority.
    pub const EVTCHN_FIFO_MAX_QUEUES: u32 = 16;
    /// Bit of the event word: pending.
    pub const EVTCHN_FIFO_PENDING: u32 = 31;
    /// Bit of the event word: masked.
    pub const EVTCHN_FIFO_MASKED: u32 = 30;
    /// Bit of the event word: on a queue.
    pub const EVTCHN_FIFO_LINKED: u32 = 29;
    /// Bit of the event word: the hypervisor is linking it.
    pub const EVTCHN_FIFO_BUSY: u32 = 28;
    /// Width of the link field of the event word.
    pub const EVTCHN_FIFO_LINK_BITS: u32 = 17;
    /// Mask of the link field.
    pub const EVTCHN_FIFO_LINK_MASK: u32 = (1 << 17) - 1;
    /// Ports that the FIFO interface can express.
    pub const EVTCHN_FIFO_NR_CHANNELS: u32 = 1 << 17;
}

/// Continues an interrupted `EVTCHNOP_reset`. Not in the tools' view of the header; a guest that sends it
/// gets what the hypervisor makes of it.
pub const EVTCHNOP_reset_cont: u32 = 14;

/// FIFO event words in one 4 KiB page of the event array.
pub const EVTCHN_FIFO_WORDS_PER_PAGE: u32 = 1024;

abi_structs! { STRUCTS, Both;
    /// `EVTCHNOP_alloc_unbound`.
    #[c = "struct evtchn_alloc_unbound"]
    pub struct EvtchnAllocUnbound {
        /// IN: domain that gets the port; an unprivileged caller says `DOMID_SELF`.
        pub dom: u16,
        /// IN: domain that may bind to it; may be `DOMID_SELF`.
        pub remote_dom: u16,
        /// OUT: the port.
        pub port: u32,
    }

    /// `EVTCHNOP_bind_interdomain`.
    #[c = "struct evtchn_bind_interdomain"]
    pub struct EvtchnBindInterdomain {
        /// IN: domain with the unbound port.
        pub remote_dom: u16,
        /// C padding.
        pub _gap0: u16,
        /// IN: that port.
        pub remote_port: u32,
        /// OUT: the caller's new port, which starts pending.
        pub local_port: u32,
    }

    /// `EVTCHNOP_bind_virq`.
    #[c = "struct evtchn_bind_virq"]
    pub struct EvtchnBindVirq {
        /// IN: `VIRQ_*`.
        pub virq: u32,
        /// IN: vCPU to notify; 0 for a global interrupt.
        pub vcpu: u32,
        /// OUT: the port.
        pub port: u32,
    }

    /// `EVTCHNOP_bind_pirq`.
    #[c = "struct evtchn_bind_pirq"]
    pub struct EvtchnBindPirq {
        /// IN: the domain's physical interrupt number.
        pub pirq: u32,
        /// IN: `BIND_PIRQ__*`.
        pub flags: u32,
        /// OUT: the port.
        pub port: u32,
    }

    /// `EVTCHNOP_bind_ipi`.
    #[c = "struct evtchn_bind_ipi"]
    pub struct EvtchnBindIpi {
        /// IN: vCPU to notify.
        pub vcpu: u32,
        /// OUT: the port.
        pub port: u32,
    }

    /// `EVTCHNOP_close`.
    #[c = "struct evtchn_close"]
    pub struct EvtchnClose {
        /// IN: the port.
        pub port: u32,
    }

    /// `EVTCHNOP_send`.
    #[c = "struct evtchn_send"]
    pub struct EvtchnSend {
        /// IN: the caller's port.
        pub port: u32,
    }

    /// `EVTCHNOP_status`.
    #[c = "struct evtchn_status"]
    pub struct EvtchnStatus {
        /// IN: owner of the port; `DOMID_SELF` or, for a privileged caller, another.
        pub dom: u16,
        /// C padding.
        pub _gap0: u16,
        /// IN: the port.
        pub port: u32,
        /// OUT: `EVTCHNSTAT_*`.
        pub status: u32,
        /// OUT: vCPU that is notified.
        pub vcpu: u32,
        /// OUT: depends on `status`: [`EvtchnStatusUnbound`], [`EvtchnStatusInterdomain`], or a `u32` with
        /// the pirq or virq.
        pub u: [u32; 2],
    }

    /// Payload of [`EvtchnStatus`] for an unbound port.
    #[c = "__typeof__(((struct evtchn_status *)0)->u.unbound)"]
    pub struct EvtchnStatusUnbound {
        /// Domain that may bind.
        pub dom: u16,
    }

    /// Payload of [`EvtchnStatus`] for a connected port.
    #[c = "__typeof__(((struct evtchn_status *)0)->u.interdomain)"]
    pub struct EvtchnStatusInterdomain {
        /// Domain at the other end.
        pub dom: u16,
        /// C padding.
        pub _gap0: u16,
        /// Its port.
        pub port: u32,
    }

    /// `EVTCHNOP_bind_vcpu`.
    #[c = "struct evtchn_bind_vcpu"]
    pub struct EvtchnBindVcpu {
        /// IN: the port.
        pub port: u32,
        /// IN: vCPU to notify.
        pub vcpu: u32,
    }

    /// `EVTCHNOP_unmask`.
    #[c = "struct evtchn_unmask"]
    pub struct EvtchnUnmask {
        /// IN: the port.
        pub port: u32,
    }

    /// `EVTCHNOP_reset`.
    #[c = "struct evtchn_reset"]
    pub struct EvtchnReset {
        /// IN: domain whose ports are closed.
        pub dom: u16,
    }

    /// `EVTCHNOP_init_control`.
    #[c = "struct evtchn_init_control"]
    pub struct EvtchnInitControl {
        /// IN: guest frame of the control block.
        pub control_gfn: u64,
        /// IN: its offset in the frame; a multiple of 8.
        pub offset: u32,
        /// IN: vCPU to which it belongs.
        pub vcpu: u32,
        /// OUT: width of the link field.
        pub link_bits: u8,
        /// Unused.
        pub _pad: [u8; 7],
    }

    /// `EVTCHNOP_expand_array`.
    #[c = "struct evtchn_expand_array"]
    pub struct EvtchnExpandArray {
        /// IN: guest frame of the new page of event words.
        pub array_gfn: u64,
    }

    /// `EVTCHNOP_set_priority`.
    #[c = "struct evtchn_set_priority"]
    pub struct EvtchnSetPriority {
        /// IN: the port.
        pub port: u32,
        /// IN: `EVTCHN_FIFO_PRIORITY_MAX` to `EVTCHN_FIFO_PRIORITY_MIN`.
        pub priority: u32,
    }

    /// FIFO control block of a vCPU, in the guest's memory.
    #[c = "struct evtchn_fifo_control_block"]
    pub struct EvtchnFifoControlBlock {
        /// Bit per queue that has events.
        pub ready: u32,
        /// Reserved.
        pub _rsvd: u32,
        /// First port of each queue.
        pub head: [u32; 16],
    }
}

abi_payload! {
    EvtchnStatus.u: [u32; 2];
}
