//! Pausing, shutting down and bringing up.

use super::state::{Domain, Life, ShutdownReason};
use super::vcpu::Vcpu;
use crate::Hypervisor;
use core::sync::atomic::Ordering;
use hal::{Domid, MachineOps as _};
use xen_abi::Errno;
use xen_abi::sched::{
    SHUTDOWN_poweroff, SHUTDOWN_reboot, SHUTDOWN_soft_reset, SHUTDOWN_suspend, SHUTDOWN_watchdog,
};
use xen_abi::xen::VIRQ_DOM_EXC;

impl Life {
    /// The pauses that a new vCPU starts with.
    pub(super) fn pauses(&self) -> u32 {
        self.controller_pauses + self.holds + u32::from(self.shutdown.is_some())
    }
}

impl Hypervisor {
    /// Ends a vCPU's wait, or makes it leave the guest, so that it looks at its interrupts.
    #[inline]
    pub fn kick(&self, vcpu: &Vcpu) {
        // The vCPU that runs here, and does not wait, looks before it enters the guest.
        if vcpu.is_blocked() || vcpu.pcpu() != Some(self.machine.this_cpu()) {
            self.wake_or_poke(vcpu);
        }
    }

    #[inline(never)]
    fn wake_or_poke(&self, vcpu: &Vcpu) {
        if vcpu.clear_blocked() {
            self.pools.update(self, vcpu);
        } else if let Some(pcpu) = vcpu.pcpu()
            && pcpu != self.machine.this_cpu()
        {
            self.machine.poke(pcpu);
        }
    }

    /// The vCPU that called waits for an interrupt, unless one waits for it.
    pub fn block(&self, domain: &Domain, vcpu: &Vcpu) {
        self.block_unless(vcpu, || domain.guest.has_interrupt(self, domain, vcpu));
    }

    /// The vCPU that called waits, unless `has_reason` sees why it should not.
    pub fn block_unless(&self, vcpu: &Vcpu, has_reason: impl FnOnce() -> bool) {
        vcpu.set_blocked();
        // Whoever raises an interrupt after this look finds the vCPU blocked and wakes it.
        if has_reason() {
            vcpu.clear_blocked();
        } else {
            self.pools.update(self, vcpu);
        }
    }

    /// Adds a pause to a vCPU; it may run on for a moment on another pCPU.
    pub fn pause_vcpu(&self, vcpu: &Vcpu) {
        vcpu.pause();
        self.pools.update(self, vcpu);
    }

    /// Takes a pause from a vCPU.
    pub fn unpause_vcpu(&self, vcpu: &Vcpu) {
        vcpu.unpause();
        self.pools.update(self, vcpu);
    }

    /// Waits until a vCPU that was paused has left its pCPU. Never for a vCPU of the caller's own
    /// domain: the other pCPU is in the guest, or in a handler that does not wait for this one.
    pub fn wait_stopped(&self, vcpu: &Vcpu) {
        while self.is_held(vcpu) {
            self.machine.relax();
        }
    }

    /// Whether a pCPU has the vCPU's registers, or is about to load them.
    pub fn is_held(&self, vcpu: &Vcpu) -> bool {
        self.pools.is_held(vcpu)
    }

    /// Stops a domain, other than the caller's, for something that must not meet its vCPUs, until
    /// [`let_go`](Self::let_go). The tools do not see it.
    pub(crate) fn hold(&self, domain: &Domain) {
        {
            let mut life = domain.life.lock();
            life.holds += 1;
            domain.vcpus().for_each(|vcpu| self.pause_vcpu(vcpu));
        }
        domain.vcpus().for_each(|vcpu| self.wait_stopped(vcpu));
    }

    /// Undoes [`hold`](Self::hold).
    pub(crate) fn let_go(&self, domain: &Domain) {
        let mut life = domain.life.lock();
        life.holds -= 1;
        domain.vcpus().for_each(|vcpu| self.unpause_vcpu(vcpu));
    }

    /// XEN_DOMCTL_pausedomain.
    ///
    /// # Errors
    /// EOVERFLOW at 255 pauses.
    pub fn pause_domain(&self, domain: &Domain) -> Result<(), Errno> {
        {
            let mut life = domain.life.lock();
            if life.controller_pauses >= 255 {
                return Err(Errno::EOVERFLOW);
            }
            life.controller_pauses += 1;
            for vcpu in domain.vcpus() {
                self.pause_vcpu(vcpu);
            }
        }
        for vcpu in domain.vcpus() {
            self.wait_stopped(vcpu);
        }
        Ok(())
    }

