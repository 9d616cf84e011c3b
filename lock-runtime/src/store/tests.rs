//! What a store promises, shown where it needs no server.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use super::alerts::Alerts;
use super::memory::MemoryStore;
use super::*;

const TTL: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_secs(2);
const OURS: &str = "abcdefghij-_ABCDEFGHIJ;me";

fn entry(value: &str) -> Arc<Entry> {
    Arc::new(Entry {
        key: "k".into(),
        value: value.into(),
        kind: Kind::Exclusive,
        counter: None,
        record: None,
    })
}

/// How long another has to wait for the key, in whole seconds; `None` when it is free.
async fn left(store: &MemoryStore) -> Option<u64> {
    match store
        .acquire(entry("theirs"), SHORT, Asking::Plain)
        .await
        .outcome
    {
        Ok(Acquired::Busy(Some(holder))) => {
            assert_eq!(holder.owner.as_deref(), Some("me"));
            holder.left.map(|left| left.as_secs())
        }
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn acquiring_again_never_shortens_in_memory() {
    let store = MemoryStore::default();
    for ttl in [TTL, SHORT] {
        let again = store.acquire(entry(OURS), ttl, Asking::Again).await;
        assert!(matches!(again.outcome, Ok(Acquired::Granted { .. })));
        assert_eq!(left(&store).await, Some(60));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_that_comes_late_finds_a_key_that_was_released_and_kept_in_memory() {
    let store = MemoryStore::default();
    let ours = entry(OURS);
    drop(store.acquire(ours.clone(), TTL, Asking::Plain).await);
    for keep in [Some(SHORT), None, Some(TTL)] {
        assert_eq!(store.release_now(&ours, keep), Some(Released::Done));
        assert_eq!(left(&store).await, Some(2));
        let extended = store.extend(vec![(ours.clone(), TTL)]).await;
        assert!(
            matches!(extended[0], Ok(Extended::TakenOver)),
            "{extended:?}"
        );
    }
    tokio::time::advance(SHORT).await;
    assert_eq!(store.release_now(&ours, None), Some(Released::Gone));
}

#[tokio::test(start_paused = true)]
async fn what_has_expired_does_not_stay_in_memory() {
    let store = MemoryStore::default();
    let acquire = async |number: usize, ttl| {
        let entry = Entry {
            key: number.to_string(),
            ..Entry::left(String::new(), OURS.into())
        };
        drop(store.acquire(entry.into(), ttl, Asking::Plain).await);
    };
    for number in 0..5000 {
        acquire(number, if number < 10 { TTL } else { SHORT }).await;
    }
    assert_eq!(store.kept(), 5000);
    tokio::time::advance(2 * SHORT).await;
    acquire(5000, TTL).await;
    assert_eq!(store.kept(), 11);
}

/// Asks for another alert as soon as it is woken, as a task may on an executor that runs at once.
struct Returns {
    alerts: Arc<Alerts>,
    returned: AtomicUsize,
}

impl Wake for Returns {
    fn wake(self: Arc<Self>) {
        drop(self.alerts.alert("k"));
        self.returned.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn who_is_woken_may_come_back_at_once() {
    let (sender, over) = mpsc::channel();
    thread::spawn(move || {
        let alerts = Arc::new(Alerts::default());
        let returns = Arc::new(Returns {
            alerts: Arc::clone(&alerts),
            returned: AtomicUsize::new(0),
        });
        let waker = Waker::from(Arc::clone(&returns));
        for ring in [|alerts: &Alerts| alerts.ring("k"), Alerts::ring_all] {
            let alert = alerts.alert("k");
            let mut rung = pin!(alert.rung());
            let mut context = Context::from_waker(&waker);
            assert_eq!(rung.as_mut().poll(&mut context), Poll::Pending);
            ring(&alerts);
        }
        let _ = sender.send(returns.returned.load(Ordering::SeqCst));
    });
    assert_eq!(over.recv_timeout(10 * SHORT), Ok(2), "it hangs");
}
