//! The user's own terminal while it is attached to a console.

use std::io::IsTerminal as _;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

/// A terminal and its mode before it was made raw, of which a panic must know too.
static SAVED: Mutex<Option<(OwnedFd, Termios)>> = Mutex::new(None);

/// A terminal in raw mode: what is typed goes to the guest, Ctrl-C too. It gets back its mode when this is dropped, and
/// before a panic ends the program. Signals must be turned into an orderly end, as [`attach`](crate::attach) does.
#[derive(Debug)]
pub struct RawMode(());

impl RawMode {
    /// Whether standard input and output are a terminal.
    pub fn is_possible() -> bool {
        std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
    }

    /// Makes standard input raw, if it and standard output are a terminal.
    ///
    /// # Errors
    /// What the kernel says; the mode is unchanged then.
    pub fn enter() -> Result<Option<Self>, Errno> {
        if !Self::is_possible() {
            return Ok(None);
        }
        Self::enter_on(std::io::stdin()).map(Some)
    }

    fn enter_on(terminal: impl AsFd) -> Result<Self, Errno> {
        let terminal = rustix::io::dup(terminal)?;
        let saved = tcgetattr(&terminal)?;
        let mut raw = saved.clone();
        raw.make_raw();
        let kept = terminal.try_clone().map_err(|_| Errno::MFILE)?;
        if let Some((terminal, mode)) = replace(Some((kept, saved))) {
            // Another one that is raw already keeps its own mode for later.
            replace(Some((terminal, mode)));
            return Err(Errno::BUSY);
        }
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            before(panic);
        }));
        let this = Self(());
        tcsetattr(&terminal, OptionalActions::Now, &raw)?;
        Ok(this)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

fn replace(new: Option<(OwnedFd, Termios)>) -> Option<(OwnedFd, Termios)> {
    std::mem::replace(&mut *SAVED.lock().unwrap_or_else(PoisonError::into_inner), new)
}

fn restore() {
    if let Some((terminal, mode)) = replace(None) {
        // The terminal may be gone.
        let _ = tcsetattr(&terminal, OptionalActions::Now, &mode);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
    use rustix::termios::LocalModes;

    #[test]
    fn mode_is_restored_by_leaving_and_by_a_panic() {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let master = openpt(flags).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let terminal = ioctl_tiocgptpeer(&master, flags).unwrap();
        let is_raw =
            || !tcgetattr(&terminal).unwrap().local_modes.intersects(LocalModes::ECHO | LocalModes::ISIG);
        assert!(!is_raw());
        let raw = RawMode::enter_on(&terminal).unwrap();
        assert!(is_raw());
        assert_eq!(RawMode::enter_on(&terminal).err(), Some(Errno::BUSY));
        drop(raw);
        assert!(!is_raw());
        let raw = RawMode::enter_on(&terminal).unwrap();
        let panicked = std::thread::spawn(|| panic!("for the test")).join();
        assert!(panicked.is_err() && !is_raw());
        drop(raw);
        assert!(!is_raw());
    }
}
