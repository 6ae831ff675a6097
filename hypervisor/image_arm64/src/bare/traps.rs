//! What guests make the hypervisor do: from the trap entry to the code that serves it.

use core::cell::UnsafeCell;

use arch_aarch64::{GuestRegs, MAX_CPUS};
use arm_hv::trap;
use hal::{MachineOps as _, PcpuId};
use hv_core::{Hypervisor, Local, Work};
use lock::Once;

/// The hypervisor, once it is complete.
static HYPERVISOR: Once<&'static Hypervisor> = Once::new();

/// What only one pCPU touches.
struct Here {
    /// The hypervisor, from when the pCPU runs guests.
    hv: Option<&'static Hypervisor>,
    local: Local,
}

/// That of each pCPU.
struct Locals([UnsafeCell<Here>; MAX_CPUS]);

// SAFETY: each element is reached only by its own pCPU, see `here`.
unsafe impl Sync for Locals {}

static LOCALS: Locals =
    Locals([const { UnsafeCell::new(Here { hv: None, local: Local::new(PcpuId(0)) }) }; MAX_CPUS]);

/// Runs `f` with this pCPU's own state.
#[inline(always)]
fn here(f: impl FnOnce(&mut Here)) {
    let Some(cell) = LOCALS.0.get(arch_aarch64::this_index()) else { return };
    // SAFETY: only this pCPU takes this element; its handlers run with interrupts masked, one at a
    // time, and `f`, which gets the reference, never comes back here.
    f(unsafe { &mut *cell.get() });
}

/// Runs `f` with the hypervisor and this pCPU's own state.
#[inline(always)]
fn with(regs: &mut GuestRegs, f: impl FnOnce(&Hypervisor, &mut Local, &mut GuestRegs)) {
    here(|here| {
        if let Some(hv) = here.hv {
            f(hv, &mut here.local, regs);
        }
    });
}

/// A guest trapped.
pub extern "C" fn sync(regs: &mut GuestRegs) {
    with(regs, trap::synchronous);
}

/// An interrupt came while a guest ran.
pub extern "C" fn irq(regs: &mut GuestRegs) {
    with(regs, trap::interrupted);
}

/// A guest caused an asynchronous abort.
pub extern "C" fn serror(regs: &mut GuestRegs) {
    with(regs, trap::asynchronous_abort);
}

/// Lets all pCPUs run guests.
pub fn start(hypervisor: &'static Hypervisor) {
    HYPERVISOR.call_once(|| hypervisor);
}

/// Whether guests can run.
pub fn started() -> bool {
    HYPERVISOR.is_completed()
}

/// Runs guests on this pCPU for ever.
pub fn run() -> ! {
    let mut regs = GuestRegs::default();
    here(|here| here.hv = HYPERVISOR.get().copied());
    with(&mut regs, |hv, local, regs| {
        local.id = hv.machine.this_cpu();
        hv.raise(local.id, Work::RESCHEDULE);
        trap::leave(hv, local, regs);
    });
    arch_aarch64::enter_guest(&regs)
}
