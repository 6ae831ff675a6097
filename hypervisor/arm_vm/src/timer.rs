//! The two generic timers of a guest (Arm ARM DDI 0487, D11). All times are ticks of the system counter.
//!
//! * **Virtual timer.** The guest programs CNTV_* itself; while its vCPU runs, the hardware timer is its timer. The
//!   recommended interrupt scheme is hardware-linked: the physical virtual-timer PPI is acknowledged with priority
//!   drop only, so it stays active, and is put into a list register with its physical number (`Vgic::inject_hw_ppi`).
//!   When the guest deactivates its interrupt the hardware deactivates the physical one. No exit is needed for that,
//!   CNTV_CTL stays as the guest wrote it (a guest that reprograms only the compare value keeps ticking, and one that
//!   polls ISTATUS sees the truth), and a guest that disables the interrupt causes no storm. Masking CNTV_CTL instead
//!   would cost the same at the interrupt and change a register behind the guest's back. The price is paid on a
//!   context switch only: the physical active state is the vCPU's and moves with it (`Vgic::hw_ppis_in_flight`).
//! * While a vCPU is descheduled, [`TimerRegs::plan`] on the saved registers says when a software timer has to wake it.
//! * **Physical timer.** CNTP_* are trapped and emulated by [`PhysTimer`]; CNTPCT_EL0 is not trapped, so compare values
//!   are in ticks of the real counter. Its output is an emulated level line.

/// Bits of CNTV_CTL_EL0 and CNTP_CTL_EL0.
pub mod ctl {
    /// The timer compares.
    pub const ENABLE: u64 = 1 << 0;
    /// Its interrupt is masked.
    pub const IMASK: u64 = 1 << 1;
    /// Read only: the condition is met.
    pub const ISTATUS: u64 = 1 << 2;
}

/// Control and compare value of one timer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimerRegs {
    /// ENABLE and IMASK; ISTATUS is computed, never stored.
    ctl: u64,
    /// Compare value, in ticks of the timer's own counter.
    cval: u64,
}

/// What to do for a timer that nobody watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Off, masked, or beyond the end of time: nothing.
    Idle,
    /// Its line is high: inject now.
    Fire,
    /// Its line goes high when the physical counter reaches this tick.
    At(u64),
}

impl TimerRegs {
    /// From CNTx_CTL and CNTx_CVAL as saved from the hardware.
    #[inline]
    pub const fn new(ctl: u64, cval: u64) -> Self {
        Self { ctl: ctl & (ctl::ENABLE | ctl::IMASK), cval }
    }

    /// CNTx_CTL without ISTATUS, to be restored into the hardware.
    #[inline]
    pub const fn ctl(&self) -> u64 {
        self.ctl
    }

    /// CNTx_CVAL.
    #[inline]
    pub const fn cval(&self) -> u64 {
        self.cval
    }

    /// Whether the timer could raise its line at all.
    #[inline]
    pub const fn is_armed(&self) -> bool {
        self.ctl & (ctl::ENABLE | ctl::IMASK) == ctl::ENABLE
    }

    /// Whether the line is high when the timer's own counter shows `count`.
    #[inline]
    pub const fn is_asserted(&self, count: u64) -> bool {
        self.is_armed() && count >= self.cval
    }

    /// What to do at physical tick `now` for a timer whose counter is `offset` ticks behind the physical one
    /// (CNTVOFF_EL2; 0 for the physical timer).
    pub const fn plan(&self, now: u64, offset: u64) -> Plan {
        if !self.is_armed() {
            return Plan::Idle;
        }
        if now.wrapping_sub(offset) >= self.cval {
            return Plan::Fire;
        }
        match self.cval.checked_add(offset) {
            Some(tick) => Plan::At(tick),
            None => Plan::Idle,
        }
    }
}

/// A register of the physical timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerReg {
    /// CNTP_CTL_EL0.
    Ctl,
    /// CNTP_CVAL_EL0.
    Cval,
    /// CNTP_TVAL_EL0: signed 32-bit distance from now.
    Tval,
}

/// State after a change of the physical timer: put the level on the guest's PPI and (re)set the software timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerUpdate {
    /// Level of the timer's line.
    pub level: bool,
    /// Physical tick at which the level goes high; `None`: cancel the software timer.
    pub deadline: Option<u64>,
}

/// The emulated physical timer of a vCPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhysTimer {
    regs: TimerRegs,
}

impl PhysTimer {
    /// A timer that is off.
    pub const fn new() -> Self {
        Self { regs: TimerRegs { ctl: 0, cval: 0 } }
    }

