//! Every key of xl.cfg in Xen 4.17 (xl.cfg(5), and those that its xl reads besides) has its effect, or is refused by
//! name with a reason. None is taken silently.
use xl_config::{Document, DomainConfig, Parsed, Report};

/// Keys that have an effect, each with a value that people use.
const ACCEPTED: &[(&str, &str)] = &[
    ("acpi", "0"),
    ("bootloader", "'/usr/bin/pygrub'"),
    ("bootloader_args", "['-q']"),
    ("builder", "'generic'"),
    ("cap", "50"),
    ("channel", "['name=a,connection=pty']"),
    ("cmdline", "'quiet'"),
    ("cpu_weight", "512"),
    ("cpus", "'0-3'"),
    ("cpus_soft", "'all'"),
    ("device_tree", "'/part.dtb'"),
    ("disk", "['/dev/vg/a,raw,xvda,rw']"),
    ("driver_domain", "1"),
    ("extra", "'quiet'"),
    ("gic_version", "'v3'"),
    ("init_seclabel", "'label'"),
    ("kernel", "'/vmlinuz'"),
    ("localtime", "1"),
    ("max_event_channels", "1023"),
    ("max_grant_frames", "64"),
    ("max_grant_version", "1"),
    ("max_maptrack_frames", "1024"),
    ("maxmem", "512"),
    ("maxvcpus", "4"),
    ("memory", "'1g'"),
    ("name", "'a'"),
    ("nomigrate", "1"),
    ("on_crash", "'restart'"),
    ("on_poweroff", "'preserve'"),
    ("on_reboot", "'destroy'"),
    ("on_soft_reset", "'soft-reset'"),
    ("on_watchdog", "'rename-restart'"),
    ("p9", "['tag=t,path=/srv,security_model=none']"),
    ("passthrough", "'disabled'"),
    ("pool", "'Pool-0'"),
    ("ramdisk", "'/initrd'"),
    ("root", "'/dev/xvda'"),
    ("rtc_timeoffset", "'-3600'"),
    ("seclabel", "'label'"),
    ("tee", "'none'"),
    ("tsc_mode", "'native'"),
    ("type", "'pvh'"),
    ("uuid", "'3f2504e0-4f89-11d3-9a0c-0305e82c3301'"),
    ("vcpus", "2"),
    ("vif", "['bridge=xenbr0']"),
    ("vuart", "'sbsa_uart'"),
];

/// Keys for which something would have to be built.
const ALWAYS_REFUSED: &[&str] = &[
    "acpi_firmware",
    "acpi_s3",
    "acpi_s4",
    "bios",
    "bios_path_override",
    "boot",
    "cpuid",
    "device_model_override",
    "device_model_stubdomain_seclabel",
    "device_model_user",
    "device_model_version",
    "display",
    "extratime",
    "firmware",
    "firmware_override",
    "hdtype",
    "keymap",
    "latency",
    "mmio_hole",
    "ms_vm_genid",
    "nographic",
    "period",
    "pvshim_cmdline",
    "pvshim_extra",
    "pvshim_path",
    "rdm",
    "rdm_mem_boundary",
    "serial",
    "slice",
    "smbios_firmware",
    "soundhw",
    "spice_image_compression",
    "spice_streaming_video",
    "spicehost",
    "spicepasswd",
    "stubdomain_cmdline",
    "stubdomain_kernel",
    "stubdomain_memory",
    "stubdomain_ramdisk",
    "timer_mode",
    "vendor_device",
    "vga",
    "videoram",
    "vnclisten",
    "xauthority",
];

