//! Locks in this process's memory, with the semantics of those in Redis, on tokio's clock.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use tokio::time::Instant;

use super::alerts::Alerts;
use super::{
    Acquired, Alert, Answer, Asking, Attempted, Entry, Extended, Extension, Holder, KEPT, Released,
    Store, owner_of,
};

/// Keys that have expired are swept when the table has grown to this many, then to twice the rest.
const FIRST_SWEEP: usize = 1024;

#[derive(Default)]
pub(crate) struct MemoryStore {
    table: Mutex<Table>,
    alerts: Arc<Alerts>,
}

struct Table {
    keys: HashMap<String, Stored>,
    sweep_at: usize,
    /// One counter for all keys: it grows for each of them, and nothing has to be kept per key.
    last_fence: u64,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            keys: HashMap::new(),
            sweep_at: FIRST_SWEEP,
            last_fence: 0,
        }
    }
}

struct Stored {
    value: String,
    expires: Instant,
}

impl Table {
    fn live(&mut self, key: &str) -> Option<&mut Stored> {
        let now = Instant::now();
        self.keys.get_mut(key).filter(|stored| now < stored.expires)
    }

    fn acquire(&mut self, entry: &Entry, ttl: Duration) -> Acquired {
        let since = Instant::now();
        let mut expires = since + ttl;
        if let Some(stored) = self.live(&entry.key) {
            if stored.value != entry.value {
                return Acquired::Busy(Some(Holder {
                    owner: owner_of(&stored.value),
                    left: Some(stored.expires - since),
                    rings: true,
                }));
            }
            expires = expires.max(stored.expires);
        }
        self.sweep(since);
        let value = entry.value.clone();
        let stored = Stored { value, expires };
        self.keys.insert(entry.key.clone(), stored);
        let fence = entry.counter.is_some().then(|| self.draw_fence());
        Acquired::Granted { since, fence }
    }

    fn draw_fence(&mut self) -> u64 {
        let clock = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(0));
        self.last_fence = clock.max(self.last_fence + 1);
        self.last_fence
    }

    fn sweep(&mut self, now: Instant) {
        if self.keys.len() >= self.sweep_at {
            self.keys.retain(|_, stored| now < stored.expires);
            self.sweep_at = FIRST_SWEEP.max(2 * self.keys.len());
        }
    }

    fn release(&mut self, entry: &Entry, keep: Option<Duration>) -> Released {
        match (self.live(&entry.key), keep) {
            (None, _) => return Released::Gone,
            (Some(stored), _) if stored.value.strip_prefix(KEPT) == Some(&entry.value) => {}
            (Some(stored), _) if stored.value != entry.value => return Released::TakenOver,
            (Some(stored), Some(keep)) => {
                stored.value.insert(0, KEPT);
                stored.expires = Instant::now() + keep;
            }
            (Some(_), None) => {
                self.keys.remove(&entry.key);
            }
        }
        Released::Done
    }

    fn extend(&mut self, entry: &Entry, ttl: Duration) -> Extended {
        let since = Instant::now();
        match self.live(&entry.key) {
            None => Extended::Gone,
            Some(stored) if stored.value != entry.value => Extended::TakenOver,
            Some(stored) => {
                stored.expires = stored.expires.max(since + ttl);
                Extended::Since(since)
            }
        }
    }
}

impl MemoryStore {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn release_at_once(&self, entry: &Entry, keep: Option<Duration>) -> Released {
        let answer = self.table().release(entry, keep);
        self.alerts.ring(&entry.key);
        answer
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory")
    }
}

impl Store for MemoryStore {
    fn acquire(
        &self,
        entry: Arc<Entry>,
        ttl: Duration,
        _: Asking,
    ) -> BoxFuture<'static, Attempted> {
        let outcome = Ok(self.table().acquire(&entry, ttl));
        ready(Attempted {
            outcome,
            settled: true,
        })
        .boxed()
    }

    fn release(&self, entry: Arc<Entry>, keep: Option<Duration>) -> Answer<Released> {
        ready(Ok(self.release_at_once(&entry, keep))).boxed()
    }

    fn release_now(&self, entry: &Entry, keep: Option<Duration>) -> Option<Released> {
        Some(self.release_at_once(entry, keep))
    }

    fn extend(&self, batch: Vec<(Arc<Entry>, Duration)>) -> BoxFuture<'static, Vec<Extension>> {
        let mut table = self.table();
        let answers = batch
            .iter()
            .map(|(entry, ttl)| Ok(table.extend(entry, *ttl)))
            .collect();
        ready(answers).boxed()
    }

    fn alert(&self, key: &str) -> Alert {
        self.alerts.alert(key)
    }

    fn settles_within(&self) -> Duration {
        Duration::ZERO
    }

    fn is_on_servers(&self) -> bool {
        false
    }

    fn place(&self) -> String {
        "this process".to_owned()
    }

    fn close(&self) {}
}