    /// Guest reads a register at physical tick `now`.
    pub const fn read(&self, reg: TimerReg, now: u64) -> u64 {
        match reg {
            TimerReg::Ctl => {
                // With the timer off ISTATUS is unknown; 0 is what Xen gives.
                let met = self.regs.ctl & ctl::ENABLE != 0 && now >= self.regs.cval;
                self.regs.ctl | if met { ctl::ISTATUS } else { 0 }
            }
            TimerReg::Cval => self.regs.cval,
            TimerReg::Tval => self.regs.cval.wrapping_sub(now) & 0xffff_ffff,
        }
    }

    /// Guest writes a register at physical tick `now`.
    pub const fn write(&mut self, reg: TimerReg, value: u64, now: u64) -> TimerUpdate {
        match reg {
            TimerReg::Ctl => self.regs = TimerRegs::new(value, self.regs.cval),
            TimerReg::Cval => self.regs.cval = value,
            TimerReg::Tval => self.regs.cval = now.wrapping_add(value as u32 as i32 as i64 as u64),
        }
        self.update(now)
    }

    /// State at physical tick `now`: when the software timer went off, or after a vCPU was moved.
    pub const fn update(&self, now: u64) -> TimerUpdate {
        match self.regs.plan(now, 0) {
            Plan::Idle => TimerUpdate { level: false, deadline: None },
            Plan::Fire => TimerUpdate { level: true, deadline: None },
            Plan::At(tick) => TimerUpdate { level: false, deadline: Some(tick) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn descheduled_virtual_timer_is_planned_in_physical_ticks() {
        let regs = TimerRegs::new(ctl::ENABLE, 1000);
        assert_eq!(regs.plan(5500, 5000), Plan::At(6000));
        assert_eq!(regs.plan(6000, 5000), Plan::Fire);
        assert_eq!(TimerRegs::new(ctl::ENABLE | ctl::IMASK, 1000).plan(9000, 5000), Plan::Idle);
        assert_eq!(TimerRegs::new(0, 1000).plan(9000, 5000), Plan::Idle);
        assert_eq!(
            TimerRegs::new(ctl::ENABLE, u64::MAX).plan(9000, 5000),
            Plan::Idle,
            "beyond the end of time"
        );
    }

    #[test]
    fn saved_status_bit_is_not_restored() {
        let regs = TimerRegs::new(ctl::ENABLE | ctl::ISTATUS | 0xf0, 7);
        assert_eq!((regs.ctl(), regs.cval()), (ctl::ENABLE, 7));
        assert!(regs.is_asserted(7) && !regs.is_asserted(6));
    }

    #[test]
    fn physical_timer_raises_and_lowers_its_line() {
        let mut timer = PhysTimer::new();
        assert_eq!(timer.write(TimerReg::Cval, 100, 10), TimerUpdate { level: false, deadline: None });
        assert_eq!(
            timer.write(TimerReg::Ctl, ctl::ENABLE, 10),
            TimerUpdate { level: false, deadline: Some(100) }
        );
        assert_eq!(timer.read(TimerReg::Ctl, 99), ctl::ENABLE);
        assert_eq!(timer.read(TimerReg::Ctl, 100), ctl::ENABLE | ctl::ISTATUS);
        assert_eq!(timer.update(100), TimerUpdate { level: true, deadline: None });
        let masked = timer.write(TimerReg::Ctl, ctl::ENABLE | ctl::IMASK, 101);
        assert_eq!(masked, TimerUpdate { level: false, deadline: None });
        assert_eq!(timer.read(TimerReg::Ctl, 101), ctl::ENABLE | ctl::IMASK | ctl::ISTATUS);
        assert!(timer.write(TimerReg::Ctl, ctl::ENABLE, 101).level);
        assert_eq!(timer.write(TimerReg::Cval, 200, 102).deadline, Some(200));
    }

    #[test]
    fn timer_value_is_a_signed_distance() {
        let mut timer = PhysTimer::new();
        timer.write(TimerReg::Tval, 50, 1000);
        assert_eq!(timer.read(TimerReg::Cval, 1000), 1050);
        assert_eq!(timer.read(TimerReg::Tval, 1060), 0xffff_fff6);
        timer.write(TimerReg::Tval, 0xffff_ffff, 1000);
        assert_eq!(timer.read(TimerReg::Cval, 1000), 999);
    }

    proptest! {
        #[test]
        fn level_and_deadline_agree_with_the_counter(value: u64, now: u64, control in 0u64..8, later: u64) {
            let mut timer = PhysTimer::new();
            timer.write(TimerReg::Cval, value, now);
            let update = timer.write(TimerReg::Ctl, control, now);
            prop_assert!(!(update.level && update.deadline.is_some()));
            if let Some(tick) = update.deadline {
                prop_assert!(tick > now);
                prop_assert_eq!(timer.update(later).level, later >= tick);
            }
        }
    }
}
