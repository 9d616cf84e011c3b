//! Extensions that go out together.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use crate::store::{Entry, Extension, Store};
use crate::tenure::{Look, Sending, SharedTenure, Tenure};

/// So many go out as one pipeline, with a time limit of its own: all in one, those at its end would
/// have what the others leave of it.
pub(super) const PIECE: usize = 250;

#[derive(Default)]
pub(super) struct Batch {
    due: Vec<Due>,
    entries: Vec<(Arc<Entry>, Duration)>,
    /// Until when it is waited for, where another attempt follows that goes another way.
    until: Option<Instant>,
}

/// What is extended.
pub(super) struct Due {
    pub(super) watched: Watched,
    /// By how much.
    pub(super) ttl: Duration,
    /// How long the machine had slept before.
    pub(super) slept: Duration,
}

/// A tenure whose lease is extended, and the runtime in which it was taken.
pub(super) struct Watched {
    pub(super) tenure: Arc<SharedTenure>,
    pub(super) runtime: Handle,
}

/// The answers to extensions. Those that took too long have none.
pub(super) type Extended = Vec<(Due, Extension)>;

impl Watched {
    /// The tenure is going to be extended now.
    ///
    /// An answer that does not come must not cost the lease: another attempt follows beside it.
    pub(super) fn extending(&self, now: Instant) -> Sending {
        self.tenure
            .tell(|tenure| tenure.extending(now, retry_pause(tenure.ttl())))
    }
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.due.len()
    }

    pub(super) fn add(&mut self, now: Instant, watched: Watched, sending: &Sending) {
        let ttl = watched.tenure.look(Tenure::ttl);
        if sending.listening {
            let until = now + retry_pause(ttl);
            self.until = Some(self.until.map_or(until, |known| known.min(until)));
        }
        let (_, slept) = watched.tenure.wake(now, Look::Lately);
        self.entries.push((Arc::clone(&watched.tenure.entry), ttl));
        self.due.push(Due {
            watched,
            ttl,
            slept,
        });
    }

    pub(super) fn send(self, store: &dyn Store) -> BoxFuture<'static, Extended> {
        let answers = match self.until {
            None => store.extend(self.entries),
            Some(until) => timeout_at(until, store.extend_listening(self.entries))
                .map(Result::unwrap_or_default)
                .boxed(),
        };
        let due = self.due.into_iter();
        answers.map(|answers| due.zip(answers).collect()).boxed()
    }
}

/// The pause before an extension is tried beside one whose answer is still out: a twelfth of the
/// ttl, which is what [`Tenure::next_extension`] leaves after a break of two thirds.
fn retry_pause(ttl: Duration) -> Duration {
    (ttl / 12).clamp(Duration::from_millis(2), Duration::from_secs(1))
}
