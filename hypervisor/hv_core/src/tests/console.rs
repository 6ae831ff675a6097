//! The console: what is kept, what is shown and how, who reads what is typed.

use crate::Work;
use crate::console::{Level, Levels, Settings, Stamps};
use crate::domain::Domain;
use crate::testkit::{LISTS, World};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use hal::MachineOps as _;
use xen_abi::event_channel::{EVTCHNOP_bind_virq, EvtchnBindVirq};
use xen_abi::sysctl::*;
use xen_abi::xen::*;
use xen_abi::{Errno, GuestHandle, Plain};
use zerocopy::FromZeros as _;

const WILD: GuestHandle = GuestHandle(0x7000_0000_0000);
const LIST: GuestHandle = GuestHandle(LISTS.0);
const SECOND: u64 = 1_000_000_000;

/// A console that says everything.
fn talkative() -> Settings {
    Settings { own: Levels::up_to(Level::Debug), ..Settings::default() }
}

fn ask<T: Plain>(world: &World, cmd: u32, payload: &T) -> Result<T, Errno> {
    world.sysctl(&world.get(0), cmd, payload)
}

/// Reads the console ring: text and index.
fn read(world: &World, clear: u8, incremental: u8, index: u32, count: u32) -> (String, u32) {
    let mut request = Readconsole::new_zeroed();
    (request.clear, request.incremental, request.index, request.count) = (clear, incremental, index, count);
    request.buffer = LIST;
    let answer = ask(world, XEN_SYSCTL_readconsole, &request).unwrap();
    let dom0 = world.get(0);
    let bytes: Vec<u8> = (0..answer.count).map(|n| world.take(&dom0, LISTS.plus(n.into()))).collect();
    (String::from_utf8(bytes).unwrap(), answer.index)
}

/// All that the ring has.
fn read_all(world: &World) -> String {
    let (mut text, mut at) = read(world, 0, 0, 0, 3000);
    loop {
        let (part, next) = read(world, 0, 1, at, 3000);
        if part.is_empty() {
            return text;
        }
        (text, at) = (text + &part, next);
    }
}

fn say(world: &World, text: &str) {
    world.hv.say(Level::Info, format_args!("{text}"));
}

#[test]
fn console_is_read_in_parts_and_only_what_is_new() {
    let world = World::new();
    read(&world, 1, 0, 0, 30_000);
    say(&world, "one");
    say(&world, "two");
    let (all, end) = read(&world, 0, 0, 0, 1000);
    assert_eq!(all, "(XEN) one\n(XEN) two\n");
    assert_eq!(read(&world, 0, 0, 0, 1000), (all.clone(), end), "it is still there");
    let (head, at) = read(&world, 0, 0, 0, 4);
    assert_eq!(head, "(XEN");
    assert_eq!(read(&world, 0, 1, at, 1000), (all[4..].into(), end));
    assert_eq!(read(&world, 0, 1, end, 1000), (String::new(), end));
    say(&world, "three");
    assert_eq!(read(&world, 0, 1, end, 1000).0, "(XEN) three\n");
    for strange in [end + 1000, u32::MAX, end.wrapping_sub(100_000)] {
        assert!(
            read(&world, 0, 1, strange, 1000).0.starts_with("(XEN) one"),
            "an index from nowhere: {strange}"
        );
    }
}

#[test]
fn console_forgets_what_was_read_when_asked_to() {
    let world = World::new();
    read(&world, 1, 0, 0, 30_000);
    say(&world, "one");
    say(&world, "two");
    assert_eq!(read(&world, 1, 0, 0, 10).0, "(XEN) one\n");
    assert_eq!(read(&world, 0, 0, 0, 1000).0, "(XEN) two\n", "only what was read");
    assert_eq!(read(&world, 1, 0, 0, 1000).0, "(XEN) two\n");
    assert_eq!(read(&world, 0, 0, 0, 1000).0, "");
}

