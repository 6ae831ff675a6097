//! The console and the emulated serial port, both served by xenconsoled.

use xen_dev::{Domid, Port};

use super::{DeviceId, Kind, Record};

/// Bytes that xenconsoled keeps for a console without a reader, as with libxl.
const LIMIT: u32 = 1 << 20;

/// The console: its ring is at guest frame `gfn`, the guest's end of its event channel is `port`.
pub(crate) fn console(domid: Domid, gfn: u64, port: Port) -> Record {
    record(Kind::Console, domid, gfn, port)
}

/// The serial port that the hypervisor emulates.
pub(crate) fn vuart(domid: Domid, gfn: u64, port: Port) -> Record {
    record(Kind::Vuart, domid, gfn, port)
}

fn record(kind: Kind, domid: Domid, gfn: u64, port: Port) -> Record {
    let text = str::to_owned;
    Record {
        device: DeviceId { kind, domid, id: 0 },
        back: vec![("protocol", text("vt100"))],
        front: Vec::new(),
        fixed: vec![
            ("limit", LIMIT.to_string()),
            ("type", text("xenconsoled")),
            ("output", text("pty")),
            ("tty", String::new()),
            ("port", port.to_string()),
            ("ring-ref", gfn.to_string()),
        ],
        noted: Vec::new(),
    }
}
