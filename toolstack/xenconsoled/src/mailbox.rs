//! A channel between two threads whose receiver can be polled.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{self, TryRecvError};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{Errno, read, write};

/// The sending end. The receiver learns when it is dropped.
pub struct Sender<T> {
    // Gone before the receiver is woken for it.
    channel: Option<mpsc::Sender<T>>,
    wake: Arc<OwnedFd>,
}

/// The receiving end; its file is readable when there may be something to receive.
pub struct Receiver<T> {
    channel: mpsc::Receiver<T>,
    wake: Arc<OwnedFd>,
}

/// A new channel.
///
/// # Errors
/// What the kernel says when it cannot make one more file.
pub fn mailbox<T>() -> Result<(Sender<T>, Receiver<T>), Errno> {
    let (sender, receiver) = mpsc::channel();
    let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    Ok((Sender { channel: Some(sender), wake: Arc::clone(&wake) }, Receiver { channel: receiver, wake }))
}

impl<T> Sender<T> {
    /// Sends; lost when nobody receives any more.
    pub fn send(&self, letter: T) {
        let _ = self.channel.as_ref().map(|channel| channel.send(letter));
        self.wake();
    }

    fn wake(&self) {
        // It fails only when the counter is full, and then the receiver is awake.
        let _ = write(&self.wake, &1u64.to_ne_bytes());
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.channel = None;
        self.wake();
    }
}

impl<T> Receiver<T> {
    /// All that was sent, and whether the sender is still there. The file is not readable after that.
    pub fn receive(&self) -> (Vec<T>, bool) {
        // Before the channel is looked at: what is sent later makes the file readable again.
        let _ = read(&self.wake, &mut [0; 8]);
        let mut letters = Vec::new();
        loop {
            match self.channel.try_recv() {
                Ok(letter) => letters.push(letter),
                Err(end) => return (letters, end == TryRecvError::Empty),
            }
        }
    }
}

impl<T> AsFd for Receiver<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    fn is_readable<T>(receiver: &Receiver<T>) -> bool {
        poll(&mut [PollFd::new(receiver, PollFlags::IN)], Some(&Timespec::default())).unwrap() == 1
    }

    #[test]
    fn receiver_is_woken_by_letters_and_by_the_end() {
        let (sender, receiver) = mailbox().unwrap();
        assert!(!is_readable(&receiver));
        sender.send(1);
        sender.send(2);
        assert!(is_readable(&receiver));
        assert_eq!(receiver.receive(), (vec![1, 2], true));
        assert!(!is_readable(&receiver));
        drop(sender);
        assert!(is_readable(&receiver));
        assert_eq!(receiver.receive(), (Vec::new(), false));
    }
}
