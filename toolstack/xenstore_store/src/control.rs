//! Commands to the daemon itself: `xenstore-control`.

use crate::quota::Quotas;
use crate::store::Store;
use std::fmt::Write as _;
use xen_abi::Errno;
use xenstore_wire::Domid;

impl Store {
    /// Answers a `CONTROL` request.
    ///
    /// # Errors
    /// `EINVAL` for an unknown command or argument, `ENOENT` for an unknown domain.
    pub(crate) fn control(&mut self, words: &[String]) -> Result<String, Errno> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            ["help"] => Ok("check\nhelp\nquota [<domid>|set <name> <value>]\n".into()),
            ["check"] => Ok(self.check().unwrap_or_else(|| "OK".into())),
            ["quota"] => Ok(show(&self.settings.quotas)),
            ["quota", "set", name, value] => {
                let value = value.parse().map_err(|_| Errno::EINVAL)?;
                self.settings.set_quota(None, name, value)?;
                self.revision += 1;
                Ok("OK".into())
            }
            ["quota", domid] => self.show_usage(Domid(domid.parse().map_err(|_| Errno::EINVAL)?)),
            _ => Err(Errno::EINVAL),
        }
    }

    /// What a domain uses of its quotas.
    fn show_usage(&self, domid: Domid) -> Result<String, Errno> {
        let domain = self.domains.get(&domid).ok_or(Errno::ENOENT)?;
        let usage = self.tree.usage(domid);
        let mut text = format!("Domain {domid}:\n");
        let connection = self.connections.get(&domain.connection);
        for (name, value) in [
            ("nodes", usage.nodes),
            ("watches", connection.map_or(0, |connection| connection.watches.len() as u64)),
            ("transactions", connection.map_or(0, |connection| connection.transactions.len() as u64)),
            ("outstanding", connection.map_or(0, |connection| connection.queue.answers())),
            ("memory", usage.bytes + connection.map_or(0, |connection| connection.memory())),
        ] {
            line(&mut text, name, value);
        }
        Ok(text)
    }

    /// What is inconsistent in the state, if anything is.
    pub fn check(&self) -> Option<String> {
        if !self.tree.is_consistent() {
            return Some("the nodes' owners are not charged for what they own".into());
        }
        let registered: usize = self.connections.values().map(|connection| connection.watches.len()).sum();
        if registered != self.watches.len() {
            return Some(format!("{registered} watches are registered, {} are known", self.watches.len()));
        }
        let lost = self.domains.iter().find(|(_, domain)| !self.connections.contains_key(&domain.connection));
        lost.map(|(domid, _)| format!("domain {domid} has no connection"))
    }
}

fn show(quotas: &Quotas) -> String {
    let mut text = "Quota settings:\n".to_owned();
    for (name, _) in quotas.list() {
        line(&mut text, name, quotas.get(name).unwrap_or_default());
    }
    text
}

fn line(text: &mut String, name: &str, value: u64) {
    writeln!(text, "{name:<20}: {value:>8}").expect("writing to a string does not fail");
}
