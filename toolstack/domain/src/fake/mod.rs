//! A host in memory, for tests: a hypervisor that knows of domains, xenstore behind a socket, and a kernel whose back
//! ends answer.

mod folder;
mod hypervisor;
mod kernel;
mod pools;
mod xenstore;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use host_devices::{HostError, InterfaceName, Script};
use rustix::io::Errno;
use xen_ctrl::{Cpu, XenCtrl};
use xen_dev::Domid;
use xen_dev::fake::FakeXen;
use xenstore_client::fake::FakeDaemon;
use xenstore_client::{Client, Operations};

pub use self::folder::TemporaryFolder;
pub use self::hypervisor::FakeDomain;
pub use self::kernel::{BackEnds, Guests};

use self::hypervisor::Hypervisor;
use self::kernel::Kernel;
use crate::toolstack::Patience;
use crate::{Host, HostDisk, Toolstack};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The host. It has a bridge `xenbr0`, a file `/disk`, a block device `/dev/sdb`, hotplug
/// scripts in `/etc/xen/scripts`, and Dom0 with 2 vCPUs.
pub struct FakeHost {
    hypervisor: Arc<Mutex<Hypervisor>>,
    devices: Arc<Devices>,
    kernel: Option<Kernel>,
    store: FakeDaemon,
    userdata: TemporaryFolder,
}

impl FakeHost {
    /// A host whose back ends work.
    pub fn new() -> Self {
        Self::with_back_ends(BackEnds::Work)
    }

    /// A host whose back ends do this, with guests that have no drivers.
    pub fn with_back_ends(back_ends: BackEnds) -> Self {
        Self::with(back_ends, Guests::None)
    }

    /// A host whose back ends and guests do this.
    pub fn with(back_ends: BackEnds, guests: Guests) -> Self {
        let hypervisor = Arc::new(Mutex::new(Hypervisor::new()));
        let known = Arc::clone(&hypervisor);
        let store = FakeDaemon::new(move |store| xenstore::look_for_ends(store, &known));
        let host = Self {
            hypervisor,
            devices: Arc::default(),
            kernel: Some(Kernel::start(store.client(), back_ends, guests)),
            store,
            userdata: TemporaryFolder::new("userdata"),
        };
        let mut client = host.store();
        for (path, value) in [("name", "Domain-0"), ("domid", "0"), ("memory/target", "1048576")] {
            client.write(&format!("/local/domain/0/{path}"), value).expect("the store is empty");
        }
        host
    }

    /// The tools on this host. They are less patient than the real ones.
    pub fn toolstack(&self) -> Toolstack {
        let xen = FakeXen::default();
        let hypervisor = Arc::clone(&self.hypervisor);
        let memory = xen.clone();
        xen.on_hypercall(move |call| lock(&hypervisor).answer(call, &memory));
        let ctrl = XenCtrl::new(Arc::new(xen), Cpu::Arm64).expect("the fake speaks 4.17");
        let mut tools =
            Toolstack::new(ctrl, self.store(), Box::new(Arc::clone(&self.devices)), self.userdata.path());
        let patience = Duration::from_millis(300);
        tools.patience = Patience { back_end: patience, guest: patience, retry: patience / 60 };
        tools
    }

    /// The folder of what is kept about domains.
    pub fn userdata(&self) -> &Path {
        self.userdata.path()
    }

    /// A connection to xenstore.
    pub fn store(&self) -> Client {
        self.store.client()
    }

    /// Kills xenstored and starts it again, with the state that it had and without connections; `meanwhile` happens in
    /// between.
    pub fn restart_xenstore(&self, meanwhile: impl FnOnce()) {
        self.store.restart(meanwhile);
    }

    /// Every path in xenstore, in order.
    pub fn paths(&self) -> Vec<String> {
        fn walk(store: &mut Client, path: &str, found: &mut Vec<String>) {
            for name in store.directory(path).unwrap_or_default() {
                let path = format!("{}/{name}", path.trim_end_matches('/'));
                found.push(path.clone());
                walk(store, &path, found);
            }
        }
        let mut found = Vec::new();
        walk(&mut self.store(), "/", &mut found);
        found
    }

    /// Adds a domain that other tools made: running, with this name.
    pub fn add_domain(&self, domid: u16, name: &str) {
        lock(&self.hypervisor).domains.insert(domid, FakeDomain::new([domid as u8; 16]));
        let mut store = self.store();
        store.write(&format!("/local/domain/{domid}/name"), name).expect("the path is one");
    }

    /// What the hypervisor has of a domain; changes count.
    pub fn domain<R>(&self, domid: u16, look: impl FnOnce(&mut FakeDomain) -> R) -> Option<R> {
        lock(&self.hypervisor).domains.get_mut(&domid).map(look)
    }

