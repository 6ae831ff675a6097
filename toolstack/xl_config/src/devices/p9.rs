//! Directories for guests: xl.cfg(5), p9.
use serde::{Deserialize, Serialize};

use super::spec::{SpecError, missing, params};
use crate::types::Text;

/// A directory that a guest can mount by the 9p protocol, without a mapping of users (`security_model=none`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct P9 {
    /// Name by which the guest mounts it.
    pub tag: Text,
    /// The directory.
    pub path: Text,
    /// Domain (name or id) of the back end; `None` for this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<Text>,
}

impl P9 {
    pub(crate) fn parse(spec: &str) -> Result<Self, SpecError> {
        let (mut tag, mut path, mut backend, mut security) = (None, None, None, None::<Text>);
        for param in params(spec) {
            let unknown = || param.unknown("p9", &["backend", "path", "security_model", "tag"]);
            let (key, value) = param.key_value().ok_or_else(unknown)?;
            match key {
                "tag" => value.set(&mut tag, key)?,
                "path" => value.set(&mut path, key)?,
                "backend" => value.set(&mut backend, key)?,
                "security_model" if value.text == "none" => value.set(&mut security, key)?,
                "security_model" => return Err(value.error("security_model is none")),
                _ => return Err(unknown()),
            }
        }
        let lacks = |name| move || missing(spec, "p9", name);
        security.ok_or_else(lacks("security_model"))?;
        Ok(Self { tag: tag.ok_or_else(lacks("tag"))?, path: path.ok_or_else(lacks("path"))?, backend })
    }
}
