//! What can be asked inside and outside a transaction.

use crate::error::Error;
use xen_abi::Errno;
use xenstore_wire::{MessageType, Permission, payload};

/// Reading and changing nodes. Paths that do not begin with `/` start in the client's home.
pub trait Operations {
    /// Sends a request and gives the payload of the answer. `subject` is what errors are about.
    ///
    /// # Errors
    /// Any [`Error`].
    fn request(&mut self, kind: MessageType, subject: &str, payload: Vec<u8>) -> Result<Vec<u8>, Error>;

    /// The values of several nodes, each `None` if there is no such node.
    ///
    /// # Errors
    /// As [`read`](Self::read), without `ENOENT`.
    fn read_all(&mut self, paths: &[String]) -> Result<Vec<Option<Vec<u8>>>, Error>;

    /// The value of a node.
    ///
    /// # Errors
    /// [`Error::Refused`] with `ENOENT` if there is no such node, `EACCES` if it may not be read; any other [`Error`].
    fn read(&mut self, path: &str) -> Result<Vec<u8>, Error> {
        self.request(MessageType::Read, path, string(path)?)
    }

    /// The value of a node that holds text; bytes that are none become U+FFFD.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn read_string(&mut self, path: &str) -> Result<String, Error> {
        Ok(String::from_utf8_lossy(&self.read(path)?).into_owned())
    }

    /// The value of a node, or `None` if there is none.
    ///
    /// # Errors
    /// As [`read`](Self::read), without `ENOENT`.
    fn read_optional(&mut self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        match self.read(path) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a value; makes the node and all above it if they are missing.
    ///
    /// # Errors
    /// [`Error::Refused`] with `EACCES` or, for guests, `ENOSPC`; any other [`Error`].
    fn write(&mut self, path: &str, value: impl AsRef<[u8]>) -> Result<(), Error>
    where
        Self: Sized,
    {
        let mut payload = string(path)?;
        payload.extend_from_slice(value.as_ref());
        self.request(MessageType::Write, path, payload).map(drop)
    }

    /// Makes a node, and all above it, if they are missing.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    fn mkdir(&mut self, path: &str) -> Result<(), Error> {
        self.request(MessageType::Mkdir, path, string(path)?).map(drop)
    }

    /// Removes a node with all below it. That it is missing is no error, unless the one above is too.
    ///
    /// # Errors
    /// [`Error::Refused`] with `EACCES`, or `ENOENT` if the node above is missing; any other [`Error`].
    fn rm(&mut self, path: &str) -> Result<(), Error> {
        self.request(MessageType::Rm, path, string(path)?).map(drop)
    }

    /// Names of a node's children.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn directory(&mut self, path: &str) -> Result<Vec<String>, Error> {
        let names = match self.request(MessageType::Directory, path, string(path)?) {
            Err(error) if error.errno() == Some(Errno::E2BIG) => directory_in_parts(self, path)?,
            other => other?,
        };
        let names = payload::strings(&names).ok_or(Error::Answer("a list without an end"))?;
        Ok(names.into_iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect())
    }

    /// Permissions of a node, the owner's first.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn permissions(&mut self, path: &str) -> Result<Vec<Permission>, Error> {
        let list = self.request(MessageType::GetPerms, path, string(path)?)?;
        let list = payload::strings(&list).ok_or(Error::Answer("permissions without an end"))?;
        let parse = |text: &&[u8]| Permission::parse(text).map_err(|_| Error::Answer("unknown permissions"));
        list.iter().map(parse).collect()
    }

    /// Sets permissions, the owner's first.
    ///
    /// # Errors
    /// [`Error::Refused`] with `EACCES`, or `EPERM` when a guest gives a node away; any other [`Error`].
    fn set_permissions(&mut self, path: &str, permissions: &[Permission]) -> Result<(), Error> {
        let mut payload = string(path)?;
        for permission in permissions {
            payload::push_string(&mut payload, permission.to_string().as_bytes());
        }
        self.request(MessageType::SetPerms, path, payload).map(drop)
    }
}

/// A string as it travels.
pub(crate) fn string(text: &str) -> Result<Vec<u8>, Error> {
    if text.contains('\0') {
        return Err(Error::Nul(text.to_owned()));
    }
    let mut payload = Vec::with_capacity(text.len() + 1);
    payload::push_string(&mut payload, text.as_bytes());
    Ok(payload)
}

/// A list that does not fit into one message. Starts over when the node changes between two parts.
fn directory_in_parts(store: &mut (impl Operations + ?Sized), path: &str) -> Result<Vec<u8>, Error> {
    let mut names = Vec::new();
    let mut generation: Option<Vec<u8>> = None;
    loop {
        let mut payload = string(path)?;
        payload::push_string(&mut payload, names.len().to_string().as_bytes());
        let part = store.request(MessageType::DirectoryPart, path, payload)?;
        let (seen, part) =
            payload::string_and_rest(&part).ok_or(Error::Answer("a part without a generation"))?;
        if generation.as_ref().is_some_and(|known| known != seen) {
            (names, generation) = (Vec::new(), None);
            continue;
        }
        generation = Some(seen.to_vec());
        // An empty name marks the end.
        if let Some(last) = part.strip_suffix(b"\0").filter(|last| last.is_empty() || last.ends_with(b"\0")) {
            names.extend_from_slice(last);
            return Ok(names);
        }
        if part.is_empty() {
            return Err(Error::Answer("an empty part of a list"));
        }
        names.extend_from_slice(part);
    }
}
