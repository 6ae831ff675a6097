//! Verbs that need other processes or the terminal.

use std::cell::RefCell;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser as _;
use domain::fake::{FakeHost, TemporaryFolder};
use xen_dev::Domid;
use xenconsoled::session::Type;
use xenstore_client::Operations;
use xl_config::Uuid;

use super::{ConfigFile, host, xl, xl_beside};
use crate::{Options, Outside, Screen, message, run};

/// What was asked of the outside.
pub(super) struct FakeOutside {
    folder: TemporaryFolder,
    asked: RefCell<Vec<String>>,
    /// Nothing works.
    fails: bool,
}

impl Default for FakeOutside {
    fn default() -> Self {
        Self { folder: TemporaryFolder::new("outside"), asked: RefCell::default(), fails: false }
    }
}

impl FakeOutside {
    fn failing() -> Self {
        Self { fails: true, ..Self::default() }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.take()
    }

    fn ask(&self, what: String) -> Result<()> {
        if self.fails {
            bail!("not here");
        }
        self.asked.borrow_mut().push(what);
        Ok(())
    }
}

impl Outside for FakeOutside {
    fn supervisors(&self) -> &Path {
        self.folder.path()
    }

    fn start_supervisor(&self, _: Uuid, name: &str) -> Result<()> {
        self.ask(format!("supervise {name}"))
    }

    fn attach(
        &self,
        domid: Domid,
        console: Option<Type>,
        number: u32,
        attached: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        self.ask(format!("attach {domid} {console:?} {number}"))?;
        attached()
    }

    fn screen(&self) -> Result<Box<dyn Screen>> {
        bail!("no terminal")
    }
}

fn is_paused(host: &FakeHost, domid: u16) -> Option<bool> {
    host.domain(domid, |domain| domain.pauses > 0)
}

#[test]
fn created_domain_is_looked_after_unless_that_is_not_wanted() {
    let (host, outside, config) = (FakeHost::new(), FakeOutside::default(), ConfigFile::new(""));
    let create = |options: &str| xl_beside(&host, &outside, &format!("create {options}{config}"));
    create("-p ").unwrap();
    assert_eq!(outside.asked(), ["supervise web"]);
    xl(&host, "destroy web").unwrap();
    create("-e ").unwrap();
    assert_eq!(outside.asked(), [""; 0]);
    assert_eq!(xl_beside(&host, &outside, "supervise").unwrap(), "");
    assert!(message(&create("-e -F ").unwrap_err()).contains("cannot be used with"));
}

#[test]
fn domain_that_nobody_can_look_after_is_not_created() {
    let (host, config) = (FakeHost::new(), ConfigFile::new(""));
    let line = format!("create {config}");
    assert_eq!(message(&xl_beside(&host, &FakeOutside::failing(), &line).unwrap_err()), "not here");
    assert_eq!(host.domids(), [0]);
}

#[test]
fn create_that_fails_at_any_hypercall_leaves_no_domain_or_says_which() {
    let (host, outside, config) = (FakeHost::new(), FakeOutside::default(), ConfigFile::new(""));
    let file = config.to_string();
    let options = Options::try_parse_from(["xl", "create", "-e", &file]).unwrap();
    let mut left = 0;
    for after in 0.. {
        let mut tools = host.toolstack();
        host.fail_hypercall(Some(after));
        let created = run(&options.verb, &mut tools, &mut Vec::new(), &outside);
        host.fail_hypercall(None);
        let Err(error) = created else { break };
        if let Some(domid) = host.domids().into_iter().find(|&domid| domid != 0) {
            let text = message(&error);
            assert!(text.starts_with(&format!("domain {domid} is there, but paused: ")), "{after}: {text}");
            xl(&host, &format!("destroy {domid}")).unwrap();
            left += 1;
        }
        assert_eq!(host.domids(), [0]);
    }
    assert!(left > 0, "none failed at the end");
}

#[test]
fn domain_runs_when_its_console_is_attached_or_cannot_be() {
    let (host, outside) = (FakeHost::new(), FakeOutside::default());
    let config = ConfigFile::new("on_poweroff = 'preserve'");
    let file = config.to_string();
    xl_beside(&host, &outside, &format!("create -c {file}")).unwrap();
    assert_eq!(outside.asked(), ["supervise web", "attach 1 None 0"]);
    assert_eq!(is_paused(&host, 1), Some(false));
    xl_beside(&host, &outside, &format!("create -c -p {file} name='mail'")).unwrap();
    assert_eq!(is_paused(&host, 2), Some(true));
    let failing = FakeOutside::failing();
    let error = xl_beside(&host, &failing, &format!("create -e -c {file} name='post'")).unwrap_err();
    assert_eq!(message(&error), "domain 3 is there, but not on this terminal: not here");
    assert_eq!(is_paused(&host, 3), Some(false));
}

