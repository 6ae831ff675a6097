//! Supervisors: what they do about each end, and what another does when one is killed.

use std::path::Path;
use std::sync::Mutex;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use xen_abi::sched::*;
use xenstore_client::Operations;
use xl_config::Uuid;

use super::create::{Kernel, config};
use super::id;
use crate::DomainError;
use crate::fake::{FakeHost, TemporaryFolder};

const UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";
const DEVICES: &str = "vif = ['mac=00:16:3e:01:02:03']\ndisk = ['/disk,raw,xvda,rw']";

/// A host with a domain that runs, and the folder of its supervisors.
struct Scene {
    host: FakeHost,
    kernel: Kernel,
    folder: TemporaryFolder,
    log: Mutex<Vec<String>>,
}

impl Scene {
    fn new(lines: &str) -> Self {
        let scene = Self {
            host: FakeHost::new(),
            kernel: Kernel::new(),
            folder: TemporaryFolder::new("supervise"),
            log: Mutex::default(),
        };
        scene.create(lines);
        scene
    }

    fn create(&self, lines: &str) {
        let mut tools = self.host.toolstack();
        let config = config(&self.kernel, &format!("uuid = '{UUID}'\n{lines}"));
        let domid = tools.create(&config).unwrap();
        tools.unpause(domid).unwrap();
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Looks after the domain, in this thread.
    fn supervise(&self) -> Result<(), DomainError> {
        let mut log = |line: &str| self.log.lock().unwrap().push(line.to_owned());
        self.host.toolstack().supervise(uuid(), self.folder(), &mut log)
    }

    fn start<'scope>(
        &'scope self,
        scope: &'scope thread::Scope<'scope, '_>,
    ) -> ScopedJoinHandle<'scope, Result<(), DomainError>> {
        scope.spawn(|| self.supervise())
    }

    /// The domain ends for this reason.
    fn end(&self, domid: u16, reason: u32) {
        self.host.domain(domid, |domain| domain.shutdown = Some(reason)).unwrap();
    }

    fn runs(&self, domid: u16) -> bool {
        self.host.domain(domid, |domain| domain.pauses == 0 && domain.shutdown.is_none()) == Some(true)
    }

    fn has_logged(&self, text: &str) -> bool {
        self.log.lock().unwrap().iter().any(|line| line.contains(text))
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn name(&self, domid: u16) -> String {
        self.host.store().read_string(&format!("/local/domain/{domid}/name")).unwrap()
    }
}

fn uuid() -> Uuid {
    UUID.parse().unwrap()
}

fn wait_until(mut what: impl FnMut() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < Duration::from_secs(20), "it does not happen");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn domain_that_reboots_is_made_anew_and_one_that_powers_off_goes() {
    let scene = Scene::new(DEVICES);
    thread::scope(|scope| {
        let supervisor = scene.start(scope);
        scene.host.toolstack().rename(id(1), "mail").unwrap();
        scene.end(1, SHUTDOWN_reboot);
        wait_until(|| scene.runs(2));
        wait_until(|| scene.has_logged("mail is domain 2 now"));
        assert_eq!((scene.host.domids(), scene.name(2)), (vec![0, 2], "mail".to_owned()));
        let mac = scene.host.store().read_string("/local/domain/2/device/vif/0/mac").unwrap();
        assert_eq!(mac, "00:16:3e:01:02:03");
        assert_eq!(scene.host.toolstack().domain(id(2)).unwrap().uuid(), uuid());
        scene.end(2, SHUTDOWN_poweroff);
        supervisor.join().unwrap().unwrap();
    });
    assert_eq!(scene.host.domids(), [0]);
    assert_eq!(scene.files(), [""; 0]);
}

#[test]
fn domain_that_was_destroyed_stays_so() {
    let scene = Scene::new("on_poweroff = 'restart'");
    thread::scope(|scope| {
        let supervisor = scene.start(scope);
        wait_until(|| scene.has_logged("waiting for the end of domain 1"));
        scene.host.toolstack().destroy(id(1)).unwrap();
        supervisor.join().unwrap().unwrap();
    });
    assert!(scene.has_logged("domain 1 was destroyed"));
    assert_eq!(scene.host.domids(), [0]);
}

#[test]
fn one_process_looks_after_a_domain() {
    let scene = Scene::new("");
    thread::scope(|scope| {
        let supervisor = scene.start(scope);
        wait_until(|| scene.has_logged("waiting for the end"));
        let mut lines = Vec::new();
        let mut tools = scene.host.toolstack();
        tools.supervise(uuid(), scene.folder(), &mut |line| lines.push(line.to_owned())).unwrap();
        assert_eq!(lines, ["another process looks after the domain"]);
        assert_eq!(tools.without_supervisor(scene.folder()).unwrap(), []);
        scene.end(1, SHUTDOWN_poweroff);
        supervisor.join().unwrap().unwrap();
    });
}

