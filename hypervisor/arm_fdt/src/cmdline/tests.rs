//! Options and what becomes of bad ones.
use proptest::prelude::*;

use super::*;

fn read(line: &str) -> (Options<'_>, Vec<OptionWarning<'_>>) {
    let mut warnings = Vec::new();
    let options = parse(line, &mut |w| warnings.push(w));
    (options, warnings)
}

/// The settings of a line without faults.
fn good(line: &str) -> Options<'_> {
    let (options, warnings) = read(line);
    assert_eq!(warnings, []);
    options
}

/// Asserts that an option is refused for its value and changes nothing.
fn bad(option: &str) {
    let (options, warnings) = read(option);
    assert_eq!(options, Options::default(), "{option}");
    assert_eq!(warnings.len(), 1, "{option}");
    assert!(matches!(warnings[0].reason, WarningReason::BadValue(_)), "{option}");
}

#[test]
fn empty_line_gives_the_defaults() {
    assert_eq!(good(""), Options::default());
    assert_eq!(good("   "), Options::default());
    let options = good("");
    assert_eq!(options.dom0_mem.resolve(), 512 << 20);
    assert_eq!(options.dom0_max_vcpus.resolve(3), 3);
    assert!(options.console && options.ext_regions && !options.noreboot);
}

#[test]
fn usual_line_is_understood() {
    let line = "console=dtuart dtuart=/pl011@9000000:115200 dom0_mem=1G,max:2G dom0_max_vcpus=2 \
                loglvl=all guest_loglvl=error/info noreboot sched=null vwfi=native maxcpus=4 \
                gnttab_max_frames=128 gnttab_max_maptrack_frames=2048 dom0_vcpus_pin \
                sync_console conswitch=bx console_timestamps=boot conring_size=64k \
                no-ext_regions console_to_ring=yes serrors=panic sched_ratelimit_us=0 \
                credit2_cap_period_ms=20";
    let o = good(line);
    assert_eq!(o.dtuart, Some("/pl011@9000000:115200"));
    assert_eq!(o.dom0_mem.size, Some(1 << 30));
    assert_eq!(o.dom0_mem.max, Some(2 << 30));
    assert_eq!(o.dom0_max_vcpus, VcpuCount { min: 2, max: 2 });
    assert_eq!(o.loglvl.always, LogLevel::Debug);
    assert_eq!(o.guest_loglvl, LogLevels { always: LogLevel::Error, limited: LogLevel::Info });
    assert_eq!((o.sched, o.vwfi), (Scheduler::Null, Vwfi::Native));
    assert_eq!(o.maxcpus, Some(4));
    assert_eq!((o.gnttab_max_frames, o.gnttab_max_maptrack_frames), (128, 2048));
    assert_eq!((o.conswitch.code(), o.conswitch.keep), (2, true));
    assert_eq!(o.console_timestamps, Timestamps::Boot);
    assert_eq!(o.conring_size, 64 << 10);
    assert!(o.noreboot && o.dom0_vcpus_pin && o.console_to_ring);
    assert!(!o.ext_regions);
    assert_eq!(o.serrors, SError::Panic);
    assert_eq!((o.sched_ratelimit_us, o.credit2_cap_period_ms), (0, 20));
}

#[test]
fn last_of_two_counts() {
    assert_eq!(good("maxcpus=1 maxcpus=2").maxcpus, Some(2));
    assert!(!good("noreboot no-noreboot").noreboot);
    assert!(good("noreboot=no noreboot=1").noreboot);
}

#[test]
fn unknown_and_unbuilt_options_are_told_apart() {
    let (options, warnings) = read("quiet xsm=flask no-hmp-unsafe =3 no- maxcpus=3");
    assert_eq!(options.maxcpus, Some(3));
    let reasons: Vec<_> = warnings.iter().map(|w| (w.option, w.reason)).collect();
    use WarningReason::{NotBuilt, Unknown};
    assert_eq!(
        reasons,
        [
            ("quiet", Unknown),
            ("xsm=flask", NotBuilt),
            ("no-hmp-unsafe", NotBuilt),
            ("=3", Unknown),
            ("no-", Unknown),
        ]
    );
    assert_eq!(warnings[0].to_string(), "command line: \"quiet\": no such option; ignored");
}

#[test]
fn bad_values_change_nothing() {
    for option in [
        "dom0_mem=",
        "dom0_mem=0",
        "dom0_mem=1Q",
        "dom0_mem=512MB",
        "dom0_mem=-512M",
        "dom0_mem=low:1G",
        "dom0_mem=1G,",
        "dom0_mem=99999999999999999999",
        "dom0_mem=20000000T",
        "dom0_max_vcpus=-",
        "dom0_max_vcpus=3-2",
        "dom0_max_vcpus=a",
        "dom0_max_vcpus=4294967296",
        "no-dom0_mem=512M",
        "no-maxcpus",
        "loglvl=loud",
        "loglvl=all/",
        "loglvl",
        "sched=credit",
        "vwfi=on",
        "conswitch=A",
        "conswitch=abc",
        "conswitch=",
        "console=dtuart,vga",
        "console_timestamps=never",
        "noreboot=maybe",
        "gnttab_max_frames=0",
        "sched_ratelimit_us=500001",
        "sched_ratelimit_us=1",
        "sched_ratelimit_us=99",
        "credit2_cap_period_ms=0",
        "conring_size=0",
        "conring_size=16385K",
        "conring_size=1G",
        "sync_console=often",
        "maxcpus=09",
    ] {
        bad(option);
    }
}

