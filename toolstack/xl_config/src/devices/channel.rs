//! Further consoles for programs: xl.cfg(5), channel, and xen-pv-channel(7).
use serde::{Deserialize, Serialize};

use super::spec::{SpecError, missing, params};
use crate::types::{BadValue, Text};

/// A byte stream between the guest and a program in the back end's domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Channel {
    /// Name by which the guest knows its purpose.
    pub name: Text,
    /// Where the program finds it.
    pub connection: Connection,
    /// Domain (name or id) of the back end; `None` for this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<Text>,
}

/// The program's end of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Connection {
    /// A pseudo-terminal.
    Pty,
    /// A listening Unix socket.
    Socket {
        /// Where it is.
        path: Text,
    },
}

impl Channel {
    pub(crate) fn parse(spec: &str) -> Result<Self, SpecError> {
        let (mut name, mut path, mut backend, mut connection) = (None, None, None, None::<Text>);
        for param in params(spec) {
            let unknown = || param.unknown("channel", &["backend", "connection", "name", "path"]);
            let (key, mut value) = param.key_value().ok_or_else(unknown)?;
            value.text = value.text.trim_end();
            match key.trim_end() {
                "name" => value.set(&mut name, key)?,
                "path" => value.set(&mut path, key)?,
                "backend" => value.set(&mut backend, key)?,
                "connection" if matches!(value.text, "pty" | "socket") => value.set(&mut connection, key)?,
                "connection" => return Err(value.error("connection is pty or socket")),
                _ => return Err(unknown()),
            }
        }
        let lacks = |name| move || missing(spec, "channel", name);
        let connection = match connection.ok_or_else(lacks("connection"))?.as_str() {
            "socket" => Connection::Socket { path: path.ok_or_else(lacks("path for its socket"))? },
            _ => Connection::Pty,
        };
        Ok(Self { name: name.ok_or_else(lacks("name"))?, connection, backend })
    }

    /// What a channel must also be.
    pub(crate) fn check(&self) -> Result<(), BadValue> {
        match &self.connection {
            Connection::Socket { path } if !path.starts_with('/') => {
                Err(BadValue::new(format!("the path of socket `{path}` does not begin with /")))
            }
            _ => Ok(()),
        }
    }
}
