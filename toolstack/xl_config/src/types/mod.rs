//! Values that cannot be wrong: each is made by parsing its text, and printed as text that parses to it.
mod cpus;
mod keyword;
mod mac;
mod memory;
mod names;
mod number;
mod rate;
mod uuid;
mod vdev;

pub use cpus::{Affinity, CpuList};
pub use keyword::{Action, GicVersion, GuestType, TscMode, Vuart};
pub use mac::Mac;
pub use memory::MemorySize;
pub use names::{DomainName, InterfaceName, Text};
pub(crate) use number::{c_integer, in_range};
pub use rate::Rate;
pub use uuid::Uuid;
pub use vdev::Vdev;

/// Why a text is no value of its type, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadValue(String);

impl BadValue {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// Stores a type as the text that it prints.
macro_rules! stored_as_text {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use stored_as_text;

#[cfg(test)]
mod tests;
