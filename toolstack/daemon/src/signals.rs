//! Signals as files.

use std::os::unix::net::UnixStream;

use anyhow::{Context as _, Result};

/// A file that becomes readable when one of these signals has come.
///
/// # Errors
/// What the kernel says.
pub fn on_signals(signals: &[i32]) -> Result<UnixStream> {
    let (readable, written) = UnixStream::pair().context("cannot make a socket")?;
    readable.set_nonblocking(true).context("cannot set up a socket")?;
    for &signal in signals {
        let written = written.try_clone().context("cannot make a socket")?;
        signal_hook::low_level::pipe::register(signal, written).context("cannot handle a signal")?;
    }
    Ok(readable)
}