#[test]
fn domain_of_the_same_uuid_that_was_made_since_is_looked_after_by_the_one_that_has_the_lock() {
    let scene = Scene::new("");
    thread::scope(|scope| {
        let supervisor = scene.start(scope);
        wait_until(|| scene.has_logged("waiting for the end of domain 1"));
        scene.host.toolstack().destroy(id(1)).unwrap();
        scene.create("");
        // Its own supervisor may find the lock taken.
        scope.spawn(|| scene.supervise().unwrap());
        wait_until(|| scene.has_logged("waiting for the end of domain 2"));
        scene.end(2, SHUTDOWN_poweroff);
        supervisor.join().unwrap().unwrap();
        wait_until(|| scene.host.domids() == [0]);
    });
}

#[test]
fn end_that_nobody_saw_is_acted_upon() {
    for (reason, ends) in [(SHUTDOWN_poweroff, vec![0]), (SHUTDOWN_crash, vec![0, 1])] {
        let scene = Scene::new("on_crash = 'preserve'");
        scene.end(1, reason);
        let missing = scene.host.toolstack().without_supervisor(scene.folder()).unwrap();
        assert_eq!(missing, [(uuid(), "web".to_owned())]);
        scene.supervise().unwrap();
        assert_eq!(scene.host.domids(), ends);
        assert_eq!(scene.host.toolstack().without_supervisor(scene.folder()).unwrap(), []);
    }
}

#[test]
fn renamed_domain_stays_without_its_devices_beside_the_new_one() {
    let scene = Scene::new(&format!("on_crash = 'rename-restart'\n{DEVICES}"));
    scene.end(1, SHUTDOWN_crash);
    thread::scope(|scope| {
        let supervisor = scene.start(scope);
        wait_until(|| scene.runs(2) && scene.has_logged("web is domain 2 now"));
        assert_eq!((scene.name(1), scene.name(2)), ("web-ended-1".to_owned(), "web".to_owned()));
        let mut tools = scene.host.toolstack();
        let other = tools.domain(id(1)).unwrap().uuid();
        assert_ne!(other, uuid());
        let mut store = scene.host.store();
        assert_eq!(store.read_string("/local/domain/1/vm").unwrap(), format!("/vm/{other}"));
        assert!(store.read_optional("/local/domain/0/backend/vbd/1").unwrap().is_none());
        assert!(store.read_optional("/local/domain/0/backend/console/1/0").unwrap().is_some());
        assert!(scene.host.domain(1, |domain| domain.shutdown.is_some()).unwrap());
        tools.destroy(id(1)).unwrap();
        tools.destroy(id(2)).unwrap();
        supervisor.join().unwrap().unwrap();
    });
    assert_eq!((scene.host.domids(), scene.files()), (vec![0], vec![]));
    assert_eq!(std::fs::read_dir(scene.host.userdata()).unwrap().count(), 0);
}

#[test]
fn suspended_domain_is_waited_for() {
    let scene = Scene::new("");
    scene.end(1, SHUTDOWN_suspend);
    thread::scope(|scope| {
        let supervisor = scene.start(scope);
        wait_until(|| scene.has_logged("waiting until it is saved or goes on"));
        scene.host.toolstack().destroy(id(1)).unwrap();
        supervisor.join().unwrap().unwrap();
    });
}

#[test]
fn domain_that_keeps_rebooting_quickly_waits_and_can_be_destroyed_meanwhile() {
    let scene = Scene::new("");
    scene.end(1, SHUTDOWN_reboot);
    let mut tools = scene.host.toolstack();
    let first = tools.patience.retry;
    thread::scope(|scope| {
        let supervisor = scene.start(scope);
        for domid in 2.. {
            let pause = format!("{:?}", first * (1 << (domid - 2)).min(60));
            wait_until(|| scene.has_logged(&format!("soon after its start: waiting for {pause}")));
            if domid == 8 {
                break;
            }
            wait_until(|| scene.has_logged(&format!("web is domain {domid} now")));
            scene.end(domid, SHUTDOWN_reboot);
        }
        tools.destroy(id(7)).unwrap();
        supervisor.join().unwrap().unwrap();
    });
    assert_eq!((scene.host.domids(), scene.files()), (vec![0], vec![]));
}

#[test]
fn domains_that_others_made_or_that_are_to_be_left_alone_have_no_supervisor() {
    let scene = Scene::new("");
    scene.host.add_domain(7, "other");
    let mut tools = scene.host.toolstack();
    tools.leave_unsupervised(id(1)).unwrap();
    assert_eq!(tools.without_supervisor(scene.folder()).unwrap(), []);
    let before = scene.host.paths();
    tools.leave_unsupervised(id(9)).unwrap();
    assert_eq!(scene.host.paths(), before, "nothing is written of a domain that is gone");
    scene.supervise().unwrap();
    tools.supervise(Uuid([7; 16]), scene.folder(), &mut |_| ()).unwrap();
    assert_eq!(scene.host.domids(), [0, 1, 7]);
}

