//! Limits on what an unprivileged domain can make the store hold.

/// What stands for no limit, in place of 0 on the wire.
const UNLIMITED: u64 = u64::MAX;

/// Limits for each unprivileged domain. The defaults are those of Xen 4.17's C daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Nodes that a domain may own.
    pub nodes: u64,
    /// Bytes of one node: 24, its value, 8 for each permission, and the names of its children.
    pub node_size: u64,
    /// Watches.
    pub watches: u64,
    /// Transactions open at a time.
    pub transactions: u64,
    /// Requests within one transaction.
    pub transaction_requests: u64,
    /// Entries of a permission list.
    pub permissions: u64,
    /// Bytes of a path below the domain's home. Holds for privileged clients too.
    pub path_length: u64,
    /// Answers that may wait to be taken before no further request is read.
    pub outstanding: u64,
    /// Bytes of nodes, watches, transactions and waiting messages.
    pub memory: u64,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            nodes: 1000,
            node_size: 2048,
            watches: 128,
            transactions: 10,
            transaction_requests: 1024,
            permissions: 5,
            path_length: 2048,
            outstanding: 20,
            memory: 2560 * 1024,
        }
    }
}

impl Quotas {
    /// Name and value of each quota, as the fields have them.
    pub fn list(&self) -> [(&'static str, u64); 9] {
        let mut copy = self.clone();
        copy.fields().map(|(name, value)| (name, *value))
    }

    /// The quota of this name, where 0 is no limit.
    pub fn get(&self, name: &str) -> Option<u64> {
        let value = self.list().into_iter().find(|(known, _)| *known == name)?.1;
        Some(if value == UNLIMITED { 0 } else { value })
    }

    /// Sets the quota of this name, where 0 is no limit. `false` if there is none.
    pub fn set(&mut self, name: &str, value: u64) -> bool {
        let value = if value == 0 { UNLIMITED } else { value };
        let field = self.fields().into_iter().find(|(known, _)| *known == name);
        field.map(|(_, place)| *place = value).is_some()
    }

    fn fields(&mut self) -> [(&'static str, &mut u64); 9] {
        [
            ("nodes", &mut self.nodes),
            ("node-size", &mut self.node_size),
            ("watches", &mut self.watches),
            ("transactions", &mut self.transactions),
            ("transaction-requests", &mut self.transaction_requests),
            ("permissions", &mut self.permissions),
            ("path-length", &mut self.path_length),
            ("outstanding", &mut self.outstanding),
            ("memory", &mut self.memory),
        ]
    }
}
