//! Hypercalls of three domains: the core on the fake machine, with the executable specification beside it.
//!
//! Each act of an input is some bytes long; what it does is said in `hv_core::testkit`. Core and specification have to
//! agree after every part of every call, and at the end nothing may be left of the domains. One world serves all inputs
//! of a thread: all its domains end with each input, dom0 too.

use std::cell::RefCell;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use hv_core::testkit::{ACT, Duel, World};

/// Acts of an input: more take long, and find no more than two inputs.
const MOST: usize = 400;
/// Calls after which the file with their count is written.
const STEP: u64 = 10_000;

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

static CALLS: AtomicU64 = AtomicU64::new(0);
static ASKED: OnceLock<Asked> = OnceLock::new();

/// What the environment asks of a run.
struct Asked {
    /// The file that is told how many calls were issued.
    count: Option<OsString>,
    /// How many are enough.
    enough: Option<u64>,
    /// The file that is made when there are enough.
    stop: Option<OsString>,
}

impl Asked {
    fn read() -> Self {
        let number = |name| env::var(name).ok().and_then(|value| value.parse().ok());
        Self {
            count: env::var_os("XENOXIDE_FUZZ_COUNT"),
            enough: number("XENOXIDE_FUZZ_ENOUGH"),
            stop: env::var_os("XENOXIDE_FUZZ_STOP"),
        }
    }
}

fn write(path: Option<&OsString>, text: &str) {
    if let Some(path) = path
        && let Err(error) = fs::write(path, text)
    {
        eprintln!("{}: {error}", path.display());
    }
}

pub(crate) fn one_input(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(MOST * ACT)];
    // After a failure the world is not put back: the next input, if there is one, makes its own.
    let world = WORLD.with_borrow_mut(Option::take);
    let mut duel = world.map_or_else(Duel::new, Duel::within);
    duel.run(bytes);
    count(duel.calls());
    let world = duel.finish();
    WORLD.with_borrow_mut(|slot| *slot = Some(world));
}

/// Counts calls over all inputs.
fn count(calls: u64) {
    let before = CALLS.fetch_add(calls, Ordering::Relaxed);
    let after = before + calls;
    let asked = ASKED.get_or_init(Asked::read);
    let enough = asked.enough.is_some_and(|enough| before < enough && enough <= after);
    if enough || before / STEP != after / STEP {
        write(asked.count.as_ref(), &format!("{after}\n"));
    }
    if enough {
        write(asked.stop.as_ref(), "enough\n");
    }
}
