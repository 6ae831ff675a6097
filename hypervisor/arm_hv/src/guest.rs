//! An arm64 domain as the core sees it: interrupt controller, timers, registers.

use crate::platform::{ArmPlatform, FIRST_SPI};
use crate::vuart::Vuart;
use crate::{inject, trap};
use alloc::boxed::Box;
use alloc::vec::Vec;
use arm_regs::ArmOps as _;
use arm_vm::timer::{PhysTimer, Plan, TimerRegs};
use arm_vm::vgic::{AssignError, CpuInterface, CpuView, Effects, HwAction, HwBatch, Line, Vgic, hcr};
use arm_vm::{VcpuSet, reset};
use core::any::Any;
use core::fmt;
use hal::{Domid, Gfn, IrqConfig, MachineOps as _};
use hv_core::{Current, Domain, GuestKind, Hypervisor, Vcpu};
use lock::Mutex;
use machine::{Context, Regs};
use xen_abi::arch_arm::{
    GUEST_VPL011_SPI, PSR_MODE_EL0t, PSR_MODE_EL1h, PSR_MODE_EL1t, VGCF_online, VcpuGuestContext,
};
use xen_abi::domctl::v4_17::arm64::ArchDomainConfig;
use xen_abi::hvm::params::HVM_PARAM_CALLBACK_IRQ;
use xen_abi::{Errno, zerocopy};
use zerocopy::{FromBytes as _, FromZeros as _, IntoBytes as _};

/// PSTATE.M and PSTATE.nRW: the mode.
const PSR_MODE_MASK: u64 = 0x1f;
/// The PPI of a guest's virtual timer.
pub const VIRTUAL_TIMER_PPI: u32 = 27;
/// The PPI of a guest's emulated physical timer.
pub const PHYSICAL_TIMER_PPI: u32 = 30;
/// Guest frames that one set/way instruction passes.
const CLEAN_STEP: u64 = 512;
/// How long a pass over all memory counts for further set/way instructions.
const CLEAN_LASTS_NS: u64 = 10_000_000;
/// Where ICH_HCR_EL2 and GICH_HCR count the ends of interrupts that are in no list register.
const EOI_COUNT_SHIFT: u32 = 27;

/// What an arm64 domain has beyond what all have.
pub struct ArmGuest {
    /// Its interrupt controller.
    pub vgic: Vgic,
    /// Its serial port.
    pub vuart: Vuart,
    /// The configuration, as createdomain gives it back.
    config: ArchDomainConfig,
    /// The PPI of event channel upcalls.
    upcall_ppi: u32,
    /// The PPIs of its virtual and physical timers.
    virtual_timer: u32,
    physical_timer: u32,
    /// The counter value at which its virtual counter reads zero.
    counter_offset: u64,
    vcpus: Box<[Mutex<VcpuState, 5>]>,
    cleaning: Mutex<CleanPass, 3>,
    /// Held while changes are carried over to the physical interrupt controller: the last one to
    /// look at the model is the last to write.
    hardware: Mutex<(), 6>,
}

/// What a vCPU has beyond what all have.
#[derive(Debug)]
pub struct VcpuState {
    /// Its list registers.
    pub ci: CpuInterface,
    /// Its emulated physical timer.
    pub physical_timer: PhysTimer,
}

/// How far the cleaning of all memory has come that a guest asked for by set and way.
#[derive(Debug, Default)]
struct CleanPass {
    next: u64,
    finished_ns: Option<u64>,
}

/// What an [`ArmGuest`] is made of.
pub struct GuestParts {
    /// The interrupt controller.
    pub vgic: Vgic,
    /// The configuration.
    pub config: ArchDomainConfig,
    /// The PPI of event channel upcalls.
    pub upcall_ppi: u32,
    /// The PPIs of the virtual and the physical timer.
    pub timers: (u32, u32),
    /// How many vCPUs there are.
    pub nr_vcpus: usize,
}

