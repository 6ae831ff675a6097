//! What a daemon says of itself: lines on standard error and, of a keeper, in the system's log.

use std::fmt;
use std::io::Write as _;
use std::os::unix::net::UnixDatagram;
use std::process::ExitCode;

/// Where the system's log is written (`syslog(3)`).
const SYSLOG: &str = "/dev/log";
/// Facility `daemon`, severity `warning`.
const PRIORITY: u8 = (3 << 3) | 4;

/// Writes a line to standard error, if anybody takes it: a terminal that was closed or a full disk is no reason to
/// fail.
pub fn say(text: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Says it on standard error and in the system's log, if there is one.
pub(crate) fn say_to_log(name: &str, text: fmt::Arguments<'_>) {
    say(format_args!("{name}: {text}"));
    let line = format!("<{PRIORITY}>{name}[{}]: {text}", std::process::id());
    let _ = UnixDatagram::unbound().and_then(|socket| {
        socket.set_nonblocking(true)?;
        socket.send_to(line.as_bytes(), SYSLOG)
    });
}

/// Ends a program: with one line for what went wrong.
pub fn exit(program: &str, outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("{program}: {}", one_line(&error)));
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
