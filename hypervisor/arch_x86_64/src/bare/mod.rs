//! What touches registers and memory.

mod boot;
pub mod console;
mod direct_map;
mod exceptions;
mod report;

pub use boot::{image_span, park};
pub use direct_map::DirectMap;
pub use report::panic;

/// Makes exceptions and messages work. The first call of the image.
pub fn start() {
    exceptions::start();
    console::start();
}
