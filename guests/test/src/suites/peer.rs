//! The other domain of the tests that need two: it grants pages and ports to the domain created after it, and does
//! what that one asks for in the first of those pages.

use core::sync::atomic::Ordering;
use guest_kit::xenstore::Xenstore;
use guest_kit::{Boot, event, grant, memory, println, time, trap};
use xen_abi::io::xs_wire::XS_READ;
use xen_abi::xen::DOMID_SELF;

/// References that the peer gives.
pub mod reference {
    /// The page for commands, writable.
    pub const COMMANDS: u32 = 8;
    /// Read-only.
    pub const READ_ONLY: u32 = 9;
    /// For a third domain.
    pub const OTHERS: u32 = 10;
    /// Nothing.
    pub const INVALID: u32 = 11;
    /// A frame that does not exist.
    pub const NO_FRAME: u32 = 12;
    /// One that is taken back while it is used.
    pub const REVOKED: u32 = 13;
    /// A frame of the peer's grant table.
    pub const TABLE: u32 = 14;
    /// A hole of the peer's.
    pub const HOLE: u32 = 15;
}

/// Words of the page for commands.
pub mod word {
    /// What the peer is asked for; it writes 0 when that is done.
    pub const COMMAND: usize = 0;
    /// What it answered.
    pub const ANSWER: usize = 1;
    /// Where text begins.
    pub const TEXT: usize = 16;
}

/// What it can be asked for.
pub mod command {
    /// Takes `REVOKED` back; the answer is the flags that it had.
    pub const REVOKE: u64 = 1;
    /// The flags of the reference in the answer's place.
    pub const FLAGS: u64 = 2;
    /// Sends to its port.
    pub const SEND: u64 = 3;
    /// Closes its port.
    pub const CLOSE: u64 = 4;
    /// Whether its port is pending; clears it.
    pub const PENDING: u64 = 5;
    /// The first word of the page that is read-only for the tester.
    pub const LOOK: u64 = 6;
    /// Allocates its port for the tester, and answers with it.
    pub const PORT: u64 = 7;
}

/// What stands in the page that can only be read.
pub const PATTERN: u64 = 0x5ca1_ab1e_0000_0001;

/// Between two looks for a command, in microseconds.
const PAUSE: u64 = 500;

/// This domain's number, as xenstore tells it.
pub fn own_number() -> u16 {
    let store = Xenstore::open().expect("no xenstore ring");
    let answer = store.request(XS_READ, &[b"domid\0"]);
    answer.text().parse().expect("no number in xenstore")
}

/// Serves until it is destroyed.
pub fn run(boot: &Boot) {
    boot.gic.switch_on();
    boot.gic.enable(0, time::VIRTUAL_PPI);
    trap::serve(boot.gic);
    let tester = own_number() + 1;
    grant::map_table(0, 1);
    let commands = memory::take_one();
    let read_only = memory::take_one();
    let revoked = memory::take_one();
    read_only.fill(PATTERN);
    revoked.fill(PATTERN + 1);
    grant::give(reference::COMMANDS, tester, commands.frame(), false);
    grant::give(reference::READ_ONLY, tester, read_only.frame(), true);
    grant::give(reference::OTHERS, 0, read_only.frame(), true);
    grant::give(reference::NO_FRAME, tester, 0xffff_fff0, false);
    grant::give(reference::REVOKED, tester, revoked.frame(), false);
    grant::give(reference::TABLE, tester, grant::FRAME, false);
    grant::give(reference::HOLE, tester, grant::FRAME + 0x500, false);
    let mut port = 0;
    println!("peer for domain {tester}");
    loop {
        time::sleep(PAUSE);
        let answer = match commands.word(word::COMMAND).load(Ordering::SeqCst) {
            0 => continue,
            command::REVOKE => u64::from(grant::revoke(reference::REVOKED)),
            command::FLAGS => {
                let reference = commands.word(word::ANSWER).load(Ordering::SeqCst) as u32 % grant::ENTRIES;
                u64::from(grant::entry(reference).0.load(Ordering::SeqCst))
            }
            command::SEND => event::send(port) as u64,
            command::CLOSE => event::close(port) as u64,
            command::PENDING => u64::from(event::clear(port)),
            command::PORT => {
                port = event::alloc_unbound(DOMID_SELF, tester).expect("no port for the tester");
                u64::from(port)
            }
            command::LOOK => read_only.word(0).load(Ordering::SeqCst),
            _ => u64::MAX,
        };
        commands.word(word::ANSWER).store(answer, Ordering::SeqCst);
        commands.word(word::COMMAND).store(0, Ordering::SeqCst);
    }
}
