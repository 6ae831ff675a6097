//! `xenstore ls`: the tree as text.

use crate::escape::escape;
use anyhow::{Context as _, Result};
use std::fmt::Write as _;
use std::io::Write;
use xenstore_client::{Client, Operations};

/// How the tree is shown.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Columns of the terminal that may be used; without end in the flat form.
    pub width: usize,
    /// Whole paths instead of indented names.
    pub flat: bool,
    /// Permissions behind each node.
    pub permissions: bool,
}

/// What a shortened value ends with: ` = "..."`.
const TAG_LENGTH: usize = 8;
/// Column at which permissions begin if there is room.
const PERMISSIONS_COLUMN: usize = 60;

/// Shows all below `path`.
///
/// # Errors
/// When `path` cannot be listed or the output cannot be written. Nodes that go meanwhile are left out.
pub fn show(store: &mut Client, path: &str, style: Style, out: &mut impl Write) -> Result<()> {
    below(store, path, 0, style, out)
}

fn below(store: &mut Client, path: &str, depth: usize, style: Style, out: &mut impl Write) -> Result<()> {
    let names = match store.directory(path) {
        Err(error) if depth > 0 && error.is_not_found() => return Ok(()),
        names => names.with_context(|| format!("cannot list {path}"))?,
    };
    for name in names {
        let node = format!("{}/{name}", path.strip_suffix('/').unwrap_or(path));
        let value = store.read(&node).ok();
        let mut line = line(if style.flat { &node } else { &name }, depth, value.as_deref(), style);
        if style.permissions {
            match store.permissions(&node) {
                Ok(list) => {
                    let list: Vec<String> = list.iter().map(ToString::to_string).collect();
                    write!(line, "  ({})", list.join(","))?;
                }
                Err(error) => eprintln!("xenstore: permissions of {node} cannot be read: {error}"),
            }
        }
        writeln!(out, "{line}")?;
        below(store, &node, depth + 1, style, out)?;
    }
    Ok(())
}

/// One node, without its permissions.
fn line(name: &str, depth: usize, value: Option<&[u8]>, style: Style) -> String {
    let mut line = String::new();
    if style.flat {
        line.push_str(name);
    } else {
        let indent = " ".repeat(depth);
        let room = style.width.saturating_sub(TAG_LENGTH + depth);
        line.push_str(&indent);
        line.extend(name.chars().take(room));
    }
    let Some(value) = value else { return line + ":\n" };
    let mut used = if style.flat { 0 } else { line.len() };
    let text = escape(value);
    if style.width < used + value.len() + TAG_LENGTH {
        let room = style.width.saturating_sub(TAG_LENGTH + used);
        let short: String = text.chars().take(room).collect();
        return line + " = \"" + &short + "\\...\"";
    }
    let shown = format!(" = \"{text}\"");
    used += shown.len();
    line += &shown;
    if style.permissions {
        line.push(' ');
        let end = if style.flat { 0 } else { PERMISSIONS_COLUMN.min(style.width) };
        line.extend((used + 1..end).map(|column| if column % 2 == 1 { '.' } else { ' ' }));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style { width: 40, flat: false, permissions: false };

    #[test]
    fn names_are_indented_and_long_values_shortened() {
        assert_eq!(line("name", 2, Some(b"v\n"), PLAIN), "  name = \"v\\n\"");
        assert_eq!(line("n", 0, Some(&[b'x'; 60]), PLAIN), format!("n = \"{}\\...\"", "x".repeat(31)));
        assert_eq!(line("n", 1, None, PLAIN), " n:\n");
    }

    #[test]
    fn dots_lead_to_permissions() {
        let style = Style { permissions: true, ..PLAIN };
        let text = line("n", 0, Some(b"1"), style);
        assert_eq!(text, "n = \"1\"  . . . . . . . . . . . . . . . .");
    }

    #[test]
    fn the_flat_form_shortens_nothing() {
        let style = Style { width: usize::MAX / 2, flat: true, permissions: true };
        assert_eq!(line("/a/n", 1, Some(&[b'x'; 90]), style), format!("/a/n = \"{}\" ", "x".repeat(90)));
    }
}
