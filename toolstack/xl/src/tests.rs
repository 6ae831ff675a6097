//! Verbs on a host in memory: what they print, and what they do.

mod devices;
mod json;
mod outside;

use std::fmt;

use anyhow::Result;
use clap::{CommandFactory, Parser};
use domain::fake::{FakeHost, TemporaryFolder};
use xenstore_client::Operations;

use self::outside::FakeOutside;
use crate::{Options, message, run};

/// Runs a command line and gives what it printed.
fn xl(host: &FakeHost, line: &str) -> Result<String> {
    xl_beside(host, &FakeOutside::default(), line)
}

/// The same, with this around it.
fn xl_beside(host: &FakeHost, outside: &FakeOutside, line: &str) -> Result<String> {
    let options = Options::try_parse_from(std::iter::once("xl").chain(line.split(' ')))?;
    let mut out = Vec::new();
    run(&options.verb, &mut host.toolstack(), &mut out, outside)?;
    Ok(String::from_utf8(out)?)
}

/// What a command line that fails says.
fn error(host: &FakeHost, line: &str) -> String {
    message(&xl(host, line).unwrap_err())
}

fn host() -> FakeHost {
    let host = FakeHost::new();
    host.add_domain(7, "web");
    host
}

#[test]
fn command_line_is_consistent() {
    Options::command().debug_assert();
}

#[test]
fn list_has_the_columns_of_xl() {
    let text = xl(&host(), "list").unwrap();
    let wanted = "\
Name                                        ID   Mem VCPUs\tState\tTime(s)
Domain-0                                     0   128     2     -b----       1.5
web                                          7   128     2     -b----       1.5
";
    assert_eq!(text, wanted);
    let text = xl(&host(), "list -v -c web").unwrap();
    assert!(
        text.ends_with(" 07070707-0707-0707-0707-070707070707        -                -          Pool-0\n"),
        "{text}"
    );
}

#[test]
fn list_shows_why_a_domain_shut_down() {
    let host = host();
    host.domain(7, |domain| domain.shutdown = Some(3));
    assert!(xl(&host, "list 7").unwrap().contains("     -b-sc-  "));
    let json: serde_json::Value = serde_json::from_str(&xl(&host, "list --json web").unwrap()).unwrap();
    assert_eq!(json[0]["shutdown_reason"], "crash");
    assert_eq!(json[0]["state"], serde_json::json!(["blocked", "shutdown"]));
    assert_eq!((&json[0]["domid"], &json[0]["memory_kib"]), (&7.into(), &(128 << 10).into()));
}

#[test]
fn domain_that_is_not_there_is_named_in_every_error() {
    let host = host();
    let verbs = [
        "list",
        "destroy",
        "shutdown",
        "reboot",
        "pause",
        "unpause",
        "domid",
        "vcpu-list",
        "uptime",
        "sched-credit2 -d",
    ];
    for line in verbs.map(|verb| format!("{verb} mail")) {
        assert_eq!(
            error(&host, &line),
            "there is no domain mail; `xl list` shows those that there are",
            "{line}"
        );
    }
}

#[test]
fn ids_and_names_are_translated() {
    let host = host();
    assert_eq!(xl(&host, "domid web").unwrap(), "7\n");
    assert_eq!(xl(&host, "domname 7").unwrap(), "web\n");
    assert_eq!(error(&host, "domname web"), "\"web\" is no id of a domain, which is a number");
    xl(&host, "rename web mail").unwrap();
    assert_eq!(xl(&host, "domid mail").unwrap(), "7\n");
}

#[test]
fn life_verbs_change_the_domain() {
    let host = host();
    xl(&host, "pause web").unwrap();
    assert!(xl(&host, "list web").unwrap().contains("     --p---  "));
    assert!(error(&host, "shutdown web").starts_with("domain 7 is paused"));
    xl(&host, "unpause web").unwrap();
    assert!(error(&host, "reboot web").starts_with("domain 7 did not take the reboot request"));
    xl(&host, "shutdown -F -a").unwrap();
    assert_eq!(host.domain(7, |domain| domain.domctls.last().copied()), Some(Some(28)), "the power button");
    xl(&host, "destroy web").unwrap();
    assert_eq!(host.domids(), [0]);
    assert!(error(&host, "destroy 0").starts_with("domain 0 is the one that runs this program"));
}

