//! Values of options and how they are written.

/// How much memory dom0 gets, in bytes. See [`Dom0Mem::resolve`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Dom0Mem {
    /// The amount asked for.
    pub size: Option<u64>,
    /// At least this much.
    pub min: Option<u64>,
    /// At most this much.
    pub max: Option<u64>,
}

impl Dom0Mem {
    /// What dom0 gets when no amount is given: Xen's 512 MiB.
    pub const DEFAULT: u64 = 512 << 20;

    /// Bytes for dom0: the amount, not less than `min`; and in any case not more than `max`.
    pub fn resolve(&self) -> u64 {
        self.size.unwrap_or(Self::DEFAULT).max(self.min.unwrap_or(0)).min(self.max.unwrap_or(u64::MAX))
    }

    /// `<size>`, `min:<size>`, `max:<size>`, in a list with commas.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut mem = Self::default();
        for part in text.split(',') {
            let (slot, text) = match part.split_once(':') {
                Some(("min", text)) => (&mut mem.min, text),
                Some(("max", text)) => (&mut mem.max, text),
                Some(_) => return None,
                None => (&mut mem.size, part),
            };
            *slot = Some(size(text).filter(|bytes| *bytes > 0)?);
        }
        Some(mem)
    }
}

/// How many vCPUs dom0 gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VcpuCount {
    /// At least so many.
    pub min: u32,
    /// At most so many.
    pub max: u32,
}

impl VcpuCount {
    /// The number for a host of `pcpus` CPUs: as many, within the limits.
    pub fn resolve(&self, pcpus: u32) -> u32 {
        pcpus.max(self.min).min(self.max).max(1)
    }

    /// `<n>`, `<min>-<max>`, `<min>-`, `-<max>`; 0 stands for no limit.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let count = |text: &str| integer(text);
        let (min, max) = match text.split_once('-') {
            None => (count(text)?, count(text)?),
            Some(("", "")) => return None,
            Some((min, "")) => (count(min)?, 0),
            Some(("", max)) => (0, count(max)?),
            Some((min, max)) => (count(min)?, count(max)?),
        };
        let max = if max == 0 { u32::MAX } else { max };
        (min <= max).then_some(Self { min: min.max(1), max })
    }
}

impl Default for VcpuCount {
    fn default() -> Self {
        Self { min: 1, max: u32::MAX }
    }
}

/// How important a message is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LogLevel {
    /// Print nothing.
    None,
    /// Errors.
    Error,
    /// And warnings.
    Warning,
    /// And notes.
    Info,
    /// And everything else.
    Debug,
}

/// Which messages are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogLevels {
    /// Up to this level: always.
    pub always: LogLevel,
    /// Above that, up to this level: a limited number per second.
    pub limited: LogLevel,
}

impl LogLevels {
    /// `<level>` or `<level>/<rate-limited level>`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (always, limited) = text.split_once('/').unwrap_or((text, text));
        let always = Self::level(always)?;
        Some(Self { always, limited: Self::level(limited)?.max(always) })
    }

    fn level(text: &str) -> Option<LogLevel> {
        choice(
            text,
            &[
                ("none", LogLevel::None),
                ("error", LogLevel::Error),
                ("warning", LogLevel::Warning),
                ("info", LogLevel::Info),
                ("debug", LogLevel::Debug),
                ("all", LogLevel::Debug),
            ],
        )
    }
}

/// What stands before each line on the console.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Timestamps {
    /// Nothing.
    None,
    /// Date and time.
    Date,
    /// Date and time with milliseconds.
    DateMs,
    /// Seconds and microseconds since boot.
    Boot,
    /// The counter's value.
    Raw,
}

impl Timestamps {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let named = [
            // Without a value it is the old flag.
            ("", Self::Date),
            ("none", Self::None),
            ("date", Self::Date),
            ("datems", Self::DateMs),
            ("boot", Self::Boot),
            ("raw", Self::Raw),
        ];
        choice(text, &named).or_else(|| boolean(text).map(|on| if on { Self::Date } else { Self::None }))
    }
}

/// The key that switches serial input between the hypervisor and dom0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConSwitch {
    /// The letter that is pressed three times with Ctrl, `a` to `z`.
    pub letter: u8,
    /// Input stays with the hypervisor when dom0 boots.
    pub keep: bool,
}

impl ConSwitch {
    /// The control character that the key sends.
    pub fn code(&self) -> u8 {
        self.letter & 0x1f
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let letter = *text.as_bytes().first()?;
        let keep = text.as_bytes().get(1) == Some(&b'x');
        (letter.is_ascii_lowercase() && text.len() <= 2).then_some(Self { letter, keep })
    }
}

/// Which scheduler runs the vCPUs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheduler {
    /// Fair, weighted, with caps.
    Credit2,
    /// One vCPU per pCPU.
    Null,
}

/// What becomes of a guest's WFI and WFE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Vwfi {
    /// Trapped: another vCPU can run.
    Trap,
    /// Not trapped: the pCPU itself waits.
    Native,
}

/// What becomes of SErrors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SError {
    /// A guest's own is given to it; the hypervisor's own is fatal.
    Diverse,
    /// Always fatal.
    Panic,
}

/// Xen's words for yes and no.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "on" | "yes" | "true" | "enable" => Some(true),
        "0" | "no" | "off" | "false" | "disable" => Some(false),
        _ => None,
    }
}

/// The value that `text` names.
pub(super) fn choice<T: Copy>(text: &str, named: &[(&str, T)]) -> Option<T> {
    named.iter().find(|(name, _)| *name == text).map(|(_, value)| *value)
}

/// A number that fits 32 bits.
pub(super) fn integer(text: &str) -> Option<u32> {
    match number(text)? {
        (value, "") => u32::try_from(value).ok(),
        _ => None,
    }
}

/// A size in bytes: a number and a unit of B, K, M, G or T; KiB without one.
pub(super) fn size(text: &str) -> Option<u64> {
    let (value, unit) = number(text)?;
    let shift = match unit {
        "T" | "t" => 40,
        "G" | "g" => 30,
        "M" | "m" => 20,
        "" | "K" | "k" => 10,
        "B" | "b" => 0,
        _ => return None,
    };
    value.checked_mul(1 << shift)
}

/// A number as C writes it (0x for sixteen, 0 for eight as base) and what follows.
fn number(text: &str) -> Option<(u64, &str)> {
    let (digits, base) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(rest) => (rest, 16),
        None if text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    let end = digits.find(|c: char| !c.is_digit(base)).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at_checked(end)?;
    Some((u64::from_str_radix(digits, base).ok()?, rest))
}