#[test]
fn warning_says_what_is_expected() {
    let (_, warnings) = read("vwfi=on");
    assert_eq!(
        warnings[0].to_string(),
        "command line: \"vwfi=on\": bad value, trap or native is expected; ignored"
    );
}

#[test]
fn sizes_have_units_and_bases() {
    let size = |text: &str| {
        let line = format!("dom0_mem={text}");
        good(&line).dom0_mem.resolve()
    };
    assert_eq!(size("32"), 32 << 10);
    assert_eq!(size("0x20"), 32 << 10);
    assert_eq!(size("040"), 32 << 10);
    assert_eq!(size("32b"), 32);
    assert_eq!(size("0x1fM"), 31 << 20);
    assert_eq!(size("1T"), 1 << 40);
}

#[test]
fn dom0_memory_stays_within_its_limits() {
    let mem = |line| good(line).dom0_mem.resolve() >> 20;
    assert_eq!(mem("dom0_mem=1G"), 1024);
    assert_eq!(mem("dom0_mem=min:1G"), 1024);
    assert_eq!(mem("dom0_mem=max:256M"), 256);
    assert_eq!(mem("dom0_mem=512M,min:1G,max:2G"), 1024);
    assert_eq!(mem("dom0_mem=min:4G,max:2G"), 2048);
}

#[test]
fn vcpu_ranges_follow_the_number_of_pcpus() {
    // The table in Xen's manual for 4-8, and open ranges.
    let vcpus = |line, pcpus| good(line).dom0_max_vcpus.resolve(pcpus);
    for (pcpus, expected) in [(2, 4), (4, 4), (6, 6), (8, 8), (10, 8)] {
        assert_eq!(vcpus("dom0_max_vcpus=4-8", pcpus), expected);
    }
    assert_eq!(vcpus("dom0_max_vcpus=-2", 4), 2);
    assert_eq!(vcpus("dom0_max_vcpus=3-", 2), 3);
    assert_eq!(vcpus("dom0_max_vcpus=0", 4), 4);
}

#[test]
fn number_of_pcpus_is_limited_by_the_option_and_the_machine() {
    let cpus = |line, present| good(line).cpus(present);
    assert_eq!([cpus("", 4), cpus("maxcpus=0", 4), cpus("maxcpus=8", 4)], [4; 3]);
    assert_eq!([cpus("maxcpus=3", 4), cpus("maxcpus=1", 4)], [3, 1]);
}

#[test]
fn rate_limits_that_the_scheduler_takes_are_read() {
    for us in [0, 100, 500_000] {
        let line = format!("sched_ratelimit_us={us}");
        assert_eq!(good(&line).sched_ratelimit_us, us);
    }
}

#[test]
fn output_is_always_synchronous_whatever_is_asked_for() {
    for line in ["sync_console", "sync_console=no", "no-sync_console"] {
        assert_eq!(good(line), Options::default());
    }
}

#[test]
fn flags_of_old_and_new_style() {
    assert_eq!(good("console_timestamps").console_timestamps, Timestamps::Date);
    assert_eq!(good("console_timestamps=off").console_timestamps, Timestamps::None);
    assert!(!good("console=none").console);
    assert!(good("console=none console=dtuart").console);
}

#[test]
fn manual_has_every_option_once_and_in_order() {
    let names: Vec<_> = MANUAL.iter().map(|e| e.name).collect();
    assert!(names.is_sorted());
    assert_eq!(names, PARSERS.iter().map(|p| p.name).collect::<Vec<_>>());
    assert!(names.windows(2).all(|w| w[0] != w[1]));
    assert!(not_built().all(|n| !names.contains(&n)));
    let mut text = String::new();
    write_manual(&mut text).unwrap();
    for entry in MANUAL {
        assert!(text.contains(&format!("### {}\n\n`= {}`", entry.name, entry.syntax)));
        assert!(!entry.help.is_empty() && !entry.default.is_empty());
    }
    // The lines are broken elsewhere.
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let page = include_str!("../../../../docs/command-line.md");
    assert!(words(page).ends_with(&words(&text)), "docs/command-line.md is not what this is: {text}");
}

proptest! {
    #[test]
    fn any_line_is_read(line in ".{0,200}") {
        let mut count = 0usize;
        parse(&line, &mut |w| {
            count += 1;
            assert!(!w.to_string().is_empty());
        });
        prop_assert!(count <= line.len());
    }

    #[test]
    fn any_value_of_a_real_option_is_read(which in 0..MANUAL.len(), value in ".{0,30}") {
        let line = format!("{}={value}", MANUAL[which].name);
        parse(&line, &mut |_| ());
    }
}
