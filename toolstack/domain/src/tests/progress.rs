//! What is said while something takes long.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::id;
use crate::Progress;
use crate::fake::FakeHost;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Progress for Lines {
    fn waiting(&mut self, what: &str, seconds: u64) {
        self.0.lock().unwrap().push(format!("{what} {seconds}"));
    }

    fn over(&mut self) {
        self.0.lock().unwrap().push("over".to_owned());
    }
}

#[test]
fn wait_is_told_once_a_second_and_when_it_is_over() {
    let host = FakeHost::new();
    host.add_domain(7, "web");
    let lines = Lines::default();
    let mut tools = host.toolstack();
    tools.tell_progress(lines.clone());
    tools.wait_for_end(id(7), Some(Duration::from_millis(500))).unwrap_err();
    assert_eq!(*lines.0.lock().unwrap(), [""; 0], "a short wait is not told");
    let error = tools.wait_for_end(id(7), Some(Duration::from_millis(2200))).unwrap_err();
    assert_eq!(error.to_string(), "domain 7 still runs after 2 s");
    let wanted = ["the end of domain 7 1", "the end of domain 7 2", "over"];
    assert_eq!(*lines.0.lock().unwrap(), wanted);
}
