//! Batches between markers, and what is said of them on the console.

use core::fmt::{self, Write};

use crate::linux::{Errno, File, Result};

/// How often a row is measured; the best counts.
const BATCHES: u32 = 16;

/// The console, on which the harness reads.
#[derive(Clone, Copy)]
pub struct Report(pub File);

impl Write for Report {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes()).map(drop).map_err(|_| fmt::Error)
    }
}

impl Report {
    /// One line; what cannot be written cannot be reported either.
    pub fn line(mut self, text: fmt::Arguments<'_>) {
        let _ = writeln!(self, "bench: {text}");
    }

    /// Says that a row cannot be measured.
    pub fn failed(self, row: &str, error: Errno) {
        self.line(format_args!("failed {row} errno {}", error.0));
    }
}

/// A row to be measured.
pub struct Row {
    /// Its name in the table, without spaces.
    pub name: &'static str,
    /// Times that one batch calls the operation.
    pub calls: u32,
    /// What one call counts as: entries of a multicall, pages of a mapping.
    pub parts: u32,
    /// System calls in one call whose own share is taken off; none where the kernel's work belongs to it.
    pub baselines: u32,
}

impl Row {
    /// Measures `operation` between markers `2 * ID` and `2 * ID + 1`, and reports the row or its failure.
    #[inline(always)]
    pub fn measure<const ID: u16>(&self, report: Report, mut operation: impl FnMut() -> Result<()>) {
        match self.batches::<ID>(&mut operation) {
            Ok(()) => report.line(format_args!(
                "row {ID} {} {} {} {}",
                self.name, self.calls, self.parts, self.baselines
            )),
            Err(error) => report.failed(self.name, error),
        }
    }

    #[inline(always)]
    fn batches<const ID: u16>(&self, operation: &mut impl FnMut() -> Result<()>) -> Result<()> {
        for _ in 0..BATCHES {
            marker::start::<ID>();
            for _ in 0..self.calls {
                operation()?;
            }
            marker::end::<ID>();
        }
        Ok(())
    }
}
