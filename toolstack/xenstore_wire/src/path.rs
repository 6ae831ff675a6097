//! Paths: `/`-separated names of ASCII letters, digits and `-/_@`, without empty names and without a final `/`.

use crate::Domid;
use std::borrow::Borrow;
use std::fmt;
use std::rc::Rc;
use thiserror::Error;
use xen_abi::io::xs_wire::{XENSTORE_ABS_PATH_MAX, XENSTORE_REL_PATH_MAX};

/// Why a string is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PathError {
    /// A character outside letters, digits and `-/_@`.
    #[error("a path has letters, digits and -/_@ only")]
    Character,
    /// Empty, an empty name (`//`), or a final `/`.
    #[error("a path has no empty name: no //, and no / at its end")]
    EmptyName,
    /// Begins with `@`: an event of the daemon, which can be watched only.
    #[error("what begins with @ is an event, not a node")]
    Special,
    /// Longer than the protocol's limits: 3072 bytes, and 2048 below a domain's home.
    #[error("the path is too long")]
    TooLong,
}

/// An absolute path that obeys the rules. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path(Rc<str>);

impl Path {
    /// The top of the tree: `/`.
    pub fn root() -> Self {
        Self(Rc::from("/"))
    }

    /// Home of a domain: `/local/domain/<domid>`.
    pub fn home(domid: Domid) -> Self {
        Self(Rc::from(format!("/local/domain/{domid}")))
    }

    /// The path that a client wrote, taken from `home` unless it begins with `/`.
    ///
    /// # Errors
    /// [`PathError`] when a rule is broken.
    pub fn resolve(home: &Self, text: &[u8]) -> Result<Self, PathError> {
        if text.starts_with(b"/") {
            return Self::parse(text);
        }
        if text.is_empty() {
            return Err(PathError::EmptyName);
        }
        if text.starts_with(b"@") {
            return Err(PathError::Special);
        }
        Self::parse(&[home.as_str().as_bytes(), b"/", text].concat())
    }

    /// An absolute path.
    ///
    /// # Errors
    /// [`PathError`] when a rule is broken.
    pub fn parse(text: &[u8]) -> Result<Self, PathError> {
        let text = valid_characters(text)?;
        if !text.starts_with('/')
            || text.as_bytes().windows(2).any(|pair| pair == b"//")
            || (text.len() > 1 && text.ends_with('/'))
        {
            return Err(PathError::EmptyName);
        }
        let path = Self(Rc::from(text));
        if text.len() > XENSTORE_ABS_PATH_MAX || path.length_below_home() > XENSTORE_REL_PATH_MAX {
            return Err(PathError::TooLong);
        }
        Ok(path)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is `/`.
    pub fn is_root(&self) -> bool {
        self.as_str() == "/"
    }

    /// The path above, or `None` for `/`.
    pub fn parent(&self) -> Option<Self> {
        Some(Self(Rc::from(self.ancestors().nth(1)?)))
    }

    /// The last name, or `None` for `/`.
    pub fn name(&self) -> Option<&str> {
        self.names().last()
    }

    /// The names from the top down; none for `/`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let mut rest = self.as_str();
        std::iter::from_fn(move || {
            rest = rest.strip_prefix('/').filter(|rest| !rest.is_empty())?;
            // Names are short ASCII: to look at each byte is quicker than a search for a character.
            let end = rest.bytes().position(|byte| byte == b'/').unwrap_or(rest.len());
            let (name, more) = rest.split_at(end);
            rest = more;
            Some(name)
        })
    }

    /// The text of this path, then of each path above it, `/` last.
    pub fn ancestors(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(Some(self.as_str()), |path| match path.rfind('/') {
            Some(0) if path.len() > 1 => Some("/"),
            Some(0) | None => None,
            Some(end) => Some(&path[..end]),
        })
    }

    /// The child of this name.
    ///
    /// # Errors
    /// [`PathError`] when the name or the whole path breaks a rule.
    pub fn join(&self, name: &str) -> Result<Self, PathError> {
        let base = if self.is_root() { "" } else { self.as_str() };
        Self::parse(format!("{base}/{name}").as_bytes())
    }

    /// How many levels this path lies below `ancestor`: 0 for itself, `None` when it does not lie there.
    pub fn depth_below(&self, ancestor: &Self) -> Option<usize> {
        let rest = self.strip(ancestor)?;
        Some(rest.split('/').filter(|name| !name.is_empty()).count())
    }

    /// What follows `ancestor` in this path, without a leading `/`; `None` when it does not lie below.
    pub fn strip(&self, ancestor: &Self) -> Option<&str> {
        if ancestor.is_root() {
            return self.as_str().strip_prefix('/');
        }
        let rest = self.as_str().strip_prefix(ancestor.as_str())?;
        if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
    }

    /// Bytes that count against the limit of path length: what follows `/local/domain/<number>/`, else all.
    pub fn length_below_home(&self) -> usize {
        let below_home = || {
            let (domid, rest) = self.as_str().strip_prefix("/local/domain/")?.split_once('/')?;
            domid.parse::<u16>().is_ok().then_some(rest)
        };
        below_home().unwrap_or(self.as_str()).len()
    }
}

