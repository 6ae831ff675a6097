//! `device_tree_defs.h`: constants of the device trees that tools and hypervisor generate for guests.

abi_consts! { CONSTS, Both;
    /// Handle of the interrupt controller.
    pub const GUEST_PHANDLE_GIC: u32 = 65000;
    /// Handle of the IOMMU.
    pub const GUEST_PHANDLE_IOMMU: u32 = GUEST_PHANDLE_GIC + 1;
    /// Address cells of the root.
    pub const GUEST_ROOT_ADDRESS_CELLS: u32 = 2;
    /// Size cells of the root.
    pub const GUEST_ROOT_SIZE_CELLS: u32 = 2;
    /// Interrupt: not given.
    pub const DT_IRQ_TYPE_NONE: u32 = 0;
    /// Interrupt: rising edge.
    pub const DT_IRQ_TYPE_EDGE_RISING: u32 = 1;
    /// Interrupt: falling edge.
    pub const DT_IRQ_TYPE_EDGE_FALLING: u32 = 2;
    /// Interrupt: both edges.
    pub const DT_IRQ_TYPE_EDGE_BOTH: u32 = 3;
    /// Interrupt: high level.
    pub const DT_IRQ_TYPE_LEVEL_HIGH: u32 = 4;
    /// Interrupt: low level.
    pub const DT_IRQ_TYPE_LEVEL_LOW: u32 = 8;
    /// Interrupt: both levels.
    pub const DT_IRQ_TYPE_LEVEL_MASK: u32 = 12;
    /// Interrupt: all of these.
    pub const DT_IRQ_TYPE_SENSE_MASK: u32 = 15;
    /// Interrupt: no valid value.
    pub const DT_IRQ_TYPE_INVALID: u32 = 16;
}
