//! The grammar of xl.cfg (`libxlu_cfg_y.y` in Xen has the same): statements end with a line or `;`, lists may go
//! over lines and end with a comma.
use crate::document::{Atom, Document, List, Setting, Value};
use crate::lexer::{LexError, Lexer, Token};
use crate::report::{Diagnostic, Report, Severity};
use crate::source::{Source, Span};

/// Largest file in bytes.
pub const MAX_CONFIG_BYTES: usize = 1 << 20;
/// Deepest nesting of lists.
pub const MAX_DEPTH: usize = 16;
/// After so many errors, more would not help.
const MAX_ERRORS: usize = 20;

/// Adds what `source` says to `document`; `warn` of keys that are set twice.
pub(crate) fn parse(document: &mut Document, source: Source, warn: bool) -> Result<(), Report> {
    let text = source.text.clone();
    let mut parser = Parser { lexer: Lexer::new(&text), ahead: None, source: document.sources.len() };
    document.sources.push(source);
    let mut errors = Vec::new();
    if text.len() > MAX_CONFIG_BYTES {
        errors.push(document.about_the_whole(
            Severity::Error,
            format!("the file has {} bytes; a configuration has at most {MAX_CONFIG_BYTES}", text.len()),
        ));
        return Err(Report(errors));
    }
    while errors.len() < MAX_ERRORS {
        let stored = match parser.statement() {
            Ok(Some(setting)) => store(document, setting, warn),
            Ok(None) => break,
            Err(fault) => {
                parser.recover();
                Err(fault)
            }
        };
        if let Err(fault) = stored {
            errors.push(fault.diagnostic(document));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(Report(errors)) }
}

/// What is wrong with a statement.
struct Fault {
    span: Span,
    message: String,
    help: Option<&'static str>,
}

impl Fault {
    fn diagnostic(self, document: &Document) -> Diagnostic {
        let diagnostic = document.diagnostic(Severity::Error, self.span, self.message);
        match self.help {
            Some(help) => diagnostic.with_help(help),
            None => diagnostic,
        }
    }
}

/// Sets or adds to a key.
fn store(document: &mut Document, new: Setting, warn: bool) -> Result<(), Fault> {
    let Some(at) = document.settings.iter().position(|old| old.key == new.key) else {
        document.settings.push(new);
        return Ok(());
    };
    if new.added {
        let Some(old) = document.settings.get_mut(at) else { return Ok(()) };
        match (&mut old.value, new.value) {
            (Value::Atom(old), Value::Atom(new)) => {
                old.text.push_str(&new.text);
                (old.span, old.letters) = (new.span, None);
            }
            (Value::List(old), Value::List(new)) => {
                old.items.extend(new.items);
                old.span = new.span;
            }
            (_, value) => {
                return Err(Fault {
                    span: value.span(),
                    message: format!("{} is a list and a string", new.key),
                    help: Some("+= adds a list to a list, or a string to a string"),
                });
            }
        }
        old.added = true;
        return Ok(());
    }
    if warn {
        let message = format!("{} is set again; this value counts, the earlier one does not", new.key);
        let warning = document.diagnostic(Severity::Warning, new.key_span, message);
        document.warnings.push(warning);
    }
    if let Some(old) = document.settings.get_mut(at) {
        *old = new;
    }
    Ok(())
}

type Word = (Token, Span);

struct Parser<'a> {
    lexer: Lexer<'a>,
    ahead: Option<Word>,
    source: usize,
}

