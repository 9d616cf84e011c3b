//! Where one server of a quorum is slow: what it does after it was given up is undone.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::sleep;

use super::*;
use crate::Locker;
use crate::kind::Kind;
use crate::store::Acquired;
use crate::store::memory::MemoryStore;

const TTL: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_millis(100);

/// A server that is slow to grant, and slow to say so. It gives back at once.
#[derive(Debug, Default)]
struct SlowStore {
    keys: Arc<MemoryStore>,
    grants_after: Duration,
    answers_after: Duration,
}

impl Store for SlowStore {
    fn acquire(
        &self,
        entry: Arc<Entry>,
        ttl: Duration,
        asking: Asking,
    ) -> BoxFuture<'static, Attempted> {
        let keys = Arc::clone(&self.keys);
        let (grants_after, answers_after) = (self.grants_after, self.answers_after);
        async move {
            sleep(grants_after).await;
            let attempted = keys.acquire(entry, ttl, asking).await;
            sleep(answers_after).await;
            attempted
        }
        .boxed()
    }

    fn release(&self, entry: Arc<Entry>, keep: Option<Duration>) -> Answer<Released> {
        self.keys.release(entry, keep)
    }

    fn extend(&self, batch: Vec<(Arc<Entry>, Duration)>) -> BoxFuture<'static, Vec<Extension>> {
        self.keys.extend(batch)
    }

    fn alert(&self, key: &str) -> Alert {
        self.keys.alert(key)
    }

    fn place(&self) -> String {
        self.keys.place()
    }

    fn settles_within(&self) -> Duration {
        Duration::ZERO
    }

    fn holders(&self, _key: String) -> Result<Answer<Vec<Holder>>, &'static str> {
        Err("nobody asks")
    }

    fn close(&self) {}
}

fn quorum(stores: &[Arc<SlowStore>]) -> QuorumStore {
    let stores = stores.iter().map(|store| Arc::clone(store) as _);
    QuorumStore::new(stores, Arc::default(), PATIENCE)
}

fn entry(value: &str) -> Arc<Entry> {
    Arc::new(Entry {
        key: "k".into(),
        value: value.into(),
        kind: Kind::Exclusive,
        counter: None,
        record: None,
    })
}

async fn is_free(store: &SlowStore) -> bool {
    let attempted = store.keys.acquire(entry("another"), TTL, Asking::Plain);
    matches!(attempted.await.outcome, Ok(Acquired::Granted { .. }))
}

/// The release was sent before the attempt was given up: then the server granted behind it.
#[tokio::test(start_paused = true)]
async fn what_a_silent_server_grants_while_the_rest_is_heard_is_given_back() {
    let slow = SlowStore {
        grants_after: Duration::from_millis(1),
        answers_after: TTL,
        ..SlowStore::default()
    };
    let stores = [Arc::default(), Arc::default(), Arc::new(slow)];
    for store in &stores[..2] {
        assert!(is_free(store).await);
    }
    let quorum = quorum(&stores);
    let attempted = quorum.acquire(entry("ours"), TTL, Asking::Plain).await;
    assert!(!matches!(attempted.outcome, Ok(Acquired::Granted { .. })));
    sleep(TTL / 2).await;
    assert!(is_free(&stores[2]).await);
}

/// Two had given the key back, which was taken for all of it: the third granted it behind the release.
#[tokio::test(start_paused = true)]
async fn what_a_server_grants_behind_the_release_of_most_is_given_back() {
    let second = SlowStore {
        answers_after: PATIENCE / 2,
        ..SlowStore::default()
    };
    let third = SlowStore {
        grants_after: PATIENCE / 4,
        ..SlowStore::default()
    };
    let stores = [Arc::default(), Arc::new(second), Arc::new(third)];
    let locker = Locker::builder().build(Arc::new(quorum(&stores)));
    let leaves = tokio::spawn(locker.lock("k").ttl(TTL).acquire());
    tokio::task::yield_now().await;
    leaves.abort();
    assert!(leaves.await.expect_err("aborted").is_cancelled());
    locker.shutdown().await;
    for store in &stores {
        assert!(is_free(store).await, "{store:?}");
    }
}
