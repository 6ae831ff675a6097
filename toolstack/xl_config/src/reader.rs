//! Takes the values of keys out of a document, and gathers what is wrong with them.
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::devices::SpecError;
use crate::document::{Atom, Document, List, Value};
use crate::keys::{Support, nearest_key, support};
use crate::report::{Diagnostic, Severity};
use crate::source::Span;
use crate::types::{c_integer, in_range};

/// Reads a document once.
pub(crate) struct Reader<'a> {
    document: &'a Document,
    pub(crate) errors: Vec<Diagnostic>,
    pub(crate) warnings: Vec<Diagnostic>,
    /// Keys that were asked for.
    #[cfg(test)]
    pub(crate) asked: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    /// Looks first whether every key is one that is built.
    pub(crate) fn new(document: &'a Document) -> Self {
        let mut reader = Self {
            document,
            errors: Vec::new(),
            warnings: document.warnings.clone(),
            #[cfg(test)]
            asked: Vec::new(),
        };
        for setting in &document.settings {
            let key = &setting.key;
            let needs = match support(key) {
                Some(Support::Built) => continue,
                Some(Support::Ignored(why)) => {
                    reader.warn(setting.key_span, format!("{key} has no effect: {why}"));
                    continue;
                }
                Some(Support::RefusedUnlessOff(_)) if is_off(&setting.value) => continue,
                Some(Support::RefusedUnlessOn(_)) if is_number(&setting.value, |number| number != 0) => {
                    continue;
                }
                Some(
                    Support::Refused(needs)
                    | Support::RefusedUnlessOff(needs)
                    | Support::RefusedUnlessOn(needs),
                ) => needs,
                None => {
                    let meant = nearest_key(key).map(|name| format!("; is `{name}` meant?"));
                    let message = format!("{key} is no key of xl.cfg{}", meant.unwrap_or_default());
                    reader.error(setting.key_span, message);
                    continue;
                }
            };
            reader.error(setting.key_span, format!("{key} is not built: it needs {needs}"));
        }
        reader
    }

    pub(crate) fn error(&mut self, span: Span, message: String) {
        self.errors.push(self.document.diagnostic(Severity::Error, span, message));
    }

    pub(crate) fn warn(&mut self, span: Span, message: String) {
        self.warnings.push(self.document.diagnostic(Severity::Warning, span, message));
    }

    /// An error about the value of `key`, or about the file when it is not set.
    pub(crate) fn error_about(&mut self, key: &str, message: String) {
        match self.document.get(key) {
            Some(setting) => self.error(setting.value.span(), message),
            None => self.errors.push(self.document.about_the_whole(Severity::Error, message)),
        }
    }

    /// An error when `key` is not set.
    pub(crate) fn require(&mut self, key: &str, message: &str) {
        if self.document.get(key).is_none() {
            self.error_about(key, message.to_owned());
        }
    }

    fn value(&mut self, key: &'static str) -> Option<&'a Value> {
        debug_assert_eq!(support(key), Some(Support::Built));
        #[cfg(test)]
        self.asked.push(key);
        self.document.get(key).map(|setting| &setting.value)
    }

    /// The string or number that `key` is set to.
    pub(crate) fn atom(&mut self, key: &'static str) -> Option<&'a Atom> {
        match self.value(key)? {
            Value::Atom(atom) => Some(atom),
            Value::List(list) => {
                self.error(list.span, format!("{key} is a single value, not a list"));
                None
            }
        }
    }

    pub(crate) fn parse<T: FromStr<Err: Display>>(&mut self, key: &'static str) -> Option<T> {
        let atom = self.atom(key)?;
        self.parse_atom(key, atom)
    }

    fn parse_atom<T: FromStr<Err: Display>>(&mut self, key: &str, atom: &Atom) -> Option<T> {
        match atom.text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.error(atom.span, format!("{key}: {error}"));
                None
            }
        }
    }

    /// The atom of a number, which cannot be put together.
    fn number_atom(&mut self, key: &'static str) -> Option<&'a Atom> {
        let atom = self.atom(key)?;
        if self.document.get(key).is_some_and(|setting| setting.added) {
            self.error(atom.span, format!("{key} is a number, which += cannot add to"));
            return None;
        }
        Some(atom)
    }

    /// A `T` that is written as a number.
    pub(crate) fn parse_number<T: FromStr<Err: Display>>(&mut self, key: &'static str) -> Option<T> {
        let atom = self.number_atom(key)?;
        self.parse_atom(key, atom)
    }

    /// An integer in `range`, which must be within `T`'s.
    pub(crate) fn integer<T: TryFrom<i64>>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<i64>,
    ) -> Option<T> {
        let atom = self.number_atom(key)?;
        match in_range(&atom.text, range) {
            Ok(number) => T::try_from(number).ok(),
            Err(error) => {
                self.error(atom.span, format!("{key}: {error}"));
                None
            }
        }
    }

    /// A boolean: 0, or any other number.
    pub(crate) fn flag(&mut self, key: &'static str) -> Option<bool> {
        self.integer::<i64>(key, i64::MIN..=i64::MAX).map(|number| number != 0)
    }

    /// A list's items, which are all strings or numbers.
    fn list_atoms(&mut self, key: &str, list: &'a List) -> Vec<&'a Atom> {
        let mut atoms = Vec::new();
        for item in &list.items {
            match item {
                Value::Atom(atom) => atoms.push(atom),
                Value::List(inner) => {
                    self.error(inner.span, format!("{key} is a list of strings, not of lists"));
                }
            }
        }
        atoms
    }

    /// The items that `key` is set to.
    pub(crate) fn atoms(&mut self, key: &'static str) -> Option<Items<'a>> {
        match self.value(key)? {
            Value::Atom(atom) => Some(Items::Single(atom)),
            Value::List(list) => Some(Items::List(self.list_atoms(key, list))),
        }
    }

    pub(crate) fn parse_atoms<T: FromStr<Err: Display>>(&mut self, key: &str, atoms: &[&Atom]) -> Vec<T> {
        atoms.iter().filter_map(|atom| self.parse_atom(key, atom)).collect()
    }

    /// Devices, each from a text of its own; an empty list when `key` is not set.
    pub(crate) fn devices<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, SpecError>,
    ) -> Vec<T> {
        let atoms = match self.atoms(key) {
            None => return Vec::new(),
            Some(Items::List(atoms)) => atoms,
            Some(Items::Single(atom)) => {
                self.error(atom.span, format!("{key} is a list; put the value in [ ]"));
                return Vec::new();
            }
        };
        let mut devices = Vec::new();
        for atom in atoms {
            match parse(&atom.text) {
                Ok(device) => devices.push(device),
                Err(SpecError { at, message }) => {
                    self.error(atom.part(at.start, at.end), format!("{key}: {message}"));
                }
            }
        }
        devices
    }
}

/// What a key that takes one or several values is set to.
pub(crate) enum Items<'a> {
    /// One, without brackets.
    Single(&'a Atom),
    /// Those in brackets.
    List(Vec<&'a Atom>),
}

/// 0, "" or [].
fn is_off(value: &Value) -> bool {
    match value {
        Value::List(list) => list.items.is_empty(),
        Value::Atom(atom) => atom.text.is_empty() || is_number(value, |number| number == 0),
    }
}

fn is_number(value: &Value, accept: impl Fn(i64) -> bool) -> bool {
    matches!(value, Value::Atom(atom) if c_integer(&atom.text).is_ok_and(accept))
}
