//! The handle: which interface versions the hypervisor speaks, and how a request reaches it.

use std::mem::offset_of;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use xen_abi::Plain;
use xen_abi::domctl::{Domctl, XEN_DOMCTL_getdomaininfo};
use xen_abi::sysctl::{Sysctl, XEN_SYSCTL_sched_id};
use xen_abi::xen::{__HYPERVISOR_domctl, __HYPERVISOR_sysctl};
use xen_dev::linux::LinuxPrivcmd;
use xen_dev::{Access, Domid, Errno, Hypercall, Privcmd, SharedMemory};
use zerocopy::{FromZeros, IntoBytes};

use crate::CtrlError;

/// Versions of the domctl interface that are known: Xen 4.17 to 4.22.
const DOMCTL_VERSIONS: std::ops::RangeInclusive<u32> = 0x15..=0x18;
/// Versions of the sysctl interface that are known: Xen 4.17 to 4.22.
const SYSCTL_VERSIONS: std::ops::RangeInclusive<u32> = 0x15..=0x16;

/// How often a call is made that the hypervisor wants to be made again.
const TRIES: u32 = 100;
/// The first of these follow each other at once; before the others there is a pause.
const EAGER_TRIES: u32 = 8;
const PAUSE: Duration = Duration::from_millis(5);

/// The CPU of the host, which decides layouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cpu {
    /// 64-bit Arm.
    Arm64,
    /// 64-bit x86.
    X86,
}

impl Cpu {
    /// The CPU that this program runs on.
    pub fn host() -> Self {
        if std::env::consts::ARCH == "aarch64" { Self::Arm64 } else { Self::X86 }
    }
}

/// Control of the hypervisor. Its methods are the calls.
pub struct XenCtrl {
    pub(crate) privcmd: Arc<dyn Privcmd>,
    pub(crate) cpu: Cpu,
    pub(crate) domctl_version: u32,
    sysctl_version: u32,
}

/// A buffer to which a request points: the offset of the handle in the request's structure, and the bytes.
pub(crate) type Pointed<'a> = (usize, &'a mut [u8]);

impl XenCtrl {
    /// Opens the kernel's devices and asks the hypervisor for its versions.
    pub fn open() -> Result<Self, CtrlError> {
        Self::new(Arc::new(LinuxPrivcmd::open()?), Cpu::host())
    }

    /// Asks the hypervisor behind this device for its versions.
    pub fn new(privcmd: Arc<dyn Privcmd>, cpu: Cpu) -> Result<Self, CtrlError> {
        let mut ctrl = Self { privcmd, cpu, domctl_version: 0, sysctl_version: 0 };
        ctrl.sysctl_version = probe("sysctl", SYSCTL_VERSIONS, |version| {
            ctrl.sysctl_as(version, XEN_SYSCTL_sched_id, &mut [0u64; 16], &mut [])
        })?;
        ctrl.domctl_version = probe("domctl", DOMCTL_VERSIONS, |version| {
            let mut domain = Domid::DOM0.get();
            ctrl.domctl_as(version, XEN_DOMCTL_getdomaininfo, &mut domain, &mut [0u64; 16], &mut [])
        })?;
        Ok(ctrl)
    }

    /// Maps guest frames of a domain one behind the other.
    pub fn map_foreign(&self, domid: Domid, gfns: &[u64], access: Access) -> Result<SharedMemory, CtrlError> {
        self.privcmd.map_foreign(domid, gfns, access).map_err(|cause| CtrlError::Map { domid, cause })
    }

