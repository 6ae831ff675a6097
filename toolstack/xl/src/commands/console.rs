//! `console`.

use anyhow::Result;
use domain::Toolstack;

use crate::Outside;
use crate::cli::Console;

pub(super) fn console(options: &Console, tools: &mut Toolstack, outside: &dyn Outside) -> Result<()> {
    let domid = tools.find(&options.domain)?.domid();
    outside.attach(domid, options.r#type, options.num, &mut || Ok(()))
}
