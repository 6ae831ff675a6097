//! Words of xl.cfg (`libxlu_cfg_l.l` in Xen has the same).

/// A word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A key: `[a-z][._0-9a-z]*`.
    Key(String),
    /// A number as it is written: `[0-9][0-9a-fx]*`.
    Number(String),
    /// A quoted string.
    Str {
        /// What it means.
        text: String,
        /// It is written as it means, between the quotes.
        plain: bool,
    },
    Comma,
    Open,
    Close,
    Equals,
    PlusEquals,
    Semicolon,
    Newline,
    End,
}

impl Token {
    /// For messages.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Key(key) => format!("`{key}`"),
            Self::Number(number) => format!("number {number}"),
            Self::Str { .. } => "a string".to_owned(),
            Self::Comma => "`,`".to_owned(),
            Self::Open => "`[`".to_owned(),
            Self::Close => "`]`".to_owned(),
            Self::Equals => "`=`".to_owned(),
            Self::PlusEquals => "`+=`".to_owned(),
            Self::Semicolon => "`;`".to_owned(),
            Self::Newline => "end of line".to_owned(),
            Self::End => "end of file".to_owned(),
        }
    }
}

/// A word that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LexError {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) message: String,
    pub(crate) help: Option<&'static str>,
}

/// Takes a text apart.
pub(crate) struct Lexer<'a> {
    text: &'a str,
    pos: usize,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, pos: 0 }
    }

    /// Where the next word is looked for.
    pub(crate) fn pos(&self) -> usize {
        self.pos
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.pos..).unwrap_or("")
    }

    fn take_while(&mut self, mut accept: impl FnMut(char) -> bool) -> &'a str {
        let rest = self.rest();
        let len = rest.find(|c| !accept(c)).unwrap_or(rest.len());
        self.pos += len;
        rest.get(..len).unwrap_or("")
    }

    /// Goes on at the end of the line.
    pub(crate) fn skip_line(&mut self) {
        self.take_while(|c| c != '\n');
    }

    /// The next word and its bytes.
    pub(crate) fn next(&mut self) -> Result<(Token, usize, usize), LexError> {
        self.take_while(|c| c == ' ' || c == '\t');
        if self.rest().starts_with('#') {
            self.skip_line();
        }
        let start = self.pos;
        let Some(first) = self.rest().chars().next() else {
            return Ok((Token::End, start, start));
        };
        let token = match first {
            'a'..='z' => {
                Token::Key(self.take_while(|c| matches!(c, 'a'..='z' | '0'..='9' | '.' | '_')).to_owned())
            }
            '0'..='9' => {
                Token::Number(self.take_while(|c| matches!(c, '0'..='9' | 'a'..='f' | 'x')).to_owned())
            }
            '"' | '\'' => self.string(first)?,
            '+' if self.rest().starts_with("+=") => {
                self.pos += 2;
                Token::PlusEquals
            }
            _ => {
                self.pos += first.len_utf8();
                match first {
                    ',' => Token::Comma,
                    '[' => Token::Open,
                    ']' => Token::Close,
                    '=' => Token::Equals,
                    ';' => Token::Semicolon,
                    '\n' => Token::Newline,
                    _ => return Err(unexpected(first, start, self.pos)),
                }
            }
        };
        Ok((token, start, self.pos))
    }

    /// A string, from its quote on.
    fn string(&mut self, quote: char) -> Result<Token, LexError> {
        let start = self.pos;
        self.pos += quote.len_utf8();
        let (mut text, mut plain) = (String::new(), true);
        loop {
            let Some(c) = self.rest().chars().next().filter(|c| *c != '\n') else {
                return Err(LexError {
                    start,
                    end: self.pos,
                    message: format!("the string has no closing {quote}"),
                    help: Some("a string ends on the line that it begins on"),
                });
            };
            let at = self.pos;
            self.pos += c.len_utf8();
            match c {
                '\\' => {
                    plain = false;
                    text.push(self.escape(at)?);
                }
                '\0' => return Err(unexpected(c, at, self.pos)),
                c if c == quote => return Ok(Token::Str { text, plain }),
                c => text.push(c),
            }
        }
    }

    /// The character of an escape whose backslash is at `start`.
    fn escape(&mut self, start: usize) -> Result<char, LexError> {
        let bad = |end, message: &str| LexError {
            start,
            end,
            message: message.to_owned(),
            help: Some("a backslash itself is written \\\\"),
        };
        let Some(c) = self.rest().chars().next() else {
            return Err(bad(self.pos, "the backslash has nothing behind it"));
        };
        let before = self.pos;
        self.pos += c.len_utf8();
        let (digits, radix, least) = match c {
            '"' | '\'' | '\\' => return Ok(c),
            'a' => return Ok('\x07'),
            'b' => return Ok('\x08'),
            'f' => return Ok('\x0c'),
            'n' => return Ok('\n'),
            'r' => return Ok('\r'),
            't' => return Ok('\t'),
            'v' => return Ok('\x0b'),
            'x' => (self.digits(16, 2), 16, 2),
            '0'..='7' => {
                self.pos = before;
                (self.digits(8, 3), 8, 1)
            }
            _ => return Err(bad(self.pos, "no such escape in a string")),
        };
        // Escapes name bytes; above 0x7f these would be no UTF-8.
        match u8::from_str_radix(digits, radix) {
            Ok(byte @ 1..=0x7f) if digits.len() >= least => Ok(char::from(byte)),
            _ => Err(bad(self.pos, "the escape names no ASCII character")),
        }
    }

    fn digits(&mut self, radix: u32, most: usize) -> &'a str {
        let mut left = most;
        self.take_while(|c| {
            let more = left > 0 && c.is_digit(radix);
            left = left.saturating_sub(1);
            more
        })
    }
}

fn unexpected(c: char, start: usize, end: usize) -> LexError {
    let help = match c {
        '\r' => Some("the file has Windows line ends; convert it to Unix line ends"),
        'A'..='Z' => Some("keys and hexadecimal digits are in lower case, strings in quotes"),
        '+' | '-' | '.' | '(' | ')' | ':' | '{' | '}' | '%' => {
            Some("settings are no longer Python; write key = value, strings in quotes")
        }
        '\u{2018}'..='\u{201f}' => Some("quotes are ' or \""),
        _ => None,
    };
    let shown = if c.is_control() { format!("character {:#04x}", u32::from(c)) } else { format!("`{c}`") };
    LexError { start, end, message: format!("{shown} does not belong here"), help }
}
