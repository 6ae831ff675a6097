//! From what happened to the events that clients get.

use crate::caller::Caller;
use crate::operation::Change;
use crate::queue::Outgoing;
use crate::store::Store;
use crate::watch::{Hit, Watch};
use xenstore_wire::{Access, Domid, Message, MessageType, SpecialPath, payload};

impl Store {
    /// Tells all whose watches these changes fire.
    pub(crate) fn fire(&mut self, changes: &[Change]) {
        for change in changes {
            self.deliver(self.watches.matching(change));
        }
    }

    pub(crate) fn fire_special(&mut self, special: SpecialPath, domid: Domid) {
        let permissions = &self.special_permissions[special as usize];
        self.deliver(self.watches.matching_special(special, domid, permissions));
    }

    fn deliver(&mut self, hits: Vec<Hit>) {
        for hit in hits {
            let readable = |caller: Caller| {
                caller.privileged || hit.seen_by.iter().any(|list| caller.access(list).allows(Access::READ))
            };
            if self.caller(hit.watch.connection).is_some_and(readable) {
                self.send_event(&hit.watch, &hit.path);
            }
        }
    }

    /// Queues an event. One that no message can hold, or that a domain has no memory left for, is dropped.
    pub(crate) fn send_event(&mut self, watch: &Watch, path: &str) {
        let id = watch.connection;
        let over = |caller: Caller| {
            let quotas = self.settings.quotas(caller.domid);
            !caller.privileged && self.memory(id, caller.domid) >= quotas.memory
        };
        if self.caller(id).is_none_or(over) {
            return;
        }
        let mut payload = Vec::new();
        payload::push_string(&mut payload, watch.reported(path).as_bytes());
        payload::push_string(&mut payload, &watch.token);
        let Ok(message) = Message::new(MessageType::WatchEvent, 0, 0, payload) else { return };
        if let Some(connection) = self.connections.get_mut(&id) {
            let bytes = message.encode().into();
            connection.queue.push(Outgoing { bytes, is_event: true }, path.starts_with('@'));
            self.talkative.insert(id);
        }
    }
}
