//! The one way in which a combination of options says that it is not built yet.

/// The error for options that are each known but not built together.
pub fn combination(what: &str) -> anyhow::Error {
    anyhow::anyhow!("{what} is not built yet")
}
