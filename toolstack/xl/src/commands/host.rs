//! `dmesg`, `debug-keys`, `sysrq`, `trigger`.

use std::io::Write;

use anyhow::Result;
use domain::Toolstack;
use xen_abi::domctl::*;

use crate::cli::{DebugKeys, Dmesg, Sysrq, Trigger, TriggerName};

/// Pieces of the console ring that are read: more than the largest ring has.
const MAX_PIECES: usize = 1 << 12;

pub(super) fn dmesg(options: &Dmesg, tools: &mut Toolstack, out: &mut dyn Write) -> Result<()> {
    let mut from = None;
    for _ in 0..MAX_PIECES {
        let piece = tools.ctrl().read_console(from)?;
        if piece.bytes.is_empty() {
            break;
        }
        out.write_all(&piece.bytes)?;
        from = Some(piece.next);
    }
    if options.clear {
        tools.ctrl().clear_console()?;
    }
    Ok(())
}

pub(super) fn debug_keys(options: &DebugKeys, tools: &mut Toolstack) -> Result<()> {
    Ok(tools.ctrl().send_debug_keys(&options.keys)?)
}

pub(super) fn sysrq(options: &Sysrq, tools: &mut Toolstack) -> Result<()> {
    let domid = tools.find(&options.domain)?.domid();
    Ok(tools.send_sysrq(domid, options.key)?)
}

pub(super) fn trigger(options: &Trigger, tools: &mut Toolstack) -> Result<()> {
    let domid = tools.find(&options.domain)?.domid();
    let trigger = match options.trigger {
        TriggerName::Nmi => XEN_DOMCTL_SENDTRIGGER_NMI,
        TriggerName::Reset => XEN_DOMCTL_SENDTRIGGER_RESET,
        TriggerName::Init => XEN_DOMCTL_SENDTRIGGER_INIT,
        TriggerName::Power => XEN_DOMCTL_SENDTRIGGER_POWER,
        TriggerName::Sleep => XEN_DOMCTL_SENDTRIGGER_SLEEP,
    };
    Ok(tools.ctrl().send_trigger(domid, trigger, options.vcpu)?)
}
