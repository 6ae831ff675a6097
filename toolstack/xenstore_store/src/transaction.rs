//! Transactions: requests run on a snapshot, and run again on the present tree if that changed meanwhile.

use crate::caller::Caller;
use crate::operation::{Change, Operation, Reply};
use crate::quota::Quotas;
use crate::tree::Tree;
use std::collections::HashMap;
use std::rc::Rc;
use xen_abi::Errno;
use xenstore_wire::Path;

/// An open transaction.
#[derive(Debug)]
pub(crate) struct Transaction {
    tree: Tree,
    /// Generation of the tree at the start.
    base: u64,
    requests: Vec<(Operation, Result<Reply, Errno>)>,
    changes: Vec<Change>,
    bytes: usize,
    /// Ends with `EAGAIN` whatever happens.
    doomed: bool,
}

impl Transaction {
    pub(crate) fn start(tree: &Tree) -> Self {
        let base = tree.generation();
        Self { tree: tree.clone(), base, requests: Vec::new(), changes: Vec::new(), bytes: 0, doomed: false }
    }

    /// A transaction that will be told to retry.
    pub(crate) fn doomed(tree: &Tree) -> Self {
        Self { doomed: true, ..Self::start(tree) }
    }

    /// Generation of the tree that the snapshot was taken of.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// Bytes that count against the memory quota.
    pub(crate) fn size(&self) -> u64 {
        self.bytes as u64
    }

    /// Runs one request inside.
    pub(crate) fn run(
        &mut self,
        operation: Operation,
        caller: &Caller,
        quotas: &Quotas,
    ) -> Result<Reply, Errno> {
        if !caller.privileged && self.requests.len() as u64 >= quotas.transaction_requests {
            return Err(Errno::ENOSPC);
        }
        let reply = operation.run(&mut self.tree, caller, quotas, &mut self.changes);
        let kept = reply.as_ref().map_or(0, Reply::size);
        self.bytes += size_of::<(Operation, Result<Reply, Errno>)>() + operation.size() + kept;
        self.requests.push((operation, reply.clone()));
        reply
    }

    /// Makes the transaction's changes those of `tree`.
    ///
    /// # Errors
    /// `EAGAIN` if a request would now be answered differently; `tree` is then as before.
    pub(crate) fn commit(
        self,
        tree: &mut Tree,
        caller: &Caller,
        quotas: &Quotas,
    ) -> Result<Vec<Change>, Errno> {
        if self.doomed {
            return Err(Errno::EAGAIN);
        }
        if tree.generation() == self.base {
            *tree = self.tree;
            return Ok(merge(self.changes));
        }
        let mut again = tree.clone();
        let mut changes = Vec::new();
        for (operation, before) in &self.requests {
            let now = operation.run(&mut again, caller, quotas, &mut changes);
            let agrees = match (before, &now) {
                (Ok(before), Ok(now)) => before.agrees(now),
                (Err(before), Err(now)) => before == now,
                _ => false,
            };
            if !agrees {
                return Err(Errno::EAGAIN);
            }
        }
        *tree = again;
        Ok(merge(changes))
    }
}

/// One change for each path, in the order of the first ones: watches fire once for a node.
fn merge(changes: Vec<Change>) -> Vec<Change> {
    let mut places: HashMap<Path, usize> = HashMap::new();
    let mut merged: Vec<Change> = Vec::new();
    for change in changes {
        let at = *places.entry(change.path.clone()).or_insert(merged.len());
        match merged.get_mut(at) {
            // What an earlier removal took out stays known: it held the nodes below.
            Some(first) if first.removed.is_none() || change.removed.is_none() => {
                first.removed = first.removed.take().or(change.removed);
                for permissions in change.seen_by {
                    if !first.seen_by.iter().any(|known| Rc::ptr_eq(known, &permissions)) {
                        first.seen_by.push(permissions);
                    }
                }
            }
            _ => merged.push(change),
        }
    }
    merged
}
