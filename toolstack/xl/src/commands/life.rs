//! `destroy`, `shutdown`, `reboot`, `pause`, `unpause`, `mem-set`, `mem-max`.

use anyhow::Result;
use domain::{DomainError, Request, Toolstack};
use xen_abi::domctl::{XEN_DOMCTL_SENDTRIGGER_POWER, XEN_DOMCTL_SENDTRIGGER_RESET};
use xen_dev::Domid;

use crate::cli::{Ask, Destroy, Memory, Target};

pub(super) fn destroy(options: &Destroy, tools: &mut Toolstack) -> Result<()> {
    let domid = tools.find(&options.domain)?.domid();
    Ok(tools.destroy(domid)?)
}

pub(super) fn pause(target: &Target, tools: &mut Toolstack) -> Result<()> {
    let domid = tools.find(&target.domain)?.domid();
    Ok(tools.pause(domid)?)
}

pub(super) fn unpause(target: &Target, tools: &mut Toolstack) -> Result<()> {
    let domid = tools.find(&target.domain)?.domid();
    Ok(tools.unpause(domid)?)
}

/// What is asked, and the button that stands for it.
pub(super) type Question = (Request, u32);
pub(super) const SHUTDOWN: Question = (Request::Poweroff, XEN_DOMCTL_SENDTRIGGER_POWER);
pub(super) const REBOOT: Question = (Request::Reboot, XEN_DOMCTL_SENDTRIGGER_RESET);

pub(super) fn ask(options: &Ask, (request, button): Question, tools: &mut Toolstack) -> Result<()> {
    let domids: Vec<Domid> = match &options.domain {
        Some(domain) => vec![tools.find(domain)?.domid()],
        None => tools.domains()?.iter().map(|it| it.domid()).filter(|&it| it != Domid::DOM0).collect(),
    };
    // All are asked, whatever one of them answers.
    let mut first_error = Ok(());
    let mut asked = Vec::new();
    for domid in domids {
        let done = match tools.request(domid, request) {
            Err(DomainError::NoAnswer { .. }) if options.fallback => {
                tools.ctrl().send_trigger(domid, button, 0).map_err(DomainError::from)
            }
            other => other,
        };
        match done {
            Ok(()) => asked.push(domid),
            Err(error) => first_error = first_error.and(Err(error)),
        }
    }
    for domid in asked {
        match options.wait {
            0 => {}
            1 => {
                tools.wait_for_end(domid, None)?;
            }
            _ => tools.wait_until_gone(domid)?,
        }
    }
    Ok(first_error?)
}

pub(super) fn set_memory(options: &Memory, tools: &mut Toolstack) -> Result<()> {
    let domid = tools.find(&options.domain)?.domid();
    Ok(tools.set_memory_target(domid, options.memory.0)?)
}

pub(super) fn set_memory_max(options: &Memory, tools: &mut Toolstack) -> Result<()> {
    let domid = tools.find(&options.domain)?.domid();
    Ok(tools.set_memory_max(domid, options.memory.0)?)
}
