//! What the hypervisor says of itself (`xen_version`).

use xen_abi::Plain;
use xen_abi::version::{self, *};
use xen_abi::xen::__HYPERVISOR_xen_version;
use xen_dev::Errno;
use zerocopy::FromZeros;

use crate::{CtrlError, XenCtrl};

/// Who built the hypervisor, when and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileInfo {
    /// Compiler.
    pub compiler: String,
    /// User.
    pub by: String,
    /// Host's domain name.
    pub domain: String,
    /// Date.
    pub date: String,
}

/// Text that ends at the first zero; what is not UTF-8 is replaced.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or(bytes)).into_owned()
}

impl XenCtrl {
    /// Major and minor version, such as 4 and 17.
    pub fn version(&self) -> Result<(u16, u16), CtrlError> {
        let version = self.version_op("XENVER_version", XENVER_version, &mut [0u8; 0])?;
        Ok(((version >> 16) as u16, version as u16))
    }

    /// The text behind the version number, such as `.7`.
    pub fn extra_version(&self) -> Result<String, CtrlError> {
        self.version_text::<ExtraVersion>("XENVER_extraversion", XENVER_extraversion)
    }

    /// Source revision.
    pub fn changeset(&self) -> Result<String, CtrlError> {
        self.version_text::<ChangesetInfo>("XENVER_changeset", XENVER_changeset)
    }

    /// Kinds of guests, separated by spaces, such as `xen-3.0-aarch64`.
    pub fn capabilities(&self) -> Result<String, CtrlError> {
        self.version_text::<CapabilitiesInfo>("XENVER_capabilities", XENVER_capabilities)
    }

    /// The hypervisor's command line.
    pub fn command_line(&self) -> Result<String, CtrlError> {
        self.version_text::<Commandline>("XENVER_commandline", XENVER_commandline)
    }

    /// Who built the hypervisor, when and with what.
    pub fn compile_info(&self) -> Result<CompileInfo, CtrlError> {
        let mut info = version::CompileInfo::new_zeroed();
        self.version_op("XENVER_compile_info", XENVER_compile_info, &mut info)?;
        Ok(CompileInfo {
            compiler: text(&info.compiler),
            by: text(&info.compile_by),
            domain: text(&info.compile_domain),
            date: text(&info.compile_date),
        })
    }

    /// First virtual address that the hypervisor keeps from PV guests; 0 on arm64.
    pub fn virt_start(&self) -> Result<u64, CtrlError> {
        let mut parameters = PlatformParameters::new_zeroed();
        self.version_op("XENVER_platform_parameters", XENVER_platform_parameters, &mut parameters)?;
        Ok(parameters.virt_start)
    }

    /// Bytes of a page.
    pub fn page_size(&self) -> Result<u32, CtrlError> {
        self.version_op("XENVER_pagesize", XENVER_pagesize, &mut [0u8; 0])
    }

    /// A bit for each feature (`XENFEAT_*`) that the hypervisor offers the caller.
    pub fn features(&self) -> Result<u32, CtrlError> {
        let mut info = FeatureInfo::new_zeroed();
        self.version_op("XENVER_get_features", XENVER_get_features, &mut info)?;
        Ok(info.submap)
    }

    /// The hypervisor's build id, empty when it has none.
    pub fn build_id(&self) -> Result<Vec<u8>, CtrlError> {
        const CALL: &str = "XENVER_build_id";
        const ROOM: usize = 256;
        const HEAD: usize = size_of::<BuildId>();
        let mut bytes = [0; HEAD + ROOM];
        bytes[..HEAD].copy_from_slice(&(ROOM as u32).to_ne_bytes());
        match self.version_op(CALL, XENVER_build_id, &mut bytes) {
            Ok(len) => bytes.get(HEAD..HEAD.saturating_add(len as usize)).map(<[u8]>::to_vec).ok_or(
                CtrlError::Answer { call: CALL, domid: None, what: "a build id longer than its buffer" },
            ),
            Err(error) if error.errno() == Some(Errno::NODATA) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn version_text<T: Plain>(&self, call: &'static str, cmd: u32) -> Result<String, CtrlError> {
        let mut bytes = T::new_zeroed();
        self.version_op(call, cmd, &mut bytes)?;
        Ok(text(bytes.as_bytes()))
    }

    fn version_op<T: Plain>(&self, call: &'static str, cmd: u32, argument: &mut T) -> Result<u32, CtrlError> {
        self.operate(__HYPERVISOR_xen_version, cmd, argument, &mut []).map_err(|errno| CtrlError::Call {
            call,
            domid: None,
            errno,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cpu;
    use crate::testkit::ctrl;

    #[test]
    fn numbers_and_texts_are_taken_apart() {
        let (ctrl, xen) = ctrl(Cpu::Arm64);
        xen.on_hypercall(|call| {
            assert_eq!(call.number, 17);
            match call.args[0] {
                0 => return Ok(0x0004_0011),
                1 => call.write(call.args[1], b".7-pre\0\xff\xff\xff\xff\xff\xff\xff\xff\xff")?,
                4 => call.bytes_at_mut(call.args[1])?.fill(b'x'),
                6 => call.write(call.args[1], &[0u32, 0x50])?,
                7 => {
                    assert_eq!(call.args[1], 0, "Xen refuses any other pointer than null");
                    return Ok(4096);
                }
                10 => {
                    assert_eq!(call.read::<u32>(call.args[1])?, 256);
                    call.bytes_at_mut(call.args[1])?[4..8].copy_from_slice(&[1, 2, 3, 4]);
                    return Ok(4);
                }
                _ => return Err(Errno::NOSYS),
            }
            Ok(0)
        });
        assert_eq!(ctrl.version().unwrap(), (4, 17));
        assert_eq!(ctrl.extra_version().unwrap(), ".7-pre");
        assert_eq!(ctrl.changeset().unwrap(), "x".repeat(64), "text without an end");
        assert_eq!(ctrl.features().unwrap(), 0x50);
        assert_eq!(ctrl.page_size().unwrap(), 4096);
        assert_eq!(ctrl.build_id().unwrap(), [1, 2, 3, 4]);
        let error = ctrl.command_line().unwrap_err().to_string();
        assert_eq!(error, "XENVER_commandline failed: ENOSYS (this hypervisor does not have it)");
    }

    #[test]
    fn build_id_that_is_absent_or_too_long_is_no_panic() {
        let (ctrl, xen) = ctrl(Cpu::Arm64);
        xen.on_hypercall(|_| Err(Errno::NODATA));
        assert!(ctrl.build_id().unwrap().is_empty());
        xen.on_hypercall(|_| Ok(257));
        assert!(matches!(ctrl.build_id(), Err(CtrlError::Answer { .. })));
    }
}