#[test]
fn console_keeps_the_end_of_what_was_said() {
    // What is asked for, and the power of two that it becomes.
    for (ring_size, kept) in [(16 << 10, 16 << 10), (0, 4 << 10), (17 << 10, 32 << 10)] {
        let world = World::with_console(Settings { ring_size, ..talkative() });
        for n in 0..3000 {
            say(&world, &alloc::format!("line {n}"));
        }
        let text = read_all(&world);
        assert_eq!(text.len(), kept);
        assert!(text.ends_with("(XEN) line 2998\n(XEN) line 2999\n"));
    }
}

#[test]
fn console_that_cannot_be_copied_is_not_forgotten() {
    let world = World::new();
    read(&world, 1, 0, 0, 30_000);
    say(&world, "one");
    let mut request = Readconsole::new_zeroed();
    (request.clear, request.count, request.buffer) = (1, 1000, WILD);
    assert_eq!(ask(&world, XEN_SYSCTL_readconsole, &request), Err(Errno::EFAULT));
    assert_eq!(read(&world, 0, 0, 0, 1000).0, "(XEN) one\n");
}

fn console_io(world: &World, caller: &Arc<Domain>, cmd: u32, count: u64, buffer: u64) -> Result<u64, Errno> {
    world.call(caller, __HYPERVISOR_console_io.into(), [cmd.into(), count, buffer, 7, 7])
}

#[test]
fn dom0_writes_to_the_console() {
    let world = World::new();
    let (dom0, domu) = (world.get(0), world.domain(5, 1));
    world.hv.machine.take_console();
    let text: Vec<u8> = (0..1000u32).map(|n| b'a' + (n % 26) as u8).collect();
    world.list(&dom0, 0xffb, &text);
    assert_eq!(console_io(&world, &dom0, CONSOLEIO_write, 1000, LISTS.0 + 0xffb), Ok(0));
    assert_eq!(world.hv.machine.take_console().as_bytes(), text);
    assert_eq!(console_io(&world, &dom0, CONSOLEIO_write, 0, 0), Ok(0));
    assert_eq!(console_io(&world, &dom0, CONSOLEIO_write, 1, WILD.0), Err(Errno::EFAULT));
    assert_eq!(
        console_io(&world, &dom0, CONSOLEIO_write, 0x1_0000_0002, LISTS.0 + 0xffb),
        Ok(0),
        "the count has 32 bits"
    );
    assert_eq!(world.hv.machine.take_console(), "ab");
    assert_eq!(console_io(&world, &dom0, 2, 1, LISTS.0), Err(Errno::ENOSYS));
    for cmd in [CONSOLEIO_write, CONSOLEIO_read] {
        assert_eq!(console_io(&world, &domu, cmd, 1, LISTS.0), Err(Errno::EPERM));
    }
    assert_eq!(world.hv.machine.take_console(), "");
}

fn type_text(world: &World, text: &[u8]) {
    text.iter().for_each(|byte| world.hv.console_input(*byte));
}

#[test]
fn dom0_reads_what_is_typed() {
    let world = World::new();
    let dom0 = world.get(0);
    let bind = EvtchnBindVirq { virq: VIRQ_CONSOLE, vcpu: 0, port: 0 };
    let port = world.op(&dom0, __HYPERVISOR_event_channel_op.into(), EVTCHNOP_bind_virq, &bind).unwrap().port;
    assert_eq!(console_io(&world, &dom0, CONSOLEIO_read, 10, LISTS.0), Ok(0));
    type_text(&world, b"hello");
    assert_eq!(dom0.events.is_port_pending(world.hv, port), Ok(true));
    assert_eq!(console_io(&world, &dom0, CONSOLEIO_read, 10, WILD.0), Err(Errno::EFAULT));
    assert_eq!(console_io(&world, &dom0, CONSOLEIO_read, 0x8000_0000, LISTS.0), Err(Errno::E2BIG));
    assert_eq!(console_io(&world, &dom0, CONSOLEIO_read, 4, LISTS.0), Ok(4));
    assert_eq!(world.take::<[u8; 4]>(&dom0, LISTS), *b"hell");
    assert_eq!(console_io(&world, &dom0, CONSOLEIO_read, 4, LISTS.0), Ok(1));
    assert_eq!(console_io(&world, &dom0, CONSOLEIO_read, 4, LISTS.0), Ok(0));
    // More than is kept: the rest is lost, and what is kept is the beginning.
    type_text(&world, &[b'x'; 300]);
    let mut got = 0;
    while let Ok(n @ 1..) = console_io(&world, &dom0, CONSOLEIO_read, 1000, LISTS.0) {
        got += n;
    }
    assert_eq!(got, 256);
}

