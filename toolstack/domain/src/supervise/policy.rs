//! What becomes of a domain that has ended, and how soon.

use std::time::Duration;

use xen_ctrl::ShutdownReason;
use xl_config::{Action, DomainConfig};

use crate::DomainError;

/// A domain that has run so long has started well.
const GOOD_RUN: Duration = Duration::from_secs(10);
/// The longest pause between two attempts, in units of the first.
const LONGEST_PAUSE: u32 = 60;

/// What is done about a domain that has shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Nothing yet: whoever made it suspend saves it or lets it run on.
    Wait,
    /// It stays as it is, and nobody looks after it any more.
    Preserve,
    /// It is destroyed.
    Destroy,
    /// It is destroyed and made anew.
    Restart,
    /// It stays under another name, and is made anew.
    RenameRestart,
}

impl Deed {
    /// What the configuration says of this end (xl.cfg(5), Event Actions).
    pub(crate) fn of(reason: ShutdownReason, config: &DomainConfig) -> Self {
        let action = match reason {
            ShutdownReason::Poweroff => config.on_poweroff,
            ShutdownReason::Reboot => config.on_reboot,
            ShutdownReason::Suspend => return Self::Wait,
            ShutdownReason::Crash => config.on_crash,
            ShutdownReason::Watchdog => config.on_watchdog,
            ShutdownReason::SoftReset => config.on_soft_reset,
            // As with Xen's xl.
            ShutdownReason::Unknown(_) => Action::Destroy,
        };
        match action {
            Action::Preserve => Self::Preserve,
            Action::Restart | Action::CoredumpRestart => Self::Restart,
            Action::RenameRestart => Self::RenameRestart,
            // arm64 has no soft reset: `XEN_DOMCTL_soft_reset` is refused there, and Xen's xl then destroys too.
            Action::Destroy | Action::CoredumpDestroy | Action::SoftReset => Self::Destroy,
        }
    }

    /// What is done, for the log.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Wait => "waiting until it is saved or goes on",
            Self::Preserve => "keeping it as it is",
            Self::Destroy => "destroying it",
            Self::Restart => "making it anew",
            Self::RenameRestart => "renaming it, and making it anew",
        }
    }
}

/// Refuses actions that cannot be done when the time comes.
pub(crate) fn refuse_actions(config: &DomainConfig) -> Result<(), DomainError> {
    let actions = [
        ("on_poweroff", config.on_poweroff),
        ("on_reboot", config.on_reboot),
        ("on_watchdog", config.on_watchdog),
        ("on_crash", config.on_crash),
        ("on_soft_reset", config.on_soft_reset),
    ];
    for (key, action) in actions {
        let what = match action {
            Action::CoredumpDestroy | Action::CoredumpRestart => "write no dumps of a domain's memory",
            // There, it is what is meant when nothing is said.
            Action::SoftReset if key != "on_soft_reset" => "cannot reset an arm64 domain without ending it",
            _ => continue,
        };
        let why =
            format!("{action}: these tools {what}; use destroy, restart, rename-restart or preserve instead");
        return Err(DomainError::Key { key, why });
    }
    Ok(())
}

/// How soon a domain is made anew: at once, unless it keeps ending quickly.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    short_runs: u32,
}

impl Pace {
    /// How long to wait after a run that lasted so long; `first` after the first short one.
    pub(crate) fn after_run(&mut self, lasted: Duration, first: Duration) -> Duration {
        self.short_runs = if lasted < GOOD_RUN { self.short_runs.saturating_add(1) } else { 0 };
        pause(self.short_runs, first)
    }
}

/// How long to wait after so many attempts that came to nothing: `first`, twice that, and so on.
pub(crate) fn pause(attempts: u32, first: Duration) -> Duration {
    attempts
        .checked_sub(1)
        .map_or(Duration::ZERO, |doublings| first * (1 << doublings.min(6)).min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use xl_config::Document;

    fn config(lines: &str) -> DomainConfig {
        let text = format!("name = 'web'\nkernel = '/k'\nmemory = 64\n{lines}\n");
        DomainConfig::from_document(&Document::parse("test", text.as_bytes()).unwrap()).unwrap().config
    }

    const ENDS: [(ShutdownReason, &str, Deed); 5] = [
        (ShutdownReason::Poweroff, "on_poweroff", Deed::Destroy),
        (ShutdownReason::Reboot, "on_reboot", Deed::Restart),
        (ShutdownReason::Crash, "on_crash", Deed::Destroy),
        (ShutdownReason::Watchdog, "on_watchdog", Deed::Destroy),
        (ShutdownReason::SoftReset, "on_soft_reset", Deed::Destroy),
    ];

    #[test]
    fn each_end_has_its_usual_deed_and_the_one_of_its_key() {
        let usual = config("");
        for (reason, key, deed) in ENDS {
            assert_eq!(Deed::of(reason, &usual), deed, "{key}");
            for (action, deed) in [
                ("destroy", Deed::Destroy),
                ("restart", Deed::Restart),
                ("rename-restart", Deed::RenameRestart),
                ("preserve", Deed::Preserve),
            ] {
                let config = config(&format!("{key} = '{action}'"));
                assert_eq!(Deed::of(reason, &config), deed, "{key} {action}");
                assert_eq!(Deed::of(ShutdownReason::Unknown(9), &config), Deed::Destroy);
                assert_eq!(Deed::of(ShutdownReason::Suspend, &config), Deed::Wait);
                for (other, ..) in ENDS.iter().filter(|(other, ..)| *other != reason) {
                    assert_eq!(Deed::of(*other, &config), Deed::of(*other, &usual), "{key} is for one end");
                }
            }
        }
    }

    #[test]
    fn actions_that_cannot_be_done_are_refused_with_their_key() {
        refuse_actions(&config("")).unwrap();
        for (_, key, _) in ENDS {
            for action in ["coredump-destroy", "coredump-restart", "soft-reset"] {
                let refused = refuse_actions(&config(&format!("{key} = '{action}'")));
                if (key, action) == ("on_soft_reset", "soft-reset") {
                    refused.unwrap();
                    continue;
                }
                let error = refused.unwrap_err().to_string();
                assert!(error.starts_with(&format!("{key}: {action}: these tools ")), "{error}");
            }
        }
    }

    #[test]
    fn domain_that_keeps_ending_quickly_waits_longer_and_longer_until_it_runs_well() {
        let mut pace = Pace::default();
        let mut after =
            |seconds| pace.after_run(Duration::from_secs(seconds), Duration::from_secs(1)).as_secs();
        assert_eq!(after(10), 0);
        assert_eq!([0, 9, 1, 2, 3, 4, 5, 6].map(&mut after), [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(after(3600), 0);
        assert_eq!(after(1), 1);
        assert_eq!(pause(u32::MAX, Duration::from_millis(2)), Duration::from_millis(120));
    }
}
