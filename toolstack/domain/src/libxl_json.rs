//! A configuration as libxl keeps it (`domain_config` in its `libxl_types.idl`), by which libxl's tools list and change
//! domains of ours. What is null or missing has libxl's default.

use serde_json::{Value, json};
use xen_dev::Domid;
use xl_config::{Action, Disk, DomainConfig, Vif};

use crate::device::script;

/// The name that libxl gives to the file.
pub(crate) const FILE: &str = "libxl-json";

/// The content of the file. It ends with a zero, as libxl's does.
pub(crate) fn content(domid: Domid, config: &DomainConfig) -> Vec<u8> {
    let document = json!({
        "c_info": {
            "type": "pvh",
            "name": config.name,
            "uuid": config.uuid,
            "domid": domid.get(),
            "pool_name": config.pool,
        },
        "b_info": {
            "max_vcpus": config.maxvcpus,
            "avail_vcpus": (0..config.vcpus).collect::<Vec<_>>(),
            "max_memkb": config.maxmem,
            "target_memkb": config.memory,
            "max_grant_frames": config.max_grant_frames,
            "max_maptrack_frames": config.max_maptrack_frames,
            "max_grant_version": config.max_grant_version,
            "event_channels": config.max_event_channels,
            "sched_params": { "weight": config.cpu_weight, "cap": config.cap },
            "kernel": config.kernel,
            "ramdisk": config.ramdisk,
            "cmdline": config.cmdline,
            "device_tree": config.device_tree,
            "type.pvh": {},
            "arch_arm": { "gic_version": config.gic_version.map(|it| it.word()), "vuart": config.vuart },
        },
        "disks": config.disk.iter().map(disk).collect::<Vec<_>>(),
        "nics": config.vif.iter().map(vif).collect::<Vec<_>>(),
        "on_poweroff": action(config.on_poweroff),
        "on_reboot": action(config.on_reboot),
        "on_watchdog": action(config.on_watchdog),
        "on_crash": action(config.on_crash),
        "on_soft_reset": action(config.on_soft_reset),
    });
    let mut bytes = document.to_string().into_bytes();
    bytes.push(0);
    bytes
}

fn disk(disk: &Disk) -> Value {
    json!({
        "pdev_path": disk.target,
        "vdev": disk.vdev,
        "backend": "phy",
        "format": "raw",
        "script": disk.script.as_ref().map(|script| script::path(script)),
        "removable": i32::from(disk.cdrom),
        "readwrite": i32::from(!disk.read_only),
        "is_cdrom": i32::from(disk.cdrom),
        "direct_io_safe": disk.direct_io_safe,
        "discard_enable": disk.discard.map(three_valued),
        "trusted": disk.trusted.map(three_valued),
    })
}

fn vif(vif: &Vif) -> Value {
    json!({
        "devid": vif.devid,
        "mtu": vif.mtu,
        "mac": vif.mac,
        "ip": vif.ip,
        "bridge": vif.bridge,
        "ifname": vif.vifname,
        "script": vif.script.as_ref().map(|script| script::path(script)),
        "nictype": "vif",
        "rate_bytes_per_interval": vif.rate.map(|rate| rate.bytes_per_interval()),
        "rate_interval_usecs": vif.rate.map(|rate| rate.interval_us()),
        "gatewaydev": vif.gatewaydev,
        "trusted": vif.trusted.map(three_valued),
    })
}

/// `libxl_defbool`
fn three_valued(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

/// `libxl_action_on_shutdown`
fn action(action: Action) -> &'static str {
    match action {
        Action::Destroy => "destroy",
        Action::Restart => "restart",
        Action::RenameRestart => "restart_rename",
        Action::Preserve => "preserve",
        Action::CoredumpDestroy => "coredump_destroy",
        Action::CoredumpRestart => "coredump_restart",
        Action::SoftReset => "soft_reset",
    }
}

#[cfg(test)]
mod tests {
    use xl_config::Document;

    use super::*;

    #[test]
    fn every_field_has_libxls_name_and_form() {
        let text = "name = 'web'\nuuid = '01234567-89ab-cdef-0123-456789abcdef'\nkernel = '/Image'\nmemory = 64\n\
             maxmem = 128\nvcpus = 2\nmaxvcpus = 4\non_crash = 'rename-restart'\ngic_version = 'v3'\n\
             disk = ['/disk,raw,xvda,ro,no-discard', 'script=block-iscsi,vdev=xvdb,target=x']\n\
             vif = ['mac=00:16:3e:01:02:03,devid=1,rate=1Mb/s,untrusted']\n";
        let config =
            DomainConfig::from_document(&Document::parse("test", text.as_bytes()).unwrap()).unwrap().config;
        let mut bytes = content(Domid::new(7).unwrap(), &config);
        assert_eq!(bytes.pop(), Some(0));
        let json: Value = serde_json::from_slice(&bytes).unwrap();
        for (path, wanted) in [
            ("/c_info/type", json!("pvh")),
            ("/c_info/name", json!("web")),
            ("/c_info/uuid", json!("01234567-89ab-cdef-0123-456789abcdef")),
            ("/c_info/domid", json!(7)),
            ("/b_info/avail_vcpus", json!([0, 1])),
            ("/b_info/max_vcpus", json!(4)),
            ("/b_info/target_memkb", json!(65536)),
            ("/b_info/max_memkb", json!(131_072)),
            ("/b_info/ramdisk", Value::Null),
            ("/b_info/arch_arm/gic_version", json!("v3")),
            ("/disks/0/pdev_path", json!("/disk")),
            ("/disks/0/vdev", json!("xvda")),
            ("/disks/0/readwrite", json!(0)),
            ("/disks/0/discard_enable", json!("False")),
            ("/disks/1/script", json!("/etc/xen/scripts/block-iscsi")),
            ("/disks/1/readwrite", json!(1)),
            ("/nics/0/devid", json!(1)),
            ("/nics/0/mac", json!("00:16:3e:01:02:03")),
            ("/nics/0/rate_interval_usecs", json!(50_000)),
            ("/nics/0/trusted", json!("False")),
            ("/on_crash", json!("restart_rename")),
            ("/on_reboot", json!("restart")),
        ] {
            assert_eq!(json.pointer(path), Some(&wanted), "{path}");
        }
    }
}
