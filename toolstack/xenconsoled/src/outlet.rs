//! Someone who reads a console at a speed of his own: a position in the history, and what is on its way.

use std::io;

use crate::history::History;

/// Bytes taken out of the history at a time.
const PIECE: usize = 4096;

/// A reader of a history.
#[derive(Debug)]
pub struct Outlet {
    position: u64,
    pending: Vec<u8>,
    sent: usize,
}

impl Outlet {
    /// A reader that begins at a position.
    pub fn new(position: u64) -> Self {
        Self { position, pending: Vec::new(), sent: 0 }
    }

    /// A reader that begins at a position and is told something first.
    pub fn with_greeting(position: u64, greeting: String) -> Self {
        Self { position, pending: greeting.into_bytes(), sent: 0 }
    }

    /// The position up to which bytes were taken out of the history.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Bytes that wait to be sent: those left over, else the next of the history. Empty when there are none.
    /// `lost` turns the number of bytes that the history had to drop before this reader had them into what he is told.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub fn pending(&mut self, history: &History, lost: impl FnOnce(u64) -> String) -> io::Result<&[u8]> {
        if self.sent == self.pending.len() {
            self.sent = 0;
            self.pending.clear();
            if self.position < history.start() {
                self.pending.extend(lost(history.start() - self.position).into_bytes());
            }
            let mut piece = [0; PIECE];
            let (from, count) = history.read(self.position, &mut piece)?;
            self.pending.extend_from_slice(&piece[..count]);
            self.position = from + count as u64;
        }
        Ok(&self.pending[self.sent..])
    }

    /// Whether there is something to send.
    pub fn is_behind(&self, history: &History) -> bool {
        self.sent < self.pending.len() || self.position < history.end()
    }

    /// Whether the history has dropped bytes that this reader did not have.
    pub fn is_overrun(&self, history: &History) -> bool {
        self.sent == self.pending.len() && self.position < history.start()
    }

    /// Notes that so many of the pending bytes were sent.
    pub fn advance(&mut self, count: usize) {
        self.sent = self.pending.len().min(self.sent + count);
    }

    /// The position up to which everything was sent.
    pub fn sent_up_to(&self) -> u64 {
        self.position.saturating_sub((self.pending.len() - self.sent) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::Folder;

    #[test]
    fn reader_that_does_not_read_is_told_what_was_lost() {
        let folder = Folder::new();
        let mut history = History::open(&folder.path().join("1"), [0; 16], 10).unwrap();
        let mut outlet = Outlet::new(0);
        assert!(!outlet.is_behind(&history));
        history.commit(b"hello", 5).unwrap();
        let never = |_| unreachable!();
        assert_eq!(outlet.pending(&history, never).unwrap(), b"hello");
        outlet.advance(2);
        assert_eq!((outlet.sent_up_to(), outlet.position()), (2, 5));
        history.commit(b"0123456789abc", 18).unwrap();
        assert_eq!(outlet.pending(&history, never).unwrap(), b"llo");
        assert!(!outlet.is_overrun(&history));
        outlet.advance(3);
        assert!(outlet.is_overrun(&history));
        assert_eq!(outlet.pending(&history, |count| format!("<{count}>")).unwrap(), b"<3>3456789abc");
        outlet.advance(usize::MAX);
        assert!(!outlet.is_behind(&history));
        assert_eq!(outlet.pending(&history, never).unwrap(), b"");
        assert_eq!(outlet.sent_up_to(), 18);
    }
}
