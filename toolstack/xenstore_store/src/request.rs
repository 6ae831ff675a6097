//! Decoding: from a message to a request whose arguments are valid.

use crate::operation::Operation;
use crate::quota::Quotas;
use crate::watch::watched_path;
use std::rc::Rc;
use xen_abi::Errno;
use xenstore_wire::{Domid, Message, MessageType, Path, Permission, SpecialPath, payload};

/// A request with valid arguments.
#[derive(Debug)]
pub(crate) enum Request {
    Tree(Operation),
    GetSpecialPerms(SpecialPath),
    SetSpecialPerms(SpecialPath, Rc<[Permission]>),
    Watch {
        path: Rc<str>,
        hidden: usize,
        token: Box<[u8]>,
        depth: Option<u32>,
    },
    Unwatch {
        path: Rc<str>,
        token: Box<[u8]>,
    },
    TransactionStart,
    /// Whether to commit.
    TransactionEnd(bool),
    Introduce {
        domid: Domid,
        gfn: u64,
        port: u32,
    },
    Release(Domid),
    GetDomainPath(Domid),
    IsDomainIntroduced(Domid),
    Resume(Domid),
    SetTarget(Domid, Domid),
    ResetWatches,
    GetFeature(Option<Domid>),
    SetFeature(Domid, u32),
    QuotaNames,
    GetQuota(Option<Domid>, String),
    SetQuota(Option<Domid>, String, u64),
    /// Command and arguments.
    Control(Vec<String>),
}

/// Whether only the control domain may ask this.
pub(crate) fn is_privileged(kind: MessageType) -> bool {
    use MessageType::*;
    matches!(
        kind,
        Control
            | Introduce
            | Release
            | IsDomainIntroduced
            | Resume
            | SetTarget
            | SetFeature
            | GetQuota
            | SetQuota
    )
}

/// Whether a request leaves the store as it is, but for what waits to be sent.
pub(crate) fn only_reads(message: &Message) -> bool {
    use MessageType::*;
    let kind = MessageType::from_number(message.kind);
    message.transaction == 0
        && matches!(
            kind,
            Some(
                Read | Directory
                    | DirectoryPart
                    | GetPerms
                    | GetDomainPath
                    | IsDomainIntroduced
                    | GetFeature
                    | GetQuota
            )
        )
}

/// Whether a read-only socket may ask this.
pub(crate) fn is_read_only(kind: MessageType) -> bool {
    use MessageType::*;
    matches!(
        kind,
        Directory
            | DirectoryPart
            | Read
            | GetPerms
            | Watch
            | Unwatch
            | ResetWatches
            | TransactionStart
            | TransactionEnd
            | GetDomainPath
            | IsDomainIntroduced
            | GetFeature
            | GetQuota
    )
}

/// Decodes the arguments of a request. Relative paths start at `home`.
///
/// # Errors
/// `EINVAL` for arguments that are not as the protocol says, `ENOSYS` for what no client sends.
pub(crate) fn decode(
    kind: MessageType,
    message: &Message,
    home: &Path,
    quotas: &Quotas,
) -> Result<Request, Errno> {
    arguments(kind, &message.payload, home, quotas).unwrap_or(Err(Errno::EINVAL))
}