impl ArmGuest {
    /// A guest whose virtual counter starts now.
    ///
    /// # Errors
    /// ENOMEM.
    pub fn new(hv: &Hypervisor, parts: GuestParts) -> Result<Self, Errno> {
        let mut vcpus = Vec::new();
        vcpus.try_reserve_exact(parts.nr_vcpus).map_err(|_| Errno::ENOMEM)?;
        let nr_lrs = hv.machine.nr_lrs();
        vcpus.resize_with(parts.nr_vcpus, || {
            Mutex::new(VcpuState { ci: CpuInterface::new(nr_lrs), physical_timer: PhysTimer::new() })
        });
        Ok(Self {
            vgic: parts.vgic,
            vuart: Vuart::default(),
            config: parts.config,
            upcall_ppi: parts.upcall_ppi,
            virtual_timer: parts.timers.0,
            physical_timer: parts.timers.1,
            counter_offset: hv.machine.ticks(),
            vcpus: vcpus.into_boxed_slice(),
            cleaning: Mutex::default(),
            hardware: Mutex::new(()),
        })
    }

    /// The arm64 side of a domain; all domains here have one.
    #[inline]
    pub fn of(domain: &Domain) -> Option<&Self> {
        let guest: &dyn Any = &*domain.guest;
        guest.downcast_ref()
    }

    /// A vCPU's state.
    pub fn state(&self, vcpu: usize) -> Option<&Mutex<VcpuState, 5>> {
        self.vcpus.get(vcpu)
    }

    /// The PPI of the virtual timer.
    pub fn virtual_timer_ppi(&self) -> u32 {
        self.virtual_timer
    }

    /// Cache maintenance by set and way cannot be done for one guest. What it is used for is to
    /// empty the caches before they are switched, so all of the domain's memory is cleaned: once
    /// for the many such instructions of a loop, and in pieces. True when nothing is left to do.
    pub fn clean_memory(&self, hv: &Hypervisor, domain: &Domain) -> bool {
        let mut pass = self.cleaning.lock();
        let now = hv.machine.now_ns();
        if pass.finished_ns.is_some_and(|at| now.saturating_sub(at) < CLEAN_LASTS_NS) {
            return true;
        }
        let end = domain.memory.lock().p2m.max_gfn().0;
        let stop = pass.next.saturating_add(CLEAN_STEP);
        while pass.next <= end && pass.next < stop {
            if let Some(page) = domain.guest_page(hv, Gfn(pass.next)) {
                hv.machine.clean_frames(page.mfn(), 1);
            }
            pass.next += 1;
        }
        if pass.next <= end {
            return false;
        }
        *pass = CleanPass { next: 0, finished_ns: Some(now) };
        true
    }

    /// A vCPU comes up: `enter` sets its registers, given the virtual counter's offset.
    pub fn start_vcpu(&self, hv: &Hypervisor, domain: &Domain, vcpu: usize, enter: impl FnOnce(u64)) {
        enter(self.counter_offset);
        let kicks = self.vgic.vcpu_on(vcpu, &mut |batch| self.apply_hw(hv, domain, batch));
        kick_all(hv, domain, kicks, Some(vcpu));
    }

    /// The calling vCPU goes down.
    pub fn stop_vcpu(&self, hv: &Hypervisor, domain: &Domain, vcpu: &Vcpu) {
        let Some(state) = self.vcpus.get(vcpu.id) else { return };
        let kicks = {
            let mut state = state.lock();
            read_back(hv, &mut state.ci);
            state.physical_timer = PhysTimer::new();
            let kicks =
                self.vgic.vcpu_off(vcpu.id, &mut state.ci, &mut |batch| self.apply_hw(hv, domain, batch));
            write_out(hv, &mut state.ci);
            kicks
        };
        kick_all(hv, domain, kicks, Some(vcpu.id));
    }

    /// Presents what was posted to the vCPU loaded here: in a short way if it is but one interrupt.
    #[inline(never)]
    fn present(&self, hv: &Hypervisor, domain: &Domain, vcpu: &Vcpu) {
        match self.vgic.refresh_again(vcpu.id, || hv.machine.read_lr(0)) {
            Some(lr) => hv.machine.write_lr(0, lr),
            None => self.present_other(hv, domain, vcpu),
        }
    }

