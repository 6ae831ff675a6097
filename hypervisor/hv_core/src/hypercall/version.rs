//! HYPERVISOR_xen_version (version.h).

use super::{Call, DONE, Flow, Outcome};
use xen_abi::Errno;
use xen_abi::version::*;

/// The interface that we speak is Xen 4.17's.
pub(super) const MAJOR: u64 = 4;
pub(super) const MINOR: u64 = 17;
/// What stands behind the version number: our own name.
pub const EXTRA_VERSION: &str = "-xenoxide";

/// xen_version(cmd, arg).
pub fn xen_version(call: &Call<'_>) -> Outcome {
    let [cmd, arg, ..] = call.args;
    // A C int; what lies above it is noise.
    let cmd = cmd as u32;
    if cmd == XENVER_version {
        return Ok(Flow::Done(MAJOR << 16 | MINOR));
    }
    copy_out(call, cmd, arg)
}

/// The operations that fill a buffer. Apart, since the buffers are a stack frame that the first operation does without.
#[inline(never)]
fn copy_out(call: &Call<'_>, cmd: u32, arg: u64) -> Outcome {
    let guest = call.guest();
    match cmd {
        XENVER_extraversion => guest.write(arg, &text::<XEN_EXTRAVERSION_LEN>(EXTRA_VERSION))?,
        XENVER_compile_info => guest.write(
            arg,
            &CompileInfo {
                compiler: text(concat!("rustc, xenoxide ", env!("CARGO_PKG_VERSION"))),
                compile_by: text("xenoxide"),
                compile_domain: text(""),
                compile_date: text(""),
            },
        )?,
        XENVER_capabilities => {
            guest.write(arg, &text::<XEN_CAPABILITIES_INFO_LEN>(call.hv.platform.guest_types()))?
        }
        XENVER_changeset => guest.write(arg, &text::<XEN_CHANGESET_INFO_LEN>(env!("CARGO_PKG_VERSION")))?,
        // No virtual address range is kept from a translated guest.
        XENVER_platform_parameters => guest.write(arg, &PlatformParameters { virt_start: 0 })?,
        XENVER_get_features => {
            let mut info: FeatureInfo = guest.read(arg)?;
            if info.submap_idx != 0 {
                return Err(Errno::EINVAL);
            }
            info.submap = call.hv.platform.features(call.domain.privileged, call.domain.direct_mapped);
            guest.write(arg, &info)?;
        }
        // It has no argument.
        XENVER_pagesize if arg != 0 => return Err(Errno::EINVAL),
        XENVER_pagesize => return Ok(Flow::Done(hal::PAGE_SIZE as u64)),
        XENVER_guest_handle => guest.write(arg, &*call.domain.handle.lock())?,
        XENVER_commandline => {
            let mut line: Commandline = [0; 1024];
            if call.domain.privileged {
                line = text(&call.hv.options.command_line);
            }
            guest.write(arg, &line)?;
        }
        // The image carries no build id.
        XENVER_build_id => return Err(Errno::ENODATA),
        _ => return Err(Errno::ENOSYS),
    }
    DONE
}

/// `s` in a zero-terminated field, cut where it does not fit.
fn text<const N: usize>(s: &str) -> [u8; N] {
    let mut field = [0; N];
    for (slot, byte) in field.iter_mut().take(N.saturating_sub(1)).zip(s.bytes()) {
        *slot = byte;
    }
    field
}
