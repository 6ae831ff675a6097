//! Every key of Xen's xl.cfg(5), and whether it is built.

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Support {
    /// It has its effect.
    Built,
    /// xl warns of it too, and goes on without it.
    Ignored(&'static str),
    /// What it would need.
    Refused(&'static str),
    /// As `Refused`, but 0, "" and [] mean what is anyway so.
    RefusedUnlessOff(&'static str),
    /// As `Refused`, but 1 means what is anyway so.
    RefusedUnlessOn(&'static str),
}

use Support::{Built, Ignored, Refused, RefusedUnlessOff as UnlessOff, RefusedUnlessOn as UnlessOn};

const PCI: &str = "PCI passthrough";
const PASSTHROUGH: &str = "passthrough of host devices";
const HVM: &str = "HVM guests";
const QEMU: &str = "QEMU as device model";
const DISPLAY: &str = "a virtual display, which QEMU provides";
const USB: &str = "USB passthrough";
const RTDS: &str = "a scheduler other than credit2";
const PV: &str = "x86 PV guests";
const SHADOW: &str = "shadow page tables";
const ALTP2M: &str = "alternate p2m";
const STUBDOM: &str = "a device model in a domain of its own";
const VTPM: &str = "virtual TPMs";
const FIRMWARE: &str = "guest firmware";

/// All keys, sorted.
const KEYS: &[(&str, Support)] = &[
    ("acpi", Built),
    ("acpi_firmware", Refused(HVM)),
    ("acpi_laptop_slate", UnlessOff(HVM)),
    ("acpi_s3", Refused(HVM)),
    ("acpi_s4", Refused(HVM)),
    ("altp2m", UnlessOff(ALTP2M)),
    ("altp2mhvm", UnlessOff(ALTP2M)),
    ("apic", UnlessOn("guests without APIC")),
    ("bios", Refused(FIRMWARE)),
    ("bios_path_override", Refused(FIRMWARE)),
    ("boot", Refused(HVM)),
    ("bootloader", Built),
    ("bootloader_args", Built),
    ("builder", Built),
    ("cap", Built),
    ("channel", Built),
    ("cmdline", Built),
    ("cpu_weight", Built),
    ("cpuid", Refused("CPUID policies")),
    ("cpus", Built),
    ("cpus_soft", Built),
    ("device_model", Ignored("xl ignores it too")),
    ("device_model_args", UnlessOff(QEMU)),
    ("device_model_args_hvm", UnlessOff(QEMU)),
    ("device_model_args_pv", UnlessOff(QEMU)),
    ("device_model_override", Refused(QEMU)),
    ("device_model_stubdomain_override", UnlessOff(STUBDOM)),
    ("device_model_stubdomain_seclabel", Refused(STUBDOM)),
    ("device_model_user", Refused(QEMU)),
    ("device_model_version", Refused(QEMU)),
    ("device_tree", Built),
    ("disk", Built),
    ("display", Refused(DISPLAY)),
    ("dm_restrict", UnlessOff(QEMU)),
    ("driver_domain", Built),
    ("dtdev", UnlessOff(PASSTHROUGH)),
    ("e820_host", UnlessOff(PV)),
    ("extra", Built),
    ("extratime", Refused(RTDS)),
    ("firmware", Refused(FIRMWARE)),
    ("firmware_override", Refused(FIRMWARE)),
    ("gfx_passthru", UnlessOff(PCI)),
    ("gic_version", Built),
    ("hap", UnlessOn(SHADOW)),
    ("hdtype", Refused(HVM)),
    ("hpet", UnlessOff(HVM)),
    ("init_seclabel", Built),
    ("iomem", UnlessOff(PASSTHROUGH)),
    ("ioports", UnlessOff(PASSTHROUGH)),
    ("irqs", UnlessOff(PASSTHROUGH)),
    ("kernel", Built),
    ("keymap", Refused(DISPLAY)),
    ("latency", Refused(RTDS)),
    ("localtime", Built),
    ("max_event_channels", Built),
    ("max_grant_frames", Built),
    ("max_grant_version", Built),
    ("max_maptrack_frames", Built),
    ("maxmem", Built),
    ("maxvcpus", Built),
    ("mca_caps", UnlessOff(HVM)),
    ("memory", Built),
    ("mmio_hole", Refused(HVM)),
    ("ms_vm_genid", Refused(HVM)),
    ("msr_relaxed", UnlessOff("relaxed MSR access")),
    ("name", Built),
    ("nestedhvm", UnlessOff("nested virtualisation")),
    ("nographic", Refused(DISPLAY)),
    ("nomigrate", Built),
    ("nx", UnlessOn(HVM)),
    ("on_crash", Built),
    ("on_poweroff", Built),
    ("on_reboot", Built),
    ("on_soft_reset", Built),
    ("on_watchdog", Built),
    ("oos", UnlessOn(SHADOW)),
    ("opengl", UnlessOff(DISPLAY)),
    ("p9", Built),
    ("pae", UnlessOn(HVM)),
    ("passthrough", Built),
    ("pci", UnlessOff(PCI)),
    ("pci_msitranslate", UnlessOff(PCI)),
    ("pci_permissive", UnlessOff(PCI)),
    ("pci_power_mgmt", UnlessOff(PCI)),
    ("pci_seize", UnlessOff(PCI)),
    ("period", Refused(RTDS)),
    ("pool", Built),
    ("pvcalls", UnlessOff("a PV calls back end")),
    ("pvshim", UnlessOff(PV)),
    ("pvshim_cmdline", Refused(PV)),
    ("pvshim_extra", Refused(PV)),
    ("pvshim_path", Refused(PV)),
    ("ramdisk", Built),
    ("rdm", Refused(PCI)),
    ("rdm_mem_boundary", Refused(PCI)),
    ("root", Built),
    ("rtc_timeoffset", Built),
    ("sdl", UnlessOff(DISPLAY)),
    ("seclabel", Built),
    (
        "serial",
        Refused("an emulated serial port, which QEMU provides; arm64 guests have vuart = \"sbsa_uart\""),
    ),
    ("shadow_memory", UnlessOff(SHADOW)),
    ("slice", Refused(RTDS)),
    ("smbios_firmware", Refused(HVM)),
    ("soundhw", Refused(QEMU)),
    ("spice", UnlessOff(DISPLAY)),
    ("spice_clipboard_sharing", UnlessOff(DISPLAY)),
    ("spice_image_compression", Refused(DISPLAY)),
    ("spice_streaming_video", Refused(DISPLAY)),
    ("spiceagent_mouse", UnlessOff(DISPLAY)),
    ("spicedisable_ticketing", UnlessOff(DISPLAY)),
    ("spicehost", Refused(DISPLAY)),
    ("spicepasswd", Refused(DISPLAY)),
    ("spiceport", UnlessOff(DISPLAY)),
    ("spicetls_port", UnlessOff(DISPLAY)),
    ("spiceusbredirection", UnlessOff(DISPLAY)),
    ("spicevdagent", UnlessOff(DISPLAY)),
    ("stdvga", UnlessOff(DISPLAY)),
    ("stubdomain_cmdline", Refused(STUBDOM)),
    ("stubdomain_kernel", Refused(STUBDOM)),
    ("stubdomain_memory", Refused(STUBDOM)),
    ("stubdomain_ramdisk", Refused(STUBDOM)),
    ("tee", Built),
    ("timer_mode", Refused(HVM)),
    ("tsc_mode", Built),
    ("type", Built),
    ("usb", UnlessOff(QEMU)),
    ("usbctrl", UnlessOff(USB)),
    ("usbdev", UnlessOff(USB)),
    ("usbdevice", UnlessOff(QEMU)),
    ("usbversion", UnlessOff(QEMU)),
    ("uuid", Built),
    ("vcpus", Built),
    ("vdispl", UnlessOff("a virtual display back end")),
    ("vendor_device", Refused(HVM)),
    ("vfb", UnlessOff(DISPLAY)),
    ("vga", Refused(DISPLAY)),
    ("videoram", Refused(DISPLAY)),
    ("vif", Built),
    ("vif2", Ignored("xl ignores it too")),
    ("viridian", UnlessOff(HVM)),
    ("vkb", UnlessOff("a virtual keyboard, which QEMU provides")),
    ("vkb_device", UnlessOff(HVM)),
    ("vmtrace_buf_kb", UnlessOff("processor tracing")),
    ("vnc", UnlessOff(DISPLAY)),
    ("vncdisplay", UnlessOff(DISPLAY)),
    ("vnclisten", Refused(DISPLAY)),
    ("vncpasswd", UnlessOff(DISPLAY)),
    ("vncunused", UnlessOff(DISPLAY)),
    ("vncviewer", Ignored("xl ignores it too")),
    ("vnuma", UnlessOff("virtual NUMA")),
    ("vpmu", UnlessOff("a virtual PMU")),
    ("vpt_align", UnlessOn(HVM)),
    ("vsnd", UnlessOff("a virtual sound back end")),
    ("vtpm", UnlessOff(VTPM)),
    ("vuart", Built),
    ("xauthority", Refused(DISPLAY)),
    ("xen_platform_pci", UnlessOff(HVM)),
    ("xend_suspend_evtchn_compat", UnlessOff(PV)),
];

/// What becomes of `key`; `None` when Xen's xl.cfg has no such key.
pub(crate) fn support(key: &str) -> Option<Support> {
    let at = KEYS.binary_search_by(|(known, _)| (*known).cmp(key)).ok()?;
    KEYS.get(at).map(|(_, support)| *support)
}

/// The known key that `key` was probably meant to be.
pub(crate) fn nearest_key(key: &str) -> Option<&'static str> {
    nearest(key, KEYS.iter().map(|(known, _)| *known))
}

/// The name that takes the fewest edits from `word`, if they are few for its length.
pub(crate) fn nearest<'n>(word: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    // A longer word is no slip of the pen, and would take long to compare.
    if word.len() > 40 {
        return None;
    }
    names
        .map(|name| (edits(word, name), name))
        .min_by_key(|(edits, _)| *edits)
        .filter(|(edits, name)| *edits <= (word.len().max(name.len()) / 3).clamp(1, 3))
        .map(|(_, name)| name)
}

/// Insertions, deletions and replacements from `a` to `b` (Levenshtein's distance).
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut left = i + 1;
        let mut diagonal = std::mem::replace(&mut row[0], left);
        for (cell, y) in row.iter_mut().skip(1).zip(b.chars()) {
            let replaced = diagonal + usize::from(x != y);
            diagonal = *cell;
            left = replaced.min(left + 1).min(*cell + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
pub(crate) fn built() -> impl Iterator<Item = &'static str> {
    KEYS.iter().filter(|(_, support)| *support == Built).map(|(key, _)| *key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_sorted_without_doubles() {
        assert!(KEYS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn slip_finds_its_key_and_a_strange_word_none() {
        assert_eq!(nearest_key("memroy"), Some("memory"));
        assert_eq!(nearest_key("vcpu"), Some("vcpus"));
        assert_eq!(nearest_key("ramdsk"), Some("ramdisk"));
        assert_eq!(nearest_key("frobnicate"), None);
        assert_eq!(nearest_key(&"x".repeat(1000)), None);
    }

    #[test]
    fn edits_are_counted() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "ab"), 2);
        assert_eq!(edits("ab", ""), 2);
    }
}