#[test]
fn three_times_ctrl_a_switches_the_input() {
    let world = World::new();
    let dom0 = world.get(0);
    world.hv.machine.take_console();
    type_text(&world, b"\x01\x01a\x01\x01\x01q");
    assert!(world.hv.machine.take_console().contains("Serial input to Xenoxide"));
    assert!(world.hv.cpus[0].take_work().contains(Work::DEBUG_KEY));
    world.hv.run_debug_keys();
    assert!(world.hv.machine.take_console().contains("d0v0"));
    type_text(&world, b"\x01\x01\x01b");
    assert_eq!(console_io(&world, &dom0, CONSOLEIO_read, 10, LISTS.0), Ok(2));
    assert_eq!(world.take::<[u8; 2]>(&dom0, LISTS), *b"ab");
}

#[test]
fn another_letter_switches_the_input_and_the_hypervisor_can_have_it_first() {
    let console = Settings { switch_letter: b'q', input_to_hypervisor: true, ..talkative() };
    let world = World::with_console(console);
    let dom0 = world.get(0);
    world.hv.machine.take_console();
    type_text(&world, b"\x01\x01\x01h");
    assert!(world.hv.cpus[0].take_work().contains(Work::DEBUG_KEY));
    assert_eq!(world.hv.machine.take_console(), "");
    type_text(&world, b"\x11\x11\x11b");
    let text = world.hv.machine.take_console();
    assert_eq!(text, "(XEN) *** Serial input to Dom0 (type 'CTRL-q' three times to switch input)\n");
    assert_eq!(console_io(&world, &dom0, CONSOLEIO_read, 10, LISTS.0), Ok(1));
}

#[test]
fn without_a_console_the_ring_has_everything() {
    let world = World::with_console(Settings { shown: false, ..talkative() });
    say(&world, "one");
    world.hv.report(|out| out.write_str("two\n").unwrap());
    world.list(&world.get(0), 0, b"three");
    console_io(&world, &world.get(0), CONSOLEIO_write, 5, LISTS.0).unwrap();
    assert_eq!(world.hv.machine.take_console(), "");
    assert_eq!(read_all(&world), "(XEN) one\n(XEN) two\n");
}

#[test]
fn what_dom0_writes_is_kept_if_that_is_wanted() {
    let world = World::with_console(Settings { keeps_dom0: true, ..talkative() });
    let dom0 = world.get(0);
    let bind = EvtchnBindVirq { virq: VIRQ_CON_RING, vcpu: 0, port: 0 };
    let port = world.op(&dom0, __HYPERVISOR_event_channel_op.into(), EVTCHNOP_bind_virq, &bind).unwrap().port;
    world.list(&dom0, 0, b"hello\n");
    console_io(&world, &dom0, CONSOLEIO_write, 6, LISTS.0).unwrap();
    assert_eq!(dom0.events.is_port_pending(world.hv, port), Ok(true));
    assert_eq!(world.hv.machine.take_console(), "hello\n");
    assert_eq!(read_all(&world), "hello\n");

    let world = World::new();
    world.list(&world.get(0), 0, b"hello\n");
    console_io(&world, &world.get(0), CONSOLEIO_write, 6, LISTS.0).unwrap();
    assert_eq!(read_all(&world), "");
}

