//! A new domain's nodes in xenstore.

use std::time::{SystemTime, UNIX_EPOCH};

use xen_dev::Domid;
use xenstore_client::Operations;
use xl_config::{DomainConfig, Uuid};

use super::build::Rings;
use crate::device::bring_up::Pending;
use crate::device::console;
use crate::find::{check_name, who_has};
use crate::nodes::{home, make, make_anew, notes, owned, readable, write_all};
use crate::tune::availability;
use crate::{DomainError, Toolstack};

/// Nodes that belong to the guest.
const GUESTS_OWN: [&str; 11] = [
    "device/suspend/event-channel",
    "control/shutdown",
    "control/feature-poweroff",
    "control/feature-reboot",
    "control/feature-suspend",
    "control/sysrq",
    "data",
    "drivers",
    "feature",
    "attr",
    "error",
];

impl Toolstack {
    /// Makes the domain's folders with name and UUID, unless another has the name.
    pub(super) fn announce(&mut self, domid: Domid, name: &str, uuid: Uuid) -> Result<(), DomainError> {
        check_name(name)?;
        let (home, vm, notes) = (home(domid), format!("/vm/{uuid}"), notes(domid));
        let (visible, guests) = (readable(Domid::DOM0, domid), owned(domid));
        let taken = self.store.transaction(|store| {
            if let Some(other) = who_has(store, name)?.filter(|&other| other != domid) {
                return Ok(Some(other));
            }
            make_anew(store, &home, &visible)?;
            make_anew(store, &vm, &visible)?;
            make_anew(store, &notes, &owned(Domid::DOM0))?;
            let named = |key| (key, name.to_owned());
            write_all(
                store,
                &home,
                &[("vm", vm.clone()), named("name"), ("domid", domid.to_string())],
                None,
            )?;
            write_all(store, &vm, &[("uuid", uuid.to_string()), named("name")], None)?;
            write_all(store, &notes, &[("type", "pvh".to_owned())], None)?;
            for folder in ["cpu", "memory", "device", "control"] {
                make(store, &format!("{home}/{folder}"), &visible)?;
            }
            for node in GUESTS_OWN {
                make(store, &format!("{home}/{node}"), &guests)?;
            }
            let features = ["multiprocessor-suspend", "xs_reset_watches"];
            features.iter().try_for_each(|feature| {
                store.write(&format!("{home}/control/platform-feature-{feature}"), "1")
            })?;
            Ok(None)
        })?;
        match taken {
            Some(domid) => Err(DomainError::NameTaken { name: name.to_owned(), domid }),
            None => Ok(()),
        }
    }

    /// Writes all else: limits, vCPUs, rings, devices.
    pub(super) fn complete(
        &mut self,
        domid: Domid,
        config: &DomainConfig,
        uuid: Uuid,
        rings: &Rings,
        pending: &Pending,
    ) -> Result<(), DomainError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let own = [
            ("memory/static-max", config.maxmem.kib().to_string()),
            ("memory/target", config.memory.kib().to_string()),
            ("memory/videoram", "0".to_owned()),
            ("store/port", rings.xenstore.port.to_string()),
            ("store/ring-ref", rings.xenstore.gfn.to_string()),
        ];
        let mut image = vec![
            ("image/ostype", "linux".to_owned()),
            ("start_time", format!("{}.{:02}", now.as_secs(), now.subsec_millis() / 10)),
        ];
        image.extend(config.kernel.as_ref().map(|it| ("image/kernel", it.to_string())));
        image.extend(config.ramdisk.as_ref().map(|it| ("image/ramdisk", it.to_string())));
        image.extend(config.cmdline.clone().map(|it| ("image/cmdline", it)));

        let mut records = pending.records(domid);
        records.push(console::console(domid, rings.console.gfn, rings.console.port));
        records.extend(rings.vuart.map(|ring| console::vuart(domid, ring.gfn, ring.port)));
        let home = home(domid);
        Ok(self.store.transaction(|store| {
            write_all(store, &home, &own, None)?;
            for vcpu in 0..config.maxvcpus {
                let path = format!("{home}/cpu/{vcpu}/availability");
                store.write(&path, availability(vcpu < config.vcpus))?;
            }
            write_all(store, &format!("/vm/{uuid}"), &image, None)?;
            records.iter().try_for_each(|record| record.write(store))
        })?)
    }
}