    /// [`ArmGuest::present`], where it is not the same as the last time.
    #[inline(never)]
    fn present_other(&self, hv: &Hypervisor, domain: &Domain, vcpu: &Vcpu) {
        let Some(state) = self.vcpus.get(vcpu.id) else { return };
        let mut state = state.lock();
        let level = |irq| self.line_is_high(hv, domain, vcpu, irq);
        match self.vgic.refresh_single(vcpu.id, &mut state.ci, || hv.machine.read_lr(0), level) {
            Some(lr) => hv.machine.write_lr(0, lr),
            None => {
                drop(state);
                self.refresh(hv, domain, vcpu);
            }
        }
    }

    /// The virtual timer of the vCPU loaded here interrupts it. The interrupt stays active until the guest has dealt
    /// with it.
    fn virtual_timer_fired(&self, hv: &Hypervisor, domain: &Domain, vcpu: &Vcpu) {
        let intid = self.virtual_timer;
        match self.vgic.inject_hw_ppi_again(vcpu.id, intid, || hv.machine.read_lr(0)) {
            Some(lr) => hv.machine.write_lr(0, lr),
            None => self.virtual_timer_fired_otherwise(hv, domain, vcpu),
        }
    }

    /// [`ArmGuest::virtual_timer_fired`], where it is not the same as the last time.
    #[inline(never)]
    fn virtual_timer_fired_otherwise(&self, hv: &Hypervisor, domain: &Domain, vcpu: &Vcpu) {
        let Some(state) = self.vcpus.get(vcpu.id) else { return };
        let (mut state, intid) = (state.lock(), self.virtual_timer);
        let level = |irq| self.line_is_high(hv, domain, vcpu, irq);
        match self.vgic.inject_hw_ppi_now(vcpu.id, intid, &mut state.ci, || hv.machine.read_lr(0), level) {
            Some(lr) => hv.machine.write_lr(0, lr),
            None => {
                self.vgic.inject_hw_ppi(vcpu.id, intid);
            }
        }
    }

    /// Folds the list registers into the model and fills them anew.
    #[inline(never)]
    pub fn refresh(&self, hv: &Hypervisor, domain: &Domain, vcpu: &Vcpu) {
        let Some(state) = self.vcpus.get(vcpu.id) else { return };
        let kicks = {
            let mut state = state.lock();
            read_back(hv, &mut state.ci);
            let kicks = self
                .vgic
                .refresh(vcpu.id, &mut state.ci, &mut |irq| self.line_is_high(hv, domain, vcpu, irq));
            write_out(hv, &mut state.ci);
            kicks
        };
        kick_all(hv, domain, kicks, Some(vcpu.id));
    }

    /// Folds the list registers of the vCPU loaded here into the model, so that its registers can
    /// be read; kicks vCPUs elsewhere whose list registers have what is asked for.
    pub fn sync(&self, hv: &Hypervisor, domain: &Domain, vcpu: &Vcpu) {
        let Some(state) = self.vcpus.get(vcpu.id) else { return };
        let kicks = {
            let mut state = state.lock();
            read_back(hv, &mut state.ci);
            let kicks =
                self.vgic.sync(vcpu.id, &mut state.ci, &mut |irq| self.line_is_high(hv, domain, vcpu, irq));
            write_out(hv, &mut state.ci);
            kicks
        };
        kick_all(hv, domain, kicks, Some(vcpu.id));
    }

    /// The level of a private interrupt that the model asks for, of the vCPU loaded here.
    fn line_is_high(&self, hv: &Hypervisor, domain: &Domain, vcpu: &Vcpu, irq: u32) -> bool {
        if irq == self.virtual_timer {
            hv.machine.virtual_timer_is_due()
        } else {
            domain.events.upcall_pending(hv, vcpu)
        }
    }

    /// Does what a register write or a power change asks for.
    pub fn apply(&self, hv: &Hypervisor, domain: &Domain, effects: Effects, this: Option<usize>) {
        if let Some(batch) = effects.hw {
            self.apply_hw(hv, domain, batch);
        }
        kick_all(hv, domain, effects.kicks, this);
    }

