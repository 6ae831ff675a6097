//! The "newc" cpio format that Linux unpacks as its initial file system
//! (Linux's Documentation/driver-api/early-userspace/buffer-format).

use anyhow::{Context, Result};
use std::io::Write;

const FOLDER: u32 = 0o040_755;
const LINK: u32 = 0o120_777;
const FILE: u32 = 0o100_644;
const PROGRAM: u32 = 0o100_755;
const END_OF_ARCHIVE: &str = "TRAILER!!!";

/// Writes an archive member by member. All members belong to root and carry no time, so that the same content
/// gives the same archive.
pub struct CpioWriter<W: Write> {
    out: W,
    inode: u32,
}

impl<W: Write> CpioWriter<W> {
    /// Starts an archive.
    pub fn new(out: W) -> Self {
        Self { out, inode: 0 }
    }

    /// Adds a folder.
    pub fn folder(&mut self, path: &str) -> Result<()> {
        self.member(path, FOLDER, &[])
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: &str, target: &str) -> Result<()> {
        self.member(path, LINK, target.as_bytes())
    }

    /// Adds a file.
    pub fn file(&mut self, path: &str, executable: bool, bytes: &[u8]) -> Result<()> {
        self.member(path, if executable { PROGRAM } else { FILE }, bytes)
    }

    /// Ends the archive and hands the underlying writer back.
    pub fn finish(mut self) -> Result<W> {
        self.member(END_OF_ARCHIVE, 0, &[])?;
        Ok(self.out)
    }

    fn member(&mut self, path: &str, mode: u32, bytes: &[u8]) -> Result<()> {
        let size = u32::try_from(bytes.len()).with_context(|| format!("{path} is too large for cpio"))?;
        let name_size = u32::try_from(path.len() + 1)?;
        self.inode += 1;
        // Fields: inode, mode, uid, gid, links, time, size, device (2), special device (2), name size, checksum.
        let fields = [self.inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        let mut header = String::from("070701");
        for field in fields {
            header.push_str(&format!("{field:08x}"));
        }
        header.push_str(path);
        header.push('\0');
        self.padded(header.as_bytes())?;
        self.padded(bytes)
    }

    fn padded(&mut self, bytes: &[u8]) -> Result<()> {
        let padding = bytes.len().next_multiple_of(4) - bytes.len();
        self.out.write_all(bytes)?;
        self.out.write_all(&[0; 3][..padding])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::CpioWriter;

    #[test]
    fn members_are_aligned_and_the_archive_is_closed() {
        let mut writer = CpioWriter::new(Vec::new());
        writer.folder("d").expect("memory takes all");
        writer.file("d/f", true, b"hello").expect("memory takes all");
        let archive = writer.finish().expect("memory takes all");
        assert_eq!(archive.len() % 4, 0);
        // Header 110 bytes, name "d" with its end, padded: 112.
        assert_eq!(&archive[112..118], b"070701");
        assert_eq!(&archive[112 + 14..112 + 22], b"000081ed");
        assert_eq!(&archive[112 + 116..112 + 121], b"hello");
        let text = String::from_utf8_lossy(&archive);
        assert!(text.contains("TRAILER!!!\0"));
    }
}
