//! The whole daemon and its viewers, over a fake host and a store in memory.

mod host;
mod kills;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::attach::{AttachError, End, attach, stdio};
use crate::identity::{ConsoleId, Kind};
use crate::link::Source;
use crate::protocol::{Answer, Attach, Begin};
use host::{GUEST, Host, until};

fn pv() -> ConsoleId {
    ConsoleId { domid: GUEST, kind: Kind::Pv }
}

/// A viewer that has got its answer.
fn viewer(host: &Host, from: Begin) -> (UnixStream, Answer) {
    let mut stream = UnixStream::connect(host.socket()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    writeln!(stream, "{}", Attach { console: pv(), from }).unwrap();
    let mut line = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
        line.push(byte[0]);
    }
    (stream, Answer::parse(&line).unwrap())
}

fn expect(stream: &mut (impl std::io::Read + AsFd), expected: &str) {
    let mut bytes = Vec::new();
    while bytes.len() < expected.len() {
        let patience = Timespec { tv_sec: 10, tv_nsec: 0 };
        let came = poll(&mut [PollFd::new(stream, PollFlags::IN)], Some(&patience)).unwrap();
        assert_eq!(came, 1, "only {:?} came", String::from_utf8_lossy(&bytes));
        let mut piece = vec![0; expected.len() - bytes.len()];
        let count = stream.read(&mut piece).unwrap();
        assert_ne!(count, 0, "only {:?} came", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&piece[..count]);
    }
    assert_eq!(String::from_utf8_lossy(&bytes), expected);
}

#[test]
fn several_viewers_see_history_and_what_follows_and_all_can_type() {
    let host = Host::start();
    host.add_guest("web");
    host.prints(b"Linux boots\r\n");
    let daemon = host.daemon();
    let (mut one, answer) = viewer(&host, Begin::Start);
    assert_eq!(answer, Answer::Attached(0));
    expect(&mut one, "Linux boots\r\n");
    host.prints(b"login: ");
    let (mut two, _) = viewer(&host, Begin::Position(6));
    for viewer in [&mut one, &mut two] {
        viewer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    }
    expect(&mut one, "login: ");
    expect(&mut two, "boots\r\nlogin: ");
    two.write_all(b"root").unwrap();
    until(|| host.typed() == b"root");
    one.write_all(b"\r").unwrap();
    until(|| host.typed() == b"root\r");
    daemon.end();
}

#[test]
fn xens_own_client_finds_the_terminal_in_xenstore() {
    let host = Host::start();
    host.add_guest("web");
    host.prints(b"early ");
    let daemon = host.daemon();
    let name = host.tty();
    let mut terminal = File::options().read(true).write(true).open(name).unwrap();
    expect(&mut terminal, "early ");
    host.prints(b"late");
    expect(&mut terminal, "late");
    terminal.write_all(b"\x03ls\r").unwrap();
    until(|| host.typed() == b"\x03ls\r");
    daemon.end();
}

#[test]
fn no_byte_is_lost_or_repeated_over_restarts_and_none_of_the_backlog_of_the_terminal() {
    let host = Host::start();
    host.add_guest("web");
    let mut expected = String::new();
    let mut seen = Vec::new();
    let mut position = 0;
    for round in 0..10 {
        let text = format!("round {round}\n");
        // Some before, some while the daemon runs, some after.
        host.prints(text.as_bytes());
        expected.push_str(&text);
        let daemon = host.daemon();
        let (mut stream, answer) = viewer(&host, Begin::Position(position));
        assert_eq!(answer, Answer::Attached(position));
        let text = format!("and {round}\n");
        host.prints(text.as_bytes());
        expected.push_str(&text);
        let mut bytes = vec![0; expected.len() - position as usize];
        stream.read_exact(&mut bytes).unwrap();
        position += bytes.len() as u64;
        seen.extend(bytes);
        daemon.end();
        host.prints(b"while away\n");
        expected.push_str("while away\n");
    }
    let daemon = host.daemon();
    expect(&mut viewer(&host, Begin::Start).0, &expected);
    assert_eq!(String::from_utf8_lossy(&seen), expected[..seen.len()]);
    // Nobody has read from any of the terminals.
    expect(&mut File::open(host.tty()).unwrap(), &expected);
    daemon.end();
    assert_eq!(host.log("guest-web.log"), expected);
}

#[test]
fn flood_of_one_guest_leaves_another_served_and_a_viewer_that_does_not_read_stops_nobody() {
    let host = Host::start();
    host.add_guest("web");
    let daemon = host.daemon();
    let (mut stream, _) = viewer(&host, Begin::Start);
    let (_sleeping, _) = viewer(&host, Begin::Start);
    let flood = host.flood("noisy");
    for round in 0..20 {
        let text = format!("line {round}\n");
        host.prints(text.as_bytes());
        expect(&mut stream, &text);
    }
    let taken = flood.end();
    let most = 2048 * u64::from(crate::allowance::EVENTS) * 10;
    assert!(taken > 4096 && taken < most * 10, "{taken}");
    daemon.end();
}

#[test]
fn guest_whose_output_is_to_be_kept_waits_for_the_reader_of_the_terminal() {
    let host = Host::start();
    host.add_guest("web");
    let daemon = host.daemon_that(true);
    let mut terminal = File::open(host.tty()).unwrap();
    let mut pieces = 0;
    // Terminal and history together hold less than this.
    while pieces < 200 {
        host.prints(&[b'a' + pieces % 26; 2000]);
        pieces += 1;
        let patience = Instant::now() + Duration::from_secs(1);
        while !host.is_drained() && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(1));
        }
        if !host.is_drained() {
            break;
        }
    }
    assert!(!host.is_drained(), "the guest did not have to wait");
    for piece in 0..pieces {
        expect(&mut terminal, &String::from_utf8(vec![b'a' + piece % 26; 2000]).unwrap());
    }
    until(|| host.is_drained());
    daemon.end();
}

