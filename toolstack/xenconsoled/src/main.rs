//! The console daemon's program.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;
use xenconsoled::options::Options;
use xenconsoled::{report, start};

fn main() -> ExitCode {
    let options = Options::parse();
    let is_server = options.interactive || options.in_background;
    report::exit("xenconsoled", if is_server { start::serve(&options) } else { start::in_background() })
}
