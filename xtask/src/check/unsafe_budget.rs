//! How much `unsafe` there is, where, and whether each says why it holds.
//!
//! Counted per crate, tests left out: `unsafe` blocks, functions, impls, traits and extern blocks, and `asm!` in its
//! three forms. What a macro expands to counts once, where it is written.

use anyhow::{Context, Result, bail};
use std::fs;

use super::own_packages;
use super::rust_source::{self, Line};
use super::source_files::source_files;
use crate::workspace::Workspace;

/// The folders whose crates are counted.
const FOLDERS: [&str; 4] = ["hypervisor", "support", "abi", "toolstack"];
/// Crates that cannot do without: those that touch the machine, the allocator's global hook, the locks' pause, the markers, and the
/// tools' access to Linux's Xen devices.
const MAY_USE: [&str; 8] =
    ["arch_aarch64", "arch_x86_64", "heap", "image_arm64", "image_amd64", "lock", "marker", "xen_dev"];
/// Crates that are in no image, so that their lines must not thin the count out.
const NOT_IN_AN_IMAGE: [&str; 1] = ["arch_fake"];
/// Uses per 1,000 lines of code over the hypervisor.
const LIMIT_PER_1000: f64 = 6.0;
/// How far above an `unsafe` its comment may stand.
const COMMENT_DISTANCE: usize = 8;

#[derive(Clone, Copy, Default, Debug, PartialEq)]
struct Count {
    lines: usize,
    unsafe_uses: usize,
    asm: usize,
}

impl Count {
    fn add(&mut self, other: Count) {
        self.lines += other.lines;
        self.unsafe_uses += other.unsafe_uses;
        self.asm += other.asm;
    }

    fn per_1000(self) -> f64 {
        if self.lines == 0 {
            return 0.0;
        }
        (self.unsafe_uses + self.asm) as f64 * 1000.0 / self.lines as f64
    }

    fn row(self, name: &str) {
        println!(
            "    {name:<16} {:>7} {:>7} {:>5} {:>10.1}",
            self.lines,
            self.unsafe_uses,
            self.asm,
            self.per_1000()
        );
    }
}

/// Counts, prints a table, and compares with the limits.
///
/// # Errors
/// When a crate uses `unsafe` that must not, the hypervisor is over its limit, or a use is not explained.
pub fn check(workspace: &Workspace) -> Result<()> {
    let mut faults = Vec::new();
    let mut total = Count::default();
    println!("    {:<16} {:>7} {:>7} {:>5} {:>10}", "crate", "lines", "unsafe", "asm", "per 1,000");
    for package in own_packages(workspace)? {
        let folder = package.top_folder(&workspace.root).unwrap_or_default();
        if !FOLDERS.contains(&folder) {
            continue;
        }
        let mut count = Count::default();
        for file in source_files(&package.folder().join("src"))? {
            let text =
                fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let mut lines = rust_source::lines(&text);
            rust_source::without_tests(&mut lines);
            count.add(count_in(&lines));
            faults.extend(unexplained(&lines).into_iter().map(|number| {
                format!("{}:{number}: `unsafe` without a SAFETY comment", workspace.show(&file))
            }));
        }
        count.row(&package.name);
        if count.unsafe_uses + count.asm > 0 && !MAY_USE.contains(&package.name.as_str()) {
            faults.push(format!("{} must do without `unsafe`", package.name));
        }
        if folder == "hypervisor" && !NOT_IN_AN_IMAGE.contains(&package.name.as_str()) {
            total.add(count);
        }
    }
    total.row("hypervisor");
    if total.per_1000() > LIMIT_PER_1000 {
        faults.push(format!(
            "the hypervisor has {:.1} uses per 1,000 lines, the limit is {LIMIT_PER_1000}",
            total.per_1000()
        ));
    }
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    Ok(())
}

