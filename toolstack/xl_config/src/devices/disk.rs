//! Disks: xl-disk-configuration(5).
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::spec::{Param, SpecError, missing};
use crate::types::{BadValue, Text, Vdev};

/// A virtual disk with a raw target: a block device or a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// Block device or file (below /dev unless it begins with `/`), or what the script wants; `None` for an empty
    /// CD drive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Text>,
    /// Name and number in the guest.
    pub vdev: Vdev,
    /// The guest cannot write to it.
    #[serde(default)]
    pub read_only: bool,
    /// A CD drive: read-only, and its medium can be changed.
    #[serde(default)]
    pub cdrom: bool,
    /// Domain (name or id) of the back end; `None` for this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<Text>,
    /// Program that makes a block device of the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<Text>,
    /// The back end may use direct I/O although the target is on a network.
    #[serde(default)]
    pub direct_io_safe: bool,
    /// Whether the guest may discard blocks; `None` for the back end's choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discard: Option<bool>,
    /// Whether the guest is told to trust the back end; `None` for yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted: Option<bool>,
}

const PARAMETERS: &[&str] = &[
    "access",
    "backend",
    "backendtype",
    "cdrom",
    "devtype",
    "direct-io-safe",
    "discard",
    "format",
    "no-discard",
    "script",
    "specification",
    "target",
    "trusted",
    "untrusted",
    "vdev",
];
/// Prefixes of old configurations that mean nothing.
const EMPTY_PREFIXES: &[&str] = &["tapdisk", "tap", "tap2", "aio", "ioemu", "file", "phy"];

/// What has been read so far. `Some("")` for what is given without a value.
#[derive(Default)]
struct Draft<'a> {
    target: Option<Param<'a>>,
    vdev: Option<Param<'a>>,
    access: Option<Param<'a>>,
    backend: Option<Text>,
    script: Option<Text>,
    format_given: bool,
    cdrom: bool,
    direct_io_safe: bool,
    discard: Option<bool>,
    trusted: Option<bool>,
}

/// As `xl block-attach` gets it.
impl FromStr for Disk {
    type Err = BadValue;

    fn from_str(spec: &str) -> Result<Self, BadValue> {
        Self::parse(spec).map_err(|error| error.in_spec(spec))
    }
}

impl Disk {
    /// Reads a disk of xl.cfg.
    pub(crate) fn parse(spec: &str) -> Result<Self, SpecError> {
        let mut draft = Draft::default();
        let mut at = 0;
        while let Some(rest) = spec.get(at..).filter(|rest| !rest.is_empty()) {
            let trimmed = rest.trim_start_matches([' ', '\t', '\n']);
            let start = at + rest.len() - trimmed.len();
            if let Some(target) = trimmed.strip_prefix("target=") {
                // Takes all the rest, with commas and colons.
                set(&mut draft.target, Param { text: target, at: spec.len() - target.len() }, "target")?;
                break;
            }
            if let Some(prefix) = old_prefix(trimmed) {
                draft.old_prefix(Param { text: prefix, at: start })?;
                at = start + prefix.len() + 1;
                continue;
            }
            let text = trimmed.split(',').next().unwrap_or(trimmed);
            draft.parameter(Param { text, at: start })?;
            at = start + text.len() + 1;
        }
        draft.finish(spec)
    }

    /// What a disk must also be.
    pub(crate) fn check(&self) -> Result<(), BadValue> {
        match (&self.target, self.cdrom, self.read_only) {
            (None, false, _) => Err(BadValue::new("the disk has no target")),
            (_, true, false) => Err(BadValue::new("a CD drive is read-only")),
            _ => Ok(()),
        }
    }
}

/// The word before a colon with which old texts began (`phy:/dev/...`, `tap:aio:/...`).
fn old_prefix(text: &str) -> Option<&str> {
    let (word, rest) = text.split_once(':')?;
    let is_word = word.starts_with(|c: char| c.is_ascii_lowercase())
        && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let known = EMPTY_PREFIXES.contains(&word) || format_of(word).is_some() || script_of(word);
    // `hdc:cdrom` is no prefix, `what:/path` is an unknown one.
    let looks_so = !rest.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    (is_word && (known || looks_so)).then_some(word)
}

/// Whether an image format is raw; `None` when it is no format.
fn format_of(word: &str) -> Option<bool> {
    match word {
        "" | "raw" => Some(true),
        "qcow" | "qcow2" | "vhd" | "qed" => Some(false),
        _ => None,
    }
}

fn script_of(word: &str) -> bool {
    matches!(word, "iscsi" | "nbd" | "enbd" | "drbd")
}

/// Sets what may have been given without a value, but not with one.
fn set<'a>(slot: &mut Option<Param<'a>>, value: Param<'a>, name: &str) -> Result<(), SpecError> {
    if slot.is_some_and(|old| !old.text.is_empty()) {
        return Err(value.error(format!("{name} is given twice")));
    }
    *slot = Some(value);
    Ok(())
}

