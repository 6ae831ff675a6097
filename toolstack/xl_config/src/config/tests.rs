//! Configurations: what keys mean, what is refused, and the stored form.
use proptest::prelude::*;

use super::*;
use crate::document::Document;
use crate::keys;
use crate::reader::Reader;
use crate::report::{Report, Severity};
use crate::types::Mac;

fn read(text: &str) -> Result<Parsed, Report> {
    DomainConfig::from_document(&Document::parse("demo.cfg", text.as_bytes())?)
}

/// A configuration with the least it needs, and `more`.
fn with(more: &str) -> Result<Parsed, Report> {
    read(&format!("name = 'demo'\nkernel = '/vmlinuz'\nmemory = 256\n{more}\n"))
}

fn config(more: &str) -> DomainConfig {
    with(more).unwrap().config
}

fn errors(more: &str) -> String {
    with(more).unwrap_err().to_string()
}

#[test]
fn every_built_key_is_read() {
    let document = Document::parse("demo.cfg", b"name = 'x'").unwrap();
    let mut reader = Reader::new(&document);
    DomainConfig::read(&mut reader);
    let asked: BTreeSet<_> = reader.asked.iter().copied().collect();
    assert_eq!(asked, keys::built().collect());
}

#[test]
fn defaults_are_those_of_xl() {
    let config = config("");
    assert_eq!((config.memory.kib(), config.maxmem.kib()), (256 << 10, 256 << 10));
    assert_eq!((config.vcpus, config.maxvcpus), (1, 1));
    assert_eq!(config.on_poweroff, Action::Destroy);
    assert_eq!(config.on_reboot, Action::Restart);
    assert_eq!(config.on_watchdog, Action::Destroy);
    assert_eq!(config.on_crash, Action::Destroy);
    assert_eq!(config.on_soft_reset, Action::SoftReset);
    assert_eq!(config.cmdline, None);
    let unsaid = read("name = 'a'\nkernel = '/k'").unwrap().config;
    assert_eq!(unsaid.memory.kib(), 32 << 10);
    let most = read("name = 'a'\nkernel = '/k'\nmaxmem = 64").unwrap().config;
    assert_eq!(most.memory.kib(), 64 << 10);
}

#[test]
fn command_line_is_put_together() {
    assert_eq!(
        config("root = '/dev/xvda'\nextra = 'quiet'").cmdline.as_deref(),
        Some("root=/dev/xvda quiet")
    );
    assert_eq!(config("root = '/dev/xvda'").cmdline.as_deref(), Some("root=/dev/xvda"));
    assert_eq!(config("extra = 'a'; extra += ' b'").cmdline.as_deref(), Some("a b"));
    let both = with("cmdline = 'x'\nroot = 'y'").unwrap();
    assert_eq!(both.config.cmdline.as_deref(), Some("x"));
    assert!(both.warnings[0].message.contains("no effect beside cmdline"));
}

#[test]
fn numbers_may_be_quoted_and_have_any_base() {
    let config = config(
        "vcpus = '0x2'\nmaxvcpus = 010\ncpu_weight = 512\nacpi = 0\nlocaltime = 2\nrtc_timeoffset = '-3600'",
    );
    assert_eq!((config.vcpus, config.maxvcpus, config.cpu_weight), (2, 8, Some(512)));
    assert_eq!((config.acpi, config.localtime, config.rtc_timeoffset), (Some(false), true, -3600));
}

#[test]
fn pinning_is_for_all_or_for_each() {
    assert_eq!(config("cpus = '0-3,^1'").cpus, Some(Affinity::Every("0-3,^1".parse().unwrap())));
    assert_eq!(config("cpus = 2").cpus, Some(Affinity::Every("2".parse().unwrap())));
    let each = with("vcpus = 2\ncpus_soft = ['2', 3, '4']").unwrap();
    assert_eq!(each.warnings.len(), 1);
    let lists = ["2", "3", "4"].map(|list| list.parse().unwrap());
    assert_eq!(each.config.cpus_soft, Some(Affinity::PerVcpu(lists.to_vec())));
}

#[test]
fn old_ways_to_write_are_read_with_a_warning() {
    let old = with("builder = 'generic'\ntsc_mode = 2\nbootloader_args = '-q  --x'").unwrap();
    assert_eq!(old.config.guest_type, Some(GuestType::Pv));
    assert_eq!(old.config.tsc_mode, Some(TscMode::Native));
    assert_eq!(old.config.bootloader_args.len(), 2);
    assert_eq!(old.warnings.len(), 2);
    assert!(errors("builder = 'generic'\ntype = 'pvh'").contains("contradicts"));
    assert!(errors("tsc_mode = 4").contains("0 to 3"));
}

