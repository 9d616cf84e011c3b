//! Who wants to know that a key may be free.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

type Waiters = BTreeMap<String, Vec<Arc<Notify>>>;

/// The keys that someone in this process waits for.
#[derive(Debug, Default)]
pub(crate) struct Alerts {
    waiters: Mutex<Waiters>,
}

impl Alerts {
    fn waiters(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn alert(self: &Arc<Self>, key: &str) -> Alert {
        let waiter = Arc::default();
        let key = key.to_owned();
        let mut waiters = self.waiters();
        let at_key = waiters.entry(key.clone()).or_default();
        at_key.push(Arc::clone(&waiter));
        drop(waiters);
        Alert {
            alerts: Arc::clone(self),
            key,
            waiter,
        }
    }

    /// The key was changed by someone.
    pub(crate) fn ring(&self, key: &str) {
        let rung = self.waiters().get(key).cloned();
        notify(rung.into_iter().flatten());
    }

    /// Any key may have been changed.
    pub(crate) fn ring_all(&self) {
        let rung: Vec<_> = self.waiters().values().flatten().cloned().collect();
        notify(rung);
    }
}

/// Runs the wakers of others, who may come back here: not while the lock is held.
fn notify(waiters: impl IntoIterator<Item = Arc<Notify>>) {
    for waiter in waiters {
        waiter.notify_one();
    }
}

/// Rings when its key may be free; also for a change that came before anyone listened.
pub(crate) struct Alert {
    alerts: Arc<Alerts>,
    key: String,
    waiter: Arc<Notify>,
}

impl Alert {
    pub(crate) async fn rung(&self) {
        self.waiter.notified().await;
    }
}

impl Drop for Alert {
    fn drop(&mut self) {
        let mut waiters = self.alerts.waiters();
        if let Some(at_key) = waiters.get_mut(&self.key) {
            at_key.retain(|waiter| !Arc::ptr_eq(waiter, &self.waiter));
            if at_key.is_empty() {
                waiters.remove(&self.key);
            }
        }
    }
}
