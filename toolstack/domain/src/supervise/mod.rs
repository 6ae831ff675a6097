//! Looking after a domain: waiting for its end and doing what its configuration says of it.
//!
//! A domain is followed by its UUID, which it keeps when it is made anew. One process at a time does that for a domain:
//! it has a lock. A restart is noted in a file before the domain that has ended is touched, and the note goes when the
//! new one runs. So a supervisor that is killed at any point leaves what the next one needs: it sees an end that came
//! meanwhile, and a note with the steps that are left. What is half-built is told from what is complete by the kept
//! configuration, which is the last that [`Toolstack::create`] writes.

mod folder;
mod policy;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use xen_abi::domctl::v4_17::DominfFlags;
use xen_ctrl::ShutdownReason;
use xen_dev::Domid;
use xenstore_client::Operations;
use xl_config::{DomainConfig, Uuid};

use self::folder::{Folder, Restart};
use self::policy::{Deed, Pace, pause};
use crate::nodes::{self, home, make_anew, notes, readable, write_all};
use crate::userdata::Owner;
use crate::{DomainError, End, Toolstack};

pub(crate) use self::policy::refuse_actions;

/// Attempts at one step that may fail, over some five minutes.
const MAX_FAILURES: u32 = 10;

impl Toolstack {
    /// Looks after the domain with this UUID until nothing is left to be done about it. `folder` is for locks and
    /// notes, and must not outlive the host's memory; `log` gets a line for each event. Returns at once when another
    /// process looks after it.
    ///
    /// # Errors
    /// What could not be done in many attempts. A restart that had begun is given up then.
    pub fn supervise(
        &mut self,
        uuid: Uuid,
        folder: &Path,
        log: &mut dyn FnMut(&str),
    ) -> Result<(), DomainError> {
        let folder = Folder(folder);
        loop {
            let Some(lock) = folder.lock(uuid)? else {
                log("another process looks after the domain");
                return Ok(());
            };
            Supervision { tools: self, uuid, folder, log, pace: Pace::default() }.run()?;
            drop(lock);
            // A supervisor of a domain that was made since has met the lock, and has gone.
            if folder.noted(uuid)?.is_none() && self.supervised(uuid)?.is_none() {
                return Ok(());
            }
        }
    }

    /// UUIDs and names of the domains that should have a supervisor and have none.
    ///
    /// # Errors
    /// When hypervisor, xenstore or the folder refuse.
    pub fn without_supervisor(&mut self, folder: &Path) -> Result<Vec<(Uuid, String)>, DomainError> {
        let folder = Folder(folder);
        let mut found = Vec::new();
        for uuid in folder.all_noted()? {
            // One that makes no sense is for the supervisor to report.
            let name = folder.noted(uuid).ok().flatten().map(|restart| restart.config.name.to_string());
            found.push((uuid, name.unwrap_or_else(|| uuid.to_string())));
        }
        for domain in self.domains()? {
            let uuid = domain.uuid();
            let is_noted = found.iter().any(|(other, _)| *other == uuid);
            if !is_noted && self.supervised(uuid)? == Some(domain.domid()) {
                found.push((uuid, domain.name.unwrap_or_else(|| uuid.to_string())));
            }
        }
        let mut missing = Vec::new();
        for (uuid, name) in found {
            if folder.lock(uuid)?.is_some() {
                missing.push((uuid, name));
            }
        }
        Ok(missing)
    }

    /// Keeps supervisors from looking after a domain. Of one that is gone, nothing is written.
    ///
    /// # Errors
    /// When xenstore refuses.
    pub fn leave_unsupervised(&mut self, domid: Domid) -> Result<(), DomainError> {
        Ok(self.store.transaction(|store| {
            if store.read_optional(&home(domid))?.is_some() {
                store.write(&unsupervised(domid), "1")?;
            }
            Ok(())
        })?)
    }

