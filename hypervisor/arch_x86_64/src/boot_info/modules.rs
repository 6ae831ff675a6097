//! Files that the boot loader has put into memory.

use super::{BootError, BootInfo, Part};
use crate::span::Span;
use crate::text::Text;

/// The most modules that are kept.
pub const MAX_MODULES: usize = 16;
/// The longest command line of a module that is kept, in bytes.
const MODULE_TEXT: usize = 256;

/// A file that the boot loader has put into memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Module {
    /// Where; never empty.
    pub span: Span,
    /// Its command line, or its name; may be empty.
    pub text: Text<MODULE_TEXT>,
}

impl Module {
    /// Adds a module to `info`.
    pub(super) fn add(info: &mut BootInfo, span: Span, text: Text<MODULE_TEXT>) -> Result<(), BootError> {
        if span.is_empty() {
            return Err(BootError::EmptyModule { index: info.modules().len() });
        }
        let too_many = BootError::TooMany { part: Part::Modules, most: MAX_MODULES };
        info.modules.push(Self { span, text }).map_err(|_| too_many)
    }
}
