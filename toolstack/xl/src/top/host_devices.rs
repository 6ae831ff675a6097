//! What domains' disks and interfaces have moved, as Linux's back ends count it.

use std::fs;
use std::path::Path;

/// Bytes of a sector in the back ends' counters.
const SECTOR: u64 = 512;

/// Bytes that a domain's devices have moved, from its own view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) read: u64,
    pub(super) written: u64,
}

impl Moved {
    /// What a device in the back ends' folder has moved, and whose it is.
    pub(super) fn of_device(folder: &Path, name: &str) -> Option<(u16, Self)> {
        let (kind, rest) = name.split_once('-')?;
        let domid = rest.split_once('-')?.0.parse().ok()?;
        let device = folder.join(name);
        let number = |path: &Path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
        let moved = match kind {
            "vbd" => {
                let sectors =
                    |name| number(&device.join("statistics").join(name)).map(|it| it.saturating_mul(SECTOR));
                let (read, written) = (sectors("rd_sect")?, sectors("wr_sect")?);
                Self { read, written, ..Self::default() }
            }
            "vif" => {
                let interface = fs::read_dir(device.join("net")).ok()?.next()?.ok()?.path();
                let bytes = |name| number(&interface.join("statistics").join(name));
                // What Dom0's end receives, the domain has sent.
                let (sent, received) = (bytes("rx_bytes")?, bytes("tx_bytes")?);
                Self { sent, received, ..Self::default() }
            }
            _ => return None,
        };
        Some((domid, moved))
    }

    pub(super) fn add(&mut self, other: Self) {
        self.sent = self.sent.saturating_add(other.sent);
        self.received = self.received.saturating_add(other.received);
        self.read = self.read.saturating_add(other.read);
        self.written = self.written.saturating_add(other.written);
    }
}
