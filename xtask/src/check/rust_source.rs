//! Splits Rust source into code and comments, line by line, and leaves tests out.
//!
//! Not a parser: it knows comments, string and character literals, and matching braces, which is enough to count
//! lines and keywords.

use std::mem;

/// One line of a source file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    /// The code, with the content of literals left out.
    pub code: String,
    /// The text of comments.
    pub comment: String,
}

enum State {
    Code,
    LineComment,
    BlockComment {
        depth: u32,
    },
    /// A string; `Some` with its number of `#` when raw.
    Text {
        raw: Option<usize>,
    },
}

/// Splits a whole file.
pub fn lines(text: &str) -> Vec<Line> {
    let chars: Vec<char> = text.chars().collect();
    let mut lines = Vec::new();
    let mut line = Line::default();
    let mut state = State::Code;
    let mut at = 0;
    while let Some(&char) = chars.get(at) {
        let next = chars.get(at + 1).copied().unwrap_or('\0');
        let mut step = 1;
        if char == '\n' {
            lines.push(mem::take(&mut line));
            if matches!(state, State::LineComment) {
                state = State::Code;
            }
            at += 1;
            continue;
        }
        match &mut state {
            State::Code => match (char, next) {
                ('/', '/') => state = State::LineComment,
                ('/', '*') => {
                    state = State::BlockComment { depth: 1 };
                    step = 2;
                }
                ('"', _) => state = State::Text { raw: None },
                ('r', '"' | '#')
                    if !ends_in_word(&line.code) && raw_string_hashes(&chars[at + 1..]).is_some() =>
                {
                    let hashes = raw_string_hashes(&chars[at + 1..]).unwrap_or(0);
                    state = State::Text { raw: Some(hashes) };
                    step = hashes + 2;
                }
                ('\'', _) => step = character_literal(&chars[at..]).unwrap_or(1),
                _ => line.code.push(char),
            },
            State::LineComment => line.comment.push(char),
            State::BlockComment { depth } => match (char, next) {
                ('*', '/') => {
                    *depth -= 1;
                    step = 2;
                    if *depth == 0 {
                        state = State::Code;
                    }
                }
                ('/', '*') => {
                    *depth += 1;
                    step = 2;
                }
                _ => line.comment.push(char),
            },
            State::Text { raw: None } => match char {
                // An escaped line break must still end the line.
                '\\' if next != '\n' => step = 2,
                '"' => state = State::Code,
                _ => {}
            },
            State::Text { raw: Some(hashes) } => {
                let closing = &chars[at + 1..];
                let hashes = *hashes;
                if char == '"' && closing.len() >= hashes && closing[..hashes].iter().all(|c| *c == '#') {
                    state = State::Code;
                    step = hashes + 1;
                }
            }
        }
        at += step;
    }
    if line != Line::default() {
        lines.push(line);
    }
    lines
}

/// Blanks the items marked `#[cfg(test)]`. Hands back the names of test modules that lie in files of their own.
pub fn without_tests(lines: &mut [Line]) -> Vec<String> {
    let mut files = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        if !lines[at].code.contains("#[cfg(test)]") {
            at += 1;
            continue;
        }
        let mut depth = 0i32;
        let mut opened = false;
        while at < lines.len() {
            let code = mem::take(&mut lines[at]).code;
            depth += code.chars().map(|c| i32::from(c == '{') - i32::from(c == '}')).sum::<i32>();
            opened |= code.contains('{');
            let declared = code.trim().trim_start_matches("pub ").strip_prefix("mod ");
            if let (false, Some(name)) = (opened, declared.and_then(|rest| rest.strip_suffix(';'))) {
                files.push(name.trim().to_owned());
            }
            at += 1;
            let ended_without_body = !opened && code.trim_end().ends_with(';');
            if (opened && depth <= 0) || ended_without_body {
                break;
            }
        }
    }
    files
}

fn ends_in_word(code: &str) -> bool {
    // `br"..."` is a raw string too; any other word that ends in r is not.
    let before = code.strip_suffix('b').unwrap_or(code);
    before.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// The number of `#` between an `r` and its quote.
fn raw_string_hashes(after: &[char]) -> Option<usize> {
    let hashes = after.iter().take_while(|c| **c == '#').count();
    (after.get(hashes) == Some(&'"')).then_some(hashes)
}

/// The length of a character literal, or nothing for a lifetime.
fn character_literal(from: &[char]) -> Option<usize> {
    if from.get(1) == Some(&'\\') {
        let end = from.iter().skip(3).position(|c| *c == '\'')?;
        return Some(end + 4);
    }
    (from.get(2) == Some(&'\'')).then_some(3)
}

#[cfg(test)]
mod tests {
    use super::{lines, without_tests};

    fn code(text: &str) -> Vec<String> {
        lines(text).into_iter().map(|line| line.code.trim().to_owned()).collect()
    }

    #[test]
    fn comments_and_strings_are_not_code() {
        assert_eq!(
            code("a // unsafe\n/* unsafe\n/* b */ unsafe */ c \"unsafe \\\" // \" d"),
            ["a", "", "c  d"]
        );
    }

    #[test]
    fn raw_strings_end_at_their_own_mark() {
        assert_eq!(code("x(r#\"un\"safe\"#, br\"y\") z"), ["x(, b) z"]);
        assert_eq!(code("for\"a\" b"), ["for b"]);
    }

    #[test]
    fn quote_in_a_character_is_no_string_and_lifetimes_are_code() {
        assert_eq!(code("f::<'a>('\"', '\\'', '\\u{1f}') end"), ["f::<a>(, , ) end"]);
    }

    #[test]
    fn comment_text_is_kept() {
        assert_eq!(lines("x // SAFETY: y")[0].comment.trim(), "/ SAFETY: y");
    }

    #[test]
    fn test_modules_are_left_out() {
        let mut all = lines("fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() { unsafe {} }\n}\nfn c() {}\n");
        assert!(without_tests(&mut all).is_empty());
        let left: Vec<_> =
            all.iter().map(|line| line.code.as_str()).filter(|code| !code.is_empty()).collect();
        assert_eq!(left, ["fn a() {}", "fn c() {}"]);
    }

    #[test]
    fn test_files_are_named() {
        let mut all = lines("#[cfg(test)]\nmod vectors;\nfn c() {}\n");
        assert_eq!(without_tests(&mut all), ["vectors"]);
        assert_eq!(all[2].code, "fn c() {}");
    }
}
