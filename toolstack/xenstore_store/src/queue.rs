//! Messages that wait to be taken by one connection.

use std::collections::{HashSet, VecDeque};
use std::rc::Rc;

/// One encoded message.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) bytes: Rc<[u8]>,
    /// A watch event; else an answer.
    pub(crate) is_event: bool,
}

/// Encoded messages in order; the first may be sent in part.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    messages: VecDeque<Outgoing>,
    /// Bytes of the first message that are sent.
    begun: usize,
    /// Events that wait and of which nothing is sent: one of each is enough.
    waiting_events: HashSet<Rc<[u8]>>,
    bytes: u64,
    answers: u64,
}

impl Queue {
    /// Appends a message. An event that waits already is not sent twice, unless `repeats`.
    pub(crate) fn push(&mut self, message: Outgoing, repeats: bool) {
        if message.is_event && !self.waiting_events.insert(Rc::clone(&message.bytes)) && !repeats {
            return;
        }
        self.bytes += message.bytes.len() as u64;
        self.answers += u64::from(!message.is_event);
        self.messages.push_back(message);
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Answers that wait.
    pub(crate) fn answers(&self) -> u64 {
        self.answers
    }

    /// Appends up to `max` of the bytes to be sent next to `buffer`.
    pub(crate) fn peek(&self, buffer: &mut Vec<u8>, max: usize) {
        let mut left = max;
        let mut skip = self.begun;
        for message in &self.messages {
            let rest = message.bytes.get(skip..).unwrap_or_default();
            let part = rest.get(..left).unwrap_or(rest);
            buffer.extend_from_slice(part);
            left -= part.len();
            skip = 0;
            if left == 0 {
                break;
            }
        }
    }

    /// Takes note that `count` more bytes are sent.
    pub(crate) fn sent(&mut self, count: usize) {
        self.begun += count;
        while let Some(first) = self.messages.front() {
            if self.begun > 0 && first.is_event {
                self.waiting_events.remove(&first.bytes);
            }
            let length = first.bytes.len();
            if self.begun < length {
                break;
            }
            self.begun -= length;
            self.bytes -= length as u64;
            self.answers -= u64::from(!first.is_event);
            self.messages.pop_front();
        }
        if self.messages.is_empty() {
            self.begun = 0;
        }
    }

    /// The messages and how much of the first is sent, for saving.
    pub(crate) fn parts(&self) -> (impl ExactSizeIterator<Item = &Outgoing>, usize) {
        (self.messages.iter(), self.begun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(bytes: &[u8]) -> Outgoing {
        Outgoing { bytes: bytes.into(), is_event: true }
    }

    fn take(queue: &mut Queue, count: usize) -> Vec<u8> {
        let mut buffer = Vec::new();
        queue.peek(&mut buffer, count);
        queue.sent(buffer.len());
        buffer
    }

    #[test]
    fn an_event_that_waits_is_not_queued_twice_but_one_that_is_being_sent_is() {
        let mut queue = Queue::default();
        queue.push(event(b"one"), false);
        queue.push(event(b"one"), false);
        assert_eq!(queue.bytes(), 3);
        assert_eq!(take(&mut queue, 1), b"o");
        queue.push(event(b"one"), false);
        assert_eq!(take(&mut queue, 99), b"neone");
        assert_eq!(queue.bytes(), 0);
    }

    proptest! {
        #[test]
        fn all_bytes_come_out_in_order_however_they_are_taken(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..20), 0..10),
            cuts in proptest::collection::vec(1usize..30, 0..40),
        ) {
            let mut queue = Queue::default();
            for message in &messages {
                queue.push(Outgoing { bytes: message.as_slice().into(), is_event: false }, false);
            }
            let mut out = Vec::new();
            for cut in cuts {
                out.extend(take(&mut queue, cut));
            }
            out.extend(take(&mut queue, usize::MAX));
            prop_assert_eq!(out, messages.concat());
            prop_assert_eq!((queue.bytes(), queue.answers()), (0, 0));
        }
    }
}