#[test]
fn console_is_that_of_the_domain_and_the_options() {
    let (host, outside) = (host(), FakeOutside::default());
    xl_beside(&host, &outside, "console web").unwrap();
    xl_beside(&host, &outside, "console -n 1 -t pv 7").unwrap();
    xl_beside(&host, &outside, "console -t vuart 7").unwrap();
    let asked = ["attach 7 None 0", "attach 7 Some(Pv) 1", "attach 7 Some(Vuart) 0"];
    assert_eq!(outside.asked(), asked);
    assert!(
        message(&xl_beside(&host, &outside, "console mail").unwrap_err()).starts_with("there is no domain")
    );
    assert!(xl_beside(&host, &outside, "console -t tty web").is_err());
}

#[test]
fn supervisors_that_are_missing_are_started() {
    let (host, outside, config) = (host(), FakeOutside::default(), ConfigFile::new(""));
    xl(&host, &format!("create {config}")).unwrap_err();
    xl(&host, &format!("create -p {config} name='mail'")).unwrap();
    assert_eq!(xl_beside(&host, &outside, "supervise").unwrap(), "domain mail is looked after\n");
    assert_eq!(outside.asked(), ["supervise mail"]);
}

#[test]
fn supervisor_in_the_background_writes_its_log() {
    let (host, outside) = (FakeHost::new(), FakeOutside::default());
    let config = ConfigFile::new("");
    xl(&host, &format!("create -p {config}")).unwrap();
    host.domain(1, |domain| domain.shutdown = Some(0));
    let uuid = host.toolstack().domain(Domid::new(1).unwrap()).unwrap().uuid();
    let log = outside.folder.path().join("log");
    xl_beside(&host, &outside, &format!("supervise {uuid} --log {}", log.display())).unwrap();
    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = text.lines().map(|line| line.split_once("] ").unwrap().1).collect();
    assert_eq!(
        lines,
        [
            "waiting for the end of domain 1",
            "domain 1 has ended (Poweroff): destroying it",
            "nothing is left to be done"
        ]
    );
    assert_eq!(host.domids(), [0]);
    assert!(xl_beside(&host, &outside, "supervise web").is_err(), "no UUID");
}

#[test]
fn shutdown_and_reboot_wait_right_while_the_domain_is_looked_after() {
    for (verb, request, reason, left) in
        [("reboot", "reboot", 1, vec![0, 2]), ("shutdown", "poweroff", 0, vec![0])]
    {
        let host = FakeHost::new();
        let folder = TemporaryFolder::new("waiting");
        let config = ConfigFile::new("");
        xl(&host, &format!("create {config}")).unwrap();
        let uuid = host.toolstack().domain(Domid::new(1).unwrap()).unwrap().uuid();
        thread::scope(|scope| {
            let supervisor = scope.spawn(|| host.toolstack().supervise(uuid, folder.path(), &mut |_| ()));
            let kernel = scope.spawn(|| {
                let (mut store, path) = (host.store(), "/local/domain/1/control/shutdown");
                store.watch(path, "").unwrap();
                while store.read_string(path).unwrap() != request {
                    store.wait_event(Some(Duration::from_secs(5))).unwrap().unwrap();
                }
                store.write(path, "").unwrap();
                thread::sleep(Duration::from_millis(30));
                host.domain(1, |domain| domain.shutdown = Some(reason));
            });
            xl(&host, &format!("{verb} -ww web")).unwrap();
            kernel.join().unwrap();
            assert_eq!(is_paused(&host, 1), None, "it is gone");
            while host.domids() != left {
                thread::sleep(Duration::from_millis(2));
            }
            if left.contains(&2) {
                while is_paused(&host, 2) != Some(false) {
                    thread::sleep(Duration::from_millis(2));
                }
                xl(&host, "destroy web").unwrap();
            }
            supervisor.join().unwrap().unwrap();
        });
        assert_eq!(host.domids(), [0]);
    }
}

#[test]
fn top_prints_so_many_tables_or_arrays() {
    let host = host();
    let text = xl(&host, "top -b -n 2 -d 1 -s name").unwrap();
    assert!(
        text.starts_with("2 domains   4 CPUs   memory: 4096 MiB, 256 used, 3840 free\n   ID NAME "),
        "{text}"
    );
    let web = "    7 web              blocked       1.5      0.0      128     3.1     2         -         -        -        -\n";
    assert_eq!(text.matches(web).count(), 2, "{text}");
    let json: serde_json::Value = serde_json::from_str(&xl(&host, "top --json -n 1 -s id").unwrap()).unwrap();
    assert_eq!((&json[1]["name"], &json[1]["cpu_percent"]), (&"web".into(), &serde_json::Value::Null));
    assert_eq!(xl(&host, "top -b -n 0").unwrap(), "");
    assert_eq!(message(&xl(&host, "top").unwrap_err()), "no terminal");
    assert!(xl(&host, "top -b -d 0").is_err());
}
