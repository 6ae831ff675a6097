//! The texts that settings come from, and places in them.
use crate::report::{Diagnostic, Position, Report, Severity};

/// Longest part of a line that a message shows, in characters.
const SHOWN: usize = 100;

/// A piece of one of a document's texts.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Which text.
    pub(crate) source: usize,
    /// First byte.
    pub(crate) start: usize,
    /// Byte behind the last.
    pub(crate) end: usize,
}

/// A text with the name that messages call it by.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Source {
    /// The text of `bytes`, or an error that points to the first byte that is not UTF-8.
    pub(crate) fn decode(name: &str, bytes: &[u8]) -> Result<Self, Report> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Self { name: name.to_owned(), text: text.to_owned() }),
            Err(error) => {
                let at = error.valid_up_to();
                let byte = bytes.get(at).copied().unwrap_or_default();
                // Up to the bad byte, this is the same text.
                let shown = Self { name: name.to_owned(), text: String::from_utf8_lossy(bytes).into_owned() };
                let message = format!("byte {byte:#04x} is not UTF-8 text");
                let error = shown.diagnostic(Severity::Error, at, at, message);
                Err(Report(vec![error.with_help("save the file as UTF-8, or replace the character")]))
            }
        }
    }

    /// A message about the bytes from `start` to `end`.
    pub(crate) fn diagnostic(
        &self,
        severity: Severity,
        start: usize,
        end: usize,
        message: String,
    ) -> Diagnostic {
        let before = self.text.get(..start).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = self.text.get(line_start..).and_then(|rest| rest.split('\n').next()).unwrap_or("");
        let column = before.get(line_start..).unwrap_or("").chars().count();
        let marked = self.text.get(start..end).unwrap_or("").split('\n').next().unwrap_or("");
        Diagnostic {
            severity,
            source: self.name.clone(),
            position: Some(Position { line: before.matches('\n').count() + 1, column: column + 1 }),
            message,
            excerpt: Some(excerpt(line, column, marked.chars().count().max(1))),
            help: None,
        }
    }
}

/// The line and below it a caret, without what would upset a terminal.
fn excerpt(line: &str, column: usize, width: usize) -> String {
    let skip = if column < SHOWN * 3 / 4 { 0 } else { column - SHOWN / 2 };
    let shown: String = line
        .chars()
        .skip(skip)
        .take(SHOWN)
        .map(|c| if c == '\t' { ' ' } else { c })
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    let column = column - skip;
    let width = width.min(SHOWN.saturating_sub(column).max(1));
    format!("{}\n{}{}", shown.trim_end(), " ".repeat(column), "^".repeat(width))
}
