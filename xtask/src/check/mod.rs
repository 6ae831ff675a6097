//! `./x check`: the rules about the source itself. All are looked at, then the outcome is one list.

mod documents;
mod imports;
mod lint;
mod lock_order;
mod packages;
mod rust_source;
mod source_files;
mod unsafe_budget;

use anyhow::{Result, bail};

use crate::build;
use crate::cargo;
use crate::cli::Arch;
use crate::process;
use crate::report;
use crate::workspace::Workspace;

type Rule = fn(&Workspace) -> Result<()>;

const RULES: [(&str, Rule); 10] = [
    ("Format (rustfmt)", lint::format),
    ("Which crate may import which", imports::check),
    ("Unsafe budget", unsafe_budget::check),
    ("Locks and their order", lock_order::check),
    ("Tests that the documents name", documents::check),
    ("Lints of what runs on the host (clippy)", lint::host),
    ("Lints of the arm64 hypervisor (clippy)", |workspace| lint::bare_metal(workspace, Arch::Arm64)),
    ("Lints of the amd64 hypervisor (clippy)", |workspace| lint::bare_metal(workspace, Arch::Amd64)),
    ("The arm64 hypervisor builds", |workspace| build::hypervisor_image(workspace, Arch::Arm64).map(drop)),
    ("The amd64 hypervisor builds", |workspace| build::hypervisor_image(workspace, Arch::Amd64).map(drop)),
];

/// Checks all rules.
///
/// # Errors
/// When one is broken; all broken ones are named.
pub fn check(workspace: &Workspace) -> Result<()> {
    let mut broken = Vec::new();
    for (name, rule) in RULES {
        let step = report::step(name);
        match rule(workspace) {
            Ok(()) => step.done(),
            Err(error) => {
                report::failure(&error);
                broken.push(name);
            }
        }
    }
    println!();
    if !broken.is_empty() {
        bail!("{} of {} checks failed: {}", broken.len(), RULES.len(), broken.join("; "));
    }
    println!("all {} checks passed", RULES.len());
    Ok(())
}

/// What `cargo metadata` says of the workspace's own crates.
fn own_packages(workspace: &Workspace) -> Result<Vec<packages::Package>> {
    let text =
        process::output(cargo::cargo(workspace).args(["metadata", "--no-deps", "--format-version", "1"]))?;
    packages::parse(&text)
}
