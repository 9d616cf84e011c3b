//! Who wants to know that a key may be free.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

type Bells = HashMap<String, Vec<Arc<Notify>>>;

/// The keys that someone in this process waits for.
#[derive(Debug, Default)]
pub(crate) struct Alerts {
    bells: Mutex<Bells>,
}

impl Alerts {
    fn bells(&self) -> MutexGuard<'_, Bells> {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn alert(self: &Arc<Self>, key: &str) -> Alert {
        let bell = Arc::default();
        let key = key.to_owned();
        let mut bells = self.bells();
        bells
            .entry(key.clone())
            .or_default()
            .push(Arc::clone(&bell));
        drop(bells);
        Alert {
            alerts: Arc::clone(self),
            key,
            bell,
        }
    }

    /// The key was changed by someone.
    pub(crate) fn ring(&self, key: &str) {
        for bell in self.bells().get(key).into_iter().flatten() {
            bell.notify_one();
        }
    }

    /// Any key may have been changed.
    pub(crate) fn ring_all(&self) {
        for bell in self.bells().values().flatten() {
            bell.notify_one();
        }
    }
}

/// Rings when its key may be free; also for a change that came before anyone listened.
pub(crate) struct Alert {
    alerts: Arc<Alerts>,
    key: String,
    bell: Arc<Notify>,
}

impl Alert {
    pub(crate) async fn rung(&self) {
        self.bell.notified().await;
    }
}

impl Drop for Alert {
    fn drop(&mut self) {
        let mut bells = self.alerts.bells();
        if let Some(at_key) = bells.get_mut(&self.key) {
            at_key.retain(|bell| !Arc::ptr_eq(bell, &self.bell));
            if at_key.is_empty() {
                bells.remove(&self.key);
            }
        }
    }
}
