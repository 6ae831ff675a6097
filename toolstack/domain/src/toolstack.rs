//! The handle: the hypervisor, xenstore, and Dom0's devices; and waiting for what others do.

use std::path::PathBuf;
use std::time::Duration;

use xen_ctrl::XenCtrl;
use xenstore_client::Client;

use crate::host::LinuxHost;
use crate::progress::{Look, Progress, Wait};
use crate::userdata::{self, UserData};
use crate::{DomainError, Host};

/// How long is waited for others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For a back end to come up or to go.
    pub(crate) back_end: Duration,
    /// For a guest to take a request.
    pub(crate) guest: Duration,
    /// Before a supervisor tries again what has failed, for the first time.
    pub(crate) retry: Duration,
}

/// Token of the watches, which are set only while something is waited for.
const TOKEN: &str = "wait";

/// All that is needed to control domains. Its methods are the operations.
pub struct Toolstack {
    pub(crate) ctrl: XenCtrl,
    pub(crate) store: Client,
    pub(crate) host: Box<dyn Host>,
    pub(crate) userdata: UserData,
    pub(crate) patience: Patience,
    pub(crate) progress: Option<Box<dyn Progress>>,
}

impl Toolstack {
    /// Opens the hypervisor's devices and connects to xenstore.
    ///
    /// # Errors
    /// When either is not there.
    pub fn open() -> Result<Self, DomainError> {
        Ok(Self::new(XenCtrl::open()?, Client::open()?, Box::new(LinuxHost), userdata::FOLDER))
    }

    /// Works with these. What is kept of domains is in files in the folder `userdata`.
    pub fn new(ctrl: XenCtrl, store: Client, host: Box<dyn Host>, userdata: impl Into<PathBuf>) -> Self {
        let patience = Patience {
            back_end: Duration::from_secs(10),
            guest: Duration::from_secs(60),
            retry: Duration::from_secs(1),
        };
        Self { ctrl, store, host, userdata: UserData::new(userdata), patience, progress: None }
    }

    /// The hypervisor, for what needs no more than that.
    pub fn ctrl(&self) -> &XenCtrl {
        &self.ctrl
    }

    /// Xenstore, for what needs no more than that.
    pub fn store(&mut self) -> &mut Client {
        &mut self.store
    }

    /// Waits until `look` finds something; it looks again whenever something at or below `paths` changes. What was
    /// still to come when the time is over.
    pub(crate) fn wait_for<T>(
        &mut self,
        paths: &[String],
        patience: Option<Duration>,
        look: impl FnMut(&mut Self) -> Result<Look<T>, DomainError>,
    ) -> Result<Look<T>, DomainError> {
        let mut wait = Wait::new();
        let outcome = paths
            .iter()
            .try_for_each(|path| Ok(self.store.watch(path, TOKEN)?))
            .and_then(|()| self.look_until(patience, &mut wait, look));
        self.say_over(&wait);
        for path in paths {
            // Those that could not be set are not there, and with a broken connection all are gone.
            let _ = self.store.unwatch(path, TOKEN);
        }
        outcome
    }

    fn look_until<T>(
        &mut self,
        patience: Option<Duration>,
        wait: &mut Wait,
        mut look: impl FnMut(&mut Self) -> Result<Look<T>, DomainError>,
    ) -> Result<Look<T>, DomainError> {
        loop {
            // The next look sees what they tell of.
            while self.store.wait_event(Some(Duration::ZERO))?.is_some() {}
            let what = match look(self)? {
                Look::Waiting(what) => what,
                found => return Ok(found),
            };
            let until_said = self.say_waiting(wait, &what);
            let left = patience.map(|patience| patience.saturating_sub(wait.elapsed()));
            let shortest = left.into_iter().chain(until_said).min();
            if self.store.wait_event(shortest)?.is_none() && left == shortest {
                return Ok(Look::Waiting(what));
            }
        }
    }
}
