//! The one way in which a verb or a combination of options says that it is not built yet.

/// The error for a verb that is named but not built.
pub fn verb(name: &str) -> anyhow::Error {
    anyhow::anyhow!("`./x {name}` is not built yet")
}

/// The error for options that are each known but not built together.
pub fn combination(what: &str) -> anyhow::Error {
    anyhow::anyhow!("{what} is not built yet")
}