impl Borrow<str> for Path {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// What the daemon itself reports, watched under a path that begins with `@`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SpecialPath {
    /// `@introduceDomain`: a domain was connected.
    IntroduceDomain,
    /// `@releaseDomain`: a domain shut down, crashed or is gone.
    ReleaseDomain,
}

impl SpecialPath {
    /// Both.
    pub const ALL: [Self; 2] = [Self::IntroduceDomain, Self::ReleaseDomain];

    /// The text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IntroduceDomain => "@introduceDomain",
            Self::ReleaseDomain => "@releaseDomain",
        }
    }

    /// The event of this name.
    pub fn parse(text: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|special| special.as_str().as_bytes() == text)
    }
}

/// The text, if all its characters may stand in a path.
pub fn valid_characters(text: &[u8]) -> Result<&str, PathError> {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-/_@".contains(byte);
    if !text.iter().all(allowed) {
        return Err(PathError::Character);
    }
    std::str::from_utf8(text).map_err(|_| PathError::Character)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(text: &str) -> Path {
        Path::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn paths_that_break_a_rule_are_refused() {
        for (text, error) in [
            ("", PathError::EmptyName),
            ("a", PathError::EmptyName),
            ("/a/", PathError::EmptyName),
            ("//", PathError::EmptyName),
            ("/a//b", PathError::EmptyName),
            ("/a b", PathError::Character),
            ("/a\u{e9}", PathError::Character),
            ("/a.b", PathError::Character),
        ] {
            assert_eq!(Path::parse(text.as_bytes()), Err(error), "{text}");
        }
    }

    #[test]
    fn length_counts_from_the_domains_home() {
        let long = "a".repeat(2047);
        assert!(Path::parse(format!("/{long}").as_bytes()).is_ok());
        assert_eq!(Path::parse(format!("/{long}a").as_bytes()), Err(PathError::TooLong));
        assert!(Path::parse(format!("/local/domain/7/{long}a").as_bytes()).is_ok());
        assert_eq!(Path::parse(format!("/local/domain/7/{long}aa").as_bytes()), Err(PathError::TooLong));
        assert_eq!(Path::parse(format!("/local/domain/x/{long}").as_bytes()), Err(PathError::TooLong));
    }

    #[test]
    fn relative_paths_start_at_home() {
        let home = Path::home(Domid(3));
        assert_eq!(Path::resolve(&home, b"x/y"), Ok(path("/local/domain/3/x/y")));
        assert_eq!(Path::resolve(&home, b"/x"), Ok(path("/x")));
        assert_eq!(Path::resolve(&home, b""), Err(PathError::EmptyName));
        assert_eq!(Path::resolve(&home, b"x/"), Err(PathError::EmptyName));
        assert_eq!(Path::resolve(&home, b"@releaseDomain"), Err(PathError::Special));
    }

    #[test]
    fn ancestors_end_at_the_root() {
        let deep = path("/a/bc/d");
        assert_eq!(deep.ancestors().collect::<Vec<_>>(), ["/a/bc/d", "/a/bc", "/a", "/"]);
        assert_eq!(Path::root().ancestors().collect::<Vec<_>>(), ["/"]);
        assert_eq!(deep.parent(), Some(path("/a/bc")));
        assert_eq!(path("/a").parent(), Some(Path::root()));
        assert_eq!(Path::root().parent(), None);
        assert_eq!((deep.name(), Path::root().name()), (Some("d"), None));
    }

    #[test]
    fn depth_counts_levels_below_and_names_that_only_begin_alike_are_not_below() {
        assert_eq!(path("/a/b").depth_below(&path("/a")), Some(1));
        assert_eq!(path("/a").depth_below(&path("/a")), Some(0));
        assert_eq!(path("/ab").depth_below(&path("/a")), None);
        assert_eq!(path("/a").depth_below(&path("/a/b")), None);
        assert_eq!(path("/a/b").depth_below(&Path::root()), Some(2));
        assert_eq!(Path::root().depth_below(&Path::root()), Some(0));
        assert_eq!(path("/a/b/c").strip(&path("/a")), Some("b/c"));
    }

    proptest! {
        #[test]
        fn accepted_paths_obey_all_rules(text in "[a/@_.-]{0,12}") {
            match Path::parse(text.as_bytes()) {
                Ok(path) => {
                    prop_assert_eq!(path.as_str(), &text);
                    let rebuilt = path.names().fold(Path::root(), |path, name| path.join(name).unwrap());
                    prop_assert_eq!(rebuilt, path);
                }
                Err(_) => {
                    let fine = text.starts_with('/') && !text.as_bytes().windows(2).any(|pair| pair == b"//") && !text.contains('.')
                        && (text == "/" || !text.ends_with('/'));
                    prop_assert!(!fine);
                }
            }
        }

        #[test]
        fn any_bytes_are_a_path_or_refused(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(path) = Path::resolve(&Path::home(Domid(1)), &text) {
                prop_assert!(path.as_str().starts_with('/'));
            }
        }
    }
}
