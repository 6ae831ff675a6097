//! `top`: what domains use, again and again, on the terminal or as text.

mod host_devices;
mod sample;
mod screen;
mod table;

use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use domain::Toolstack;

use self::sample::{Sample, rows};
use self::table::table;
use crate::Outside;
use crate::cli::{Sort, Top};
use crate::commands::print_json;

pub use self::screen::{Key, Screen, Terminal};

/// Where Linux shows what the devices of domains have moved.
pub(crate) const BACK_ENDS: &str = "/sys/bus/xen-backend/devices";

pub(crate) fn top(
    options: &Top,
    tools: &mut Toolstack,
    out: &mut dyn Write,
    outside: &dyn Outside,
) -> Result<()> {
    if options.batch || options.json {
        return batch(options, tools, out);
    }
    let mut screen = outside.screen()?;
    live(options, tools, &mut *screen)
}

/// Prints one table, or one JSON array, for each look.
fn batch(options: &Top, tools: &mut Toolstack, out: &mut dyn Write) -> Result<()> {
    let mut before = None;
    let mut left = options.iterations;
    while left != Some(0) {
        if before.is_some() {
            thread::sleep(Duration::from_secs(options.delay));
        }
        let now = Sample::take(tools, Path::new(BACK_ENDS), Instant::now())?;
        let rows = rows(&now, before.as_ref(), options.sort);
        if options.json {
            print_json(out, &rows)?;
        } else {
            writeln!(out, "{}", table(&now, &rows))?;
        }
        // Whoever reads it reads it now.
        out.flush()?;
        before = Some(now);
        left = left.map(|left| left - 1);
    }
    Ok(())
}

/// Shows the table on the screen until a key ends it.
fn live(options: &Top, tools: &mut Toolstack, screen: &mut dyn Screen) -> Result<()> {
    let delay = Duration::from_secs(options.delay);
    let mut sort = options.sort;
    let mut left = options.iterations;
    let mut before = None;
    while left != Some(0) {
        let now = Sample::take(tools, Path::new(BACK_ENDS), Instant::now())?;
        let next = Instant::now() + delay;
        loop {
            screen.show(&table(&now, &rows(&now, before.as_ref(), sort)), &keys(sort))?;
            match screen.key(next.saturating_duration_since(Instant::now()))? {
                Some(Key::Leave) => return Ok(()),
                Some(Key::Letter(letter)) => sort = Sort::by_key(letter).unwrap_or(sort),
                None => break,
            }
        }
        before = Some(now);
        left = left.map(|left| left - 1);
    }
    Ok(())
}

/// What is said at the bottom.
fn keys(sort: Sort) -> String {
    format!("c CPU  m memory  n name  i id  q quit   (sorted by {})", sort.title())
}

impl Sort {
    fn by_key(letter: char) -> Option<Self> {
        match letter.to_ascii_lowercase() {
            'c' => Some(Self::Cpu),
            'm' => Some(Self::Memory),
            'n' => Some(Self::Name),
            'i' => Some(Self::Id),
            _ => None,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Cpu => "CPU",
            Self::Memory => "memory",
            Self::Name => "name",
            Self::Id => "id",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use domain::fake::FakeHost;

    use super::*;

    /// A screen on which these keys are typed.
    struct Typed {
        keys: VecDeque<Option<Key>>,
        shown: Vec<String>,
    }

    impl Screen for Typed {
        fn show(&mut self, table: &str, keys: &str) -> Result<()> {
            self.shown.push(format!("{table}\n{keys}"));
            Ok(())
        }

        fn key(&mut self, _: Duration) -> Result<Option<Key>> {
            Ok(self.keys.pop_front().unwrap_or(Some(Key::Leave)))
        }
    }

    fn show(keys: &[Option<Key>], iterations: Option<u32>) -> Vec<String> {
        let host = FakeHost::new();
        host.add_domain(7, "web");
        let options = Top { delay: 1, batch: false, iterations, sort: Sort::Cpu, json: false };
        let mut screen = Typed { keys: keys.iter().copied().collect(), shown: Vec::new() };
        live(&options, &mut host.toolstack(), &mut screen).unwrap();
        screen.shown
    }

    #[test]
    fn keys_sort_and_leave() {
        let letter = |letter| Some(Key::Letter(letter));
        let shown = show(&[letter('n'), letter('x'), None, letter('M'), Some(Key::Leave), None], None);
        let sorted: Vec<&str> = shown.iter().map(|it| it.rsplit_once("by ").unwrap().1).collect();
        assert_eq!(sorted, ["CPU)", "name)", "name)", "name)", "memory)"]);
        assert!(shown.iter().all(|it| it.contains("Domain-0") && it.contains("web")));
    }

    #[test]
    fn live_table_ends_after_so_many_looks() {
        assert_eq!(show(&[None, None, None], Some(2)).len(), 2);
    }
}