#[test]
fn keys_that_need_what_is_not_built_are_refused_by_name() {
    for (line, needs) in [
        ("pci = ['01:00.0']", "pci is not built: it needs PCI passthrough"),
        ("vnc = 1", "vnc is not built: it needs a virtual display"),
        ("vfb = ['vnc=1']", "vfb is not built"),
        ("type = 'hvm'", "HVM guests are not built"),
        ("builder = 'hvm'", "HVM guests are not built"),
        ("serial = 'pty'", "sbsa_uart"),
        ("hap = 0", "shadow page tables"),
        ("passthrough = 'enabled'", "passthrough of host devices"),
        ("tee = 'optee'", "OP-TEE"),
        ("period = 10", "credit2"),
    ] {
        let error = errors(line);
        assert!(error.contains(needs), "{line}: {error}");
        assert!(error.starts_with("demo.cfg:4:"), "{error}");
    }
}

#[test]
fn refused_key_that_asks_for_nothing_is_harmless() {
    let parsed =
        with("pci = []\nvnc = 0\nsdl = '0'\nvfb = []\nhap = 1\npassthrough = 'disabled'\ntee = 'none'")
            .unwrap();
    assert!(parsed.warnings.is_empty());
}

#[test]
fn unknown_key_is_refused_with_the_nearest_known_one() {
    let report = with("memroy = 5\nfrobnicate = 'x'").unwrap_err();
    let messages: Vec<_> = report.0.iter().map(|error| error.message.as_str()).collect();
    assert_eq!(
        messages,
        ["memroy is no key of xl.cfg; is `memory` meant?", "frobnicate is no key of xl.cfg"]
    );
}

#[test]
fn ignored_key_is_warned_of() {
    let parsed = with("vncviewer = 1").unwrap();
    assert!(parsed.warnings[0].message.contains("vncviewer has no effect"));
    assert_eq!(parsed.warnings[0].severity, Severity::Warning);
}

