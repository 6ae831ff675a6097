//! Hypercalls of three domains: the core on the fake machine, with the executable specification beside it.
//!
//! Each act of an input is some bytes long; what it does is said in `hv_core::testkit`. Core and specification have to
//! agree after every part of every call, and at the end nothing may be left of the domains. One world serves all inputs
//! of a thread: all its domains end with each input, dom0 too.

use std::cell::RefCell;
use std::env;
use std::sync::atomic::{AtomicU64, Ordering};

use hv_core::testkit::{ACT, Duel, World};

/// Acts of an input: more take long, and find no more than two inputs.
const MOST: usize = 400;
/// The file that is told how many calls were issued, for who asks by this variable.
const COUNT: &str = "XENOXIDE_FUZZ_COUNT";
/// Calls after which the file is written.
const STEP: u64 = 100_000;

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

static CALLS: AtomicU64 = AtomicU64::new(0);

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
    if before / STEP != after / STEP
        && let Some(path) = env::var_os(COUNT)
        && let Err(error) = std::fs::write(&path, format!("{after}\n"))
    {
        eprintln!("{}: {error}", path.display());
    }
}
