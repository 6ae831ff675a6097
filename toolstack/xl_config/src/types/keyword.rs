//! Values that are one of a few words.
use std::fmt;
use std::str::FromStr;

use super::{BadValue, stored_as_text};

macro_rules! keywords {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// All values.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word in xl.cfg.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }

        impl FromStr for $name {
            type Err = BadValue;
            fn from_str(text: &str) -> Result<Self, BadValue> {
                Self::ALL.iter().copied().find(|value| value.word() == text).ok_or_else(|| {
                    let words: Vec<&str> = Self::ALL.iter().map(|value| value.word()).collect();
                    BadValue::new(format!("`{}` is not one of: {}", text.escape_debug(), words.join(", ")))
                })
            }
        }

        stored_as_text!($name);
    };
}

keywords! {
    /// What to do when a domain has stopped (xl.cfg(5), Event Actions).
    pub enum Action {
        /// Destroy the domain.
        Destroy = "destroy",
        /// Destroy it and make it anew.
        Restart = "restart",
        /// Rename it, keep it, and make it anew.
        RenameRestart = "rename-restart",
        /// Keep it as it is.
        Preserve = "preserve",
        /// Write its memory to a file, then destroy it.
        CoredumpDestroy = "coredump-destroy",
        /// Write its memory to a file, then make it anew.
        CoredumpRestart = "coredump-restart",
        /// Reset its Xen interfaces and go on.
        SoftReset = "soft-reset",
    }
}

keywords! {
    /// Kind of guest.
    pub enum GuestType {
        /// Paravirtualised (x86); arm64 takes it for PVH, as libxl does.
        Pv = "pv",
        /// With the CPU's virtualisation and without emulated devices; all arm64 guests.
        Pvh = "pvh",
    }
}

keywords! {
    /// Version of an arm64 guest's interrupt controller.
    pub enum GicVersion {
        /// The host's.
        Default = "default",
        /// GICv2.
        V2 = "v2",
        /// GICv3.
        V3 = "v3",
    }
}

keywords! {
    /// Serial port that the hypervisor emulates.
    pub enum Vuart {
        /// SBSA UART, a part of the PL011.
        SbsaUart = "sbsa_uart",
    }
}

keywords! {
    /// How an x86 guest sees the time stamp counter (xen-tscmode(7)).
    pub enum TscMode {
        /// Xen decides.
        Default = "default",
        /// Always emulated.
        AlwaysEmulate = "always_emulate",
        /// Never emulated.
        Native = "native",
        /// Never emulated, with help for applications.
        NativeParavirt = "native_paravirt",
    }
}
