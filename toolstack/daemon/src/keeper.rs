//! The keeper: a process that starts the worker, and the next one when it ends otherwise than in order.

use std::env;
use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal, setsid};
use signal_hook::consts::{SIGINT, SIGKILL, SIGTERM};

use crate::on_signals;
use crate::pid_file::PidFile;
use crate::report::say_to_log;
use crate::service::{READY, Service, leave_output, worker_argument};

/// Failures in a row after which the keeper gives up.
const FAILURES_MAX: u32 = 10;
/// The pause after the first failure; it doubles with each that follows.
const PAUSE_MIN: Duration = Duration::from_millis(10);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// A worker that served for so long was none that fails at once.
const SERVED_WELL: Duration = Duration::from_secs(10);

/// Keeps a worker going until it ends in order, or cannot be kept going.
///
/// # Errors
/// What keeps the keeper from starting one.
pub(crate) fn keep(service: &Service<'_>) -> Result<ExitCode> {
    let program = env::current_exe().context("cannot find the program's own file")?;
    let folder = env::current_dir().unwrap_or_else(|_| "/".into());
    let start = Start { program, folder, arguments: env::args_os().skip(2).collect() };
    setsid().context("cannot leave the terminal")?;
    env::set_current_dir("/").context("cannot leave the current folder")?;
    rustix::thread::set_name(c"keeper").context("cannot take a name")?;
    let signals = on_signals(&[SIGTERM, SIGINT])?;
    let pid_file = PidFile::lock(service.pid_file, service.name)?;
    let mut failures = Failures::default();
    let mut is_awaited = true;
    loop {
        let (failure, pause) = match start.worker(&pid_file) {
            Err(error) if is_awaited => return Err(error),
            // Memory may be short, or the program about to be replaced.
            Err(error) => (format!("{error:#}"), failures.pause()),
            Ok(mut worker) => {
                let pid = worker.child.id();
                match pid_file.write(pid) {
                    Err(error) if is_awaited => {
                        worker.kill();
                        return Err(error);
                    }
                    Err(error) => {
                        say_to_log(service.name, format_args!("{error:#}; going on as process {pid}"))
                    }
                    Ok(()) => {}
                }
                let status = worker.wait(&signals, &mut is_awaited)?;
                if status.success() || matches!(status.signal(), Some(SIGTERM | SIGINT)) {
                    return Ok(ExitCode::SUCCESS);
                }
                if is_awaited {
                    // A worker that ended by itself has said why.
                    return if status.code().is_some() { Ok(ExitCode::FAILURE) } else { bail!("{status}") };
                }
                let pause = failures.pause_after(status, worker.since_ready());
                (format!("process {pid} died ({status})"), pause)
            }
        };
        let Some(pause) = pause else {
            bail!("{failure}, the last of {FAILURES_MAX} failures in a row; it is not started again");
        };
        say_to_log(service.name, format_args!("{failure}; starting again"));
        if has_come(&signals, pause)? {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// How to start a worker.
struct Start {
    /// A file of this name may be a newer program by then.
    program: PathBuf,
    /// Where relative paths in `arguments` start.
    folder: PathBuf,
    arguments: Vec<OsString>,
}

impl Start {
    fn worker(&self, pid_file: &PidFile) -> Result<Worker> {
        let mut command = Command::new(&self.program);
        command.arg(worker_argument()).args(&self.arguments);
        command.stdin(pid_file.share()?).stdout(Stdio::piped());
        if self.folder.is_dir() {
            command.current_dir(&self.folder);
        }
        let mut child =
            command.spawn().with_context(|| format!("cannot start {}", self.program.display()))?;
        let said = child.stdout.take();
        Ok(Worker { child, said, ready: None })
    }
}

struct Worker {
    child: Child,
    /// Its standard output, until it has said that it serves.
    said: Option<ChildStdout>,
    /// When it did.
    ready: Option<Instant>,
}

impl Worker {
    /// Waits until it ends, and passes on the first word that it serves, and signals that the keeper gets.
    fn wait(&mut self, signals: &UnixStream, is_awaited: &mut bool) -> Result<ExitStatus> {
        let handle = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty())?;
        loop {
            let mut files = vec![PollFd::new(&handle, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
            files.extend(self.said.as_ref().map(|said| PollFd::new(said, PollFlags::IN)));
            match poll(&mut files, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let mut has_come = files.iter().map(|file| !file.revents().is_empty());
            let (has_ended, is_signalled) = (has_come.next() == Some(true), has_come.next() == Some(true));
            if has_come.next() == Some(true) {
                self.listen(is_awaited)?;
            }
            if has_ended {
                return Ok(self.child.wait()?);
            }
            if is_signalled && drain(signals) {
                // It may have ended meanwhile.
                let _ = pidfd_send_signal(&handle, Signal::TERM);
            }
        }
    }

    fn listen(&mut self, is_awaited: &mut bool) -> Result<()> {
        let mut said = vec![0; READY.len()];
        // The word is short enough to come as a whole.
        if self.said.take().is_some_and(|mut out| out.read_exact(&mut said).is_ok()) && said == READY {
            self.ready = Some(Instant::now());
            if std::mem::take(is_awaited) {
                let mut out = std::io::stdout();
                let _ = out.write_all(READY).and_then(|()| out.flush());
                leave_output()?;
            }
        }
        Ok(())
    }

    /// Ends one that nobody is to have.
    fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// For how long it served, if it did.
    fn since_ready(&self) -> Option<Duration> {
        self.ready.map(|ready| ready.elapsed())
    }
}

/// Counts failures in a row.
#[derive(Debug, Default)]
struct Failures(u32);

impl Failures {
    /// How long to wait before the next start, after a worker that `served` so long; `None` to give up.
    ///
    /// A worker that served and was killed is no failure: nothing kills itself in this way, and the next one will do.
    /// Only what kills each at once, as a lack of memory does, gets a pause.
    fn pause_after(&mut self, status: ExitStatus, served: Option<Duration>) -> Option<Duration> {
        match served {
            Some(served) if status.signal() == Some(SIGKILL) => {
                return Some(if served < PAUSE_MIN { PAUSE_MIN } else { Duration::ZERO });
            }
            Some(served) if served >= SERVED_WELL => self.0 = 0,
            _ => {}
        }
        self.pause()
    }

    /// The same after one that could not be started.
    fn pause(&mut self) -> Option<Duration> {
        self.0 = self.0.saturating_add(1);
        let pause = PAUSE_MAX.min(PAUSE_MIN * (1 << (self.0 - 1).min(7)));
        (self.0 < FAILURES_MAX).then_some(pause)
    }
}

/// Waits; whether a signal has come meanwhile.
fn has_come(signals: &UnixStream, pause: Duration) -> Result<bool> {
    let pause = Timespec::try_from(pause).context("a pause is too long")?;
    match poll(&mut [PollFd::new(signals, PollFlags::IN)], Some(&pause)) {
        Ok(count) => Ok(count > 0),
        Err(rustix::io::Errno::INTR) => Ok(drain(signals)),
        Err(error) => Err(error.into()),
    }
}

/// Whether there was a signal.
fn drain(signals: &UnixStream) -> bool {
    rustix::io::read(signals, &mut [0; 64]).is_ok_and(|count| count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worker_that_served_and_was_killed_is_followed_however_often_and_not_in_a_hot_loop() {
        let mut failures = Failures::default();
        for _ in 0..1000 {
            for (served, pause) in [(PAUSE_MIN, Duration::ZERO), (Duration::from_millis(1), PAUSE_MIN)] {
                assert_eq!(failures.pause_after(ExitStatus::from_raw(SIGKILL), Some(served)), Some(pause));
            }
        }
    }

    #[test]
    fn workers_that_fail_in_a_row_get_pauses_and_then_no_successor() {
        let mut failures = Failures::default();
        let exit_1 = ExitStatus::from_raw(1 << 8);
        let pauses: Vec<_> = (0..10).map(|_| failures.pause_after(exit_1, None)).collect();
        let millis =
            [10, 20, 40, 80, 160, 320, 640, 1000, 1000].map(|pause| Some(Duration::from_millis(pause)));
        assert_eq!(pauses[..9], millis);
        assert_eq!(pauses[9], None);
        // Killed before it served, as by a lack of memory, counts too.
        assert_eq!(failures.pause_after(ExitStatus::from_raw(SIGKILL), None), None);
    }

    #[test]
    fn failure_after_a_long_time_counts_as_the_first() {
        let mut failures = Failures(8);
        let abort = ExitStatus::from_raw(6);
        assert_eq!(failures.pause_after(abort, Some(SERVED_WELL)), Some(PAUSE_MIN));
    }
}
