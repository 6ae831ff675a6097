//! The handle: the hypervisor, xenstore, and Dom0's devices; and waiting for what others do.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use xen_ctrl::XenCtrl;
use xenstore_client::Client;

use crate::host::LinuxHost;
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
        Self { ctrl, store, host, userdata: UserData::new(userdata), patience }
    }

    /// The hypervisor, for what needs no more than that.
    pub fn ctrl(&self) -> &XenCtrl {
        &self.ctrl
    }

    /// Xenstore, for what needs no more than that.
    pub fn store(&mut self) -> &mut Client {
        &mut self.store
    }

    /// Waits until `look` finds something; it looks again whenever something at or below `paths` changes. `None` when
    /// the time is over.
    pub(crate) fn wait_for<T>(
        &mut self,
        paths: &[String],
        patience: Option<Duration>,
        look: impl FnMut(&mut Self) -> Result<Option<T>, DomainError>,
    ) -> Result<Option<T>, DomainError> {
        let outcome = paths
            .iter()
            .try_for_each(|path| Ok(self.store.watch(path, TOKEN)?))
            .and_then(|()| self.look_until(patience, look));
        for path in paths {
            // Those that could not be set are not there, and with a broken connection all are gone.
            let _ = self.store.unwatch(path, TOKEN);
        }
        outcome
    }

    fn look_until<T>(
        &mut self,
        patience: Option<Duration>,
        mut look: impl FnMut(&mut Self) -> Result<Option<T>, DomainError>,
    ) -> Result<Option<T>, DomainError> {
        let deadline = patience.and_then(|patience| Instant::now().checked_add(patience));
        loop {
            // The next look sees what they tell of.
            while self.store.wait_event(Some(Duration::ZERO))?.is_some() {}
            if let Some(found) = look(self)? {
                return Ok(Some(found));
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if self.store.wait_event(left)?.is_none() {
                return Ok(None);
            }
        }
    }
}