/// `None` for invalid arguments.
fn arguments(
    kind: MessageType,
    bytes: &[u8],
    home: &Path,
    quotas: &Quotas,
) -> Option<Result<Request, Errno>> {
    let path = |text: &[u8]| {
        let path = Path::resolve(home, text).ok()?;
        (path.length_below_home() as u64 <= quotas.path_length).then_some(path)
    };
    let one_path = || path(payload::one_string(bytes)?);
    let one_domid = || payload::domid(payload::one_string(bytes)?);
    let real_domid = |text| payload::domid(text).filter(|domid| domid.is_real());
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
    let other_domid = || one_domid().filter(|&domid| domid != Domid::DOM0);
    Some(Ok(match kind {
        MessageType::Read => Request::Tree(Operation::Read(one_path()?)),
        MessageType::Directory => Request::Tree(Operation::Directory(one_path()?)),
        MessageType::GetPerms => match SpecialPath::parse(payload::one_string(bytes)?) {
            Some(special) => Request::GetSpecialPerms(special),
            None => Request::Tree(Operation::GetPerms(one_path()?)),
        },
        MessageType::Mkdir => Request::Tree(Operation::Mkdir(one_path()?)),
        MessageType::Rm => Request::Tree(Operation::Rm(one_path()?)),
        MessageType::DirectoryPart => match payload::strings(bytes)?[..] {
            [text, offset] => Request::Tree(Operation::DirectoryPart(path(text)?, payload::number(offset)?)),
            _ => return None,
        },
        MessageType::Write => {
            let (text, value) = payload::string_and_rest(bytes)?;
            Request::Tree(Operation::Write(path(text)?, value.into()))
        }
        MessageType::SetPerms => {
            let strings = payload::strings(bytes)?;
            let (text, list) = strings.split_first()?;
            let list: Vec<_> = list.iter().map(|text| Permission::parse(text).ok()).collect::<Option<_>>()?;
            if list.is_empty() {
                return None;
            }
            match SpecialPath::parse(text) {
                Some(special) => Request::SetSpecialPerms(special, list.into()),
                None => Request::Tree(Operation::SetPerms(path(text)?, list.into())),
            }
        }
        MessageType::Watch => {
            let strings = payload::strings(bytes)?;
            let (text, token, depth) = match strings[..] {
                [text, token] => (text, token, None),
                [text, token, depth] => (text, token, Some(payload::number(depth)?)),
                _ => return None,
            };
            let (path, hidden) = watched_path(home, text)?;
            if path.starts_with('@') && !matches!(depth, None | Some(1)) {
                return None;
            }
            Request::Watch { path, hidden, token: token.into(), depth }
        }
        MessageType::Unwatch => match payload::strings(bytes)?[..] {
            [text, token] => Request::Unwatch { path: watched_path(home, text)?.0, token: token.into() },
            _ => return None,
        },
        MessageType::TransactionStart => Request::TransactionStart,
        MessageType::TransactionEnd => match payload::one_string(bytes)? {
            b"T" => Request::TransactionEnd(true),
            b"F" => Request::TransactionEnd(false),
            _ => return None,
        },
        MessageType::Introduce => match payload::strings(bytes)?[..] {
            [domid, gfn, port, ..] => {
                let domid = payload::domid(domid).filter(|domid| domid.is_real() && *domid != Domid::DOM0)?;
                let port = payload::number(port).filter(|&port| port != 0)?;
                Request::Introduce { domid, gfn: payload::frame_number(gfn)?, port }
            }
            _ => return None,
        },
        MessageType::Release => Request::Release(other_domid()?),
        MessageType::Resume => Request::Resume(other_domid()?),
        MessageType::GetDomainPath => Request::GetDomainPath(one_domid()?),
        MessageType::IsDomainIntroduced => Request::IsDomainIntroduced(one_domid()?),
        MessageType::SetTarget => match payload::strings(bytes)?[..] {
            [domid, target] => Request::SetTarget(payload::domid(domid)?, payload::domid(target)?),
            _ => return None,
        },
        MessageType::ResetWatches => Request::ResetWatches,
        MessageType::GetFeature => match payload::strings(bytes)?[..] {
            [] | [b""] => Request::GetFeature(None),
            [domid] => Request::GetFeature(Some(real_domid(domid)?)),
            _ => return None,
        },
        MessageType::SetFeature => match payload::strings(bytes)?[..] {
            [domid, features] => Request::SetFeature(real_domid(domid)?, payload::number(features)?),
            _ => return None,
        },
        MessageType::GetQuota => match payload::strings(bytes)?[..] {
            [] | [b""] => Request::QuotaNames,
            [name] => Request::GetQuota(None, text(name)?),
            [domid, name] => Request::GetQuota(Some(real_domid(domid)?), text(name)?),
            _ => return None,
        },
        MessageType::SetQuota => match payload::strings(bytes)?[..] {
            [name, value] => Request::SetQuota(None, text(name)?, payload::number(value)?),
            [domid, name, value] => {
                Request::SetQuota(Some(real_domid(domid)?), text(name)?, payload::number(value)?)
            }
            _ => return None,
        },
        MessageType::Control => {
            // Xen's client sends the last argument with or without a NUL.
            let text = std::str::from_utf8(bytes.strip_suffix(b"\0").unwrap_or(bytes)).ok()?;
            Request::Control(text.split('\0').map(str::to_owned).collect())
        }
        MessageType::WatchEvent | MessageType::Error => return Some(Err(Errno::ENOSYS)),
    }))
}