#[test]
fn lines_have_the_time_that_is_wanted() {
    // 12.345678 s after the machine's start, and with the clock set.
    for (stamps, early, late) in [
        (Stamps::None, "", ""),
        (Stamps::Boot, "[   12.345678] ", "[   12.345678] "),
        (Stamps::Raw, "[000000002dfdc18b] ", "[000000002dfdc18b] "),
        (Stamps::Date, "[   12.345678] ", "[2026-01-02 03:04:05] "),
        (Stamps::DateMs, "[   12.345678] ", "[2026-01-02 03:04:05.007] "),
    ] {
        let world = World::with_console(Settings { stamps, ..talkative() });
        let machine = world.hv.machine;
        machine.advance(12_345_678_000 - machine.now_ns());
        machine.take_console();
        say(&world, "one");
        assert!(world.hv.wall_clock.set(1_767_323_045, 7_000_000, machine.now_ns()));
        say(&world, "two");
        // A line in pieces, and one with a prefix of its own.
        world.hv.report(|out| {
            out.write_str("thr").unwrap();
            out.write_str("ee\n(XEN) four\n").unwrap();
        });
        let expected = [(early, "one"), (late, "two"), (late, "three"), (late, "four")]
            .map(|(stamp, text)| alloc::format!("(XEN) {stamp}{text}\n"));
        assert_eq!(machine.take_console(), expected.concat(), "{stamps:?}");
    }
}

const LEVELS: [Level; 4] = [Level::Error, Level::Warning, Level::Info, Level::Debug];

/// The levels of the messages that come out of those that `say` says.
fn shown(world: &World, say: impl Fn(Level)) -> Vec<Level> {
    let comes_out = |level: &Level| {
        say(*level);
        !world.hv.machine.take_console().is_empty()
    };
    LEVELS.into_iter().filter(comes_out).collect()
}

#[test]
fn messages_above_the_level_are_not_said() {
    let none = Levels { always: None, limited: None };
    let mut levels = Vec::from([(none, 0)]);
    for (n, level) in LEVELS.into_iter().enumerate() {
        levels.push((Levels::up_to(level), n + 1));
        levels.push((Levels { always: None, limited: Some(level) }, n + 1));
    }
    for (set, count) in levels {
        let world = World::with_console(Settings { own: set, ..talkative() });
        world.hv.machine.take_console();
        assert_eq!(shown(&world, |level| world.hv.say(level, format_args!("x"))), LEVELS[..count]);
        let world = World::with_console(Settings { guests: set, ..talkative() });
        world.hv.machine.take_console();
        assert_eq!(shown(&world, |level| world.hv.say_of_guest(level, format_args!("x"))), LEVELS[..count]);
        assert_eq!(shown(&world, |level| world.hv.say(level, format_args!("x"))), LEVELS);
    }
}

#[test]
fn limited_messages_are_ten_in_five_seconds() {
    let guests = Levels { always: Some(Level::Error), limited: Some(Level::Warning) };
    let world = World::with_console(Settings { guests, ..talkative() });
    let machine = world.hv.machine;
    machine.advance(SECOND);
    machine.take_console();
    let lines = |count: usize, level: Level| {
        (0..count).for_each(|_| world.hv.say_of_guest(level, format_args!("again")));
        machine.take_console().lines().count()
    };
    assert_eq!(lines(25, Level::Warning), 10);
    assert_eq!(lines(25, Level::Error), 25, "these are not limited");
    machine.advance(5 * SECOND);
    crate::guest!(world.hv, Warning, "d{}", 5);
    assert_eq!(machine.take_console(), "(XEN) 15 messages suppressed\n(XEN) d5\n");
    assert_eq!(lines(25, Level::Warning), 9);
}

#[test]
fn large_ring_is_read_in_pieces() {
    let world = World::with_console(Settings { ring_size: 128 << 10, ..talkative() });
    assert!(world.hv.console.open(&[b'x'; 100 << 10]));
    let read = |index| world.hv.console.read(true, index, u32::MAX, |_, _| true);
    assert_eq!(read(0), Some((64 << 10, 64 << 10)));
    assert_eq!(read(64 << 10), Some((36 << 10, 100 << 10)));
}

#[test]
fn what_was_said_before_there_was_a_ring_comes_first() {
    let world = World::new();
    assert!(world.hv.console.open(b"(XEN) early\n"));
    say(&world, "late");
    assert_eq!(read_all(&world), "(XEN) early\n(XEN) late\n");
}
