//! Back ends of a kernel, which answer changes in xenstore as blkback and netback do, and front ends of guests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use xenstore_client::{Client, Error, Operations};

use crate::nodes::{self, BACK_ENDS};

/// What back ends do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackEnds {
    /// They take up devices and let go of them.
    Work,
    /// They report an error for each device.
    Fail,
    /// They are not there.
    Missing,
    /// They take up devices and never let go of them.
    Stick,
}

/// What guests do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guests {
    /// They have no drivers.
    None,
    /// They take up devices and let go of them when asked.
    Work,
    /// They take up devices and do not hear what is asked.
    Hang,
    /// They take up devices and begin to close them when asked, but never end that.
    Busy,
}

/// The kernel's thread.
pub(super) struct Kernel {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Kernel {
    pub(super) fn start(mut store: Client, back_ends: BackEnds, guests: Guests) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = spawn(move || {
            store.watch(BACK_ENDS, "kernel").expect("the store is there");
            while !stopped.load(Ordering::Relaxed) {
                let event = store.wait_event(Some(Duration::from_millis(20))).expect("the store is there");
                if event.is_some() {
                    // A node that is gone between two requests is for the next event.
                    let _ = look_at_all(&mut store, back_ends, guests);
                }
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed.
            let _ = thread.join();
        }
    }
}

fn look_at_all(store: &mut Client, back_ends: BackEnds, guests: Guests) -> Result<(), Error> {
    for kind in ["vbd", "vif"] {
        for domid in nodes::children(store, &format!("{BACK_ENDS}/{kind}"))? {
            for id in nodes::children(store, &format!("{BACK_ENDS}/{kind}/{domid}"))? {
                look_at(store, kind, &format!("{kind}/{domid}/{id}"), back_ends)?;
                answer(store, &format!("{BACK_ENDS}/{kind}/{domid}/{id}"), guests)?;
            }
        }
    }
    Ok(())
}

fn look_at(store: &mut Client, kind: &str, device: &str, back_ends: BackEnds) -> Result<(), Error> {
    let base = format!("{BACK_ENDS}/{device}");
    // Blkback comes up without its device, and waits for it.
    let needed = if kind == "vif" { "script" } else { "params" };
    let failure = (back_ends == BackEnds::Fail).then_some("22 creating the device");
    store.transaction(|store| {
        let state = nodes::text(store, &format!("{base}/state"))?;
        let state_path = format!("{base}/state");
        let online = nodes::text(store, &format!("{base}/online"))?;
        let front = nodes::text(store, &format!("{base}/frontend"))?.unwrap_or_default();
        let front_state = nodes::text(store, &format!("{front}/state"))?;
        match (state.as_deref(), back_ends) {
            (None, _) | (_, BackEnds::Missing) => Ok(()),
            (Some("1"), _)
                if failure.is_none() && nodes::text(store, &format!("{base}/{needed}"))?.is_some() =>
            {
                store.read(&format!("{front}/state"))?;
                store.write(&state_path, "2")
            }
            (Some("1"), _) => {
                let text = failure.unwrap_or("2 reading a node that is missing");
                store.write(&format!("/local/domain/0/error/backend/{device}/error"), text)?;
                store.write(&state_path, "5")
            }
            (Some("2"), _) if front_state.as_deref() == Some("4") => store.write(&state_path, "4"),
            (Some("5"), BackEnds::Work | BackEnds::Fail)
                if online.as_deref() == Some("0") && matches!(front_state.as_deref(), None | Some("6")) =>
            {
                store.write(&state_path, "6")
            }
            _ => Ok(()),
        }
    })
}

/// The front end's answer to the state of its back end.
fn answer(store: &mut Client, back: &str, guests: Guests) -> Result<(), Error> {
    let Some(front) = nodes::text(store, &format!("{back}/frontend"))? else { return Ok(()) };
    store.transaction(|store| {
        let state = nodes::text(store, &format!("{front}/state"))?;
        let back_state = nodes::text(store, &format!("{back}/state"))?;
        let connects = guests != Guests::None;
        match (back_state.as_deref(), state.as_deref()) {
            (Some("2"), Some("1")) if connects => {
                for name in ["ring-ref", "tx-ring-ref", "rx-ring-ref", "event-channel"] {
                    store.write(&format!("{front}/{name}"), "8")?;
                }
                store.write(&format!("{front}/state"), "4")
            }
            (Some("5"), Some("4")) if guests == Guests::Work => store.write(&format!("{front}/state"), "6"),
            (Some("5"), Some("4")) if guests == Guests::Busy => store.write(&format!("{front}/state"), "5"),
            _ => Ok(()),
        }
    })
}
