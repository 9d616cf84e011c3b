//! Lockers on simulated servers.

use std::sync::Arc;

use super::Locker;
use super::builder::LockerBuilder;
use crate::store::quorum::QuorumStore;
use crate::store::redis::{Dial, Servers, Single};

impl LockerBuilder {
    /// Connects with the first request: to the one server, or to a quorum of several.
    pub(crate) fn simulated(self, servers: Vec<Arc<dyn Dial>>) -> Locker {
        let is_quorum = servers.len() > 1;
        let alerts = Arc::default();
        let mut stores = servers.into_iter().map(|server| {
            let server = Servers::Single(Single::Simulated(server));
            self.store(server, Arc::clone(&alerts))
        });
        if !is_quorum {
            let store = stores.next().expect("one server at least");
            drop(stores);
            return self.build(Arc::new(store));
        }
        let stores: Vec<_> = stores
            .map(|store| Arc::new(store.one_of_several()) as _)
            .collect();
        let patience = self.server_timeout + self.confirming();
        self.build(Arc::new(QuorumStore::new(stores, alerts, patience)))
    }
}
