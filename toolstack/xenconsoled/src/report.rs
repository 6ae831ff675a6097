//! What the daemon says of itself: lines on standard error, which in the background is a file.

use std::fmt;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use crate::clock::stamp;

static VERBOSE: AtomicBool = AtomicBool::new(false);

/// Whether what goes well is said too.
pub fn set_verbose(verbose: bool) {
    VERBOSE.store(verbose, Ordering::Relaxed);
}

/// Says what is wrong.
pub fn warn(text: fmt::Arguments<'_>) {
    eprintln!("{}xenconsoled: {text}", stamp(SystemTime::now()));
}

/// Says what goes on, if it is wanted.
pub fn note(text: fmt::Arguments<'_>) {
    if VERBOSE.load(Ordering::Relaxed) {
        warn(text);
    }
}

/// Ends a program: with one line for what went wrong.
pub fn exit(program: &str, outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{program}: {}", one_line(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes; those that the text before quotes already are left out.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn each_cause_is_said_once() {
        let cause = std::io::Error::other("no such file");
        let error = Err::<(), _>(cause).context("cannot open it: no such file; try").context("domain 5");
        assert_eq!(one_line(&error.unwrap_err()), "domain 5: cannot open it: no such file; try");
    }
}
