//! `xenstored`: see the library of this crate.
#![forbid(unsafe_code)]

use clap::Parser as _;
use std::process::ExitCode;
use xenstored::options::Options;
use xenstored::start;

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = if options.no_fork { start::serve(&options) } else { start::in_background() };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xenstored: {error:#}");
            ExitCode::FAILURE
        }
    }
}
