//! Names and numbers of virtual disks (xen-vbd-interface(7)).
use std::fmt;
use std::str::FromStr;

use super::{BadValue, c_integer, stored_as_text};

/// Numbers from here on are reserved.
const RESERVED: u32 = 2 << 28;

/// A virtual disk or partition. Equal when the numbers are: `xvda` is `d0p0`.
#[derive(Clone, Debug)]
pub struct Vdev {
    name: String,
    number: u32,
}

impl Vdev {
    /// The name, as it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number that stands for it in xenstore.
    pub fn number(&self) -> u32 {
        self.number
    }
}

impl PartialEq for Vdev {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Vdev {}

impl FromStr for Vdev {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let number = xen_disk(text).or_else(|| plain_number(text)).or_else(|| old_disk(text));
        match number {
            Some(number) => Ok(Self { name: text.to_owned(), number }),
            None => Err(BadValue::new(format!(
                "`{}` is not a virtual disk like xvda, xvdb1, d0p1, sda, hda or its number",
                text.escape_debug()
            ))),
        }
    }
}

/// `xvda1` or `d0p1`.
fn xen_disk(text: &str) -> Option<u32> {
    let (disk, partition) = match text.strip_prefix("xvd") {
        Some(rest) => letters(rest, (1 << 20) - 1, 255)?,
        None => {
            let (disk, partition) = text.strip_prefix('d')?.split_once('p')?;
            (small(disk, (1 << 20) - 1)?, small(partition, 255)?)
        }
    };
    Some(if disk <= 15 && partition <= 15 {
        202 << 8 | disk << 4 | partition
    } else {
        1 << 28 | disk << 8 | partition
    })
}

/// `hda1` or `sda1`.
fn old_disk(text: &str) -> Option<u32> {
    if let Some(rest) = text.strip_prefix("hd") {
        let (disk, partition) = letters(rest, 3, 63)?;
        let major = if disk < 2 { 3 } else { 22 };
        return Some(major << 8 | (disk & 1) << 6 | partition);
    }
    let (disk, partition) = letters(text.strip_prefix("sd")?, 15, 15)?;
    Some(8 << 8 | disk << 4 | partition)
}

/// The number itself.
fn plain_number(text: &str) -> Option<u32> {
    small(text, RESERVED - 1)
}

fn small(text: &str, most: u32) -> Option<u32> {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    let number = u32::try_from(c_integer(text).ok()?).ok()?;
    (digits && number <= most).then_some(number)
}

/// Disk and partition from letters (a to z, aa to zz and so on) and a decimal number.
fn letters(text: &str, last_disk: u32, last_partition: u32) -> Option<(u32, u32)> {
    let end = text.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(text.len());
    let (disk, partition) = text.split_at_checked(end)?;
    // One more than the disk, so that "a" and "aa" differ.
    let mut above = 0u32;
    for letter in disk.bytes() {
        above = above.checked_mul(26)?.checked_add(u32::from(letter - b'a') + 1)?;
        if above > last_disk + 1 {
            return None;
        }
    }
    let disk = above.checked_sub(1)?;
    if partition.is_empty() {
        return Some((disk, 0));
    }
    let digits = !partition.starts_with('0') && partition.bytes().all(|byte| byte.is_ascii_digit());
    let number: u32 = partition.parse().ok()?;
    (digits && number <= last_partition).then_some((disk, number))
}

impl fmt::Display for Vdev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

stored_as_text!(Vdev);
