//! Lockers on simulated servers.

use std::sync::Arc;

use super::Locker;
use super::builder::LockerBuilder;
use crate::store::quorum::QuorumStore;
use crate::store::redis::{Dial, Servers, Single};

impl LockerBuilder {
    /// Connects with the first request: to the one server, or to a quorum of several.
    pub(crate) fn simulated(self, servers: Vec<Arc<dyn Dial>>) -> Locker {
        let mut servers = servers
            .into_iter()
            .map(|server| Servers::Single(Single::Simulated(server)))
            .collect::<Vec<_>>();
        if servers.len() == 1 {
            let store = self.lining_up(servers.remove(0));
            return self.build(Arc::new(store));
        }
        let alerts = Arc::default();
        let stores = servers.into_iter().map(|server| {
            let store = self.store(server, Arc::clone(&alerts));
            Arc::new(store.one_of_several()) as _
        });
        let stores: Vec<_> = stores.collect();
        let patience = self.server_timeout + self.confirming();
        self.build(Arc::new(QuorumStore::new(stores, alerts, patience)))
    }
}
