//! Each type: good texts, bad texts, and that what is printed parses to the same.
use proptest::prelude::*;

use super::*;

fn parse<T: std::str::FromStr<Err = BadValue>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: BadValue| error.to_string())
}

/// Value to text, to JSON, and back.
fn round_trip<T>(value: &T)
where
    T: std::str::FromStr<Err = BadValue> + std::fmt::Display + std::fmt::Debug + PartialEq,
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    assert_eq!(parse::<T>(&value.to_string()).as_ref(), Ok(value));
    let json = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&json).unwrap(), value);
}

#[test]
fn c_integers_have_three_bases_and_a_sign() {
    for (text, number) in
        [("10", 10), ("0x1f", 31), ("0X1F", 31), ("010", 8), ("0", 0), ("-3600", -3600), (" +5", 5)]
    {
        assert_eq!(c_integer(text), Ok(number), "{text}");
    }
    for text in ["", " ", "-", "0x", "08", "1a", "--1", "+-1", "0x-1", "5 ", "99999999999999999999"] {
        assert!(c_integer(text).is_err(), "{text}");
    }
    assert!(in_range("70000", 1..=65535).is_err());
}

#[test]
fn vdevs_have_the_numbers_of_the_manual() {
    let numbers = [
        ("d0", None),
        ("d0p0", Some(202 << 8)),
        ("xvda", Some(202 << 8)),
        ("d1p2", Some(202 << 8 | 1 << 4 | 2)),
        ("xvdb2", Some(202 << 8 | 1 << 4 | 2)),
        ("xvdp15", Some(202 << 8 | 15 << 4 | 15)),
        ("xvdq", Some(1 << 28 | 16 << 8)),
        ("xvda16", Some(1 << 28 | 16)),
        ("d536p37", Some(1 << 28 | 536 << 8 | 37)),
        ("xvdtq37", Some(1 << 28 | 536 << 8 | 37)),
        ("sdb3", Some(8 << 8 | 1 << 4 | 3)),
        ("hda", Some(3 << 8)),
        ("hdb1", Some(3 << 8 | 1 << 6 | 1)),
        ("hdc2", Some(22 << 8 | 2)),
        ("hdd63", Some(22 << 8 | 1 << 6 | 63)),
        ("51712", Some(51712)),
        ("0xca00", Some(0xca00)),
        ("0312000", Some(0o312000)),
        ("xvd", None),
        ("xvda0", None),
        ("xvda01", None),
        ("xvda256", None),
        ("xvdA", None),
        ("hde", None),
        ("hda64", None),
        ("sdq", None),
        ("sda16", None),
        ("d1048576p0", None),
        ("d0p256", None),
        ("d-1p0", None),
        ("xvdzzzzzzzzzzzz", None),
        ("xvda1x", None),
        ("536870912", None),
        ("-1", None),
        ("", None),
    ];
    for (name, number) in numbers {
        let vdev: Result<Vdev, _> = name.parse();
        assert_eq!(vdev.as_ref().ok().map(Vdev::number), number, "{name}");
        if let Ok(vdev) = vdev {
            round_trip(&vdev);
        }
    }
}

#[test]
fn macs_are_one_cards() {
    let mac: Mac = "0:16:3E:1:02:ff".parse().unwrap();
    assert_eq!(mac.bytes(), [0, 0x16, 0x3e, 1, 2, 0xff]);
    assert_eq!(mac.to_string(), "00:16:3e:01:02:ff");
    for bad in [
        "",
        "00:16:3e:01:02",
        "00:16:3e:01:02:03:04",
        "00:16:3e:01:02:100",
        "00:16:3e:01:02:+3",
        "00:16:3e:01:02:g0",
        "00-16-3e-01-02-03",
        "01:00:00:00:00:00",
        "ff:ff:ff:ff:ff:ff",
        "00:00:00:00:00:00",
    ] {
        assert!(bad.parse::<Mac>().is_err(), "{bad}");
    }
    assert_eq!(Mac::in_xen_range([0xff, 1, 2]).to_string(), "00:16:3e:7f:01:02");
}

#[test]
fn uuids_are_read_in_either_case() {
    let uuid: Uuid = "01234567-89AB-cdef-0123-456789abcdef".parse().unwrap();
    assert_eq!(
        uuid.0,
        [1, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 1, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]
    );
    for bad in [
        "",
        "0123456789abcdef0123456789abcdef",
        "01234567-89ab-cdef-0123-456789abcde",
        "01234567-89ab-cdef-0123+456789abcdef",
        "g1234567-89ab-cdef-0123-456789abcdef",
        "é1234567-89ab-cdef-0123-456789abcde",
    ] {
        assert!(bad.parse::<Uuid>().is_err(), "{bad}");
    }
}

#[test]
fn memory_has_units() {
    for (text, kib) in [
        ("256", 256 << 10),
        ("0x100", 256 << 10),
        ("0x10b", 267 << 10),
        ("2g", 2 << 20),
        ("2G", 2 << 20),
        ("512M", 512 << 10),
        ("4k", 4),
        ("4096b", 4),
        ("1t", 1 << 30),
    ] {
        assert_eq!(text.parse::<MemorySize>().map(MemorySize::kib), Ok(kib), "{text}");
    }
    for bad in ["", "m", "k", "0", "-1", "100b", "17t", "99999999999g", "1gb", "2 gig", "1.5g"] {
        assert!(bad.parse::<MemorySize>().is_err(), "{bad}");
    }
    assert!(serde_json::from_str::<MemorySize>("0").is_err());
    assert_eq!(MemorySize::from_kib(1025).unwrap().to_string(), "1025k");
}

