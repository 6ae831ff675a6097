//! What the daemon says of itself: lines on standard error, which in the background is a file.

use std::fmt;
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
    daemon::say(format_args!("{}xenconsoled: {text}", stamp(SystemTime::now())));
}

/// Says what goes on, if it is wanted.
pub fn note(text: fmt::Arguments<'_>) {
    if VERBOSE.load(Ordering::Relaxed) {
        warn(text);
    }
}
