//! Pause, shut down, wait, destroy.

use std::time::Duration;

use xen_abi::domctl::v4_17::DominfFlags;
use xen_ctrl::ShutdownReason;
use xen_dev::Domid;
use xenstore_client::Operations;
use xl_config::Uuid;

use crate::nodes::{self, home, notes};
use crate::progress::Look;
use crate::userdata::Owner;
use crate::{DomainError, Toolstack};

/// What a guest can be asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Shut down.
    Poweroff,
    /// Restart.
    Reboot,
}

impl Request {
    /// The word in xenstore's `control/shutdown` (`xenstore-paths.pandoc`).
    fn word(self) -> &'static str {
        match self {
            Self::Poweroff => "poweroff",
            Self::Reboot => "reboot",
        }
    }
}

/// How a domain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It shut down, and is there to be destroyed.
    ShutDown(ShutdownReason),
    /// It is gone, or about to be.
    Destroyed,
}

impl Toolstack {
    /// Pauses a domain. Pauses of the tools do not count: two are one.
    ///
    /// # Errors
    /// When there is no such domain, or it is Dom0.
    pub fn pause(&mut self, domid: Domid) -> Result<(), DomainError> {
        not_dom0(domid, "paused")?;
        if !self.running(domid)?.flags.contains(DominfFlags::PAUSED) {
            self.ctrl.pause(domid)?;
        }
        Ok(())
    }

    /// Lets a paused domain run.
    ///
    /// # Errors
    /// When there is no such domain, or it is Dom0.
    pub fn unpause(&mut self, domid: Domid) -> Result<(), DomainError> {
        not_dom0(domid, "unpaused")?;
        if self.running(domid)?.flags.contains(DominfFlags::PAUSED) {
            self.ctrl.unpause(domid)?;
        }
        Ok(())
    }

    /// Asks a guest to shut down or to restart, and waits until its kernel has taken the request.
    ///
    /// # Errors
    /// [`DomainError::NoAnswer`] when it does not; the request is withdrawn then. [`DomainError::State`] when it
    /// cannot.
    pub fn request(&mut self, domid: Domid, request: Request) -> Result<(), DomainError> {
        not_dom0(domid, "shut down")?;
        if self.running(domid)?.flags.contains(DominfFlags::PAUSED) {
            let hint = ", so it cannot answer (try: xl unpause)";
            return Err(DomainError::State { domid, state: "paused", hint });
        }
        let (path, word) = (format!("{}/control/shutdown", home(domid)), request.word());
        self.store.write(&path, word)?;
        let taken = self.wait_for(
            &[path.clone(), "@releaseDomain".to_owned()],
            Some(self.patience.guest),
            |tools| {
                let waiting = nodes::text(&mut tools.store, &path)?.as_deref() == Some(word);
                let is_taken = !waiting || tools.end(domid)?.is_some();
                Ok(Look::of(is_taken.then_some(()), || format!("domain {domid} to take the {word} request")))
            },
        )?;
        if taken.found().is_some() {
            return Ok(());
        }
        let withdrawn = self.store.transaction(|store| {
            let waiting = nodes::text(store, &path)?.as_deref() == Some(word);
            if waiting {
                store.write(&path, "")?;
            }
            Ok(waiting)
        })?;
        let seconds = self.patience.guest.as_secs();
        if withdrawn { Err(DomainError::NoAnswer { domid, request: word, seconds }) } else { Ok(()) }
    }

    /// Waits until a domain has shut down or is gone: at most so long, or for ever.
    ///
    /// # Errors
    /// [`DomainError::StillRuns`] when the time is over.
    pub fn wait_for_end(&mut self, domid: Domid, patience: Option<Duration>) -> Result<End, DomainError> {
        let paths = ["@releaseDomain".to_owned()];
        let end = self.wait_for(&paths, patience, |tools| {
            Ok(Look::of(tools.end(domid)?, || format!("the end of domain {domid}")))
        })?;
        let seconds = patience.unwrap_or_default().as_secs();
        end.found().ok_or(DomainError::StillRuns { domid, seconds })
    }

    /// Waits until a domain is gone, or about to be.
    ///
    /// # Errors
    /// When the hypervisor or xenstore refuse.
    pub fn wait_until_gone(&mut self, domid: Domid) -> Result<(), DomainError> {
        self.is_gone_within(domid, None).map(drop)
    }