    /// A domctl on a domain; `payload` goes in and comes out.
    pub(crate) fn domctl<T: Plain>(
        &self,
        call: &'static str,
        cmd: u32,
        domid: Domid,
        payload: &mut T,
        pointed: &mut [Pointed<'_>],
    ) -> Result<(), CtrlError> {
        let mut domain = domid.get();
        again(|| self.domctl_as(self.domctl_version, cmd, &mut domain, payload, pointed))
            .map_err(|errno| CtrlError::Call { call, domid: Some(domid), errno })
    }

    /// A domctl under an interface version; `domain` goes in and comes out.
    pub(crate) fn domctl_as<T: Plain>(
        &self,
        version: u32,
        cmd: u32,
        domain: &mut u16,
        payload: &mut T,
        pointed: &mut [Pointed<'_>],
    ) -> Result<(), Errno> {
        let mut op = Domctl::new_zeroed();
        op.cmd = cmd;
        op.interface_version = version;
        op.domain = *domain;
        op.write_payload(payload);
        self.request(__HYPERVISOR_domctl, None, op.as_mut_bytes(), offset_of!(Domctl, u), pointed)?;
        *domain = op.domain;
        *payload = op.read_payload();
        Ok(())
    }

    /// A sysctl; `payload` goes in and comes out.
    pub(crate) fn sysctl<T: Plain>(
        &self,
        call: &'static str,
        cmd: u32,
        payload: &mut T,
        pointed: &mut [Pointed<'_>],
    ) -> Result<(), CtrlError> {
        again(|| self.sysctl_as(self.sysctl_version, cmd, payload, pointed))
            .map_err(|errno| CtrlError::Call { call, domid: None, errno })
    }

    fn sysctl_as<T: Plain>(
        &self,
        version: u32,
        cmd: u32,
        payload: &mut T,
        pointed: &mut [Pointed<'_>],
    ) -> Result<(), Errno> {
        let mut op = Sysctl::new_zeroed();
        op.cmd = cmd;
        op.interface_version = version;
        op.write_payload(payload);
        self.request(__HYPERVISOR_sysctl, None, op.as_mut_bytes(), offset_of!(Sysctl, u), pointed)?;
        *payload = op.read_payload();
        Ok(())
    }

    /// A hypercall with a sub-operation and one structure, or a null pointer for an empty one; returns the result.
    pub(crate) fn operate<T: Plain>(
        &self,
        number: u32,
        cmd: u32,
        argument: &mut T,
        pointed: &mut [Pointed<'_>],
    ) -> Result<u32, Errno> {
        self.request(number, Some(cmd), argument.as_mut_bytes(), 0, pointed)
    }

    /// A hypercall whose arguments are a sub-operation, if it has one, and the address of a structure, null for an
    /// empty one. Handles in the structure are counted from `base`.
    pub(crate) fn request(
        &self,
        number: u32,
        cmd: Option<u32>,
        structure: &mut [u8],
        base: usize,
        pointed: &mut [Pointed<'_>],
    ) -> Result<u32, Errno> {
        let mut call = Hypercall::new(number);
        if let Some(cmd) = cmd {
            call.value(0, cmd.into());
        }
        if structure.is_empty() {
            return self.privcmd.hypercall(&mut call);
        }
        let structure = call.buffer(structure);
        call.address_of(usize::from(cmd.is_some()), structure);
        for (offset, bytes) in pointed.iter_mut() {
            let target = call.buffer(bytes);
            call.link(structure, base + *offset, target);
        }
        self.privcmd.hypercall(&mut call)
    }
}

/// The first version that is not refused with `EACCES`.
fn probe(
    interface: &'static str,
    versions: std::ops::RangeInclusive<u32>,
    mut ask: impl FnMut(u32) -> Result<(), Errno>,
) -> Result<u32, CtrlError> {
    let call = interface;
    for version in versions.clone() {
        match again(|| ask(version)) {
            Ok(()) => return Ok(version),
            Err(Errno::ACCESS) => {}
            Err(errno) => return Err(CtrlError::Call { call, domid: None, errno }),
        }
    }
    Err(CtrlError::Version { interface, first: *versions.start(), last: *versions.end() })
}

/// Makes a call until the hypervisor no longer says that it must be made again, for about half a second.
pub(crate) fn again<R>(mut call: impl FnMut() -> Result<R, Errno>) -> Result<R, Errno> {
    for attempt in 1..TRIES {
        match call() {
            Err(Errno::AGAIN | Errno::INTR | Errno::RESTART) if attempt < EAGER_TRIES => thread::yield_now(),
            Err(Errno::AGAIN | Errno::INTR | Errno::RESTART) => thread::sleep(PAUSE),
            done => return done,
        }
    }
    call()
}

#[cfg(test)]
mod tests {
    use xen_dev::fake::FakeXen;

    use super::*;
    use crate::testkit;

    /// A hypervisor that speaks these versions.
    fn speaks(domctl: u32, sysctl: u32) -> FakeXen {
        FakeXen::new(move |call| {
            let (version, wanted) = match call.number {
                __HYPERVISOR_domctl => (call.read::<Domctl>(call.args[0])?.interface_version, domctl),
                _ => (call.read::<Sysctl>(call.args[0])?.interface_version, sysctl),
            };
            if version == wanted { Ok(0) } else { Err(Errno::ACCESS) }
        })
    }

    #[test]
    fn versions_of_every_release_are_found() {
        for (domctl, sysctl) in [(0x15, 0x15), (0x16, 0x15), (0x17, 0x15), (0x17, 0x16), (0x18, 0x16)] {
            let ctrl = XenCtrl::new(Arc::new(speaks(domctl, sysctl)), Cpu::Arm64).unwrap();
            assert_eq!((ctrl.domctl_version, ctrl.sysctl_version), (domctl, sysctl));
        }
    }

    #[test]
    fn hypervisor_of_an_unknown_version_is_refused_by_interface() {
        let error = |domctl, sysctl| match XenCtrl::new(Arc::new(speaks(domctl, sysctl)), Cpu::Arm64) {
            Ok(_) => panic!("accepted"),
            Err(error) => error.to_string(),
        };
        assert!(error(0x19, 0x16).contains("0x15 to 0x18 of the domctl interface"));
        assert!(error(0x14, 0x14).contains("0x15 to 0x16 of the sysctl interface"));
    }

    #[test]
    fn caller_without_privilege_is_told_so() {
        let xen = FakeXen::new(|_| Err(Errno::PERM));
        let error = XenCtrl::new(Arc::new(xen), Cpu::Arm64).err().unwrap().to_string();
        assert_eq!(error, "sysctl failed: EPERM (not dom0, or no privilege)");
    }

    #[test]
    fn call_to_be_continued_is_made_again_with_the_same_request() {
        let (ctrl, xen) = testkit::ctrl(Cpu::Arm64);
        let mut refusals = [Errno::AGAIN, Errno::RESTART, Errno::INTR].into_iter();
        xen.on_hypercall(move |_| refusals.next().map_or(Ok(0), Err));
        ctrl.destroy(testkit::GUEST).unwrap();
        let calls = xen.take_calls();
        assert_eq!(calls.len(), 4);
        assert!(calls.iter().all(|call| *call == calls[0]));
    }

    #[test]
    fn call_that_is_never_done_ends_with_its_error() {
        let (ctrl, xen) = testkit::ctrl(Cpu::Arm64);
        xen.on_hypercall(|_| Err(Errno::AGAIN));
        let error = ctrl.destroy(testkit::GUEST).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::AGAIN));
        assert_eq!(xen.take_calls().len(), TRIES as usize);
    }
}
