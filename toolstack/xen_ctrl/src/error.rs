//! What can go wrong, said for people: which call, on which domain, why, and what to do.

use std::fmt;

use thiserror::Error;
use xen_dev::{CopyError, Domid, Errno, MapError, OpenError};

/// A call failed.
#[derive(Debug, Error)]
pub enum CtrlError {
    /// The devices are not there.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The hypervisor refused a call.
    #[error("{call}{} failed: {}", On(.domid), Reason(*.errno))]
    Call {
        /// The call, under its name in the headers.
        call: &'static str,
        /// The domain concerned.
        domid: Option<Domid>,
        /// The hypervisor's reason.
        errno: Errno,
    },
    /// The hypervisor did part of a list and stopped.
    #[error(
        "{call}{} stopped after {done} of {asked}: the host has too little free memory, or the domain's limit is \
         reached",
        On(.domid)
    )]
    Partial {
        /// The call, under its name in the headers.
        call: &'static str,
        /// The domain concerned.
        domid: Option<Domid>,
        /// Elements done.
        done: usize,
        /// Elements asked for.
        asked: usize,
    },
    /// Memory of a domain could not be mapped.
    #[error("domain {domid}: {cause}")]
    Map {
        /// The domain.
        domid: Domid,
        /// The reason.
        cause: MapError,
    },
    /// Memory of a domain could not be written.
    #[error("domain {domid}: {cause}")]
    Copy {
        /// The domain.
        domid: Domid,
        /// The reason.
        cause: CopyError,
    },
    /// The hypervisor is older or newer than what this program knows.
    #[error(
        "the hypervisor refuses versions {first:#x} to {last:#x} of the {interface} interface: it is not Xen 4.17 to \
         4.22, or its security policy forbids the call"
    )]
    Version {
        /// `domctl` or `sysctl`.
        interface: &'static str,
        /// First version tried.
        first: u32,
        /// Last version tried.
        last: u32,
    },
    /// The hypervisor's answer contradicts the interface.
    #[error("{call}{}: the hypervisor's answer makes no sense: {what}", On(.domid))]
    Answer {
        /// The call, under its name in the headers.
        call: &'static str,
        /// The domain concerned.
        domid: Option<Domid>,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The caller asks for what the interface cannot express.
    #[error("{call}{}: {what}", On(.domid))]
    Argument {
        /// The call, under its name in the headers.
        call: &'static str,
        /// The domain concerned.
        domid: Option<Domid>,
        /// What is wrong.
        what: &'static str,
    },
}

impl CtrlError {
    /// The errno, if the hypervisor refused a call with one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Call { errno, .. } => Some(*errno),
            _ => None,
        }
    }

    /// Whether the domain does not exist, or no longer.
    pub fn is_no_such_domain(&self) -> bool {
        self.errno() == Some(Errno::SRCH)
    }
}

struct On<'a>(&'a Option<Domid>);

impl fmt::Display for On<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(domid) => write!(f, " on domain {domid}"),
            None => Ok(()),
        }
    }
}

/// An errno with its name and what it means here.
struct Reason(Errno);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.0.raw_os_error();
        let name = u32::try_from(code).ok().and_then(xen_abi::Errno::from_code).map(xen_abi::Errno::name);
        match name {
            Some(name) => f.write_str(name)?,
            None => write!(f, "errno {code}")?,
        }
        let hint = match self.0 {
            Errno::PERM => "not dom0, or no privilege",
            Errno::ACCESS => "the hypervisor's security policy forbids it",
            Errno::SRCH => "no such domain",
            Errno::NOSYS | Errno::OPNOTSUPP => "this hypervisor does not have it",
            Errno::NOMEM => "the hypervisor has too little free memory",
            Errno::EXIST => "it exists already",
            Errno::BUSY => "it is in use",
            Errno::AGAIN => "the hypervisor is still busy with it; try again",
            Errno::INVAL => "the hypervisor does not accept an argument; `xl dmesg` may say which",
            Errno::NOTTY => "the kernel does not have it",
            _ => return Ok(()),
        };
        write!(f, " ({hint})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_call_says_which_on_which_domain_and_why() {
        let error =
            |domid, errno| CtrlError::Call { call: "XEN_DOMCTL_pausedomain", domid, errno }.to_string();
        let seven = Domid::new(7);
        assert_eq!(
            error(seven, Errno::SRCH),
            "XEN_DOMCTL_pausedomain on domain 7 failed: ESRCH (no such domain)"
        );
        assert_eq!(
            error(None, Errno::PERM),
            "XEN_DOMCTL_pausedomain failed: EPERM (not dom0, or no privilege)"
        );
        assert!(error(seven, Errno::NOSYS).ends_with("ENOSYS (this hypervisor does not have it)"));
        assert!(error(seven, Errno::IO).ends_with("failed: EIO"));
        assert!(error(seven, Errno::from_raw_os_error(133)).ends_with("failed: errno 133"));
    }
    #[test]
    fn cause_of_a_failed_mapping_is_said_once() {
        let cause = MapError::Kernel(Errno::NOMEM);
        let said = cause.to_string();
        let error = CtrlError::Map { domid: Domid::DOM0, cause };
        assert_eq!(error.to_string(), format!("domain 0: {said}"));
        assert!(std::error::Error::source(&error).is_none(), "it would be said again");
    }
}