    /// Waits at most so long, or for ever, until a domain is gone, or about to be, and says whether it is.
    pub(crate) fn is_gone_within(
        &mut self,
        domid: Domid,
        patience: Option<Duration>,
    ) -> Result<bool, DomainError> {
        self.has_become(domid, patience, |end| end == Some(End::Destroyed), "to be gone")
    }

    /// Waits until a domain has not, or no longer, shut down for this reason.
    pub(crate) fn wait_for_change(&mut self, domid: Domid, from: ShutdownReason) -> Result<(), DomainError> {
        self.has_become(domid, None, |end| end != Some(End::ShutDown(from)), "to go on").map(drop)
    }

    /// Waits at most so long, or for ever, until how a domain has ended, if it has, is as wanted.
    fn has_become(
        &mut self,
        domid: Domid,
        patience: Option<Duration>,
        is_wanted: impl Fn(Option<End>) -> bool,
        what: &str,
    ) -> Result<bool, DomainError> {
        let came = self.wait_for(&["@releaseDomain".to_owned()], patience, |tools| {
            let found = is_wanted(tools.end(domid)?).then_some(());
            Ok(Look::of(found, || format!("domain {domid} {what}")))
        })?;
        Ok(came.found().is_some())
    }

    /// Whether a domain has ended, and how.
    fn end(&self, domid: Domid) -> Result<Option<End>, DomainError> {
        match self.info(domid) {
            Ok(info) if info.flags.contains(DominfFlags::DYING) => Ok(Some(End::Destroyed)),
            Ok(info) => Ok(info.shutdown_reason().map(End::ShutDown)),
            Err(DomainError::NoSuchDomain(_)) => Ok(Some(End::Destroyed)),
            Err(error) => Err(error),
        }
    }

    /// Destroys a domain with its devices and all that is noted about it. Every step is taken, whatever becomes of the
    /// others.
    ///
    /// # Errors
    /// The first that a step met; [`DomainError::NoSuchDomain`] when nothing was there.
    pub fn destroy(&mut self, domid: Domid) -> Result<(), DomainError> {
        not_dom0(domid, "destroyed")?;
        let info = match self.info(domid) {
            Ok(info) => Some(info),
            Err(DomainError::NoSuchDomain(_)) if self.name(domid)?.is_some() => None,
            Err(error) => return Err(error),
        };
        let uuid = info.map(|info| Uuid(info.handle));
        // It must not use its devices while they go. It may be gone itself already.
        let paused = info.map_or(Ok(()), |_| ignore_missing(self.ctrl.pause(domid)));
        let devices = self.remove_devices(domid);
        let forgotten = self.forget(domid, uuid);
        let destroyed = info.map_or(Ok(()), |_| ignore_missing(self.ctrl.destroy(domid)));
        paused.and(destroyed).and(devices).and(forgotten)
    }

    /// Removes a domain's nodes, and the files that are kept about it. The daemon itself notices when the domain ends,
    /// and tells all that watch for it; told earlier, they would look while it is still there.
    fn forget(&mut self, domid: Domid, uuid: Option<Uuid>) -> Result<(), DomainError> {
        let noted = nodes::text(&mut self.store, &format!("{}/vm", home(domid)))?;
        let vm = uuid.map(|uuid| format!("/vm/{uuid}")).or(noted.filter(|path| path.starts_with("/vm/")));
        let uuid = uuid.or_else(|| vm.as_deref()?.strip_prefix("/vm/")?.parse().ok());
        let kept = uuid.map_or(Ok(()), |uuid| self.userdata.remove_all(Owner { domid, uuid }));
        let nodes = [Some(home(domid)), Some(notes(domid)), vm];
        self.store
            .transaction(|store| nodes.iter().flatten().try_for_each(|path| nodes::remove(store, path)))?;
        kept
    }
}

fn not_dom0(domid: Domid, what: &'static str) -> Result<(), DomainError> {
    if domid == Domid::DOM0 { Err(DomainError::Dom0(what)) } else { Ok(()) }
}

fn ignore_missing(done: Result<(), xen_ctrl::CtrlError>) -> Result<(), DomainError> {
    match done {
        Err(error) if error.is_no_such_domain() => Ok(()),
        other => Ok(other?),
    }
}
