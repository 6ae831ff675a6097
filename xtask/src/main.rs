//! What stands behind `./x`: builds, boots, tests and checks the project.
//!
//! One module per purpose: [`debian`] fetches packages, [`image`] packs Dom0 and DomU images, [`build`]
//! makes everything under `dist/`, [`machine`] boots it in QEMU and talks to Dom0, [`scenarios`] are the
//! system tests, [`bench`] counts instructions, [`fuzz`] looks for inputs that make a parser fail, [`check`] holds
//! the rules about the source itself.

mod bench;
mod build;
mod cargo;
mod check;
mod clean;
mod cli;
mod debian;
mod fuzz;
mod image;
mod machine;
mod process;
mod report;
mod run;
mod scenarios;
mod shell;
mod test;
mod unbuilt;
mod workspace;

use clap::Parser;
use cli::{Cli, Verb};
use std::process::ExitCode;
use workspace::Workspace;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = |()| ExitCode::SUCCESS;
    let outcome = Workspace::find().and_then(|workspace| match cli.verb {
        Verb::Run(options) => run::run(&workspace, &options).map(done),
        Verb::Test(options) => test::test(&workspace, &options),
        Verb::Build(options) => build::build_verb(&workspace, &options).map(done),
        Verb::Check => check::check(&workspace).map(done),
        Verb::Shell(options) => shell::shell(&workspace, &options).map(done),
        Verb::Clean(options) => clean::clean(&workspace, &options).map(done),
        Verb::Bench(options) => bench::bench(&workspace, &options).map(done),
        Verb::Soak(options) => test::soak(&workspace, &options),
        Verb::Fuzz(options) => fuzz::fuzz(&workspace, &options).map(done),
    });
    outcome.unwrap_or_else(|error| {
        report::failure(&error);
        ExitCode::FAILURE
    })
}
