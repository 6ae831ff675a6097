//! The console daemon's program.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;
use xenconsoled::options::Options;
use xenconsoled::start;

fn main() -> ExitCode {
    let options = Options::parse();
    options.service().run(|ready| start::serve(&options, ready))
}
