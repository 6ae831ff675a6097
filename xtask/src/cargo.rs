//! Debian's cargo, with the environment that the project's builds need.
//!
//! Always by absolute path: a rustup in `PATH` must not change what is built.

use std::process::Command;

use crate::cli::Arch;
use crate::workspace::Workspace;

/// Crates that only build for bare metal.
pub const BARE_METAL_ONLY: [&str; 5] =
    ["image_arm64", "image_amd64", "bench_guest", "guest_kit", "test_guest"];

/// The bare-metal target of a CPU.
pub fn bare_metal_target(arch: Arch) -> &'static str {
    match arch {
        Arch::Arm64 => "aarch64-unknown-none-softfloat",
        Arch::Amd64 => "x86_64-unknown-none",
    }
}

/// The Linux target of a CPU.
pub fn linux_target(arch: Arch) -> &'static str {
    match arch {
        Arch::Arm64 => "aarch64-unknown-linux-gnu",
        Arch::Amd64 => "x86_64-unknown-linux-gnu",
    }
}

/// The crate that holds a CPU's hypervisor image.
pub fn image_crate(arch: Arch) -> &'static str {
    match arch {
        Arch::Arm64 => "image_arm64",
        Arch::Amd64 => "image_amd64",
    }
}

/// `cargo` in the repository's root.
pub fn cargo(workspace: &Workspace) -> Command {
    with_environment(workspace, Command::new("/usr/bin/cargo"))
}

/// `cargo clippy`, started directly, since cargo would look for it in the user's own folder first.
pub fn clippy(workspace: &Workspace) -> Command {
    let mut command = with_environment(workspace, Command::new("/usr/bin/cargo-clippy"));
    command.arg("clippy").env("PATH", "/usr/bin:/bin");
    command
}

/// Adds what makes a cargo command build for bare metal.
pub fn for_bare_metal(command: &mut Command, arch: Arch) -> &mut Command {
    command.args(["-Z", "build-std=core,alloc", "--target", bare_metal_target(arch)])
}

/// Adds what makes a cargo command build static programs for a CPU's Linux. The standard library is compiled too:
/// Debian has a compiled one for this machine's CPU alone.
pub fn for_linux(command: &mut Command, arch: Arch) -> &mut Command {
    command.args(["-Z", "build-std=std,panic_abort", "--target", linux_target(arch)])
}

fn with_environment(workspace: &Workspace, mut command: Command) -> Command {
    command
        .current_dir(&workspace.root)
        .env("RUSTC", "/usr/bin/rustc")
        .env("RUSTDOC", "/usr/bin/rustdoc")
        .env("CARGO", "/usr/bin/cargo")
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_AARCH64_UNKNOWN_NONE_SOFTFLOAT_LINKER", "ld.lld")
        .env("CARGO_TARGET_X86_64_UNKNOWN_NONE_LINKER", "ld.lld")
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc-12")
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS", "-C target-feature=+crt-static")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTFLAGS");
    command
}