#[test]
fn rates_are_as_xl_computes_them() {
    for (text, bytes, interval) in [
        ("10Mb/s", 62_500, 50_000),
        ("250KB/s", 12_500, 50_000),
        ("1MB/s@20ms", 20_000, 20_000),
        ("1GB/s@1s", 1_000_000_000, 1_000_000),
        ("8b/s@2", 2, 2_000_000),
        ("100B/s@100000us", 10, 100_000),
    ] {
        let rate: Rate = text.parse().unwrap();
        assert_eq!((rate.bytes_per_interval(), rate.interval_us()), (bytes, interval), "{text}");
        round_trip(&rate);
    }
    for bad in [
        "",
        "10",
        "10MB",
        "MB/s",
        "10mB/s",
        "10MB/s@",
        "10MB/s@0",
        "10MB/s@5000s",
        "1B/s@1us",
        "0B/s",
        "99999999999999999999GB/s",
        "10MB/s@20ms@1",
        "-1B/s",
        "10éB/s",
    ] {
        assert!(bad.parse::<Rate>().is_err(), "{bad}");
    }
}

#[test]
fn cpu_lists_are_applied_from_left_to_right() {
    let host = [0, 0, 1, 1];
    for (text, cpus) in [
        ("all", [true; 4]),
        ("0-3,^1", [true, false, true, true]),
        ("^1,0-3", [true; 4]),
        ("all,^nodes:0", [false, false, true, true]),
        ("nodes:0-1,^node:1,3", [true, true, false, true]),
        (" 1 , 2 ,", [false, true, true, false]),
    ] {
        let list: CpuList = text.parse().unwrap();
        assert_eq!(list.resolve(&host), Ok(cpus.to_vec()), "{text}");
        round_trip(&list);
    }
    for bad in
        ["", ",", "a", "^all", "3-1", "1-", "-1", "4096", "0-99999999999", "node:", "nodes:x", "1--2", "+1"]
    {
        assert!(bad.parse::<CpuList>().is_err(), "{bad}");
    }
    for beyond in ["4", "2-4", "node:2", "0,^0"] {
        assert!(beyond.parse::<CpuList>().unwrap().resolve(&host).is_err(), "{beyond}");
    }
}

#[test]
fn names_cannot_leave_their_place() {
    for good in ["demo", "a b", "7up", "ünï"] {
        round_trip(&good.parse::<DomainName>().unwrap());
    }
    for bad in ["", "a/b", ".", "..", "17", "a\nb", &"x".repeat(201)] {
        assert!(bad.parse::<DomainName>().is_err(), "{bad}");
    }
    for bad in ["", "sixteen-letters-", "a/b", "a b", "..", "eth0:1"] {
        assert!(bad.parse::<InterfaceName>().is_err(), "{bad}");
    }
    assert!(Text::from_str_len(1024).is_ok() && Text::from_str_len(1025).is_err());
}

impl Text {
    fn from_str_len(len: usize) -> Result<Self, BadValue> {
        "x".repeat(len).parse()
    }
}

#[test]
fn wrong_word_is_answered_with_the_right_ones() {
    assert_eq!("restart".parse(), Ok(Action::Restart));
    assert_eq!(parse::<GicVersion>("v4"), Err("`v4` is not one of: default, v2, v3".to_owned()));
    Action::ALL.iter().for_each(round_trip);
}

proptest! {
    #[test]
    fn any_text_is_a_value_that_round_trips_or_an_error(text in "\\PC{0,12}|[0-9a-zA-Z:@/^,+-]{0,20}") {
        macro_rules! try_all { ($($type:ty),*) => {$(
            if let Ok(value) = text.parse::<$type>() { round_trip(&value); }
        )*} }
        try_all!(CpuList, DomainName, InterfaceName, Mac, Rate, Text, Uuid, Vdev);
        if let Ok(size) = text.parse::<MemorySize>() {
            prop_assert_eq!(size.to_string().parse::<MemorySize>(), Ok(size));
        }
    }

    #[test]
    fn valid_texts_round_trip(
        bytes in any::<[u8; 16]>(), random in any::<[u8; 3]>(), kib in 1u64..=16 << 30,
        rate in 1u32.., interval in 1u32..100_000, disk in 0u32..1 << 20, partition in 0u32..256,
    ) {
        round_trip(&Uuid(bytes));
        round_trip(&Mac::in_xen_range(random));
        let size = MemorySize::from_kib(kib).unwrap();
        prop_assert_eq!(size.to_string().parse::<MemorySize>(), Ok(size));
        if let Ok(rate) = format!("{rate}Kb/s@{interval}us").parse::<Rate>() {
            round_trip(&rate);
        }
        let vdev: Vdev = format!("d{disk}p{partition}").parse().unwrap();
        let number = vdev.number();
        prop_assert!(number < 2 << 28);
        prop_assert_eq!(number.to_string().parse::<Vdev>(), Ok(vdev));
    }

    #[test]
    fn resolved_cpus_are_the_hosts(parts in prop::collection::vec("\\^?(node:)?[0-7](-[0-7])?|all", 1..6)) {
        if let Ok(list) = parts.join(",").parse::<CpuList>()
            && let Ok(cpus) = list.resolve(&[0, 1, 2, 3, 0, 1])
        {
            prop_assert_eq!(cpus.len(), 6);
            prop_assert!(cpus.contains(&true));
        }
    }
}
