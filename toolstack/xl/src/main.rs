//! `xl`: see the library of this crate.
#![forbid(unsafe_code)]

use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use domain::Toolstack;
use xl::{Options, ProgressLine, RealOutside, Verb};

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => {
            // Nothing is left to be said if this cannot be.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let done = match &options.verb {
        Verb::Completion(completion) => completion.write(&mut out),
        verb => Toolstack::open().map_err(anyhow::Error::from).and_then(|mut tools| {
            if io::stderr().is_terminal() {
                tools.tell_progress(ProgressLine);
            }
            xl::run(verb, &mut tools, &mut out, &RealOutside)
        }),
    };
    match done.and_then(|()| Ok(out.flush()?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xl: {}", xl::message(&error));
            ExitCode::FAILURE
        }
    }
}
