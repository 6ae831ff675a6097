//! A daemon's processes: who starts whom, and when the one that was asked for returns.

use std::env;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};

use crate::keeper;
use crate::pid_file::PidFile;
use crate::report::exit;

/// What a process writes when the daemon serves.
pub(crate) const READY: &[u8] = b"ready\n";

/// Processes that a daemon starts of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Process {
    Keeper,
    Worker,
}

/// Which of a daemon's processes this is. No option for people: a daemon gives it to the processes that it starts.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Role {
    #[arg(long = "process", value_name = "ROLE", hide = true)]
    process: Option<Process>,
}

/// A daemon to be.
#[derive(Clone, Copy, Debug)]
pub struct Service<'a> {
    /// Its name in messages.
    pub name: &'a str,
    /// Its pid file: an absolute path.
    pub pid_file: &'a Path,
    /// Whether it stays in the foreground.
    pub foreground: bool,
    /// Which of its processes this is.
    pub role: Role,
}

/// To be [told](Ready::tell) when the daemon serves.
#[derive(Debug)]
pub struct Ready {
    is_awaited: bool,
}

impl Ready {
    /// Lets whoever started the daemon go on.
    ///
    /// # Errors
    /// When the standard output cannot be left.
    pub fn tell(self) -> Result<()> {
        if self.is_awaited {
            let mut out = std::io::stdout();
            // Whoever started this may have stopped listening.
            let _ = out.write_all(READY).and_then(|()| out.flush());
            leave_output()?;
        }
        Ok(())
    }
}

impl Service<'_> {
    /// Does what this process is there for: to start a daemon in the background and wait until it serves, to keep it,
    /// or to `serve`. In the latter case the current folder is `/`, lest a file system could not be unmounted.
    pub fn run(&self, serve: impl FnOnce(Ready) -> Result<()>) -> ExitCode {
        match self.role.process {
            None if self.foreground => {
                exit(self.name, self.lock().and_then(|_lock| self.serve(false, serve)))
            }
            None => self.in_background().unwrap_or_else(|error| exit(self.name, Err(error))),
            Some(Process::Keeper) => keeper::keep(self).unwrap_or_else(|error| exit(self.name, Err(error))),
            // Its standard input is the pid file, locked.
            Some(Process::Worker) => exit(self.name, self.serve(true, serve)),
        }
    }

    fn serve(&self, is_awaited: bool, serve: impl FnOnce(Ready) -> Result<()>) -> Result<()> {
        env::set_current_dir("/").context("cannot leave the current folder")?;
        serve(Ready { is_awaited })
    }

    fn lock(&self) -> Result<PidFile> {
        let file = PidFile::lock(self.pid_file, self.name)?;
        file.write(std::process::id())?;
        Ok(file)
    }

    /// Starts a keeper, and returns when its worker serves.
    fn in_background(&self) -> Result<ExitCode> {
        let mut command = Command::new(env::current_exe().context("cannot find the program's own file")?);
        command.arg0("keeper").arg(argument(Process::Keeper)).args(env::args_os().skip(1));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut keeper = command.spawn().context("cannot start the process in the background")?;
        let mut said = vec![0; READY.len()];
        if keeper.stdout.take().is_some_and(|mut out| out.read_exact(&mut said).is_ok()) && said == READY {
            return Ok(ExitCode::SUCCESS);
        }
        let status = keeper.wait()?;
        // Who ended by itself has said why.
        if status.code().is_some() { Ok(ExitCode::FAILURE) } else { bail!("it did not start: {status}") }
    }
}

/// The argument by which a process knows that it is the worker.
pub(crate) fn worker_argument() -> String {
    argument(Process::Worker)
}

fn argument(process: Process) -> String {
    let name = process.to_possible_value().map(|value| value.get_name().to_owned());
    format!("--process={}", name.unwrap_or_default())
}

/// Gives the standard output up: whoever reads from it sees that no more comes.
pub(crate) fn leave_output() -> Result<()> {
    let null = File::options().write(true).open("/dev/null").context("cannot open /dev/null")?;
    rustix::stdio::dup2_stdout(null).context("cannot leave the standard output")
}
