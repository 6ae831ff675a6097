//! What xenconsoled leaves for its successor: the file with a console's history.

use std::io::Write as _;
use std::os::fd::AsRawFd as _;

use rustix::fs::{MemfdFlags, memfd_create};
use xenconsoled::history::History;

use crate::input::Input;

/// The domain that the file is asked for.
const UUID: [u8; 16] = [1; 16];
/// Longest history that is added to: one of half the range of its positions is taken for a damaged one, when it is.
const LONGEST: u64 = u64::MAX / 4;

pub(crate) fn one_input(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (Some(from), Some(more)) = (input.number(), input.byte()) else { return };
    // A file in memory, which has a path as long as it is open.
    let file = memfd_create("history", MemfdFlags::CLOEXEC).expect("there is memory for a small file");
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let mut file = std::fs::File::from(file);
    file.write_all(input.0).expect("there is memory for a small file");

    let mut history = History::open(path.as_ref(), UUID, 300).expect("any file is taken up, or begun anew");
    assert!(history.start() <= history.end() && history.shown() <= history.end());
    let mut shown = vec![0; 2000];
    // The file may be cut short behind its header.
    if let Ok((at, count)) = history.read(from.into(), &mut shown) {
        assert!(history.start() <= at && at + count as u64 <= history.end());
    }
    let end = history.end();
    if end > LONGEST {
        return;
    }
    let output = vec![b'x'; more.into()];
    // The host may have no room for a file as large as the header says.
    if history.commit(&output, 7).is_ok() {
        assert_eq!((history.end(), history.taken()), (end + output.len() as u64, Some(7)));
        assert_eq!(
            history.read(end, &mut shown).expect("what was written is there").1,
            output.len().min(history.capacity() as usize)
        );
        history.set_shown(end).expect("the header can be written");
        let again = History::open(path.as_ref(), UUID, 1).expect("the file can be opened again");
        assert_eq!((again.end(), again.shown()), (history.end(), history.shown()));
    }
}
