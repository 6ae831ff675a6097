//! What an arm64 machine can do beyond what every machine can.

use crate::Context;
use hal::{Gaddr, MachineOps};

/// The interrupt numbers of what each pCPU has of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PrivateIrqs {
    /// The hypervisor's timer.
    pub timer: u32,
    /// The guests' virtual timer.
    pub virtual_timer: u32,
    /// Maintenance of the virtual interrupt interface.
    pub maintenance: u32,
}

/// What the code for arm64 guests asks of the machine, for the guest that trapped on this pCPU where
/// nothing else is said.
pub trait ArmOps: MachineOps<Context = Context> {
    /// ESR_EL2: why the guest trapped.
    fn esr(&self) -> u64;
    /// FAR_EL2: the virtual address of an abort.
    fn fault_address(&self) -> u64;
    /// The guest physical address of an abort with this ESR; `None` when the guest's own tables do
    /// not have the address any more, so that the instruction should run again.
    fn fault_guest_address(&self, esr: u64) -> Option<Gaddr>;
    /// Whether the guest caused an asynchronous abort that has not been delivered.
    fn guest_aborted(&self) -> bool;

    /// The host's value of an identification register, by op0, op1, CRn, CRm and op2; 0 for one that
    /// is not kept.
    fn id_register(&self, encoding: [u8; 5]) -> u64;

    /// The time at which the counter reads `ticks`, in ns.
    fn ticks_to_ns(&self, ticks: u64) -> u64;
    /// The rate of the system counter.
    fn counter_hz(&self) -> u64;

    /// The interrupts that each pCPU has of its own.
    fn private_irqs(&self) -> PrivateIrqs;
    /// 2 or 3.
    fn gic_version(&self) -> u32;
    /// The number of physical interrupt lines, private ones included.
    fn gic_lines(&self) -> u32;
    /// Takes the most urgent pending physical interrupt; it stays active until
    /// [`MachineOps::irq_deactivate`].
    fn acknowledge(&self) -> Option<u32>;
    /// Makes a private interrupt of this pCPU active, so that it does not come, or inactive.
    fn set_active(&self, irq: u32, active: bool);

    /// Whether the virtual timer of the guest loaded here holds its line high.
    fn virtual_timer_is_due(&self) -> bool;

    /// The number of list registers.
    fn nr_lrs(&self) -> usize;
    /// Reads a list register, in the format of the GIC's version.
    fn read_lr(&self, n: usize) -> u64;
    /// Writes a list register, in the format of the GIC's version.
    fn write_lr(&self, n: usize, value: u64);
    /// Reads ICH_HCR_EL2 or GICH_HCR.
    fn read_gic_hcr(&self) -> u32;
    /// Writes ICH_HCR_EL2 or GICH_HCR.
    fn write_gic_hcr(&self, value: u32);
    /// Reads ICH_VMCR_EL2 or GICH_VMCR.
    fn read_vmcr(&self) -> u64;

    /// The next byte that was typed on the console.
    fn console_read(&self) -> Option<u8>;
}
