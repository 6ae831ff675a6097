//! `xenstore`, and `xenstore-ls` and the others by links of those names: see the library of this crate.
#![forbid(unsafe_code)]

use clap::Parser as _;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use xenstore_tools::{commands, options::Options};

fn main() -> ExitCode {
    let options = match Options::try_parse_from(arguments()) {
        Ok(options) => options,
        Err(error) => {
            // Nothing is left to be said if this cannot be.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    match commands::run(&options.command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xenstore: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The command line, with the command that the program's name says put into its place.
fn arguments() -> Vec<OsString> {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let name =
        arguments.first().and_then(|program| Path::new(program).file_name()).and_then(|name| name.to_str());
    if let Some(command) = name.and_then(|name| name.strip_prefix("xenstore-")) {
        let command = command.into();
        arguments.insert(1, command);
    }
    arguments
}
