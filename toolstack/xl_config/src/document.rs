//! Settings as they are written, without their meaning.
use std::fmt;

use crate::parser;
use crate::report::{Diagnostic, Report, Severity};
use crate::source::{Source, Span};

/// What messages call the command line.
pub(crate) const COMMAND_LINE: &str = "command line";

/// A string or a number: xl tells them apart only when it needs a number. Equal when the text is.
#[derive(Clone, Debug)]
pub struct Atom {
    pub(crate) text: String,
    pub(crate) span: Span,
    /// Where the text stands letter by letter, for errors in the middle of it; `None` when it has escapes or was
    /// put together by `+=`.
    pub(crate) letters: Option<Span>,
}

/// `[ ... ]`. Equal when the items are.
#[derive(Clone, Debug)]
pub struct List {
    pub(crate) items: Vec<Value>,
    pub(crate) span: Span,
}

/// What a key is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A string or number.
    Atom(Atom),
    /// A list.
    List(List),
}

/// A key with its value. Equal when both are.
#[derive(Clone, Debug)]
pub struct Setting {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) value: Value,
    /// By `+=`, which numbers do not allow.
    pub(crate) added: bool,
}

/// The settings of a file and of the command line, each key once.
#[derive(Clone, Debug)]
pub struct Document {
    pub(crate) sources: Vec<Source>,
    pub(crate) settings: Vec<Setting>,
    pub(crate) warnings: Vec<Diagnostic>,
}

impl Document {
    /// Reads a file's bytes; messages call it `name`.
    ///
    /// A key that is set again has its last value, as in xl, and a warning says so. A statement with an error is
    /// skipped, so that the report has the errors of all.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, Report> {
        let source = Source::decode(name, bytes)?;
        let mut document = Self { sources: Vec::new(), settings: Vec::new(), warnings: Vec::new() };
        parser::parse(&mut document, source, true)?;
        Ok(document)
    }

    /// Reads `key=value` of the command line, which replaces (or with `+=` adds to) what the file says.
    pub fn add_override(&mut self, text: &str) -> Result<(), Report> {
        let source = Source { name: COMMAND_LINE.to_owned(), text: text.to_owned() };
        parser::parse(self, source, false)
    }

    /// The settings, in the order in which their keys first came.
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// The setting of `key`.
    pub fn get(&self, key: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }

    /// A message about `span`.
    pub(crate) fn diagnostic(&self, severity: Severity, span: Span, message: String) -> Diagnostic {
        match self.sources.get(span.source) {
            Some(source) => source.diagnostic(severity, span.start, span.end, message),
            None => self.about_the_whole(severity, message),
        }
    }

    /// A message about something that is not there.
    pub(crate) fn about_the_whole(&self, severity: Severity, message: String) -> Diagnostic {
        let source = self.sources.first().map(|source| source.name.clone()).unwrap_or_default();
        Diagnostic { severity, source, position: None, message, excerpt: None, help: None }
    }
}

impl Setting {
    /// The key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The value.
    pub fn value(&self) -> &Value {
        &self.value
    }
}

impl Value {
    /// Where it stands.
    pub(crate) fn span(&self) -> Span {
        match self {
            Self::Atom(atom) => atom.span,
            Self::List(list) => list.span,
        }
    }
}

impl Atom {
    /// The text, without quotes and escapes.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where bytes `start..end` of the text stand, or else all of it.
    pub(crate) fn part(&self, start: usize, end: usize) -> Span {
        match self.letters {
            Some(Span { source, start: base, end: last }) => Span {
                source,
                start: base.saturating_add(start).min(last),
                end: base.saturating_add(end).min(last),
            },
            None => self.span,
        }
    }
}

impl List {
    /// The items.
    pub fn items(&self) -> &[Value] {
        &self.items
    }
}

impl PartialEq for Atom {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
impl Eq for Atom {}

impl PartialEq for List {
    fn eq(&self, other: &Self) -> bool {
        self.items == other.items
    }
}
impl Eq for List {}

impl PartialEq for Setting {
    fn eq(&self, other: &Self) -> bool {
        (&self.key, &self.value) == (&other.key, &other.value)
    }
}
impl Eq for Setting {}

/// As xl.cfg text, one setting a line.
impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.iter().try_for_each(|setting| writeln!(f, "{} = {}", setting.key, setting.value))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Atom(atom) => atom.fmt(f),
            Self::List(list) => {
                f.write_str("[ ")?;
                list.items.iter().try_for_each(|item| write!(f, "{item}, "))?;
                f.write_str("]")
            }
        }
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.text.is_empty() && self.text.bytes().all(|byte| byte.is_ascii_digit()) {
            return f.write_str(&self.text);
        }
        f.write_str("\"")?;
        for c in self.text.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c if c.is_ascii_control() => write!(f, "\\x{:02x}", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}
