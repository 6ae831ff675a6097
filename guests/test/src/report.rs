//! What tests say: one line for each, `SUITE NAME = VALUE`.

use core::fmt;
use guest_kit::println;

/// The suite that reports.
#[derive(Clone, Copy)]
pub struct Report(pub &'static str);

impl Report {
    /// Says what a test gave.
    pub fn line(self, name: impl fmt::Display, value: fmt::Arguments<'_>) {
        println!("value {} {name} = {value}", self.0);
    }
}

/// Reports a value under a name.
#[macro_export]
macro_rules! show {
    ($report:expr, $name:expr, $($value:tt)*) => { $report.line($name, format_args!($($value)*)) };
}
