//! Names and short texts that end up in xenstore, in file names or in the kernel.
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use super::{BadValue, stored_as_text};

/// Most bytes of a text: with its path it has to fit in a message to xenstore.
const MAX_TEXT: usize = 1024;
/// Most bytes of a domain's name: it becomes part of file names.
const MAX_NAME: usize = 200;
/// Most bytes of a network interface's name (Linux' IFNAMSIZ, without the zero at its end).
const MAX_INTERFACE: usize = 15;

macro_rules! checked_string {
    ($(#[$meta:meta])* $name:ident, $check:ident) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadValue;
            fn from_str(text: &str) -> Result<Self, BadValue> {
                $check(text).map_err(BadValue::new)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        stored_as_text!($name);
    };
}

checked_string! {
    /// Not empty, of at most 1024 bytes, without control characters.
    Text, check_text
}
checked_string! {
    /// Name of a domain: a [`Text`] of at most 200 bytes that can be part of a file's name and is not taken for a
    /// domain id.
    DomainName, check_name
}
checked_string! {
    /// Name that Linux accepts for a network interface.
    InterfaceName, check_interface
}

fn check_text(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("the text is empty".to_owned());
    }
    if text.len() > MAX_TEXT {
        return Err(format!("the text has more than {MAX_TEXT} bytes"));
    }
    if text.chars().any(char::is_control) {
        return Err("the text has control characters".to_owned());
    }
    Ok(())
}

fn check_name(text: &str) -> Result<(), String> {
    if text.len() > MAX_NAME {
        return Err(format!("the name has more than {MAX_NAME} bytes"));
    }
    if text.contains('/') || text == "." || text == ".." {
        return Err("a domain's name becomes part of file names and cannot have a `/`".to_owned());
    }
    check_text(text)?;
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("a name of digits alone would be taken for a domain id".to_owned());
    }
    Ok(())
}

fn check_interface(text: &str) -> Result<(), String> {
    check_text(text)?;
    if text.len() > MAX_INTERFACE {
        return Err(format!(
            "`{text}` has more than {MAX_INTERFACE} bytes, too many for a network interface"
        ));
    }
    if text == "." || text == ".." || text.contains(|c: char| c == '/' || c == ':' || c.is_whitespace()) {
        return Err(format!("`{text}` cannot be the name of a network interface"));
    }
    Ok(())
}