    /// XEN_DOMCTL_unpausedomain.
    ///
    /// # Errors
    /// EINVAL for a domain that is not paused.
    pub fn unpause_domain(&self, domain: &Domain) -> Result<(), Errno> {
        let mut life = domain.life.lock();
        life.controller_pauses = life.controller_pauses.checked_sub(1).ok_or(Errno::EINVAL)?;
        if life.controller_pauses == 0 {
            domain.set_started();
        }
        for vcpu in domain.vcpus() {
            self.unpause_vcpu(vcpu);
        }
        Ok(())
    }

    /// Brings a vCPU up with the registers in its context; false if it was up.
    pub fn bring_up(&self, vcpu: &Vcpu) -> bool {
        let came_up = vcpu.set_up();
        if came_up {
            self.pools.update(self, vcpu);
        }
        came_up
    }

    /// Takes a vCPU down. The last one takes the domain with it, as a power-off.
    pub fn take_down(&self, domain: &Domain, vcpu: &Vcpu) {
        vcpu.set_down();
        self.pools.update(self, vcpu);
        if domain.vcpus().all(|v| !v.is_up()) {
            self.shut_down(domain, ShutdownReason::POWEROFF);
        }
    }

    /// Shuts a domain down: all its vCPUs stop, and dom0 hears of it. When dom0 itself goes, the
    /// machine goes.
    pub fn shut_down(&self, domain: &Domain, reason: ShutdownReason) {
        let reason = {
            let mut life = domain.life.lock();
            if life.shutdown.is_some() {
                return;
            }
            let reason = life.code.unwrap_or(reason);
            life.shutdown = Some(reason);
            domain.set_shut_down(true);
            for vcpu in domain.vcpus() {
                self.pause_vcpu(vcpu);
            }
            reason
        };
        if domain.id == Domid::DOM0 {
            self.dom0_gone(reason);
        }
        // Who saves the domain may have a way of its own to hear of it.
        let port = domain.suspend_port.load(Ordering::Relaxed);
        if u32::from(reason.0) == SHUTDOWN_suspend && port != 0 {
            // A port that is closed is the guest's own fault.
            let _ = crate::event::send(self, domain, port);
        } else {
            self.send_global_virq(VIRQ_DOM_EXC);
        }
    }

    /// The control domain has stopped.
    fn dom0_gone(&self, reason: ShutdownReason) -> ! {
        let code = u32::from(reason.0);
        crate::info!(self, "Dom0 has stopped, reason {code}.");
        match code {
            SHUTDOWN_poweroff => self.machine.power_off(),
            SHUTDOWN_reboot | SHUTDOWN_watchdog | SHUTDOWN_soft_reset => self.machine.reboot(),
            // A crash, or what nobody can resume.
            _ => self.give_up(),
        }
    }

    /// Nothing can go on.
    pub fn give_up(&self) -> ! {
        if self.options.no_reboot {
            crate::info!(self, "'noreboot' is set: the machine stays off.");
            self.machine.power_off();
        }
        self.machine.reboot()
    }

    /// XEN_DOMCTL_resumedomain: undoes a shutdown.
    pub fn resume(&self, domain: &Domain) {
        let mut life = domain.life.lock();
        if life.shutdown.take().is_some() {
            life.code = None;
            domain.set_shut_down(false);
            for vcpu in domain.vcpus() {
                self.unpause_vcpu(vcpu);
            }
        }
    }
}

impl ShutdownReason {
    /// The guest switched itself off.
    pub const POWEROFF: Self = Self(0);
    /// The guest wants to start anew.
    pub const REBOOT: Self = Self(1);
}

impl Domain {
    /// Why it shut down, if it has.
    pub fn shutdown_reason(&self) -> Option<ShutdownReason> {
        self.life.lock().shutdown
    }

    /// Holders of a pause by domctl.
    pub fn controller_pauses(&self) -> u32 {
        self.life.lock().controller_pauses
    }

    /// SCHEDOP_shutdown_code: the reason to report for the next shutdown, unless one was given.
    pub fn set_shutdown_code(&self, reason: ShutdownReason) {
        self.life.lock().code.get_or_insert(reason);
    }
}
