//! Hotplug scripts, for those who want their own instead of what is done here.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Access, FileType, MemfdFlags, access, memfd_create, stat};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::HostError;

/// Bytes of a script's output that an error quotes: the last ones.
const QUOTED: i64 = 1024;

/// A script, and what it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// The program.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Variables that are added to its environment.
    pub variables: Vec<(&'static str, String)>,
}

impl Script {
    /// Looks whether there is a program at a path.
    pub fn find(path: &Path) -> Result<(), HostError> {
        let failed = |errno| HostError::File { what: "run", path: path.to_owned(), errno };
        let stat = stat(path).map_err(failed)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(HostError::NotAFile(path.to_owned()));
        }
        access(path, Access::EXEC_OK).map_err(failed)
    }

    /// Runs it to its end. When its time is over, it is killed with all that it started.
    ///
    /// # Errors
    /// When it cannot be run, fails or takes longer; with the end of its output.
    pub fn run(&self, patience: Duration) -> Result<(), HostError> {
        let failed = |error: io::Error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            HostError::File { what: "run", path: self.path.clone(), errno }
        };
        // Not a pipe: what a script leaves running in the background may keep its output open.
        let mut output =
            File::from(memfd_create("script", MemfdFlags::CLOEXEC).map_err(|it| failed(it.into()))?);
        let mut child = Command::new(&self.path)
            .args(&self.arguments)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(failed)?)
            .stderr(output.try_clone().map_err(failed)?)
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let ended = wait(&mut child, patience);
        if !matches!(ended, Ok(Some(_))) {
            end(&mut child);
        }
        let status = match ended.map_err(failed)? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => status.to_string(),
            None => format!("not done within {} s", patience.as_secs()),
        };
        let output = quote(&mut output).unwrap_or_default();
        Err(HostError::Script { path: self.path.clone(), status, output })
    }
}

/// Waits for the end of a program, if it comes in time. It is signalled by the kernel: nothing is polled.
fn wait(child: &mut Child, patience: Duration) -> io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    let process: OwnedFd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    loop {
        let left = patience.saturating_sub(start.elapsed());
        let timeout =
            Timespec { tv_sec: left.as_secs().min(86_400) as i64, tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&process.as_fd(), PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return Ok(None),
            Ok(_) => return child.wait().map(Some),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Ends a program, and what it started unless that went into groups of its own.
fn end(child: &mut Child) {
    // It is not reaped yet, so the number is still its own.
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    let _ = child.wait();
}

/// The end of a script's output, as one line.
fn quote(output: &mut File) -> io::Result<String> {
    let len = i64::try_from(output.metadata()?.len()).unwrap_or(i64::MAX);
    output.seek(SeekFrom::End(-len.min(QUOTED)))?;
    let mut bytes = Vec::new();
    output.take(QUOTED as u64).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<String> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| line.escape_debug().to_string())
        .collect();
    Ok(lines.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(text: &str) -> Script {
        Script {
            path: "/bin/sh".into(),
            arguments: vec!["-c".to_owned(), text.to_owned()],
            variables: vec![("XENBUS_PATH", "backend/vbd/7/51712".to_owned())],
        }
    }

    fn error(text: &str, patience: Duration) -> String {
        shell(text).run(patience).unwrap_err().to_string()
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn script_gets_its_variables() {
        shell("test $XENBUS_PATH = backend/vbd/7/51712").run(LONG).unwrap();
    }

    #[test]
    fn script_that_fails_is_quoted_in_a_line() {
        assert_eq!(
            error("echo no such bridge; echo 'ask \"root\"' >&2; exit 3", LONG),
            "script /bin/sh failed (exit status: 3): no such bridge; ask \\\"root\\\""
        );
        assert_eq!(error("exit 1", LONG), "script /bin/sh failed (exit status: 1)");
    }

    #[test]
    fn only_the_end_of_much_output_is_quoted() {
        let text = error("i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; exit 1", LONG);
        assert!(text.ends_with("; line 1999") && text.len() < 1400, "{text}");
    }

    #[test]
    fn script_that_takes_too_long_is_killed_with_what_it_started() {
        let file = std::env::temp_dir().join(format!("xenoxide-script-{}", std::process::id()));
        let _ = std::fs::remove_file(&file);
        // Were it not killed, the one in the background would make the file.
        let text = format!("(sleep 1; echo late > {}) & wait", file.display());
        let error = error(&text, Duration::from_millis(300));
        assert!(error.starts_with("script /bin/sh failed (not done within 0 s)"), "{error}");
        std::thread::sleep(Duration::from_millis(1200));
        assert!(!file.exists());
    }

    #[test]
    fn script_that_leaves_somebody_running_is_done_when_it_ends() {
        let start = Instant::now();
        shell("sleep 30 & exit 0").run(LONG).unwrap();
        assert!(start.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn what_is_no_program_is_named() {
        let error = |path: &str| Script::find(Path::new(path)).unwrap_err().to_string();
        assert!(error("/no/such/script").starts_with("cannot run /no/such/script: "));
        assert_eq!(error("/dev/null"), "/dev/null is not a regular file");
        assert!(error("/etc/passwd").starts_with("cannot run /etc/passwd: "));
        Script::find(Path::new("/bin/sh")).unwrap();
        let missing = Script { path: "/no/such/script".into(), ..shell("") };
        assert!(missing.run(LONG).unwrap_err().to_string().starts_with("cannot run /no/such/script: "));
    }
}
