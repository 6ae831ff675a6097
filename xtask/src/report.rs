//! What the user sees: one line per step, with its time, and one form for a failure.

use std::time::Instant;

/// A running step; its end is reported by [`Step::done`].
pub struct Step {
    started: Instant,
    title: String,
}

/// Announces a step that may take a while.
pub fn step(title: impl Into<String>) -> Step {
    let title = title.into();
    println!("==> {title}");
    Step { started: Instant::now(), title }
}

impl Step {
    /// Reports that the step ended well, and how long it took when that was noticeable.
    pub fn done(self) {
        let seconds = self.started.elapsed().as_secs_f32();
        if seconds >= 1.0 {
            println!("    {} - done in {seconds:.1} s", self.title);
        }
    }
}

/// A line under the present step.
pub fn note(text: impl AsRef<str>) {
    println!("    {}", text.as_ref());
}

/// Several lines under the present step, each marked with where it comes from.
pub fn quote(source: &str, text: &str) {
    for line in text.lines() {
        println!("    {source}| {line}");
    }
}

/// Reports the error that ends the program, with its causes.
pub fn failure(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}
