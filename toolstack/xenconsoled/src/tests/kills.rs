//! The daemon as a process of its own that is killed while its guest prints.

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use xen_dev::SharedMemory;
use xen_dev::fake::FakeXen;

use super::host::{GFN, GUEST, Host, OUT, OUT_CONS, OUT_PROD, PORT, run, settings, until};
use crate::daemon::Signals;
use crate::log::LogStyle;

/// Kills that a run of all tests has time for.
const SOME: u32 = 15;
/// Names the folder to the process, and where xenstore listens.
const FOLDER: &str = "XENCONSOLED_TEST_FOLDER";
const STORE: &str = "XENCONSOLED_TEST_STORE";
/// Logs are moved away while the daemon is killed, and kept.
const STYLE: LogStyle = LogStyle { timestamps: false, replace_escape: false, max_size: 20_000, keep: 500 };

/// No test: the process that the tests below start and kill.
#[test]
#[ignore = "part of other tests"]
fn process() {
    let path = |name| std::env::var_os(name).map(std::path::PathBuf::from);
    let (Some(folder), Some(store)) = (path(FOLDER), path(STORE)) else { return };
    let xen = FakeXen::default();
    xen.keep_memory_in(&folder);
    xen.add_frames(GUEST, GFN, 1);
    xen.grant(GUEST, 0, GFN);
    xen.offer_port(GUEST, PORT);
    let (page, signals) = (xen.guest_memory(GUEST, GFN, 1).unwrap(), xen.clone());
    spawn(move || {
        loop {
            if page.load_u32(OUT_CONS) != page.load_u32(OUT_PROD) {
                signals.port_of(GUEST, PORT).inspect(|&port| signals.signal(port));
            }
            sleep(Duration::from_micros(200));
        }
    });
    let ((_reopens, reopen), (_ends, end)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
    let census = Box::new(|| Ok(BTreeMap::from([(GUEST, [GUEST.get() as u8; 16])])));
    run(settings(&folder, STYLE), xen, store, census, Signals { reopen, end });
}

fn start(host: &Host) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "tests::kills::process", "--ignored"])
        .env(FOLDER, host.folder())
        .env(STORE, host.store());
    command.stdout(std::process::Stdio::null()).spawn().unwrap()
}

fn kill(mut process: Child) {
    process.kill().unwrap();
    process.wait().unwrap();
}

/// The guest prints numbered lines as fast as there is room; gives how many when it is stopped.
fn print(page: SharedMemory, stop: Arc<AtomicBool>) -> JoinHandle<u32> {
    spawn(move || {
        let mut producer = 0u32;
        for number in 0.. {
            if stop.load(Ordering::Relaxed) {
                return number;
            }
            for byte in line(number).into_bytes() {
                while producer.wrapping_sub(page.load_u32(OUT_CONS).unwrap()) >= 2048 {
                    sleep(Duration::from_micros(100));
                }
                page.store_u8(OUT + producer as usize % 2048, byte).unwrap();
                producer = producer.wrapping_add(1);
                page.store_u32(OUT_PROD, producer).unwrap();
            }
        }
        0
    })
}

fn line(number: u32) -> String {
    format!("line {number} of the guest\n")
}

/// The log with those that were moved away before it.
fn whole_log(host: &Host) -> String {
    let older = (1..=STYLE.keep).rev().map(|number| host.log(&format!("guest-web.log.{number}")));
    older.chain([host.log("guest-web.log")]).collect()
}

fn kill_while_the_guest_prints(kills: u32) {
    let host = Host::start();
    host.xen.keep_memory_in(host.folder());
    host.add_guest("web");
    let stop = Arc::new(AtomicBool::new(false));
    let printing = print(host.page(GUEST), Arc::clone(&stop));
    let taken = || host.page(GUEST).load_u32(OUT_CONS).unwrap();
    for number in 0..kills {
        let before = taken();
        let process = start(&host);
        until(|| taken() != before);
        // At another point of what goes on each time.
        sleep(Duration::from_micros(u64::from(number) * 7919 % 5000));
        kill(process);
    }
    let process = start(&host);
    stop.store(true, Ordering::Relaxed);
    let count = printing.join().unwrap();
    until(|| host.is_drained());
    kill(process);
    let expected: String = (0..count).map(line).collect();
    let log = whole_log(&host);
    let same = log.bytes().zip(expected.bytes()).take_while(|(one, other)| one == other).count();
    assert_eq!(same, expected.len(), "the log differs behind {:?}", &expected[same.saturating_sub(40)..same]);
    assert_eq!(log.len(), expected.len());
    assert!(host.log_path("guest-web.log.1").exists(), "no log was moved away");
}

#[test]
fn no_line_is_lost_or_doubled_in_the_log_while_the_daemon_is_killed() {
    kill_while_the_guest_prints(SOME);
}

/// The same, a hundred times.
#[test]
#[ignore = "takes long: part of the soak"]
fn no_line_is_lost_or_doubled_in_the_log_over_a_hundred_kills() {
    kill_while_the_guest_prints(100);
}