#[test]
fn vcpus_are_listed_and_set() {
    let host = host();
    let text = xl(&host, "vcpu-list web").unwrap();
    let wanted = "\
Name                                ID  VCPU   CPU State   Time(s) Affinity (Hard / Soft)
web                                  7     0     0   -b-       0.5  1-2 / all
web                                  7     1     1   -b-       0.5  1-2 / all
";
    assert_eq!(text, wanted);
    let json: serde_json::Value = serde_json::from_str(&xl(&host, "vcpu-list --json 7").unwrap()).unwrap();
    assert_eq!(json[1]["hard_affinity"], serde_json::json!([1, 2]));
    xl(&host, "vcpu-set web 1").unwrap();
    let mut store = host.store();
    assert_eq!(store.read_string("/local/domain/7/cpu/1/availability").unwrap(), "offline");
    assert_eq!(
        error(&host, "vcpu-set web 9"),
        "the host has 4 CPUs, which is less than 9 (try: --ignore-host)"
    );
    assert_eq!(error(&host, "vcpu-set -i web 9"), "number of vCPUs of domain 7: 9 is more than 2");
}

#[test]
fn memory_takes_units() {
    let host = host();
    xl(&host, "mem-max web 1g").unwrap();
    xl(&host, "mem-set web 512").unwrap();
    assert_eq!(host.domain(7, |domain| domain.max_kib), Some((512 << 10) + 1024));
    assert!(error(&host, "mem-set web 2t").contains("is more than 1048576"));
    assert!(error(&host, "mem-set web 2x").contains("there is no unit x"));
}

#[test]
fn shares_of_cpu_time_are_shown_and_set() {
    let host = host();
    xl(&host, "sched-credit2 -d web -w 512").unwrap();
    let text = xl(&host, "sched-credit2").unwrap();
    let wanted = "\
Cpupool Pool-0: ratelimit=0us
Name                                ID Weight  Cap
Domain-0                             0    256    0
web                                  7    512    0
";
    assert_eq!(text, wanted);
    assert!(error(&host, "sched-credit2 -w 5").contains("--domain"));
    assert!(error(&host, "sched-credit2 -d web -w 0").contains("'0'"));
}

#[test]
fn pools_are_listed() {
    let host = host();
    let text = xl(&host, "cpupool-list").unwrap();
    let wanted = "\
Name               CPUs   Sched     Active   Domain count
Pool-0               4   credit2       y          2
";
    assert_eq!(text, wanted);
    assert_eq!(
        xl(&host, "cpupool-list -c").unwrap(),
        "Name               CPU list\nPool-0             0,1,2,3\n"
    );
    assert!(error(&host, "cpupool-list nine").starts_with("there is no CPU pool \"nine\""));
}

#[test]
fn pools_are_made_changed_and_ended() {
    let host = host();
    let pool = |words: &str| xl(&host, &format!("cpupool-{words}"));
    pool("cpu-remove Pool-0 2-3").unwrap();
    assert_eq!(pool("create name=\"batch\" cpus=[\"2\"] sched=\"null\"").unwrap(), "CPU pool 1 is batch\n");
    pool("cpu-add batch 3").unwrap();
    pool("migrate web batch").unwrap();
    pool("rename batch night").unwrap();
    let list = pool("list").unwrap();
    assert!(list.ends_with("night                2      null       y          1\n"), "{list}");
    assert!(error(&host, "cpupool-destroy night").contains("xl cpupool-migrate"));
    pool("migrate web 0").unwrap();
    pool("destroy night").unwrap();
    assert!(error(&host, "cpupool-create cpus=2").contains("has no name"));
    assert!(
        error(&host, "cpupool-create name=\"x\" nodes=\"0\"")
            .starts_with("nodes: a CPU pool has no such key")
    );
    assert!(error(&host, "cpupool-create name=\"x\" sched=\"fair\"").contains("no scheduler fair"));
    assert!(error(&host, "cpupool-destroy 0").contains("Dom0's"));
}

#[test]
fn info_prints_all_or_one_field() {
    let host = host();
    let text = xl(&host, "info").unwrap();
    assert!(text.contains("\nnr_cpus                : 4\n"), "{text}");
    assert!(text.contains("\nxen_scheduler          : credit2\n"), "{text}");
    assert_eq!(xl(&host, "info total_memory").unwrap(), "4096\n");
    assert!(error(&host, "info nothing").starts_with("there is no field"));
    let json: serde_json::Value = serde_json::from_str(&xl(&host, "info --json").unwrap()).unwrap();
    assert_eq!(json["xen_major"], "4");
}