impl<'a> Draft<'a> {
    fn old_prefix(&mut self, prefix: Param<'a>) -> Result<(), SpecError> {
        if EMPTY_PREFIXES.contains(&prefix.text) {
            self.format_given = true;
        } else if script_of(prefix.text) {
            self.format_given = true;
            let script = format!("block-{}", prefix.text);
            Param { text: &script, at: prefix.at }.set(&mut self.script, "script")?;
        } else if format_of(prefix.text).is_some() {
            self.format(prefix)?;
        } else {
            return Err(prefix.error(format!(
                "unknown prefix `{}:`; write target=... last if this is part of a path",
                prefix.text
            )));
        }
        Ok(())
    }

    fn format(&mut self, value: Param<'a>) -> Result<(), SpecError> {
        self.format_given = true;
        match (value.text, format_of(value.text)) {
            ("empty", _) | (_, Some(true)) => Ok(()),
            (format, Some(false)) => Err(value.error(format!(
                "not built: {format} images need QEMU as back end; convert the image with `qemu-img convert -O raw`"
            ))),
            (_, None) => Err(value.error(format!("`{}` is no image format", value.text.escape_debug()))),
        }
    }

    fn parameter(&mut self, param: Param<'a>) -> Result<(), SpecError> {
        let Some((key, value)) = param.key_value() else {
            return self.flag_or_position(param);
        };
        match key {
            "format" => self.format(value),
            "vdev" => set(&mut self.vdev, value, "vdev"),
            "access" => set(&mut self.access, value, "access"),
            "backend" => value.set(&mut self.backend, "backend"),
            "script" => value.set(&mut self.script, "script"),
            "devtype" => match value.text {
                "cdrom" => {
                    self.cdrom = true;
                    Ok(())
                }
                "disk" => {
                    self.cdrom = false;
                    Ok(())
                }
                _ => Err(value.error("devtype is cdrom or disk")),
            },
            "backendtype" => match value.text {
                "phy" => Ok(()),
                "qdisk" | "tap" => {
                    Err(value.error("not built: this back end needs QEMU; leave backendtype out"))
                }
                "standalone" => Err(value.error("not built: standalone back ends need virtio disks")),
                _ => Err(value.error("backendtype is phy")),
            },
            "specification" => match value.text {
                "xen" => Ok(()),
                "virtio" => Err(value.error("not built: virtio disks")),
                _ => Err(value.error("specification is xen")),
            },
            _ if key.starts_with("colo-") || matches!(key, "active-disk" | "hidden-disk") => {
                Err(param.error("not built: COLO replication"))
            }
            _ => Err(param.unknown("disk", PARAMETERS)),
        }
    }

    fn flag_or_position(&mut self, param: Param<'a>) -> Result<(), SpecError> {
        match param.text {
            "cdrom" => self.cdrom = true,
            "direct-io-safe" => self.direct_io_safe = true,
            "discard" => self.discard = Some(true),
            "no-discard" => self.discard = Some(false),
            "trusted" => self.trusted = Some(true),
            "untrusted" => self.trusted = Some(false),
            "no-colo" => {}
            "colo" => return Err(param.error("not built: COLO replication")),
            _ => return self.position(param),
        }
        Ok(())
    }

    /// A parameter without name: target, format, vdev and access follow one another.
    fn position(&mut self, param: Param<'a>) -> Result<(), SpecError> {
        let Some(target) = self.target else {
            self.target = Some(param);
            return Ok(());
        };
        if !self.format_given {
            // `,hdc:cdrom,r` is an old way to write an empty drive.
            if !(target.text.is_empty() && param.text.contains(':')) {
                return self.format(param);
            }
            self.format_given = true;
        }
        if self.vdev.is_none() {
            return self.vdev_and_devtype(param);
        }
        if self.access.is_none() {
            self.access = Some(param);
            return Ok(());
        }
        Err(param.error("too many parameters without name"))
    }

    fn vdev_and_devtype(&mut self, param: Param<'a>) -> Result<(), SpecError> {
        let (vdev, devtype) = param.text.rsplit_once(':').unwrap_or((param.text, ""));
        match devtype {
            "" => {}
            "cdrom" => self.cdrom = true,
            "disk" => self.cdrom = false,
            _ => return Err(param.error(format!("`{}` is neither cdrom nor disk", devtype.escape_debug()))),
        }
        self.vdev = Some(Param { text: vdev, at: param.at });
        Ok(())
    }

    fn finish(self, spec: &str) -> Result<Disk, SpecError> {
        let vdev = self.vdev.filter(|vdev| !vdev.text.is_empty());
        let vdev = vdev.ok_or_else(|| missing(spec, "disk", "vdev"))?.parse()?;
        let access = self.access.map_or("", |access| access.text);
        let read_only = match (access, self.access) {
            ("" | "rw" | "w", _) => false,
            ("r" | "ro", _) | (_, None) => true,
            (_, Some(access)) => return Err(access.error("access is ro or rw")),
        };
        let target = self.target.filter(|target| !target.text.is_empty());
        let disk = Disk {
            target: target.map(|target| target.parse()).transpose()?,
            vdev,
            read_only: read_only || self.cdrom,
            cdrom: self.cdrom,
            backend: self.backend,
            script: self.script,
            direct_io_safe: self.direct_io_safe,
            discard: self.discard,
            trusted: self.trusted,
        };
        let whole = Param { text: spec, at: 0 };
        disk.check().map_err(|error| whole.error(error.to_string()))?;
        Ok(disk)
    }
}