    /// The domain with this UUID that is to be looked after: one whose configuration is kept.
    fn supervised(&mut self, uuid: Uuid) -> Result<Option<Domid>, DomainError> {
        for domid in self.with_uuid(uuid)? {
            let is_left = nodes::text(&mut self.store, &unsupervised(domid))?.is_some();
            if !is_left && !matches!(self.kept_config(domid), Ok(None) | Err(DomainError::NoSuchDomain(_))) {
                return Ok(Some(domid));
            }
        }
        Ok(None)
    }

    /// Domains with this UUID, but for those on their way out: two, while one takes the place of the other.
    fn with_uuid(&self, uuid: Uuid) -> Result<Vec<Domid>, DomainError> {
        let domains = self.ctrl.domains()?.into_iter();
        let alive = domains.filter(|info| info.handle == uuid.0 && !info.flags.contains(DominfFlags::DYING));
        Ok(alive.map(|info| info.domid).filter(|&domid| domid != Domid::DOM0).collect())
    }

    /// Gives a domain that has ended another name and UUID, and takes disks and interfaces from it, so that one like it
    /// can be made. Nobody looks after it any more.
    fn set_aside(&mut self, domid: Domid, uuid: Uuid, name: &str) -> Result<(), DomainError> {
        self.remove(domid, |back| !back.contains("/console/") && !back.contains("/vuart/"))?;
        self.userdata.remove_all(Owner { domid, uuid })?;
        let new = crate::random::uuid()?;
        let name = format!("{name}-ended-{domid}");
        let (old_vm, vm) = (format!("/vm/{uuid}"), format!("/vm/{new}"));
        let start = nodes::text(&mut self.store, &format!("{old_vm}/start_time"))?;
        self.store.transaction(|store| {
            // Somebody may have destroyed it just now.
            if store.read_optional(&home(domid))?.is_none() {
                return Ok(());
            }
            make_anew(store, &vm, &readable(Domid::DOM0, domid))?;
            write_all(store, &vm, &[("uuid", new.to_string()), ("name", name.clone())], None)?;
            if let Some(start) = &start {
                store.write(&format!("{vm}/start_time"), start)?;
            }
            write_all(store, &home(domid), &[("vm", vm.clone()), ("name", name.clone())], None)?;
            nodes::remove(store, &old_vm)?;
            store.write(&unsupervised(domid), "1")
        })?;
        // The last: as long as it has the UUID, all this is to be done.
        Ok(self.ctrl.set_handle(domid, new.0)?)
    }
}

/// Present for a domain that nobody looks after.
fn unsupervised(domid: Domid) -> String {
    format!("{}/unsupervised", notes(domid))
}

/// A supervisor at work.
struct Supervision<'a> {
    tools: &'a mut Toolstack,
    uuid: Uuid,
    folder: Folder<'a>,
    log: &'a mut dyn FnMut(&str),
    pace: Pace,
}

/// What follows a step.
enum Next {
    Step,
    Over,
}