#[test]
fn values_that_cannot_be_are_errors_at_their_place() {
    for (line, place, message) in [
        ("maxmem = 128", "4:10", "maxmem (128m) is less than memory (256m)"),
        ("vcpus = 0", "4:9", "vcpus: 0 is not from 1 to 8192"),
        ("vcpus = 4; maxvcpus = 2", "4:23", "maxvcpus (2) is less than vcpus (4)"),
        ("cap = 'x'", "4:7", "cap: `x` is not a number"),
        ("vcpus += 2", "4:10", "vcpus is a number, which += cannot add to"),
        ("cpu_weight = [1]", "4:14", "cpu_weight is a single value, not a list"),
        ("disk = 'x'", "4:8", "disk is a list; put the value in [ ]"),
        ("disk = [['x']]", "4:9", "disk is a list of strings, not of lists"),
        ("vif = ['bridge=xenbr0, mac=zz']", "4:28", "vif: `zz` is not six bytes"),
        ("disk = ['/a,,xvda', '/b,,d0p0']", "4:8", "two disks are xvda"),
        ("vif = ['mac=00:16:3e:0:0:1', 'mac=00:16:3e:0:0:1']", "4:7", "two vifs have mac 00:16:3e:00:00:01"),
        ("vif = ['devid=1', 'devid=1']", "4:7", "two vifs have devid 1"),
        ("uuid = 'x'", "4:8", "uuid: `x` is not a UUID"),
        ("on_crash = 'panic'", "4:12", "on_crash: `panic` is not one of: destroy, restart"),
        ("max_grant_version = 3", "4:21", "3 is not from 1 to 2"),
        ("channel = ['name=a,connection=socket,path=x']", "4:11", "does not begin with /"),
        ("acpi = ''", "4:8", "acpi: `` is not a number"),
    ] {
        let error = errors(line);
        assert!(error.starts_with(&format!("demo.cfg:{place}: error: ")), "{error}");
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn all_errors_are_reported_at_once_and_what_is_missing_has_no_place() {
    let report = read("memory = 0\nvcpus = 'x'").unwrap_err();
    assert_eq!(report.0.len(), 3);
    let nameless = report.0.iter().find(|error| error.position.is_none()).unwrap();
    assert!(nameless.to_string().starts_with("demo.cfg: error: the domain has no name"));
    assert!(read("name = 'a'").unwrap_err().to_string().contains("has no kernel"));
    assert_eq!(read("name = ['a']\nkernel = 'k'").unwrap_err().0.len(), 1);
}

#[test]
fn override_replaces_what_the_file_says() {
    let mut document = Document::parse("demo.cfg", b"name = 'a'\nkernel = '/k'\nvif = ['']\n# end").unwrap();
    document.add_override("memory=64; name='b'").unwrap();
    document.add_override("vif += ['bridge=br1']").unwrap();
    let parsed = DomainConfig::from_document(&document).unwrap();
    assert_eq!((parsed.config.name.as_str(), parsed.config.memory.kib()), ("b", 64 << 10));
    assert_eq!(parsed.config.vif.len(), 2);
    assert!(parsed.warnings.is_empty());
    document.add_override("memory=nothing").unwrap_err();
    document.add_override("vcpus=0").unwrap();
    let error = DomainConfig::from_document(&document).unwrap_err().to_string();
    assert!(error.starts_with("command line:1:7: error: vcpus"), "{error}");
}

#[test]
fn stored_form_is_checked_when_it_is_read() {
    let json = config("vcpus = 2").to_json().unwrap();
    assert!(DomainConfig::from_json(&json).is_ok());
    for (good, bad) in [
        ("\"vcpus\": 2", "\"vcpus\": 0"),
        ("\"maxvcpus\": 2", "\"maxvcpus\": 1"),
        ("\"memory_kib\": 262144", "\"memory_kib\": 0"),
        ("\"memory_kib\": 262144", "\"memory_kib\": 262145"),
        ("\"demo\"", "\"a/b\""),
        ("\"kernel\"", "\"kernal\""),
        ("\"vcpus\"", "\"disk\": [{\"vdev\": \"xvda\"}], \"vcpus\""),
    ] {
        let broken = json.replace(good, bad);
        assert_ne!(broken, json);
        assert!(DomainConfig::from_json(&broken).is_err(), "{broken}");
    }
}

#[test]
fn every_kind_of_device_is_read_back_from_the_stored_form() {
    let config = config(
        "disk = ['/a,raw,xvda,cdrom', 'vdev=sdb,cdrom']\nvif = ['mac=00:16:3e:0:0:1,rate=1MB/s@50ms', '']\n\
         p9 = ['tag=t,path=/srv,security_model=none']\n\
         channel = ['name=a,connection=pty', 'name=b,connection=socket,path=/run/b,backend=c']",
    );
    assert_eq!(config.channel.len(), 2);
    let json = config.to_json().unwrap();
    assert_eq!(DomainConfig::from_json(&json).unwrap(), config);
    let strange = json.replace("\"path\": \"/run/b\"", "\"path\": \"/run/b\", \"mode\": 1");
    assert_ne!(strange, json);
    assert!(DomainConfig::from_json(&strange).is_err());
}

fn any_setting() -> impl Strategy<Value = String> {
    let key = prop::sample::select(keys::built().collect::<Vec<_>>());
    let atom = prop_oneof![
        "[0-9]{1,5}|0x[0-9a-f]{1,4}",
        "'[a-z0-9,=:/. -]{0,20}'",
        Just("'destroy'".to_owned()),
        Just("'/dev/x,,xvda'".to_owned()),
        Just("'bridge=xenbr0'".to_owned()),
    ];
    let list = prop::collection::vec(atom.clone(), 0..3).prop_map(|items| format!("[{}]", items.join(",")));
    (key, prop_oneof![3 => atom, 1 => list]).prop_map(|(key, value)| format!("{key} = {value}"))
}

proptest! {
    #[test]
    fn any_settings_give_errors_or_a_configuration_that_round_trips(
        settings in prop::collection::vec(any_setting(), 0..6)
    ) {
        if let Ok(parsed) = with(&settings.join("\n")) {
            let json = parsed.config.to_json().unwrap();
            prop_assert_eq!(DomainConfig::from_json(&json).unwrap(), parsed.config);
        }
    }

    #[test]
    fn valid_configurations_round_trip(
        vcpus in 1u32..65, more in 0u32..64, memory in 1u64..1 << 20, weight in 1u16.., action in 0usize..7,
        macs in prop::collection::btree_set(any::<[u8; 3]>().prop_map(Mac::in_xen_range), 0..4),
        disks in prop::collection::btree_set(0u32..40, 0..5), cdrom in any::<bool>(),
    ) {
        let vifs: Vec<_> = macs.iter().map(|mac| format!("'mac={mac},rate=1MB/s'")).collect();
        let disks: Vec<_> = disks.iter().map(|n| format!("'/dev/vg/{n},raw,d{n}p1{}'", if cdrom { ",cdrom" } else { "" })).collect();
        let text = format!(
            "vcpus = {vcpus}\nmaxvcpus = {}\nmemory = {memory}\ncpu_weight = {weight}\non_crash = '{}'\nvif = [{}]\ndisk = [{},]",
            vcpus + more, Action::ALL[action], vifs.join(", "),
            if disks.is_empty() { "'vdev=sda,cdrom'".to_owned() } else { disks.join(",\n  ") },
        );
        let config = with(&text).map_err(|report| TestCaseError::fail(report.to_string()))?.config;
        prop_assert_eq!(config.vif.len(), macs.len());
        prop_assert_eq!(&DomainConfig::from_json(&config.to_json().unwrap()).unwrap(), &config);
    }
}