#[test]
fn impossible_indices_stop_only_the_console_that_has_them_until_they_are_right() {
    let host = Host::start();
    host.add_guest("web");
    let daemon = host.daemon();
    let (mut stream, _) = viewer(&host, Begin::Start);
    for (consumer, producer) in [(0, u32::MAX), (5, 0), (0, 4096)] {
        host.set_output_indices(consumer, producer);
    }
    stream.write_all(b"x").unwrap();
    until(|| host.typed() == b"x");
    host.set_output_indices(0, 0);
    host.prints(b"better\n");
    expect(&mut stream, "better\n");
    daemon.end();
}

#[test]
fn end_of_a_domain_gives_viewers_its_last_words_and_leaves_no_file() {
    let host = Host::start();
    host.add_guest("web");
    let daemon = host.daemon();
    let (mut stream, _) = viewer(&host, Begin::Start);
    host.prints_silently(b"panic\n");
    host.remove_guest();
    let mut last = String::new();
    stream.read_to_string(&mut last).unwrap();
    assert_eq!(last, "panic\n");
    until(|| host.histories() == 0);
    assert_eq!(viewer(&host, Begin::Start).1, Answer::None);
    assert_eq!(host.xen.live_mappings(), 0);
    daemon.end();
}

#[test]
fn history_of_a_domain_that_ended_while_no_daemon_was_there_is_removed() {
    let host = Host::start();
    host.add_guest("web");
    host.daemon().end();
    assert_eq!(host.histories(), 1);
    host.remove_guest();
    let daemon = host.daemon();
    assert_eq!(viewer(&host, Begin::Start).1, Answer::None);
    until(|| host.histories() == 0);
    daemon.end();
}

#[test]
fn requests_that_are_none_are_answered_and_end_nothing() {
    let host = Host::start();
    let daemon = host.daemon();
    for (request, answer) in [("hello\n", "error expected"), (&"x".repeat(1000), "error the request is too")]
    {
        let mut stream = UnixStream::connect(host.socket()).unwrap();
        let _ = stream.write_all(request.as_bytes());
        let mut line = vec![0; answer.len()];
        stream.read_exact(&mut line).unwrap();
        assert_eq!(String::from_utf8_lossy(&line), answer);
    }
    drop(UnixStream::connect(host.socket()).unwrap());
    assert_eq!(viewer(&host, Begin::Start).1, Answer::None);
    daemon.end();
}

#[test]
fn logs_are_opened_again_on_request() {
    let host = Host::start();
    host.add_guest("we/b");
    let daemon = host.daemon();
    host.prints(b"old\n");
    until(|| host.log("guest-we_b.log") == "old\n");
    fs::rename(host.log_path("guest-we_b.log"), host.log_path("moved")).unwrap();
    daemon.reopen_logs();
    until(|| host.log_path("guest-we_b.log").exists());
    host.prints(b"new\n");
    until(|| host.log("guest-we_b.log") == "new\n");
    daemon.end();
}

/// A user at a pair of sockets, and the thread that serves him.
fn user(source: Source) -> (UnixStream, std::thread::JoinHandle<Result<End, AttachError>>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let thread = std::thread::spawn(move || {
        let (never, _other) = UnixStream::pair().unwrap();
        attach(source, &stdio(true, &theirs, &theirs, &never), || Ok(()))
    });
    (ours, thread)
}

#[test]
fn user_sees_each_byte_once_over_a_restart_of_the_daemon_and_leaves_by_the_escape_key() {
    let host = Host::start();
    host.add_guest("web");
    host.prints(b"before\n");
    let daemon = host.daemon();
    let (mut user, thread) = user(Source::socket(pv(), host.socket(), true));
    expect(&mut user, "before\n");
    daemon.end();
    host.prints(b"meanwhile\n");
    let daemon = host.daemon();
    expect(&mut user, "meanwhile\n");
    user.write_all(b"exit\x1dnot this").unwrap();
    assert_eq!(thread.join().unwrap().unwrap(), End::Left);
    until(|| host.typed() == b"exit");
    daemon.end();
}

#[test]
fn user_at_a_terminal_goes_on_after_a_restart_and_is_told_of_the_end_of_the_domain() {
    let host = Host::start();
    host.add_guest("web");
    let daemon = host.daemon();
    let node = format!("{}/tty", pv().folder());
    let (mut user, thread) = user(Source::terminal(host.client(), node).unwrap());
    host.prints(b"before\n");
    expect(&mut user, "before\n");
    // Who types has read, and the daemon notes it also for the case that it is killed.
    user.write_all(b"\r").unwrap();
    until(|| host.shown() == 7);
    daemon.end();
    let daemon = host.daemon();
    host.prints(b"after\n");
    expect(&mut user, "after\n");
    host.remove_guest();
    assert_eq!(thread.join().unwrap().unwrap(), End::Gone);
    daemon.end();
}

#[test]
fn end_of_the_domain_ends_the_user_s_session() {
    let host = Host::start();
    host.add_guest("web");
    let daemon = host.daemon();
    let (mut user, thread) = user(Source::socket(pv(), host.socket(), true));
    host.prints(b"bye\n");
    expect(&mut user, "bye\n");
    host.remove_guest();
    assert_eq!(thread.join().unwrap().unwrap(), End::Gone);
    daemon.end();
}