impl Supervision<'_> {
    fn run(&mut self) -> Result<(), DomainError> {
        let mut failures = 0;
        loop {
            match self.step() {
                Ok(Next::Step) => failures = 0,
                Ok(Next::Over) => return Ok(()),
                Err(error) => {
                    failures += 1;
                    // Without xenstore nothing can be said of the domain: it may be away for long.
                    if failures >= MAX_FAILURES && !is_away(&error) {
                        self.folder.forget(self.uuid)?;
                        return Err(error);
                    }
                    let pause = pause(failures, self.tools.patience.retry);
                    self.say(&format!("{error}; trying again in {pause:?}"));
                    thread::sleep(pause);
                }
            }
        }
    }

    /// One step of what is to be done now, found out anew: others act on the domain too.
    fn step(&mut self) -> Result<Next, DomainError> {
        if let Some(restart) = self.folder.noted(self.uuid)? {
            return self.restart(&restart);
        }
        let Some(domid) = self.tools.supervised(self.uuid)? else { return Ok(Next::Over) };
        self.say(&format!("waiting for the end of domain {domid}"));
        let start = Instant::now();
        let (Some(reason), Some(config)) = (self.end(domid)?, self.config(domid)?) else {
            self.say(&format!("domain {domid} was destroyed"));
            return Ok(Next::Step);
        };
        let deed = Deed::of(reason, &config);
        self.say(&format!("domain {domid} has ended ({reason:?}): {}", deed.text()));
        match deed {
            Deed::Wait => self.tools.wait_for_change(domid, ShutdownReason::Suspend)?,
            Deed::Preserve => self.tools.leave_unsupervised(domid)?,
            Deed::Destroy => self.destroy(domid)?,
            Deed::Restart | Deed::RenameRestart => {
                let pause = self.pace.after_run(start.elapsed(), self.tools.patience.retry);
                if self.is_destroyed_within(domid, pause)? {
                    return Ok(Next::Step);
                }
                let restart = Restart { domid, stays: deed == Deed::RenameRestart, config };
                self.folder.note(self.uuid, &restart)?;
            }
        }
        Ok(Next::Step)
    }

    fn say(&mut self, text: &str) {
        (self.log)(text);
    }

    /// Waits until the domain has shut down; `None` when it was destroyed.
    fn end(&mut self, domid: Domid) -> Result<Option<ShutdownReason>, DomainError> {
        match self.tools.wait_for_end(domid, None)? {
            End::ShutDown(reason) => Ok(Some(reason)),
            End::Destroyed => Ok(None),
        }
    }

    /// What the domain is made from, under the name that it has now.
    fn config(&mut self, domid: Domid) -> Result<Option<DomainConfig>, DomainError> {
        let config = match self.tools.kept_config(domid) {
            Err(DomainError::NoSuchDomain(_)) => None,
            other => other?,
        };
        let Some(mut config) = config else { return Ok(None) };
        if let Some(name) = self.tools.name(domid)?.and_then(|name| name.parse().ok()) {
            config.name = name;
        }
        Ok(Some(config))
    }

    /// Destroys a domain. What is left of its devices is said, and is no reason to stop.
    fn destroy(&mut self, domid: Domid) -> Result<(), DomainError> {
        match self.tools.destroy(domid) {
            Err(error) if !self.tools.with_uuid(self.uuid)?.contains(&domid) => self.say(&error.to_string()),
            other => other?,
        }
        Ok(())
    }

    /// Waits before a domain is made anew that did not run long, and says whether somebody destroyed it meanwhile.
    fn is_destroyed_within(&mut self, domid: Domid, pause: Duration) -> Result<bool, DomainError> {
        if pause.is_zero() {
            return Ok(false);
        }
        self.say(&format!("it ended soon after its start: waiting for {pause:?} (xl destroy ends this)"));
        self.tools.is_gone_within(domid, Some(pause))
    }

    /// Does what is left to be done of a restart.
    fn restart(&mut self, restart: &Restart) -> Result<Next, DomainError> {
        let mut made = None;
        for domid in self.tools.with_uuid(self.uuid)? {
            if domid != restart.domid && self.tools.kept_config(domid)?.is_some() {
                made = Some(domid);
            } else if domid == restart.domid && restart.stays {
                self.tools.set_aside(domid, self.uuid, &restart.config.name)?;
            } else {
                // The one that has ended, or one of which a killed supervisor made a part.
                self.destroy(domid)?;
            }
        }
        let domid = made.map_or_else(|| self.tools.create(&restart.config), Ok)?;
        let runs = self.tools.unpause(domid);
        self.folder.forget(self.uuid)?;
        self.say(&format!("{} is domain {domid} now", restart.config.name));
        runs.map(|()| Next::Step)
    }
}

/// Whether xenstore does not answer.
fn is_away(error: &DomainError) -> bool {
    use xenstore_client::Error;
    matches!(error, DomainError::Store(Error::Connect { .. } | Error::Io(_) | Error::Lost))
}
