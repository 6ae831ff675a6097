//! What the command line said, for common code.

/// The options. Their syntax and their defaults stand in the table of the boot code.
#[derive(Clone, Debug)]
pub struct Options {
    /// Stay off after a crash instead of starting again.
    pub no_reboot: bool,
    /// Grant table pages of a domain that does not say.
    pub grant_frames: u32,
    /// Maptrack pages of a domain that does not say.
    pub maptrack_frames: u32,
    /// The command line as it was given.
    pub command_line: alloc::string::String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            no_reboot: false,
            grant_frames: 64,
            maptrack_frames: 1024,
            command_line: alloc::string::String::new(),
        }
    }
}
