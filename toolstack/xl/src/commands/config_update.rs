//! `config-update`.

use anyhow::Result;
use domain::Toolstack;

use super::create::read;
use crate::cli::ConfigUpdate;

pub(super) fn update(options: &ConfigUpdate, tools: &mut Toolstack) -> Result<()> {
    let domid = tools.find(&options.domain)?.domid();
    let config = read(&options.file, &options.settings)?;
    Ok(tools.keep_config(domid, &config)?)
}
