//! `xenstored`: see the library of this crate.
#![forbid(unsafe_code)]

use clap::Parser as _;
use std::process::ExitCode;
use xenstored::options::Options;
use xenstored::start;

fn main() -> ExitCode {
    let options = Options::parse();
    options.service().run(|ready| start::serve(&options, ready))
}
