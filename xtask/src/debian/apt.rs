//! apt with lists, cache and sources of its own, for a foreign architecture.

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::sources;
use crate::process;
use crate::workspace::make_dir;

/// Which of Debian's archives packages come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Archive {
    /// This machine's release with its updates.
    Release,
    /// The release's backports.
    Backports,
}

/// An apt configuration private to the repository, for arm64.
pub struct PrivateApt {
    options: Vec<String>,
}

impl PrivateApt {
    /// Prepares the configuration under `home`, with the Debian sources that this machine uses itself; their mirror has
    /// the backports too.
    ///
    /// # Errors
    /// When the machine's sources name no Debian archive of its release.
    pub fn new(home: &Path, archive: Archive) -> Result<Self> {
        let lists = make_dir(home.join("apt/lists/partial"))?;
        make_dir(home.join("apt/cache/archives/partial"))?;
        let parts = make_dir(home.join("apt/sources"))?;
        write_sources(&parts, archive)?;
        let lists = lists.parent().map(PathBuf::from).unwrap_or(lists);
        let set = |key: &str, value: &str| format!("-o{key}={value}");
        let path = |key: &str, value: PathBuf| format!("-o{key}={}", value.display());
        let mut options = vec![
            set("APT::Architecture", "arm64"),
            set("APT::Architectures", "arm64"),
            set("Acquire::Languages", "none"),
            set("Acquire::IndexTargets::deb::DEP-11::DefaultEnabled", "false"),
            set("Acquire::Retries", "3"),
            set("Dir::State::status", "/dev/null"),
            set("Dir::Etc::sourcelist", "/dev/null"),
            path("Dir::State::Lists", lists),
            path("Dir::Etc::sourceparts", parts),
            path("Dir::Cache", home.join("apt/cache")),
        ];
        if rustix::process::geteuid().is_root() {
            // The unprivileged download user may not be able to reach a clone in root's own folder.
            options.push(set("APT::Sandbox::User", "root"));
        }
        Ok(Self { options })
    }

    /// Fetches the package lists.
    pub fn update(&self) -> Result<()> {
        process::output(self.command("apt-get").args(["--quiet", "update"]))
            .context("cannot fetch package lists")?;
        Ok(())
    }

    /// The package itself, or the versioned one that a meta package points at.
    ///
    /// # Errors
    /// When Debian has no such package.
    pub fn real_package(&self, name: &str) -> Result<String> {
        if !name.starts_with("linux-image-") {
            return Ok(name.to_owned());
        }
        let depends = process::output(self.command("apt-cache").args(["--no-all-versions", "show", name]))?;
        match kernel_behind(&depends) {
            Some(real) => Ok(real.to_owned()),
            None => bail!("{name} points at no kernel package"),
        }
    }

    /// Downloads packages into `folder`.
    pub fn download(&self, names: &[String], folder: &Path) -> Result<()> {
        let mut command = self.command("apt-get");
        process::output(command.args(["--quiet", "download"]).args(names).current_dir(folder))
            .context("cannot download packages")?;
        Ok(())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(&self.options).env("LC_ALL", "C");
        command
    }
}

fn kernel_behind(stanza: &str) -> Option<&str> {
    let depends = stanza.lines().find_map(|line| line.strip_prefix("Depends:"))?;
    depends
        .split(',')
        .filter_map(|item| item.split_whitespace().next())
        .find(|name| name.starts_with("linux-image-"))
}

fn write_sources(parts: &Path, archive: Archive) -> Result<()> {
    let release = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let codename = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .context("/etc/os-release names no release")?
        .trim_matches('"');
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(folder) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(folder.filter_map(|entry| Some(entry.ok()?.path())));
    }
    let mut chosen = String::new();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        if file.extension().is_some_and(|extension| extension == "sources") {
            chosen.push_str(&sources::from_deb822(&text, codename));
        } else {
            chosen.push_str(&sources::from_one_line(&text, codename));
        }
    }
    if chosen.is_empty() {
        bail!("this machine's apt sources name no main archive of {codename}; Debian 12 is needed");
    }
    if archive == Archive::Backports {
        chosen = sources::of_backports(&chosen, codename);
    }
    fs::write(parts.join("debian.sources"), chosen).context("cannot write apt sources")
}

#[cfg(test)]
mod tests {
    use super::kernel_behind;

    #[test]
    fn meta_package_is_followed_to_its_kernel() {
        let stanza = "Package: linux-image-arm64\nDepends: linux-image-6.1.0-1-arm64 (= 6.1.2-1)\nSize: 3\n";
        assert_eq!(kernel_behind(stanza), Some("linux-image-6.1.0-1-arm64"));
    }

    #[test]
    fn package_without_a_kernel_dependency_points_nowhere() {
        assert_eq!(kernel_behind("Package: x\nDepends: libc6, bash\n"), None);
    }
}