    /// Carries changes over to the physical interrupt controller.
    pub fn apply_hw(&self, hv: &Hypervisor, domain: &Domain, batch: HwBatch) {
        let _hardware = self.hardware.lock();
        for action in self.vgic.hw_actions(batch) {
            apply_one(hv, domain, action);
        }
    }

    /// What to do for the virtual timer of a vCPU whose registers are these.
    fn virtual_plan(&self, context: &Context, now: u64) -> Plan {
        TimerRegs::new(context.sys.cntv_ctl_el0, context.sys.cntv_cval_el0).plan(now, self.counter_offset)
    }

    /// Arranges a timer for what a vCPU that does not run waits for.
    fn arm_while_away(&self, hv: &Hypervisor, vcpu: &Vcpu, context: &Context, state: &VcpuState) {
        let now = hv.machine.ticks();
        let virtual_plan = self.virtual_plan(context, now);
        let mut deadline = state.physical_timer.update(now).deadline;
        match virtual_plan {
            Plan::Idle => {}
            Plan::At(tick) => deadline = Some(deadline.map_or(tick, |d| d.min(tick))),
            // Already high: the interrupt is on its way, or the guest does not want it now.
            Plan::Fire => {
                if self.vgic.inject_hw_ppi_if_idle(vcpu.id, self.virtual_timer).contains(vcpu.id) {
                    hv.kick(vcpu);
                }
            }
        }
        match deadline {
            Some(tick) => vcpu.timer.start(hv, hv.machine.ticks_to_ns(tick)),
            None => vcpu.timer.stop(hv),
        }
    }

    /// Sets the physical timer's line, and its software timer, after a change.
    pub fn update_physical_timer(&self, hv: &Hypervisor, vcpu: &Vcpu, update: arm_vm::timer::TimerUpdate) {
        let line = Line::Ppi { vcpu: vcpu.id, intid: self.physical_timer };
        self.vgic.set_level(line, update.level);
        match update.deadline {
            Some(tick) => vcpu.timer.start(hv, hv.machine.ticks_to_ns(tick)),
            None => vcpu.timer.stop(hv),
        }
    }
}

/// Reads back the list registers in use of the vCPU loaded here.
fn read_back(hv: &Hypervisor, ci: &mut CpuInterface) {
    let mut used = ci.used;
    while used != 0 {
        let n = used.trailing_zeros() as usize;
        used &= used - 1;
        if let Some(lr) = ci.lrs.get_mut(n) {
            *lr = hv.machine.read_lr(n);
        }
    }
    if ci.hcr & hcr::LRENPIE != 0 {
        ci.eoi_count = (hv.machine.read_gic_hcr() >> EOI_COUNT_SHIFT) as u8;
    }
}

/// Writes the list registers that changed, and the rest of what the model wants.
fn write_out(hv: &Hypervisor, ci: &mut CpuInterface) {
    let mut dirty = ci.take_dirty();
    while dirty != 0 {
        let n = dirty.trailing_zeros() as usize;
        dirty &= dirty - 1;
        if let Some(lr) = ci.lrs.get(n) {
            hv.machine.write_lr(n, *lr);
        }
    }
    hv.machine.write_gic_hcr(ci.hcr);
    deactivate(hv, ci);
}

/// Deactivates the physical interrupts that the guest will not.
fn deactivate(hv: &Hypervisor, ci: &mut CpuInterface) {
    for &irq in ci.take_deactivate() {
        hv.machine.irq_deactivate(u32::from(irq));
    }
}

/// Makes vCPUs look at their interrupts; not the one that asks, which does so anyway.
#[inline]
pub fn kick_all(hv: &Hypervisor, domain: &Domain, kicks: VcpuSet, this: Option<usize>) {
    if !kicks.is_empty() {
        kick_each(hv, domain, kicks, this);
    }
}

#[inline(never)]
fn kick_each(hv: &Hypervisor, domain: &Domain, mut kicks: VcpuSet, this: Option<usize>) {
    if let Some(this) = this {
        kicks.remove(this);
    }
    for id in kicks {
        if let Some(vcpu) = domain.vcpu(id) {
            hv.kick(vcpu);
        }
    }
}

