//! The command line's options as common code has them.

use alloc::string::String;
use arm_fdt::cmdline::{self, LogLevel, LogLevels, SError, Scheduler, Timestamps};
use hv_core::console::{Level, Levels, Settings, Stamps};
use hv_core::options::Options;
use sched::SchedKind;

/// What `options`, which were read from `line`, mean to common code.
pub fn common(options: &cmdline::Options<'_>, line: &str) -> Options {
    Options {
        console: Settings {
            shown: options.console,
            ring_size: options.conring_size as usize,
            stamps: match options.console_timestamps {
                Timestamps::None => Stamps::None,
                Timestamps::Date => Stamps::Date,
                Timestamps::DateMs => Stamps::DateMs,
                Timestamps::Boot => Stamps::Boot,
                Timestamps::Raw => Stamps::Raw,
            },
            keeps_dom0: options.console_to_ring,
            switch_letter: options.conswitch.letter,
            input_to_hypervisor: options.conswitch.keep,
            own: levels(options.loglvl),
            guests: levels(options.guest_loglvl),
        },
        scheduler: match options.sched {
            Scheduler::Credit2 => SchedKind::Credit2,
            Scheduler::Null => SchedKind::Null,
        },
        ratelimit_us: options.sched_ratelimit_us,
        cap_period_ms: options.credit2_cap_period_ms,
        no_reboot: options.noreboot,
        fatal_aborts: options.serrors == SError::Panic,
        grant_frames: options.gnttab_max_frames,
        maptrack_frames: options.gnttab_max_maptrack_frames,
        command_line: String::from(line),
    }
}

fn levels(levels: LogLevels) -> Levels {
    Levels { always: level(levels.always), limited: level(levels.limited) }
}

fn level(level: LogLevel) -> Option<Level> {
    match level {
        LogLevel::None => None,
        LogLevel::Error => Some(Level::Error),
        LogLevel::Warning => Some(Level::Warning),
        LogLevel::Info => Some(Level::Info),
        LogLevel::Debug => Some(Level::Debug),
    }
}

#[test]
fn line_says_what_the_core_does() {
    let line = "conring_size=64K console=none console_timestamps=datems console_to_ring conswitch=bx \
                credit2_cap_period_ms=20 guest_loglvl=error/info loglvl=none noreboot sched=null \
                sched_ratelimit_us=500 serrors=panic gnttab_max_frames=3 gnttab_max_maptrack_frames=5";
    let read = |line| common(&cmdline::parse(line, &mut |w| panic!("{w}")), line);
    let expected = Options {
        console: Settings {
            shown: false,
            ring_size: 64 << 10,
            stamps: Stamps::DateMs,
            keeps_dom0: true,
            switch_letter: b'b',
            input_to_hypervisor: true,
            own: Levels { always: None, limited: None },
            guests: Levels { always: Some(Level::Error), limited: Some(Level::Info) },
        },
        scheduler: SchedKind::Null,
        ratelimit_us: 500,
        cap_period_ms: 20,
        no_reboot: true,
        fatal_aborts: true,
        grant_frames: 3,
        maptrack_frames: 5,
        command_line: String::from(line),
    };
    assert_eq!(read(line), expected);
    let defaults = Options::default();
    let own = Levels { always: Some(Level::Warning), limited: Some(Level::Warning) };
    assert_eq!(read(""), Options { console: Settings { own, ..defaults.console }, ..defaults });
}
