//! The typed configuration of a document's settings.
use super::{DomainConfig, MAX_VCPUS, Parsed};
use crate::devices::{Channel, Disk, P9, Vif};
use crate::document::{COMMAND_LINE, Document};
use crate::reader::{Items, Reader};
use crate::report::Report;
use crate::types::{Action, Affinity, CpuList, GuestType, MemorySize, Text, TscMode};

/// Most event channels (Xen's EVTCHN_FIFO_NR_CHANNELS).
const MAX_EVENT_CHANNELS: i64 = 1 << 17;
/// Most vCPUs make the highest cap: 100 for each.
const MAX_CAP: i64 = MAX_VCPUS * 100;

impl DomainConfig {
    /// Gives a document its meaning, or says all that is wrong with it.
    pub fn from_document(document: &Document) -> Result<Parsed, Report> {
        let mut reader = Reader::new(document);
        let config = Self::read(&mut reader);
        match config {
            Some(config) if reader.errors.is_empty() => {
                for (key, error) in config.faults() {
                    reader.error_about(key, error.to_string());
                }
                if reader.errors.is_empty() {
                    return Ok(Parsed { config, warnings: reader.warnings });
                }
            }
            _ => {}
        }
        // In the order of the file, and then of the command line.
        reader.errors.sort_by_key(|error| (error.source == COMMAND_LINE, error.position));
        Err(Report(reader.errors))
    }

    /// `None` without a name.
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let name = reader.parse("name");
        let memory = reader.parse_number("memory");
        let maxmem = reader.parse_number("maxmem");
        let memory = memory.or(maxmem).unwrap_or(MemorySize::UNSAID);
        let vcpus = reader.integer("vcpus", 1..=MAX_VCPUS).unwrap_or(1);
        let mut action = |key, usual| reader.parse(key).unwrap_or(usual);
        let on_poweroff = action("on_poweroff", Action::Destroy);
        let on_reboot = action("on_reboot", Action::Restart);
        let on_watchdog = action("on_watchdog", Action::Destroy);
        let on_crash = action("on_crash", Action::Destroy);
        let on_soft_reset = action("on_soft_reset", Action::SoftReset);
        refuse_passthrough(reader);
        reader.require("name", "the domain has no name; add a line name = \"...\"");
        let maxvcpus = reader.integer("maxvcpus", 1..=MAX_VCPUS).unwrap_or(vcpus);
        Some(Self {
            uuid: reader.parse("uuid"),
            guest_type: guest_type(reader),
            pool: reader.parse("pool"),
            kernel: reader.parse("kernel"),
            ramdisk: reader.parse("ramdisk"),
            cmdline: command_line(reader),
            device_tree: reader.parse("device_tree"),
            bootloader: reader.parse("bootloader"),
            bootloader_args: bootloader_args(reader),
            memory,
            maxmem: maxmem.unwrap_or(memory),
            vcpus,
            maxvcpus,
            cpus: affinity(reader, "cpus", maxvcpus),
            cpus_soft: affinity(reader, "cpus_soft", maxvcpus),
            cpu_weight: reader.integer("cpu_weight", 1..=65535),
            cap: reader.integer("cap", 0..=MAX_CAP),
            on_poweroff,
            on_reboot,
            on_watchdog,
            on_crash,
            on_soft_reset,
            disk: reader.devices("disk", Disk::parse),
            vif: reader.devices("vif", Vif::parse),
            p9: reader.devices("p9", P9::parse),
            channel: reader.devices("channel", Channel::parse),
            max_grant_frames: reader.integer("max_grant_frames", 0..=i64::from(i32::MAX)),
            max_maptrack_frames: reader.integer("max_maptrack_frames", 0..=i64::from(i32::MAX)),
            max_grant_version: reader.integer("max_grant_version", 1..=2),
            max_event_channels: reader.integer("max_event_channels", 1..=MAX_EVENT_CHANNELS),
            vuart: reader.parse("vuart"),
            gic_version: reader.parse("gic_version"),
            acpi: reader.flag("acpi"),
            tsc_mode: tsc_mode(reader),
            localtime: reader.flag("localtime").unwrap_or(false),
            rtc_timeoffset: reader
                .integer("rtc_timeoffset", i64::from(i32::MIN)..=i64::from(i32::MAX))
                .unwrap_or(0),
            nomigrate: reader.flag("nomigrate").unwrap_or(false),
            driver_domain: reader.flag("driver_domain").unwrap_or(false),
            seclabel: reader.parse("seclabel"),
            init_seclabel: reader.parse("init_seclabel"),
            name: name?,
        })
    }
}