#[test]
fn restart_that_cannot_be_done_is_given_up_with_its_reason() {
    let scene = Scene::new("");
    std::fs::write(scene.kernel.path(), "no kernel").unwrap();
    scene.end(1, SHUTDOWN_reboot);
    let error = scene.supervise().unwrap_err().to_string();
    assert!(error.starts_with("kernel: /") && error.contains("it is no arm64 Image"), "{error}");
    assert_eq!((scene.host.domids(), scene.files()), (vec![0], vec![]));
}

#[test]
fn note_that_makes_no_sense_is_reported_and_removed() {
    let scene = Scene::new("");
    let note = format!("restart-{UUID}");
    std::fs::write(scene.folder().join(&note), "nonsense").unwrap();
    let error = scene.supervise().unwrap_err().to_string();
    assert!(error.starts_with("cannot read ") && error.contains(&note), "{error}");
    assert_eq!((scene.files(), scene.runs(1)), (vec![], true));
}

#[test]
fn end_while_xenstored_is_away_is_seen_when_it_is_back() {
    let scene = Scene::new("");
    thread::scope(|scope| {
        let supervisor = scene.start(scope);
        wait_until(|| scene.has_logged("waiting for the end of domain 1"));
        for domid in 1..4 {
            scene.host.restart_xenstore(|| scene.end(domid, SHUTDOWN_reboot));
            wait_until(|| scene.has_logged(&format!("web is domain {} now", domid + 1)));
        }
        scene.host.restart_xenstore(|| ());
        scene.end(4, SHUTDOWN_poweroff);
        supervisor.join().unwrap().unwrap();
    });
    assert_eq!((scene.host.domids(), scene.files()), (vec![0], vec![]));
}

#[test]
fn domain_on_its_way_out_does_not_keep_its_successor_from_being_made() {
    let scene = Scene::new("on_reboot = 'restart'");
    scene.host.domain(1, |domain| domain.dying = true);
    scene.host.store().rm("/local/domain/1").unwrap();
    scene.create("");
    assert!(scene.runs(2));
    let mut tools = scene.host.toolstack();
    assert_eq!(tools.without_supervisor(scene.folder()).unwrap(), [(uuid(), "web".to_owned())]);
}

/// Kills a supervisor of a domain that has ended at each hypercall in turn, and has another one finish its work.
fn kill_everywhere(action: &str, left: &[u16]) {
    for after in 0.. {
        let scene = Scene::new(&format!("on_reboot = '{action}'\n{DEVICES}"));
        scene.end(1, SHUTDOWN_reboot);
        scene.host.die_at_hypercall(Some(after));
        let mut was_killed = false;
        thread::scope(|scope| {
            let first = scene.start(scope);
            wait_until(|| first.is_finished() || scene.has_logged("is domain 2 now"));
            was_killed = !scene.has_logged("is domain 2 now");
            if !was_killed {
                scene.host.die_at_hypercall(None);
                scene.host.toolstack().destroy(id(2)).unwrap();
                // It may have been killed just now, as it began to wait for the next end.
                was_killed = first.join().is_err();
                return;
            }
            first.join().unwrap_err();
            let missing = scene.host.toolstack().without_supervisor(scene.folder()).unwrap();
            assert_eq!(missing.len(), 1, "after {after}");
            let second = scene.start(scope);
            wait_until(|| scene.has_logged("web is domain"));
            let domid = *scene.host.domids().last().unwrap();
            assert!(scene.runs(domid), "after {after}");
            assert_eq!(scene.host.domids(), [left, &[domid]].concat(), "after {after}");
            assert_eq!(scene.name(domid), "web");
            assert_eq!(scene.host.toolstack().domain(id(domid)).unwrap().uuid(), uuid());
            scene.host.toolstack().destroy(id(domid)).unwrap();
            second.join().unwrap().unwrap();
            assert_eq!(scene.files(), [""; 0]);
            assert!(scene.host.paths().iter().all(|path| !path.contains(&format!("/{domid}/"))));
        });
        if !was_killed {
            assert!(after > 20, "only {after} hypercalls");
            return;
        }
    }
}

#[test]
fn supervisor_that_is_killed_anywhere_in_a_restart_leaves_one_that_the_next_completes() {
    kill_everywhere("restart", &[0]);
}

#[test]
fn supervisor_that_is_killed_anywhere_in_a_restart_with_rename_does_too() {
    kill_everywhere("rename-restart", &[0, 1]);
}