#[test]
fn hypervisor_gets_keys_and_gives_its_messages() {
    let host = host();
    xl(&host, "debug-keys h").unwrap();
    assert_eq!(host.debug_keys(), "h");
    assert_eq!(xl(&host, "dmesg -c").unwrap(), "(XEN) Xenoxide\n");
    assert_eq!(xl(&host, "dmesg").unwrap(), "");
}

#[test]
fn kernel_gets_its_key() {
    let host = host();
    xl(&host, "sysrq web s").unwrap();
    assert_eq!(host.store().read_string("/local/domain/7/control/sysrq").unwrap(), "s");
    assert!(xl(&host, "sysrq web sync").is_err());
    xl(&host, "trigger web nmi 1").unwrap();
    assert!(error(&host, "trigger web bell").contains("nmi"));
}

#[test]
fn uptime_counts_from_the_start() {
    let host = host();
    assert_eq!(xl(&host, "uptime web").unwrap().lines().count(), 1, "its start is not known");
    let start = "/vm/07070707-0707-0707-0707-070707070707/start_time";
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    host.store().write(start, format!("{}.25", now - 3700)).unwrap();
    let text = xl(&host, "uptime").unwrap();
    assert!(
        text.lines().nth(2).unwrap().starts_with("web                                  7  1:01:"),
        "{text}"
    );
    assert!(xl(&host, "uptime -s web").unwrap().contains(" up  1:01, web (7)"));
}

#[test]
fn vcpus_are_pinned_to_cpus_that_the_host_has() {
    let host = host();
    xl(&host, "vcpu-pin web 1 0,2-3,^2").unwrap();
    assert_eq!(host.domain(7, |domain| domain.pinned), Some((1, 0b1001)));
    xl(&host, "vcpu-pin web all - all").unwrap();
    assert_eq!(host.domain(7, |domain| domain.pinned), Some((1, 0)), "the hard affinity stays");
    assert!(error(&host, "vcpu-pin web 0 7").contains("the host has no CPU 7"));
    assert!(error(&host, "vcpu-pin web 2 0").starts_with("domain 7 has 2 vCPUs, numbered from 0"));
    assert!(error(&host, "vcpu-pin -f web all 0").starts_with("--force"));
}

/// A configuration of a domain `web`, and its kernel.
struct ConfigFile(TemporaryFolder);

impl ConfigFile {
    fn new(lines: &str) -> Self {
        let folder = TemporaryFolder::new("xl");
        let (kernel, file) = (folder.path().join("Image"), folder.path().join("web.cfg"));
        let mut image = vec![0; 8192];
        image[16..24].copy_from_slice(&8192u64.to_le_bytes());
        image[56..60].copy_from_slice(b"ARM\x64");
        std::fs::write(&kernel, image).unwrap();
        let text = format!("name = 'web'\nkernel = '{}'\nmemory = 32\n{lines}\n", kernel.display());
        std::fs::write(&file, text).unwrap();
        Self(folder)
    }
}

impl fmt::Display for ConfigFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.path().join("web.cfg").display().fmt(f)
    }
}

#[test]
fn domain_is_created_from_a_file_and_settings() {
    let host = FakeHost::new();
    let config = ConfigFile::new("");
    let file = &config;
    let json: serde_json::Value =
        serde_json::from_str(&xl(&host, &format!("create -n {file} memory=64")).unwrap()).unwrap();
    assert_eq!((&json["name"], &json["memory_kib"]), (&"web".into(), &(64 << 10).into()));
    assert_eq!(host.domids(), [0]);
    assert_eq!(xl(&host, &format!("create -p {file} memory=64")).unwrap(), "domain 1 is web (paused)\n");
    assert!(xl(&host, "list web").unwrap().contains("     --p---  "));
    assert_eq!(error(&host, &format!("create {file}")), "the name web is taken by domain 1");
    assert_eq!(xl(&host, &format!("create -q {file} name='mail'")).unwrap(), "");
    assert!(xl(&host, "list mail").unwrap().contains("     -b----  "));
    let text = error(&host, &format!("create {file} name='post' disk=['/none,raw,xvda,rw']"));
    assert_eq!(text.matches("cannot find /none").count(), 1, "{text}");
    assert!(error(&host, &format!("create {file} memory=lots")).contains("memory"));
    assert!(error(&host, "create /none").starts_with("cannot read /none: "));
    assert_eq!(error(&host, "create /dev/null"), "/dev/null is not a regular file");
}