    /// Ids of the domains that there are.
    pub fn domids(&self) -> Vec<u16> {
        lock(&self.hypervisor).domains.keys().copied().collect()
    }

    /// Makes the hypercall after this many fail with `ENOMEM`, once; those that destroy do not count.
    pub fn fail_hypercall(&self, after: Option<u32>) {
        lock(&self.hypervisor).fail_after = after;
    }

    /// Makes the program die, by a panic, at the hypercall after this many: nothing is undone.
    pub fn die_at_hypercall(&self, after: Option<u32>) {
        lock(&self.hypervisor).die_after = after;
    }

    /// Devices that Dom0 holds for disks.
    pub fn held_disks(&self) -> usize {
        self.devices.held.load(Ordering::Relaxed)
    }

    /// Interfaces that were put into bridges: Dom0's end, its new name, and the bridge.
    pub fn plugged(&self) -> Vec<(String, Option<String>, String)> {
        lock(&self.devices.plugged).clone()
    }

    /// Loop devices that were released.
    pub fn released(&self) -> Vec<String> {
        lock(&self.devices.released).clone()
    }

    /// Hotplug scripts that were run.
    pub fn scripts(&self) -> Vec<Script> {
        lock(&self.devices.scripts).clone()
    }

    /// Makes hotplug scripts do this, rather than nothing.
    pub fn on_script(&self, act: impl Fn(&Script) -> Result<(), HostError> + Send + 'static) {
        *lock(&self.devices.on_script) = Some(Box::new(act));
    }

    /// Text that the hypervisor got as debug keys.
    pub fn debug_keys(&self) -> String {
        lock(&self.hypervisor).keys.clone()
    }
}

impl Default for FakeHost {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for FakeHost {
    fn drop(&mut self) {
        // Before xenstore goes.
        self.kernel.take();
    }
}

/// Dom0's devices.
#[derive(Default)]
struct Devices {
    held: AtomicUsize,
    plugged: Mutex<Vec<(String, Option<String>, String)>>,
    released: Mutex<Vec<String>>,
    scripts: Mutex<Vec<Script>>,
    on_script: Mutex<Option<ScriptAction>>,
}

/// What a hotplug script does.
type ScriptAction = Box<dyn Fn(&Script) -> Result<(), HostError> + Send>;

/// A device that is held.
struct Held(Arc<Devices>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Host for Arc<Devices> {
    fn disk(&self, path: &Path, _: bool) -> Result<HostDisk, HostError> {
        match path.to_str() {
            Some("/disk") => {
                self.held.fetch_add(1, Ordering::Relaxed);
                let hold = Some(Box::new(Held(Arc::clone(self))) as _);
                Ok(HostDisk { device: "/dev/loop3".into(), major: 7, minor: 3, hold })
            }
            Some("/dev/sdb") => Ok(HostDisk { device: path.to_owned(), major: 8, minor: 16, hold: None }),
            _ => Err(HostError::File { what: "find", path: path.to_owned(), errno: Errno::NOENT }),
        }
    }

    fn has_opened(&self, _: Domid, _: u32) -> bool {
        true
    }

    fn release(&self, device: &Path) -> Result<(), HostError> {
        lock(&self.released).push(device.display().to_string());
        Ok(())
    }

    fn find_bridge(&self, bridge: &InterfaceName) -> Result<(), HostError> {
        if bridge.as_str() == "xenbr0" {
            return Ok(());
        }
        Err(HostError::NoBridge { name: bridge.clone(), bridges: vec!["xenbr0".to_owned()] })
    }

    fn plug(
        &self,
        interface: &InterfaceName,
        name: Option<&InterfaceName>,
        bridge: &InterfaceName,
        mtu: Option<u32>,
    ) -> Result<u32, HostError> {
        self.find_bridge(bridge)?;
        let port = (interface.to_string(), name.map(ToString::to_string), bridge.to_string());
        lock(&self.plugged).push(port);
        Ok(mtu.unwrap_or(1400))
    }

    fn find_script(&self, path: &Path) -> Result<(), HostError> {
        match path.starts_with("/etc/xen/scripts") {
            true => Ok(()),
            false => Err(HostError::File { what: "run", path: path.to_owned(), errno: Errno::NOENT }),
        }
    }

    fn wait_for_interface(&self, _: &InterfaceName) -> Result<(), HostError> {
        Ok(())
    }

    fn run_script(&self, script: &Script) -> Result<(), HostError> {
        lock(&self.scripts).push(script.clone());
        lock(&self.on_script).as_ref().map_or(Ok(()), |act| act(script))
    }
}