fn apply_one(hv: &Hypervisor, domain: &Domain, action: HwAction) {
    let config = |edge| if edge { IrqConfig::Edge } else { IrqConfig::Level };
    let route = |phys: u16, vcpu: Option<usize>| {
        let pcpu = vcpu.and_then(|id| domain.vcpu(id)).and_then(|vcpu| vcpu.pcpu());
        if let Some(pcpu) = pcpu {
            hv.machine.irq_route(u32::from(phys), pcpu);
        }
    };
    match action {
        HwAction::Enable { phys, edge, vcpu } => {
            hv.machine.irq_configure(u32::from(phys), config(edge));
            route(phys, vcpu);
            hv.machine.irq_enable(u32::from(phys));
        }
        HwAction::Disable { phys } => hv.machine.irq_disable(u32::from(phys)),
        HwAction::Configure { phys, edge } => hv.machine.irq_configure(u32::from(phys), config(edge)),
        HwAction::Route { phys, vcpu } => route(phys, vcpu),
        HwAction::Deactivate { phys } => hv.machine.irq_deactivate(u32::from(phys)),
    }
}

impl GuestKind for ArmGuest {
    fn trapped(&self, hv: &Hypervisor, current: &Current, regs: &mut Regs, cause: u64) {
        trap::serve(self, hv, current, regs, cause);
    }

    fn interrupted(&self, hv: &Hypervisor, current: &Current, irq: u32) {
        if irq == hv.machine.private_irqs().virtual_timer {
            self.virtual_timer_fired(hv, &current.domain, &current.vcpu);
        } else {
            self.vgic.request_refresh(current.vcpu.id);
        }
    }

    fn set_upcall(&self, vcpu: usize, level: bool) -> bool {
        if level {
            // The line is sampled: each rise is an edge.
            self.vgic.pulse_private(vcpu, self.upcall_ppi)
        } else {
            self.vgic.set_level(Line::Ppi { vcpu, intid: self.upcall_ppi }, false).contains(vcpu)
        }
    }

    fn has_interrupt(&self, hv: &Hypervisor, domain: &Domain, vcpu: &Vcpu) -> bool {
        // Asked only for the vCPU that is loaded here.
        self.refresh(hv, domain, vcpu);
        self.vgic.pending_unmasked(vcpu.id, Some(CpuView::from_vmcr(hv.machine.read_vmcr())))
    }

    fn reset_context(&self, vcpu: usize, context: &mut Context) {
        *context = Context::default();
        enter_at(vcpu, 0, 0, self.counter_offset, context);
    }

    fn set_context(&self, vcpu: usize, bytes: &[u8], context: &mut Context) -> Result<bool, Errno> {
        let guest = VcpuGuestContext::read_from_bytes(bytes).map_err(|_| Errno::EINVAL)?;
        let regs = &guest.user_regs;
        let mode = regs.cpsr & PSR_MODE_MASK;
        if ![PSR_MODE_EL0t, PSR_MODE_EL1t, PSR_MODE_EL1h].contains(&mode) {
            return Err(Errno::EINVAL);
        }
        self.reset_context(vcpu, context);
        context.regs.x.copy_from_slice(&regs.x);
        context.regs.pc = regs.pc64;
        context.regs.spsr = regs.cpsr;
        context.sys.sp_el0 = regs.sp_el0;
        context.sys.sp_el1 = regs.sp_el1;
        context.sys.elr_el1 = regs.elr_el1;
        context.sys.spsr_el1 = regs.spsr_el1;
        context.sys.sctlr_el1 = guest.sctlr;
        context.sys.tcr_el1 = guest.ttbcr;
        context.sys.ttbr0_el1 = guest.ttbr0;
        context.sys.ttbr1_el1 = guest.ttbr1;
        let online = guest.flags & VGCF_online != 0;
        if online {
            self.vgic.vcpu_on(vcpu, &mut |_| {});
        }
        Ok(online)
    }

