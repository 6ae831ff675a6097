//! Hotplug scripts: which one a device has, what it is told, and what becomes of its answer.

use std::path::{Path, PathBuf};

use host_devices::{HostError, InterfaceName, Script};

use super::{DeviceId, Kind};
use crate::{DomainError, Toolstack};

/// Where scripts are that are named without folder.
const FOLDER: &str = "/etc/xen/scripts";
/// What a device says whose set-up is done here. Libxl's tools run it when they remove the device.
pub(super) const NO_SCRIPT: &str = "/bin/true";

/// What a script is run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Add,
    Remove,
}

/// The file of a script.
pub(crate) fn path(script: &str) -> PathBuf {
    Path::new(FOLDER).join(script)
}

impl Toolstack {
    /// Runs the script of a device whose nodes are there, if it has one. Arguments and variables are those of libxl
    /// (`docs/misc/block-scripts.txt` in Xen's tree).
    ///
    /// # Errors
    /// When it cannot be run, fails or takes too long; with the reason that it left in xenstore.
    pub(super) fn run_script(
        &mut self,
        device: DeviceId,
        title: &str,
        action: Action,
    ) -> Result<(), DomainError> {
        let Some(script) = self.value(&device.back(), "script")?.filter(|script| script != NO_SCRIPT) else {
            return Ok(());
        };
        let DeviceId { kind, domid, id } = device;
        let mut variables = vec![
            ("script", script.clone()),
            ("XENBUS_TYPE", kind.name().to_owned()),
            ("XENBUS_PATH", format!("backend/{}/{domid}/{id}", kind.name())),
            ("XENBUS_BASE_PATH", "backend".to_owned()),
        ];
        let failed = |source| DomainError::Host { device: title.to_owned(), source };
        let arguments: &[&str] = match (kind, action) {
            (Kind::Vif, Action::Add) => &["online", "type_if=vif"],
            (Kind::Vif, Action::Remove) => &["offline", "type_if=vif"],
            (_, Action::Add) => &["add"],
            (_, Action::Remove) => &["remove"],
        };
        if kind == Kind::Vif {
            let interface = device.interface();
            if action == Action::Add {
                let interface = InterfaceName::new(&interface).map_err(failed)?;
                self.host.wait_for_interface(&interface).map_err(failed)?;
            }
            variables.push(("netdev", self.value(&device.back(), "gatewaydev")?.unwrap_or_default()));
            variables.push(("vif", interface));
        }
        let arguments = arguments.iter().map(ToString::to_string).collect();
        let script = Script { path: script.into(), arguments, variables };
        match self.host.run_script(&script) {
            Err(HostError::Script { path, status, output }) => {
                let noted = self.value(&device.back(), "hotplug-error")?;
                let output = noted.map_or(output, |text| text.trim().escape_debug().to_string());
                Err(failed(HostError::Script { path, status, output }))
            }
            other => other.map_err(failed),
        }
    }
}
