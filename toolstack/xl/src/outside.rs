//! What verbs do outside of the toolstack: other processes, and the terminal. A trait, so that tests need neither.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use domain::Progress;
use xen_dev::Domid;
use xenconsoled::STATE_DIR;
use xenconsoled::log::file_name;
use xenconsoled::session::{Session, Type};
use xl_config::Uuid;

use crate::top::{Screen, Terminal};

/// Where supervisors keep locks and notes.
const SUPERVISORS: &str = "/run/xen";
/// Where they write what they do, as Xen's xl.
const LOGS: &str = "/var/log/xen";

/// What a verb finds around it.
pub trait Outside {
    /// The folder in which supervisors keep locks and notes.
    fn supervisors(&self) -> &Path;

    /// Starts a process that looks after a domain, with a log for this name.
    ///
    /// # Errors
    /// When it cannot be started.
    fn start_supervisor(&self, uuid: Uuid, name: &str) -> Result<()>;

    /// Attaches the terminal to a console, until the user leaves. `attached` is called once, when that has worked.
    ///
    /// # Errors
    /// When it cannot be attached, or what `attached` returns.
    fn attach(
        &self,
        domid: Domid,
        console: Option<Type>,
        number: u32,
        attached: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()>;

    /// Takes the terminal as a screen.
    ///
    /// # Errors
    /// When there is none.
    fn screen(&self) -> Result<Box<dyn Screen>>;
}

/// The host that this program runs on.
pub struct RealOutside;

impl Outside for RealOutside {
    fn supervisors(&self) -> &Path {
        Path::new(SUPERVISORS)
    }

    fn start_supervisor(&self, uuid: Uuid, name: &str) -> Result<()> {
        let log = log_path(Path::new(LOGS), name);
        fs::create_dir_all(LOGS).with_context(|| format!("cannot make {LOGS}"))?;
        // What it cannot write to the log itself goes there too.
        let last_words = File::options().append(true).create(true).open(&log);
        let last_words = last_words.with_context(|| format!("cannot write {}", log.display()))?;
        let program = std::env::current_exe().context("cannot find the program's own file")?;
        // It is nobody's child when this program ends.
        Command::new(program)
            .args(["supervise", &uuid.to_string(), "--log"])
            .arg(log)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(last_words)
            .spawn()
            .context("cannot start the process that looks after the domain")?;
        Ok(())
    }

    fn attach(
        &self,
        domid: Domid,
        console: Option<Type>,
        number: u32,
        attached: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        let state_dir = Path::new(STATE_DIR);
        Session { domid, console, number, interactive: false, live: false, state_dir }.run(attached)
    }

    fn screen(&self) -> Result<Box<dyn Screen>> {
        Ok(Box::new(Terminal::open()?))
    }
}

/// Shows on standard error, a terminal, what is waited for: one line, which goes when that is over.
pub struct ProgressLine;

impl Progress for ProgressLine {
    fn waiting(&mut self, what: &str, seconds: u64) {
        // Nothing depends on its being seen.
        let _ = write!(io::stderr(), "{CLEAR_LINE}xl: waiting for {what} ({seconds} s)");
    }

    fn over(&mut self) {
        let _ = io::stderr().write_all(CLEAR_LINE.as_bytes());
    }
}

/// Goes to the beginning of the line and clears it (ECMA-48, EL).
const CLEAR_LINE: &str = "\r\x1b[K";

/// The log of the supervisor of a domain that had this name when it was created.
fn log_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("xl-{}.log", file_name(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_is_in_its_folder_whatever_the_domain_is_called() {
        let path = |name: &str| log_path(Path::new("/logs"), name);
        assert_eq!(path("web"), Path::new("/logs/xl-web.log"));
        assert_eq!(path("../../etc"), Path::new("/logs/xl-.._.._etc.log"));
        assert!(path(&"x".repeat(300)).as_os_str().len() < 255);
    }
}
