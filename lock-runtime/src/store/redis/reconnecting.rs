//! A connection that is opened by whoever needs it first, and anew when it broke.

use std::future::pending;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

use futures_util::future::BoxFuture;
use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::refusal::has_forgotten_us;

/// Load balancers and firewalls forget connections that carry nothing, the quickest after half a
/// minute.
const IDLE: Duration = Duration::from_secs(5);

type Opening<C> = BoxFuture<'static, RedisResult<C>>;

/// What redis-rs' `ConnectionManager` does, and in addition: a connection that has gone silent is
/// given up like one that broke, so that a server that vanished without a word costs one timeout
/// and not one for each command until TCP gives up; a connection can be set up after it was opened;
/// its server can be looked up anew each time; and one whose runtime has ended is not sent anything.
pub(super) struct Reconnecting<C> {
    /// How long opening may take: that long somebody waits for it, and then opens another. The
    /// runtime that opens it may stand still.
    patience: Duration,
    /// Opens the connection of this number, which tells one from the next.
    open: Box<dyn Fn(u64) -> Opening<C> + Send + Sync>,
    /// Called when a connection that was in use is given up.
    gone: Box<dyn Fn() + Send + Sync>,
    current: RwLock<Current<C>>,
    made: Instant,
    /// The milliseconds from then until it last proved that it lives.
    answered: AtomicU64,
}

struct Current<C> {
    number: u64,
    task: Option<OpeningTask<C>>,
}

/// Opens the connection, on the runtime of whoever needs it first, and then stays: it ends only
/// with that runtime, and with it ends what drives the connection.
struct OpeningTask<C> {
    opened: Arc<Opened<C>>,
    handle: AbortHandle,
}

/// What came of opening a connection. Those who wait for it are woken in the order in which they came,
/// which a `watch` of tokio's does not promise.
struct Opened<C> {
    answer: OnceLock<RedisResult<C>>,
    told: Notify,
}

impl<C: Clone> Opened<C> {
    fn tell(&self, answer: RedisResult<C>) {
        // The first answer counts: the second is that of a task that ends.
        if self.answer.set(answer).is_ok() {
            self.told.notify_waiters();
        }
    }

    async fn answer(&self) -> RedisResult<C> {
        let told = self.told.notified();
        if let Some(answer) = self.answer.get() {
            return answer.clone();
        }
        told.await;
        self.answer.get().expect("it was told").clone()
    }
}

/// Tells those who wait also when the task is dropped before it has an answer.
struct Teller<C: Clone>(Arc<Opened<C>>);

impl<C: Clone> Drop for Teller<C> {
    fn drop(&mut self) {
        self.0.tell(failed(
            io::ErrorKind::NotConnected,
            "it was closed, or its runtime ended, while the connection was opened",
        ));
    }
}

fn failed<T>(kind: io::ErrorKind, problem: &'static str) -> RedisResult<T> {
    Err(io::Error::new(kind, problem).into())
}

impl<C> Drop for OpeningTask<C> {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

impl<C: Clone + Send + Sync + 'static> OpeningTask<C> {
    fn start(opening: Opening<C>) -> Self {
        let opened = Arc::new(Opened {
            answer: OnceLock::new(),
            told: Notify::new(),
        });
        let teller = Teller(Arc::clone(&opened));
        let task = tokio::spawn(async move {
            teller.0.tell(opening.await);
            pending::<()>().await;
        });
        Self {
            opened,
            handle: task.abort_handle(),
        }
    }

    fn has_ended(&self) -> bool {
        self.handle.is_finished()
    }

    fn connection(&self) -> Option<C> {
        self.opened.answer.get()?.as_ref().ok().cloned()
    }
}

