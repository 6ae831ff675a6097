//! Which domains there are, and what they are called.

use xen_abi::domctl::v4_17::DominfFlags;
use xen_ctrl::DomainInfo;
use xen_dev::Domid;
use xenstore_client::Operations;
use xl_config::{DomainName, Uuid};

use crate::nodes::{self, home};
use crate::{DomainError, Toolstack};

/// Longest name in bytes, as in configurations.
const MAX_NAME: usize = 200;

/// A domain and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Its name, if it has one in xenstore.
    pub name: Option<String>,
    /// What the hypervisor says of it.
    pub info: DomainInfo,
}

impl Domain {
    /// Its id.
    pub fn domid(&self) -> Domid {
        self.info.domid
    }

    /// Its UUID.
    pub fn uuid(&self) -> Uuid {
        Uuid(self.info.handle)
    }
}

impl Toolstack {
    /// All domains, by rising id.
    ///
    /// # Errors
    /// When the hypervisor or xenstore refuse.
    pub fn domains(&mut self) -> Result<Vec<Domain>, DomainError> {
        let domains = self.ctrl.domains()?;
        let domids: Vec<Domid> = domains.iter().map(|info| info.domid).collect();
        let names = nodes::names(&mut self.store, &domids)?;
        Ok(domains.into_iter().zip(names).map(|(info, name)| Domain { name, info }).collect())
    }

    /// One domain.
    ///
    /// # Errors
    /// [`DomainError::NoSuchDomain`], or when the hypervisor or xenstore refuse.
    pub fn domain(&mut self, domid: Domid) -> Result<Domain, DomainError> {
        let info = self.info(domid)?;
        Ok(Domain { name: self.name(domid)?, info })
    }

    /// The domain that people mean by this: its id or its name.
    ///
    /// # Errors
    /// [`DomainError::NoSuchDomain`], or when the hypervisor or xenstore refuse.
    pub fn find(&mut self, text: &str) -> Result<Domain, DomainError> {
        let missing = || DomainError::NoSuchDomain(text.escape_debug().to_string());
        match text.parse() {
            Ok(number) => match Domid::new(number) {
                Some(domid) => self.domain(domid),
                None => Err(missing()),
            },
            Err(_) => {
                let domains = self.domains()?;
                domains.into_iter().find(|domain| domain.name.as_deref() == Some(text)).ok_or_else(missing)
            }
        }
    }

    /// The name of a domain, if it has one.
    pub(crate) fn name(&mut self, domid: Domid) -> Result<Option<String>, DomainError> {
        Ok(nodes::text(&mut self.store, &format!("{}/name", home(domid)))?)
    }

    /// What the hypervisor says of a domain.
    pub(crate) fn info(&self, domid: Domid) -> Result<DomainInfo, DomainError> {
        self.ctrl.domain(domid).map_err(|error| match error.is_no_such_domain() {
            true => DomainError::NoSuchDomain(domid.to_string()),
            false => error.into(),
        })
    }

    /// The domain as it is, if it is one that can be worked with: not on its way out, and not shut down.
    pub(crate) fn running(&self, domid: Domid) -> Result<DomainInfo, DomainError> {
        let info = self.info(domid)?;
        let state = |state, hint| Err(DomainError::State { domid, state, hint });
        if info.flags.contains(DominfFlags::DYING) {
            return state("being destroyed", "");
        }
        if info.flags.contains(DominfFlags::SHUTDOWN) {
            return state("shut down", " (try: xl destroy)");
        }
        Ok(info)
    }

    /// Gives a domain another name, also for when it is made again.
    ///
    /// # Errors
    /// [`DomainError::BadName`], [`DomainError::NameTaken`], or when there is no such domain.
    pub fn rename(&mut self, domid: Domid, name: &str) -> Result<(), DomainError> {
        let new = check_name(name)?;
        let uuid = Uuid(self.info(domid)?.handle);
        let taken = self.store.transaction(|store| {
            let taken = who_has(store, name)?.filter(|&other| other != domid);
            if taken.is_none() {
                store.write(&format!("{}/name", home(domid)), name)?;
                store.write(&format!("/vm/{uuid}/name"), name)?;
            }
            Ok(taken)
        })?;
        match taken {
            Some(domid) => Err(DomainError::NameTaken { name: name.to_owned(), domid }),
            None => self.change_kept(domid, |config| config.name = new),
        }
    }
}

/// The domain with this name, as xenstore has it.
pub(crate) fn who_has(
    store: &mut impl Operations,
    name: &str,
) -> Result<Option<Domid>, xenstore_client::Error> {
    let children = nodes::children(store, nodes::DOMAINS)?;
    let domids: Vec<Domid> =
        children.iter().filter_map(|child| child.parse().ok().and_then(Domid::new)).collect();
    let names = nodes::names(store, &domids)?;
    let mut named = domids.into_iter().zip(names);
    Ok(named.find(|(_, other)| other.as_deref() == Some(name)).map(|(domid, _)| domid))
}

/// A name that tools can show, and that none takes for an id.
pub(crate) fn check_name(name: &str) -> Result<DomainName, DomainError> {
    let bad = || DomainError::BadName(name.chars().take(MAX_NAME).collect());
    if name.trim() != name { Err(bad()) } else { name.parse().map_err(|_| bad()) }
}