/// The same, but 0 means what is so anyway.
const REFUSED_UNLESS_OFF: &[&str] = &[
    "acpi_laptop_slate",
    "altp2m",
    "altp2mhvm",
    "device_model_args",
    "device_model_args_hvm",
    "device_model_args_pv",
    "device_model_stubdomain_override",
    "dm_restrict",
    "dtdev",
    "e820_host",
    "gfx_passthru",
    "hpet",
    "iomem",
    "ioports",
    "irqs",
    "mca_caps",
    "msr_relaxed",
    "nestedhvm",
    "opengl",
    "pci",
    "pci_msitranslate",
    "pci_permissive",
    "pci_power_mgmt",
    "pci_seize",
    "pvcalls",
    "pvshim",
    "sdl",
    "shadow_memory",
    "spice",
    "spice_clipboard_sharing",
    "spiceagent_mouse",
    "spicedisable_ticketing",
    "spiceport",
    "spicetls_port",
    "spiceusbredirection",
    "spicevdagent",
    "stdvga",
    "usb",
    "usbctrl",
    "usbdev",
    "usbdevice",
    "usbversion",
    "vdispl",
    "vfb",
    "viridian",
    "vkb",
    "vkb_device",
    "vmtrace_buf_kb",
    "vnc",
    "vncdisplay",
    "vncpasswd",
    "vncunused",
    "vnuma",
    "vpmu",
    "vsnd",
    "vtpm",
    "xen_platform_pci",
    "xend_suspend_evtchn_compat",
];

/// The same, but 1 means what is so anyway.
const REFUSED_UNLESS_ON: &[&str] = &["apic", "hap", "nx", "oos", "pae", "vpt_align"];

/// Keys that xl too goes on without.
const IGNORED: &[&str] = &["device_model", "vif2", "vncviewer"];

/// Keys that xl reads in all.
const KEYS: usize = 158;

/// What becomes of one line in a configuration that has all it needs.
fn with(line: &str) -> Result<Parsed, Report> {
    let text = format!("name = 'demo'; kernel = '/k'; memory = 64; vcpus = 1; disk = []; vif = []\n{line}\n");
    DomainConfig::from_document(&Document::parse("demo.cfg", text.as_bytes())?)
}

#[test]
fn every_key_of_xl_is_in_one_of_the_lists() {
    let lists = [ALWAYS_REFUSED, REFUSED_UNLESS_OFF, REFUSED_UNLESS_ON, IGNORED].concat();
    let mut all: Vec<_> = ACCEPTED.iter().map(|(key, _)| *key).chain(lists).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), KEYS);
}

#[test]
fn keys_that_have_an_effect_are_accepted() {
    for (key, value) in ACCEPTED {
        let parsed = with(&format!("{key} = {value}")).unwrap_or_else(|report| panic!("{report}"));
        let ignored = parsed.warnings.iter().find(|warning| warning.message.contains("no effect"));
        assert_eq!(ignored, None);
    }
}

#[test]
fn all_other_keys_are_refused_by_name_with_a_reason() {
    for key in [ALWAYS_REFUSED, REFUSED_UNLESS_OFF, REFUSED_UNLESS_ON].concat() {
        let report = with(&format!("{key} = 'something'")).expect_err(key);
        let [error] = &report.0[..] else { panic!("one error for {key}: {report}") };
        assert_eq!(error.position.map(|position| (position.line, position.column)), Some((2, 1)));
        let reason = error.message.strip_prefix(&format!("{key} is not built: it needs "));
        assert!(reason.is_some_and(|reason| reason.len() > 3), "{error}");
    }
}

#[test]
fn keys_that_ask_for_what_is_anyway_so_are_accepted() {
    let off =
        REFUSED_UNLESS_OFF.iter().flat_map(|key| ["0", "''", "[]"].map(|value| format!("{key} = {value}")));
    for line in off.chain(REFUSED_UNLESS_ON.iter().map(|key| format!("{key} = 1"))) {
        assert!(with(&line).is_ok(), "{line}");
    }
    for line in REFUSED_UNLESS_ON.iter().map(|key| format!("{key} = 0")) {
        assert!(with(&line).is_err(), "{line}");
    }
}

#[test]
fn keys_that_xl_ignores_too_are_warned_of() {
    for key in IGNORED {
        let parsed = with(&format!("{key} = 'something'")).unwrap();
        assert!(
            parsed
                .warnings
                .iter()
                .any(|warning| warning.message.starts_with(&format!("{key} has no effect: ")))
        );
    }
}
