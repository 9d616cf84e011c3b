//! Which client has to be told when a key changes.

use std::collections::{BTreeMap, BTreeSet};

use super::ClientId;
use super::keyspace::Bytes;

/// What a client asked to be told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wishes {
    /// Not of its own changes.
    pub(super) no_loop: bool,
}

/// Redis' table: the keys that tracking clients have read. It knows no databases.
#[derive(Default)]
pub(super) struct Tracking {
    readers: BTreeMap<Bytes, BTreeSet<ClientId>>,
}

impl Tracking {
    pub(super) fn remember(&mut self, key: &[u8], client: ClientId) {
        if let Some(readers) = self.readers.get_mut(key) {
            readers.insert(client);
        } else {
            self.readers.insert(key.into(), BTreeSet::from([client]));
        }
    }

    /// Those who have read the key since it was changed last. All are forgotten, also those who
    /// are not to be told, or who are gone.
    pub(super) fn forget(&mut self, key: &[u8]) -> BTreeSet<ClientId> {
        self.readers.remove(key).unwrap_or_default()
    }

    pub(super) fn forget_all(&mut self) {
        self.readers.clear();
    }
}