impl Parser<'_> {
    fn span(&self, start: usize, end: usize) -> Span {
        Span { source: self.source, start, end }
    }

    fn next(&mut self) -> Result<Word, Fault> {
        if let Some(word) = self.ahead.take() {
            return Ok(word);
        }
        match self.lexer.next() {
            Ok((token, start, end)) => Ok((token, self.span(start, end))),
            Err(LexError { start, end, message, help }) => {
                Err(Fault { span: self.span(start, end), message, help })
            }
        }
    }

    fn peek(&mut self) -> Result<&Token, Fault> {
        let word = self.next()?;
        Ok(&self.ahead.insert(word).0)
    }

    /// Goes on behind the line of the error.
    fn recover(&mut self) {
        if !matches!(self.ahead.take(), Some((Token::Newline, _))) {
            self.lexer.skip_line();
        }
    }

    /// The next setting; `None` at the end.
    fn statement(&mut self) -> Result<Option<Setting>, Fault> {
        let (key, key_span) = loop {
            match self.next()? {
                (Token::Newline | Token::Semicolon, _) => {}
                (Token::End, _) => return Ok(None),
                (Token::Key(key), span) => break (key, span),
                word => return Err(self.unexpected(word, "a key")),
            }
        };
        let added = match self.next()? {
            (Token::Equals, _) => false,
            (Token::PlusEquals, _) => true,
            word => return Err(self.unexpected(word, "`=`")),
        };
        let value = self.value(0)?;
        match self.next()? {
            (Token::Newline | Token::Semicolon, _) => {}
            word @ (Token::End, _) => self.ahead = Some(word),
            word => return Err(self.unexpected(word, "the end of the line")),
        }
        Ok(Some(Setting { key, key_span, value, added }))
    }

    fn value(&mut self, depth: usize) -> Result<Value, Fault> {
        let (token, span) = self.next()?;
        Ok(match token {
            Token::Number(text) => Value::Atom(Atom { text, span, letters: Some(span) }),
            Token::Str { text, plain } => {
                let inner = Span { start: span.start + 1, end: span.end.saturating_sub(1), ..span };
                Value::Atom(Atom { text, span, letters: plain.then_some(inner) })
            }
            Token::Open if depth == MAX_DEPTH => {
                return Err(Fault { span, message: "lists are nested too deeply".to_owned(), help: None });
            }
            Token::Open => Value::List(self.list(span, depth + 1)?),
            Token::Key(_) => {
                return Err(Fault {
                    span,
                    message: "the value is neither a string, a number nor a list".to_owned(),
                    help: Some("put strings in quotes; booleans are 0 and 1"),
                });
            }
            token => return Err(self.unexpected((token, span), "a value")),
        })
    }

    /// The rest of a list whose bracket is at `open`.
    fn list(&mut self, open: Span, depth: usize) -> Result<List, Fault> {
        let mut items = Vec::new();
        loop {
            self.newlines()?;
            if *self.peek()? == Token::Close {
                break;
            }
            self.not_the_end(open)?;
            items.push(self.value(depth)?);
            self.newlines()?;
            match self.next()? {
                (Token::Comma, _) => {}
                word @ (Token::Close, _) => self.ahead = Some(word),
                word @ (Token::End, _) => {
                    self.ahead = Some(word);
                    self.not_the_end(open)?;
                }
                word => return Err(self.unexpected(word, "`,` or `]`")),
            }
        }
        let (_, close) = self.next()?;
        Ok(List { items, span: Span { end: close.end, ..open } })
    }

    fn newlines(&mut self) -> Result<(), Fault> {
        while *self.peek()? == Token::Newline {
            self.ahead = None;
        }
        Ok(())
    }

    /// The bracket is the place to show when the file ends in its list.
    fn not_the_end(&mut self, open: Span) -> Result<(), Fault> {
        if *self.peek()? != Token::End {
            return Ok(());
        }
        Err(Fault { span: open, message: "the list has no closing `]`".to_owned(), help: None })
    }

    fn unexpected(&mut self, word: Word, wanted: &str) -> Fault {
        let (token, span) = word;
        let message = format!("expected {wanted}, found {}", token.describe());
        // The line's end is still to be found by `recover`.
        if token == Token::Newline {
            self.ahead = Some((token, span));
        }
        debug_assert!(span.end <= self.lexer.pos());
        Fault { span, message, help: None }
    }
}