impl<C: Clone + Send + Sync + 'static> Reconnecting<C> {
    pub(super) fn new(
        patience: Duration,
        open: impl Fn(u64) -> Opening<C> + Send + Sync + 'static,
    ) -> Self {
        Self {
            patience,
            open: Box::new(open),
            gone: Box::new(|| {}),
            current: RwLock::new(Current {
                number: 0,
                task: None,
            }),
            made: Instant::now(),
            answered: AtomicU64::new(0),
        }
    }

    /// Has this called whenever a connection that was in use is given up.
    pub(super) fn telling(mut self, gone: impl Fn() + Send + Sync + 'static) -> Self {
        self.gone = Box::new(gone);
        self
    }

    fn current(&self) -> RwLockWriteGuard<'_, Current<C>> {
        self.current.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn number(&self) -> u64 {
        let current = self.current.read();
        current.unwrap_or_else(PoisonError::into_inner).number
    }

    /// It proved that it lived at this time or later.
    pub(super) fn answered(&self, asked: Instant) {
        let age = self.age(asked);
        // Seldom, since all who ask share it.
        if age > self.answered.load(Ordering::Relaxed) {
            self.answered.fetch_max(age, Ordering::Relaxed);
        }
    }

    pub(super) fn was_idle(&self, now: Instant) -> bool {
        let since = self.answered.load(Ordering::Relaxed);
        u128::from(self.age(now).saturating_sub(since)) >= IDLE.as_millis()
    }

    fn age(&self, now: Instant) -> u64 {
        let age = now.saturating_duration_since(self.made);
        u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
    }

    fn in_use(&self) -> Option<(u64, C)> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let task = current.task.as_ref().filter(|task| !task.has_ended())?;
        Some((current.number, task.connection()?))
    }

    pub(super) fn is_open(&self) -> bool {
        self.in_use().is_some()
    }

    /// The connection and its number.
    pub(super) async fn get(&self) -> RedisResult<(u64, C)> {
        if let Some(in_use) = self.in_use() {
            return Ok(in_use);
        }
        // Boxed, since it seldom happens, and every command would have room for it.
        Box::pin(self.open()).await
    }

    async fn open(&self) -> RedisResult<(u64, C)> {
        let (number, opened) = self.opening();
        let late = |_| {
            failed(
                io::ErrorKind::TimedOut,
                "the connection was not opened in time",
            )
        };
        let answer = timeout(self.patience, opened.answer()).await;
        let answer = answer.unwrap_or_else(late);
        if answer.is_err() {
            self.give_up_if(|current| current.number == number);
        }
        let connection = answer?;
        self.answered(Instant::now());
        Ok((number, connection))
    }

    fn opening(&self) -> (u64, Arc<Opened<C>>) {
        let mut current = self.current();
        let ended = current.task.take_if(|task| task.has_ended());
        if current.task.is_none() {
            current.number += 1;
        }
        let number = current.number;
        let task = current
            .task
            .get_or_insert_with(|| OpeningTask::start((self.open)(number)));
        let opened = Arc::clone(&task.opened);
        drop(current);
        self.tell(ended);
        (number, opened)
    }

    /// The connection of this number is of no use any more. While it is opened, whoever opens it
    /// says so, and why.
    pub(super) fn broken(&self, number: u64) {
        self.give_up_if(|current| {
            let mut task = current.task.iter();
            current.number == number && task.any(|task| task.opened.answer.get().is_some())
        });
    }

    pub(super) fn close(&self) {
        self.give_up_if(|_| true);
    }

    fn give_up_if(&self, applies: impl FnOnce(&Current<C>) -> bool) {
        let mut current = self.current();
        let task = applies(&current).then(|| current.task.take());
        drop(current);
        self.tell(task.flatten());
    }

    /// One that could not be opened is given up without a word, or else those who are told would
    /// try to open the next without a pause.
    fn tell(&self, task: Option<OpeningTask<C>>) {
        if task.is_some_and(|task| task.connection().is_some()) {
            (self.gone)();
        }
    }

    /// Gives the connection up when the error shows that it broke, that nobody is there, that the
    /// server is no master any more, or has forgotten who we are.
    pub(super) fn check(&self, number: u64, error: &RedisError) {
        let is_replica = error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly);
        if error.is_io_error() || is_replica || has_forgotten_us(error) {
            self.broken(number);
        }
    }
}

#[cfg(test)]
mod tests;
