//! Who wants to know that a key was changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Is told when a key was changed.
pub(crate) trait Ring: Send + Sync {
    fn ring(&self);
}

impl Ring for Notify {
    fn ring(&self) {
        self.notify_one();
    }
}

type Listeners = BTreeMap<String, Vec<Arc<dyn Ring>>>;

/// The keys that someone in this process waits for, or holds.
#[derive(Default)]
pub(crate) struct Alerts {
    listeners: Mutex<Listeners>,
}

impl Alerts {
    fn listeners(&self) -> MutexGuard<'_, Listeners> {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn alert(self: &Arc<Self>, key: &str) -> Alert {
        let rung = Arc::<Notify>::default();
        Alert {
            _listening: self.listen(key, Arc::clone(&rung) as _),
            rung,
        }
    }

    /// Has this rung when the key is changed, until what comes back is dropped.
    pub(crate) fn listen(self: &Arc<Self>, key: &str, ring: Arc<dyn Ring>) -> Listening {
        let key = key.to_owned();
        let mut listeners = self.listeners();
        let at_key = listeners.entry(key.clone()).or_default();
        at_key.push(Arc::clone(&ring));
        drop(listeners);
        Listening {
            alerts: Arc::clone(self),
            key,
            ring,
        }
    }

    /// The key was changed by someone.
    pub(crate) fn ring(&self, key: &str) {
        let rung = self.listeners().get(key).cloned();
        ring(rung.into_iter().flatten());
    }

    /// Any key may have been changed.
    pub(crate) fn ring_all(&self) {
        let rung: Vec<_> = self.listeners().values().flatten().cloned().collect();
        ring(rung);
    }
}

/// Runs the code of others, who may come back here: not while the lock is held.
fn ring(rung: impl IntoIterator<Item = Arc<dyn Ring>>) {
    for listener in rung {
        listener.ring();
    }
}

/// Rings when its key may be free; also for a change that came before anyone listened.
pub(crate) struct Alert {
    rung: Arc<Notify>,
    _listening: Listening,
}

impl Alert {
    pub(crate) async fn rung(&self) {
        self.rung.notified().await;
    }
}

/// Somebody listens to a key; dropped, nobody does.
pub(crate) struct Listening {
    alerts: Arc<Alerts>,
    key: String,
    ring: Arc<dyn Ring>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut listeners = self.alerts.listeners();
        if let Some(at_key) = listeners.get_mut(&self.key) {
            at_key.retain(|ring| !Arc::ptr_eq(ring, &self.ring));
            if at_key.is_empty() {
                listeners.remove(&self.key);
            }
        }
    }
}
