//! A folder for a test.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder of its own, removed with all that is in it when this is dropped.
pub struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    /// Makes one with `name` in its name.
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("xenoxide-{name}-{}-{number}", std::process::id()));
        // What an earlier process of this number left.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).expect("the temporary folder can be written");
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