/// `type`, or the older `builder`.
fn guest_type(reader: &mut Reader<'_>) -> Option<GuestType> {
    let refuse = |reader: &mut Reader<'_>, key| {
        reader
            .error_about(key, format!("{key}: HVM guests are not built: they need QEMU; use type = \"pvh\""));
        None
    };
    let builder = match reader.atom("builder").map(|atom| atom.text()) {
        Some("hvm") => return refuse(reader, "builder"),
        Some("generic") => Some(GuestType::Pv),
        Some(_) => {
            reader.error_about("builder", "builder is generic; better leave it out and set type".to_owned());
            None
        }
        None => None,
    };
    if reader.atom("type").is_some_and(|atom| atom.text() == "hvm") {
        return refuse(reader, "type");
    }
    let guest_type = reader.parse("type");
    if guest_type.is_some() && builder.is_some() && guest_type != builder {
        reader.error_about("builder", "builder contradicts type; leave builder out".to_owned());
    }
    guest_type.or(builder)
}

/// `cmdline`, or `root` and `extra`.
fn command_line(reader: &mut Reader<'_>) -> Option<String> {
    let [cmdline, root, extra] = ["cmdline", "root", "extra"].map(|key| reader.atom(key));
    let parts = [root.map(|root| format!("root={}", root.text)), extra.map(|extra| extra.text.clone())];
    match (cmdline, root.or(extra)) {
        (Some(cmdline), Some(ignored)) => {
            reader.warn(ignored.span, "root and extra have no effect beside cmdline".to_owned());
            Some(cmdline.text.clone())
        }
        (Some(cmdline), None) => Some(cmdline.text.clone()),
        (None, Some(_)) => Some(parts.into_iter().flatten().collect::<Vec<_>>().join(" ")),
        (None, None) => None,
    }
}

/// A list, or a deprecated string with white space between.
fn bootloader_args(reader: &mut Reader<'_>) -> Vec<Text> {
    match reader.atoms("bootloader_args") {
        None => Vec::new(),
        Some(Items::List(atoms)) => reader.parse_atoms("bootloader_args", &atoms),
        Some(Items::Single(atom)) => {
            reader.warn(atom.span, "bootloader_args as a string is deprecated; use a list".to_owned());
            let words = atom.text.split([' ', '\t', '\n']).filter(|word| !word.is_empty());
            words.filter_map(|word| word.parse().ok()).collect()
        }
    }
}

fn affinity(reader: &mut Reader<'_>, key: &'static str, maxvcpus: u32) -> Option<Affinity> {
    match reader.atoms(key)? {
        Items::Single(_) => reader.parse::<CpuList>(key).map(Affinity::Every),
        Items::List(atoms) => {
            if let Some(more) = atoms.get(maxvcpus as usize) {
                reader
                    .warn(more.span, format!("{key} has more items than the domain has vCPUs ({maxvcpus})"));
            }
            Some(Affinity::PerVcpu(reader.parse_atoms(key, &atoms)))
        }
    }
}

/// A word, or a deprecated number.
fn tsc_mode(reader: &mut Reader<'_>) -> Option<TscMode> {
    let atom = reader.atom("tsc_mode")?;
    match atom.text.parse::<usize>() {
        Ok(number) => {
            let mode = TscMode::ALL.get(number).copied();
            match mode {
                Some(mode) => {
                    reader.warn(atom.span, format!("write tsc_mode = \"{mode}\" instead of a number"))
                }
                None => reader.error(atom.span, format!("tsc_mode: {number} is not from 0 to 3")),
            }
            mode
        }
        Err(_) => reader.parse("tsc_mode"),
    }
}

/// `passthrough` and `tee` may be set to what is so anyway.
fn refuse_passthrough(reader: &mut Reader<'_>) {
    let off: [(&'static str, &[&str], &str); 2] = [
        ("passthrough", &["default", "disabled"], "passthrough of host devices"),
        ("tee", &["none"], "OP-TEE in guests"),
    ];
    for (key, harmless, needs) in off {
        let value = reader.atom(key).map(|atom| atom.text());
        if value.is_some_and(|value| !harmless.contains(&value)) {
            reader.error_about(key, format!("{key} is not built: it needs {needs}"));
        }
    }
}
