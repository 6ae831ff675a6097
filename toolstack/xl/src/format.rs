//! How numbers and sets are written, as Xen's tools do.

use std::str::FromStr;

use xen_ctrl::Bitmap;

/// An amount of memory on the command line, in KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryArgument(pub u64);

impl FromStr for MemoryArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|it: char| it.is_ascii_alphabetic());
        let number: u64 =
            digits.parse().map_err(|_| "write a number with unit, such as 512m or 2g".to_owned())?;
        let kib = match text[digits.len()..].to_ascii_lowercase().as_str() {
            "b" => Some(number / 1024),
            "k" => Some(number),
            "" | "m" => number.checked_mul(1 << 10),
            "g" => number.checked_mul(1 << 20),
            "t" => number.checked_mul(1 << 30),
            unit => return Err(format!("there is no unit {unit}: use b, k, m, g or t")),
        };
        // More than any CPU addresses would overflow further on.
        kib.filter(|&kib| kib <= 1 << 42)
            .map(Self)
            .ok_or_else(|| "that is more memory than there can be".to_owned())
    }
}

/// A set of numbers below `limit`: `all`, `none`, or ranges such as `0-3,5`.
pub(crate) fn set(bits: &Bitmap, limit: u32) -> String {
    let numbers: Vec<u32> = bits.iter().take_while(|&bit| bit < limit).collect();
    if numbers.is_empty() {
        return "none".to_owned();
    }
    if numbers.len() as u64 == u64::from(limit) {
        return "all".to_owned();
    }
    let runs = numbers.chunk_by(|one, next| one + 1 == *next);
    let text = runs.map(|run| match run {
        [one] => one.to_string(),
        [first, .., last] => format!("{first}-{last}"),
        [] => String::new(),
    });
    text.collect::<Vec<_>>().join(",")
}

/// How long something has lasted: hours, minutes, and seconds unless it is to be short.
pub(crate) fn duration(seconds: u64, short: bool) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (hours, minutes, seconds) = (rest / 3600, rest / 60 % 60, rest % 60);
    let days = match days {
        0 => String::new(),
        1 => "1 day, ".to_owned(),
        more => format!("{more} days, "),
    };
    let seconds = if short { String::new() } else { format!(":{seconds:02}") };
    format!("{days}{hours:>2}:{minutes:02}{seconds}")
}

/// CPU time in seconds with one digit behind the point.
pub(crate) fn cpu_time(ns: u64) -> String {
    format!("{:.1}", ns as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn memory_is_in_mebibytes_unless_a_unit_says_otherwise() {
        let kib = |text: &str| text.parse::<MemoryArgument>().map(|it| it.0);
        assert_eq!(kib("512"), Ok(512 << 10));
        assert_eq!(kib("2G"), Ok(2 << 20));
        assert_eq!(kib("1t"), Ok(1 << 30));
        assert_eq!(kib("5k"), Ok(5));
        assert_eq!(kib("4096b"), Ok(4));
        for text in ["", "m", "-1", "1.5g", "5x", "5mb", "99999999999999999999", "9999999999t"] {
            assert!(kib(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sets_are_ranges() {
        let bits = |numbers: &[u32]| {
            let mut bits = Bitmap::default();
            numbers.iter().for_each(|&bit| assert!(bits.insert(bit)));
            bits
        };
        assert_eq!(set(&bits(&[]), 4), "none");
        assert_eq!(set(&bits(&[0, 1, 2, 3, 9]), 4), "all");
        assert_eq!(set(&bits(&[0, 2, 3, 5]), 8), "0,2-3,5");
        assert_eq!(set(&bits(&[1]), 4), "1");
    }

    #[test]
    fn durations_name_days_and_pad_hours() {
        assert_eq!(duration(3661, false), " 1:01:01");
        assert_eq!(duration(86_400 + 36_000, true), "1 day, 10:00");
        assert_eq!(duration(2 * 86_400, false), "2 days,  0:00:00");
    }

    proptest! {
        #[test]
        fn any_text_is_memory_or_refused(text in "[0-9]{0,22}[a-zA-Z\u{e9}]{0,2}") {
            if let Ok(MemoryArgument(kib)) = text.parse() {
                prop_assert!(kib <= 1 << 42);
            }
        }
    }
}
