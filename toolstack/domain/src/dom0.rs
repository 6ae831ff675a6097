//! Dom0's own nodes, which no tool makes for it.

use xen_dev::Domid;
use xenstore_client::Operations;

use crate::nodes::{home, text};
use crate::{DomainError, Toolstack};

impl Toolstack {
    /// Gives Dom0 and the first CPU pool their names in xenstore, as Xen's `xen-init-dom0` does, unless they have
    /// names.
    ///
    /// # Errors
    /// When xenstore refuses.
    pub fn name_dom0(&mut self) -> Result<(), DomainError> {
        let home = home(Domid::DOM0);
        let named = [
            (format!("{home}/domid"), "0"),
            (format!("{home}/name"), "Domain-0"),
            ("/local/pool/0/name".to_owned(), "Pool-0"),
        ];
        Ok(self.store.transaction(|store| {
            for (path, value) in &named {
                if text(store, path)?.is_none() {
                    store.write(path, *value)?;
                }
            }
            Ok(())
        })?)
    }
}

#[cfg(test)]
mod tests {
    use crate::fake::FakeHost;
    use xenstore_client::Operations;

    #[test]
    fn dom0_gets_a_name_and_keeps_one_that_it_has() {
        let host = FakeHost::new();
        let mut store = host.store();
        store.rm("/local/domain/0/name").unwrap();
        host.toolstack().name_dom0().unwrap();
        assert_eq!(store.read_string("/local/domain/0/name").unwrap(), "Domain-0");
        assert_eq!(store.read_string("/local/pool/0/name").unwrap(), "Pool-0");
        store.write("/local/domain/0/name", "host").unwrap();
        host.toolstack().name_dom0().unwrap();
        assert_eq!(store.read_string("/local/domain/0/name").unwrap(), "host");
    }
}
