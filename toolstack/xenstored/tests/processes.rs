//! The program itself, as processes on sockets: it starts, dies, comes back, and ends.

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};
use xenstore_client::{Client, Error, Operations};

/// Kills that a run of all tests has time for.
const SOME: u32 = 15;
/// What a daemon may hold of memory that clients do not ask for, in KiB.
const MEMORY_MAX: u64 = 64 << 10;
/// Bytes that state and journal may have on a small tree.
const FILES_MAX: u64 = 6 << 20;

/// A daemon that runs, and its folder.
struct Running {
    folder: PathBuf,
    program: PathBuf,
}

fn until<T>(what: &str, mut get: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = get() {
            return found;
        }
        assert!(Instant::now() < deadline, "not in ten seconds: {what}");
        sleep(Duration::from_millis(1));
    }
}

impl Running {
    fn start(name: &str) -> Self {
        Self::start_program(name, |_| env!("CARGO_BIN_EXE_xenstored").into())
    }

    /// Starts the program that `place` puts somewhere, if it likes into the folder.
    fn start_program(name: &str, place: impl FnOnce(&Path) -> PathBuf) -> Self {
        let folder = std::env::temp_dir().join(format!("xenstored-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let program = place(&folder);
        let running = Self { folder, program };
        let output = running.command();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        running
    }

    /// Runs the program, with paths that are relative.
    fn command(&self) -> Output {
        let mut command = Command::new(&self.program);
        command.args(["--no-domain-init", "--pid-file=some/pid", "--run-dir=run"]).current_dir(&self.folder);
        // A pipe would be held open by the daemon, and waited for.
        command.stderr(std::fs::File::create(self.folder.join("said")).unwrap());
        let mut output = command.output().unwrap();
        output.stderr = std::fs::read(self.folder.join("said")).unwrap();
        output
    }

    fn client(&self) -> Client {
        let path = self.folder.join("run/socket");
        until("a connection", || Client::connect(&path).ok())
    }

    fn pid(&self) -> Pid {
        until("a pid file", || {
            let text = std::fs::read_to_string(self.folder.join("some/pid")).ok()?;
            Pid::from_raw(text.trim().parse().ok()?)
        })
    }

    /// Kills the worker, and gives the next one's number when it serves.
    fn kill(&self, signal: Signal) -> Pid {
        let old = self.pid();
        kill_process(old, signal).unwrap();
        until("a new worker", || Some(self.pid()).filter(|&pid| pid != old))
    }

    fn parent(pid: Pid) -> Pid {
        status(pid, "PPid:").and_then(Pid::from_raw).unwrap()
    }

    fn size_of_files(&self) -> u64 {
        let files = std::fs::read_dir(self.folder.join("run")).unwrap();
        files.filter_map(|file| Some(file.ok()?.metadata().ok()?.len())).sum()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = self.pid();
        let keeper = Self::parent(pid);
        let _ = kill_process(pid, Signal::TERM);
        until("the keeper's end", || is_gone(keeper).then_some(()));
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A word of a process's status.
fn status<T: std::str::FromStr>(pid: Pid, key: &str) -> Option<T> {
    let text = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok())
}

/// Whether it has ended; its parent may not have noticed yet.
fn is_gone(pid: Pid) -> bool {
    status::<char>(pid, "State:").is_none_or(|state| state == 'Z')
}

#[test]
fn killed_daemon_is_back_with_its_state_and_a_sigterm_ends_it() {
    let running = Running::start("back");
    let mut client = running.client();
    client.write("/n", "1").unwrap();
    let keeper = Running::parent(running.pid());
    let began = Instant::now();
    running.kill(Signal::KILL);
    assert_eq!(client.read("/n").unwrap(), b"1");
    assert!(began.elapsed() < Duration::from_secs(2), "it took {:?}", began.elapsed());
    // It failed by itself.
    running.kill(Signal::ABORT);
    assert_eq!(client.read("/n").unwrap(), b"1");
    let (worker, name) = (running.pid(), std::fs::read_to_string(format!("/proc/{keeper}/comm")).unwrap());
    assert_eq!((Running::parent(worker), name.as_str()), (keeper, "keeper\n"));
    kill_process(worker, Signal::TERM).unwrap();
    until("the end of both", || (is_gone(worker) && is_gone(keeper)).then_some(()));
    assert!(running.command().status.success());
    assert_eq!(running.client().read("/n").unwrap(), b"1");
}

#[test]
fn daemon_whose_program_is_away_for_a_while_is_back_when_it_is() {
    let running = Running::start_program("away", |folder| {
        let program = folder.join("xenstored");
        std::fs::copy(env!("CARGO_BIN_EXE_xenstored"), &program).unwrap();
        program
    });
    let mut client = running.client();
    client.write("/n", "1").unwrap();
    let away = running.folder.join("away");
    std::fs::rename(&running.program, &away).unwrap();
    kill_process(running.pid(), Signal::KILL).unwrap();
    sleep(Duration::from_millis(100));
    std::fs::rename(&away, &running.program).unwrap();
    assert_eq!(client.read("/n").unwrap(), b"1");
}

#[test]
fn daemon_without_files_left_accepts_clients_when_there_are_again() {
    let running = Running::start("files");
    let pid = running.pid();
    let is_open = |file: &u64| Path::new(&format!("/proc/{pid}/fd/{file}")).is_symlink();
    let (many, none) = (getrlimit(Resource::Nofile), (0..).find(|file| !is_open(file)));
    prlimit(Some(pid), Resource::Nofile, Rlimit { current: none, ..many }).unwrap();
    let waiting = spawn({
        let path = running.folder.join("run/socket");
        move || Client::connect(path).and_then(|mut client| client.write("/n", "1"))
    });
    let said = || std::fs::read_to_string(running.folder.join("said")).unwrap();
    until("word of it", || said().contains("no further client can be accepted").then_some(()));
    prlimit(Some(pid), Resource::Nofile, many).unwrap();
    waiting.join().unwrap().unwrap();
    assert_eq!(said().lines().count(), 1, "{}", said());
}

#[test]
fn keeper_that_is_asked_to_end_ends_the_worker_first() {
    let running = Running::start("keeper");
    let worker = running.pid();
    let keeper = Running::parent(worker);
    kill_process(keeper, Signal::TERM).unwrap();
    until("the end of both", || (is_gone(worker) && is_gone(keeper)).then_some(()));
    assert!(running.command().status.success());
}

#[test]
fn second_daemon_is_refused_and_told_of_the_first_also_while_that_has_no_keeper() {
    let running = Running::start("second");
    let worker = running.pid();
    let keeper = Running::parent(worker);
    for _ in 0..2 {
        let second = running.command();
        assert_eq!(second.status.code(), Some(1));
        let said = format!("xenstored: xenstored runs already, as process {worker}\n");
        assert_eq!(String::from_utf8_lossy(&second.stderr), said);
        // Its worker goes on alone.
        let _ = kill_process(keeper, Signal::KILL);
        until("the keeper's end", || (Running::parent(worker) != keeper).then_some(()));
    }
    running.client().read("/").unwrap();
    kill_process(worker, Signal::KILL).unwrap();
    until("the worker's end", || is_gone(worker).then_some(()));
    assert!(running.command().status.success());
}

/// What clients do while the daemon is killed, and what must be so all the time.
#[derive(Default)]
struct Load {
    /// What tells each to stop, and itself.
    threads: Vec<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Load {
    fn start(running: &Running) -> Self {
        let mut load = Self::default();
        for number in 0..2 {
            load.add(running.client(), move |client, round| write_and_read(client, number, round));
        }
        load.add(running.client(), count_in_transactions);
        let seen = Arc::new(AtomicU64::new(0));
        let mut watcher = running.client();
        watcher.watch("/event", "token").unwrap();
        let told = Arc::clone(&seen);
        load.add(running.client(), move |client, round| {
            client.write("/event/n", round.to_string()).unwrap();
            until("the event of a change", || (told.load(Ordering::Acquire) >= round).then_some(()));
        });
        load.add(watcher, move |client, _| {
            if client.wait_event(Some(Duration::from_millis(50))).unwrap().is_some() {
                let value = client.read_string("/event/n").unwrap_or_default();
                seen.store(value.parse().unwrap_or(0), Ordering::Release);
            }
        });
        load
    }

    fn add(&mut self, mut client: Client, mut work: impl FnMut(&mut Client, u64) + Send + 'static) {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = spawn(move || {
            for round in (1..).take_while(|_| !stopped.load(Ordering::Relaxed)) {
                work(&mut client, round);
            }
        });
        self.threads.push((stop, thread));
    }

    /// Ends them in the order of their start: the watcher, whom another waits for, last.
    fn end(self) {
        for (stop, thread) in self.threads {
            stop.store(true, Ordering::Relaxed);
            thread.join().unwrap();
        }
    }
}

/// What was acknowledged is there, whoever serves by now.
fn write_and_read(client: &mut Client, number: u32, round: u64) {
    let path = format!("/data/{number}/n");
    let value = format!("{round}:{}", "v".repeat(1500));
    client.write(&path, &value).unwrap();
    assert_eq!(client.read_string(&path).unwrap(), value);
}

/// Both nodes change together, and by each commit that was acknowledged.
fn count_in_transactions(client: &mut Client, _: u64) {
    fn value(store: &mut impl Operations, name: &str) -> Result<u64, Error> {
        let value = store.read_optional(&format!("/count/{name}"))?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&value).parse().unwrap_or(0))
    }
    let before = value(client, "one").unwrap();
    let outcome = client.transaction(|transaction| {
        let (one, two) = (value(transaction, "one")?, value(transaction, "two")?);
        assert_eq!(one, two, "half of a transaction is seen");
        transaction.write("/count/one", (one + 1).to_string())?;
        transaction.write("/count/two", (two + 1).to_string())
    });
    let after = value(client, "two").unwrap();
    match outcome {
        Ok(()) => assert_eq!(after, before + 1),
        Err(Error::Lost) => assert!((before..=before + 1).contains(&after), "{before}, then {after}"),
        Err(error) => panic!("{error}"),
    }
}

fn kill_under_load(name: &str, kills: u32) {
    let running = Running::start(name);
    let load = Load::start(&running);
    let mut longest = Duration::ZERO;
    for kill in 0..kills {
        // At another point of what goes on each time.
        sleep(Duration::from_micros(20_000 + u64::from(kill) * 7919 % 30_000));
        let began = Instant::now();
        running.kill(Signal::KILL);
        assert_eq!(running.client().control(&["check"]).unwrap(), "OK");
        longest = longest.max(began.elapsed());
        let memory: u64 = status(running.pid(), "VmRSS:").unwrap_or(0);
        assert!(memory < MEMORY_MAX, "{memory} KiB");
        let size = running.size_of_files();
        assert!(size < FILES_MAX, "{size} bytes of files");
    }
    load.end();
    println!("{kills} kills, the longest time without service was {longest:?}");
}

#[test]
fn nothing_acknowledged_is_lost_while_the_daemon_is_killed_under_load() {
    kill_under_load("kill", SOME);
}

/// The same, a hundred times.
#[test]
#[ignore = "takes long: part of the soak"]
fn nothing_acknowledged_is_lost_over_a_hundred_kills_under_load() {
    kill_under_load("kills", 100);
}