    fn get_context(&self, _: usize, context: &Context, online: bool, bytes: &mut [u8]) {
        let mut guest = VcpuGuestContext::new_zeroed();
        let regs = &mut guest.user_regs;
        regs.x.copy_from_slice(&context.regs.x);
        regs.pc64 = context.regs.pc;
        regs.cpsr = context.regs.spsr;
        regs.sp_el0 = context.sys.sp_el0;
        regs.sp_el1 = context.sys.sp_el1;
        regs.elr_el1 = context.sys.elr_el1;
        regs.spsr_el1 = context.sys.spsr_el1;
        guest.sctlr = context.sys.sctlr_el1;
        guest.ttbcr = context.sys.tcr_el1;
        guest.ttbr0 = context.sys.ttbr0_el1;
        guest.ttbr1 = context.sys.ttbr1_el1;
        guest.flags = if online { VGCF_online } else { 0 };
        copy_prefix(bytes, guest.as_bytes());
    }

    fn context_size(&self) -> usize {
        size_of::<VcpuGuestContext>()
    }

    fn write_config(&self, bytes: &mut [u8]) {
        copy_prefix(bytes, self.config.as_bytes());
    }

    fn check_param(&self, index: u32, value: u64) -> Result<(), Errno> {
        // The upcall line is fixed when the domain is made.
        if index == HVM_PARAM_CALLBACK_IRQ && value != ArmPlatform::callback_value(self.upcall_ppi) {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    fn switched_out(&self, hv: &Hypervisor, domain: &Domain, vcpu: &Vcpu, context: &mut Context) {
        if hv.machine.guest_aborted() {
            inject::serror_unloaded(hv, vcpu, context);
        }
        let Some(state) = self.vcpus.get(vcpu.id) else { return };
        let kicks = {
            let mut state = state.lock();
            read_back(hv, &mut state.ci);
            let mut used = state.ci.used;
            // What the guest has ended is not in flight any more: its timer may fire anew.
            let kicks = self.vgic.sync(vcpu.id, &mut state.ci, &mut |irq| {
                if irq == self.virtual_timer {
                    self.virtual_plan(context, hv.machine.ticks()) == Plan::Fire
                } else {
                    domain.events.upcall_pending(hv, vcpu)
                }
            });
            while used != 0 {
                hv.machine.write_lr(used.trailing_zeros() as usize, 0);
                used &= used - 1;
            }
            hv.machine.write_gic_hcr(0);
            deactivate(hv, &mut state.ci);
            hv.machine.set_active(hv.machine.private_irqs().virtual_timer, false);
            self.arm_while_away(hv, vcpu, context, &state);
            kicks
        };
        kick_all(hv, domain, kicks, Some(vcpu.id));
    }

    fn switching_in(&self, hv: &Hypervisor, vcpu: &Vcpu, _: &mut Context) {
        let Some(state) = self.vcpus.get(vcpu.id) else { return };
        let mut state = state.lock();
        let mut used = state.ci.used;
        state.ci.take_dirty();
        while used != 0 {
            let n = used.trailing_zeros() as usize;
            used &= used - 1;
            if let Some(lr) = state.ci.lrs.get(n) {
                hv.machine.write_lr(n, *lr);
            }
        }
        hv.machine.write_gic_hcr(state.ci.hcr);
        deactivate(hv, &mut state.ci);
        let in_flight = self.vgic.hw_ppis_in_flight(vcpu.id) >> self.virtual_timer & 1 != 0;
        hv.machine.set_active(hv.machine.private_irqs().virtual_timer, in_flight);
        // From here on the hardware watches the virtual timer; the physical one stays ours.
        let update = state.physical_timer.update(hv.machine.ticks());
        drop(state);
        self.update_physical_timer(hv, vcpu, update);
    }

    #[inline]
    fn before_entry(&self, hv: &Hypervisor, domain: &Domain, vcpu: &Vcpu) {
        if self.vgic.has_work(vcpu.id) {
            self.present(hv, domain, vcpu);
        }
    }

    fn timer_expired(&self, hv: &Hypervisor, vcpu: &Vcpu) -> bool {
        let Some(state) = self.vcpus.get(vcpu.id) else { return false };
        let update = state.lock().physical_timer.update(hv.machine.ticks());
        let line = Line::Ppi { vcpu: vcpu.id, intid: self.physical_timer };
        self.vgic.set_level(line, update.level);
        // The scheduler says that it loads the vCPU, and then takes this lock.
        let context = vcpu.context.lock();
        if vcpu.pcpu().is_none() {
            self.arm_while_away(hv, vcpu, &context, &state.lock());
        }
        true
    }

    fn vcpu_reset(&self, hv: &Hypervisor, domain: &Domain, vcpu: usize) {
        let Some(state) = self.vcpus.get(vcpu) else { return };
        let kicks = {
            let mut state = state.lock();
            state.physical_timer = PhysTimer::new();
            self.vgic.vcpu_off(vcpu, &mut state.ci, &mut |batch| self.apply_hw(hv, domain, batch))
        };
        kick_all(hv, domain, kicks, None);
    }

    fn bind_irq(&self, hv: &Hypervisor, domain: &Domain, irq: u32) -> Result<(), Errno> {
        let platform = ArmPlatform::of(hv).ok_or(Errno::EOPNOTSUPP)?;
        if irq as usize >= FIRST_SPI as usize + self.vgic.nr_spis() {
            return Err(Errno::EBUSY);
        }
        if irq == GUEST_VPL011_SPI && self.vuart.exists() {
            return Err(Errno::EBUSY);
        }
        platform.take(irq, domain.id)?;
        let effects = self.vgic.assign_hw(irq, irq as u16).map_err(|_| {
            platform.take_back(irq);
            Errno::EBUSY
        })?;
        self.apply(hv, domain, effects, None);
        Ok(())
    }

    fn has_irq(&self, hv: &Hypervisor, domain: &Domain, irq: u32) -> bool {
        ArmPlatform::of(hv).is_some_and(|platform| platform.owner(irq) == Some(domain.id))
    }

    fn release(&self, hv: &Hypervisor, domid: Domid) {
        self.vuart.release(hv);
        let Some(platform) = ArmPlatform::of(hv) else { return };
        for irq in platform.owned(domid) {
            hv.machine.irq_disable(irq);
            // What the guest took and did not end would never come again, for nobody. No vCPU is on a
            // pCPU any more: what is in a list register was taken, too.
            let taken = match self.vgic.unassign_hw(irq) {
                Ok((_, live)) => live,
                Err(e) => matches!(e, AssignError::InUse { .. }),
            };
            if taken {
                hv.machine.irq_deactivate(irq);
            }
            platform.take_back(irq);
        }
    }

    fn create_vuart(&self, hv: &Hypervisor, domain: &Domain, gfn: Gfn, backend: Domid) -> Result<u32, Errno> {
        self.vuart.create(hv, domain, gfn, backend)
    }

    fn dump(&self, vcpu: usize, out: &mut dyn fmt::Write) -> fmt::Result {
        let Some(state) = self.vcpus.get(vcpu) else { return Ok(()) };
        let Some(used) = state.try_lock().map(|state| state.ci.used) else { return Ok(()) };
        let work = self.vgic.has_work(vcpu);
        writeln!(out, "(XEN)     list registers in use {used:#06x}, interrupts in work {work}")
    }
}

/// Sets the registers with which a vCPU starts at `entry`.
pub fn enter_at(vcpu: usize, entry: u64, x0: u64, counter_offset: u64, context: &mut Context) {
    let fresh = reset::vcpu(vcpu, entry, x0);
    context.regs.x = [0; 31];
    context.regs.x[0] = fresh.x0;
    context.regs.pc = fresh.pc;
    context.regs.spsr = fresh.spsr;
    context.sys = Default::default();
    context.sys.sctlr_el1 = fresh.el1.sctlr_el1;
    context.sys.cpacr_el1 = fresh.el1.cpacr_el1;
    context.sys.vmpidr_el2 = fresh.vmpidr_el2;
    context.sys.cntvoff_el2 = counter_offset;
    context.gic = Default::default();
}

fn copy_prefix(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}
