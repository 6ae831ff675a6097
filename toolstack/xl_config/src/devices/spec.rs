//! Parameters between commas, with their places.
use std::fmt::Display;
use std::ops::Range;
use std::str::FromStr;

use crate::keys::nearest;
use crate::types::BadValue;

/// What is wrong with a device's text, and with which bytes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SpecError {
    pub(crate) at: Range<usize>,
    pub(crate) message: String,
}

impl SpecError {
    /// The error in `spec` where there is no file to point into.
    pub(crate) fn in_spec(self, spec: &str) -> BadValue {
        match spec.get(self.at) {
            Some(part) if !part.is_empty() && part != spec => {
                BadValue::new(format!("{} (at `{}`)", self.message, part.escape_debug()))
            }
            _ => BadValue::new(self.message),
        }
    }
}

/// One parameter: its bytes, without white space before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Param<'a> {
    pub(crate) text: &'a str,
    pub(crate) at: usize,
}

/// The parameters of `spec`; nothing between two commas is none.
pub(crate) fn params(spec: &str) -> impl Iterator<Item = Param<'_>> {
    let mut at = 0;
    spec.split(',').filter_map(move |part| {
        let start = at;
        at += part.len() + 1;
        let text = part.trim_start();
        (!text.is_empty()).then_some(Param { text, at: start + part.len() - text.len() })
    })
}

impl<'a> Param<'a> {
    pub(crate) fn error(&self, message: impl Into<String>) -> SpecError {
        SpecError { at: self.at..self.at + self.text.len(), message: message.into() }
    }

    /// Name and value of `name=value`.
    pub(crate) fn key_value(&self) -> Option<(&'a str, Param<'a>)> {
        let (key, text) = self.text.split_once('=')?;
        Some((key, Param { text, at: self.at + key.len() + 1 }))
    }

    /// The value as a `T`.
    pub(crate) fn parse<T: FromStr<Err: Display>>(&self) -> Result<T, SpecError> {
        self.text.parse().map_err(|error: T::Err| self.error(error.to_string()))
    }

    /// Stores the value as parameter `name`, which must not have one.
    pub(crate) fn set<T: FromStr<Err: Display>>(
        &self,
        slot: &mut Option<T>,
        name: &str,
    ) -> Result<(), SpecError> {
        if slot.is_some() {
            return Err(self.error(format!("{name} is given twice")));
        }
        *slot = Some(self.parse()?);
        Ok(())
    }

    /// The error for a parameter that none of `known` is.
    pub(crate) fn unknown(&self, device: &str, known: &[&'static str]) -> SpecError {
        let key = self.text.split('=').next().unwrap_or(self.text).trim_end();
        let meant = match nearest(key, known.iter().copied()) {
            Some(name) => format!("; is `{name}` meant?"),
            None => String::new(),
        };
        self.error(format!("a {device} has no parameter `{}`{meant}", key.escape_debug()))
    }
}

/// The error for a text that lacks parameter `name`.
pub(crate) fn missing(spec: &str, device: &str, name: &str) -> SpecError {
    SpecError { at: 0..spec.len(), message: format!("the {device} has no {name}") }
}
