//! Saying what is waited for, when that takes long.

use std::time::{Duration, Instant};

use crate::Toolstack;

/// How often it is said, and after how long for the first time.
const INTERVAL: Duration = Duration::from_secs(1);

/// Is told what an operation waits for.
pub trait Progress {
    /// It has waited for `what` for so many seconds. Comes once a second, after the first.
    fn waiting(&mut self, what: &str, seconds: u64);

    /// It waits no longer. Comes only after [`Progress::waiting`].
    fn over(&mut self);
}

/// What a look at what is waited for brings.
pub(crate) enum Look<T> {
    /// It is there.
    Found(T),
    /// It is not; this is to come.
    Waiting(String),
}

impl<T> Look<T> {
    /// What was found, or else what is to come.
    pub(crate) fn of(found: Option<T>, what: impl FnOnce() -> String) -> Self {
        found.map_or_else(|| Self::Waiting(what()), Self::Found)
    }

    /// What was found.
    pub(crate) fn found(self) -> Option<T> {
        match self {
            Self::Found(found) => Some(found),
            Self::Waiting(_) => None,
        }
    }
}

/// A time of waiting.
pub(crate) struct Wait {
    start: Instant,
    said: u32,
}

impl Wait {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now(), said: 0 }
    }

    /// How long it has lasted.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Time until something is to be said.
    fn until_due(&self) -> Duration {
        (INTERVAL * (self.said + 1)).saturating_sub(self.elapsed())
    }
}

impl Toolstack {
    /// Has `progress` be told what operations wait for.
    pub fn tell_progress(&mut self, progress: impl Progress + 'static) {
        self.progress = Some(Box::new(progress));
    }

    /// Says what is waited for, if it is time, and how long one may wait until the next time.
    pub(crate) fn say_waiting(&mut self, wait: &mut Wait, what: &str) -> Option<Duration> {
        let progress = self.progress.as_mut()?;
        if wait.until_due().is_zero() {
            let seconds = wait.elapsed().as_secs();
            wait.said = u32::try_from(seconds).unwrap_or(u32::MAX - 1);
            progress.waiting(what, seconds);
        }
        Some(wait.until_due())
    }

    /// Says that the wait is over, if anything was said of it.
    pub(crate) fn say_over(&mut self, wait: &Wait) {
        if let Some(progress) = self.progress.as_mut().filter(|_| wait.said > 0) {
            progress.over();
        }
    }
}