fn count_in(lines: &[Line]) -> Count {
    let mut count = Count::default();
    for (number, line) in lines.iter().enumerate() {
        if line.code.trim().is_empty() {
            continue;
        }
        count.lines += 1;
        count.unsafe_uses += uses(lines, number).count();
        count.asm += line.code.matches("asm!").count();
    }
    count
}

/// The words that follow each counted `unsafe` on a line.
fn uses<'a>(lines: &'a [Line], number: usize) -> impl Iterator<Item = Use> + 'a {
    let code = lines[number].code.as_str();
    code.match_indices("unsafe").filter_map(move |(at, word)| {
        let before = code[..at].chars().next_back();
        let rest = &code[at + word.len()..];
        if before.is_some_and(is_word) || rest.chars().next().is_some_and(is_word) {
            return None;
        }
        // The word that says which kind it is may stand on the next line.
        let following = lines.get(number + 1).map_or("", |line| line.code.as_str());
        kind_of(&format!("{rest} {following}"))
    })
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Use {
    /// Explained by a SAFETY comment.
    BlockOrImpl,
    /// Explained by a Safety section in its documentation.
    Declaration,
}

fn kind_of(rest: &str) -> Option<Use> {
    let rest = rest.trim_start();
    if rest.starts_with('{') || rest.starts_with("impl") {
        return Some(Use::BlockOrImpl);
    }
    let rest = rest.strip_prefix("extern").map_or(rest, str::trim_start);
    if rest.starts_with("trait") || rest.starts_with('{') {
        return Some(Use::Declaration);
    }
    // `unsafe fn(...)` is a pointer's type.
    let name = rest.strip_prefix("fn")?;
    name.starts_with(char::is_whitespace).then_some(Use::Declaration)
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_' || char == '('
}

/// Line numbers, from 1, of uses that nothing above explains.
fn unexplained(lines: &[Line]) -> Vec<usize> {
    let mut numbers = Vec::new();
    for number in 0..lines.len() {
        for kind in uses(lines, number) {
            let explained = match kind {
                Use::BlockOrImpl => has_comment(lines, number, "SAFETY:", COMMENT_DISTANCE),
                // Its documentation may be long, and attributes stand between.
                Use::Declaration => has_comment(lines, number, "afety", 4 * COMMENT_DISTANCE),
            };
            if !explained {
                numbers.push(number + 1);
            }
        }
    }
    numbers
}

fn has_comment(lines: &[Line], number: usize, text: &str, distance: usize) -> bool {
    lines[number.saturating_sub(distance)..=number]
        .iter()
        .any(|line| line.comment.to_ascii_lowercase().contains(&text.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::{Count, count_in, unexplained};
    use crate::check::rust_source::lines;

    #[test]
    fn blocks_functions_and_impls_count_but_attributes_and_types_do_not() {
        let text = "#[unsafe(no_mangle)]\nunsafe fn f(g: unsafe fn()) {}\nunsafe impl Send for X {}\n\
                    fn h() { unsafe { asm!(\"nop\") } }\n#![forbid(unsafe_code)]\n";
        assert_eq!(count_in(&lines(text)), Count { lines: 5, unsafe_uses: 3, asm: 1 });
    }

    #[test]
    fn block_without_a_comment_is_found() {
        let text = "// SAFETY: x holds.\nunsafe { a() };\n\n\n\n\n\n\n\n\nunsafe { b() };\n";
        assert_eq!(unexplained(&lines(text)), [11]);
    }

    #[test]
    fn function_is_explained_by_its_safety_section() {
        let text = "/// Does.\n///\n/// # Safety\n/// Call once.\n#[inline]\npub unsafe fn a() {}\n";
        assert!(unexplained(&lines(text)).is_empty());
        assert_eq!(unexplained(&lines("/// Does.\npub unsafe fn a() {}\n")), [2]);
    }

    #[test]
    fn keyword_before_a_line_break_counts() {
        assert_eq!(count_in(&lines("unsafe\n{ a() }\n")).unsafe_uses, 1);
    }
}
