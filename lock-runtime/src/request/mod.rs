//! What a caller asks for.

mod array;
mod attempts;
mod check;
mod in_line;
mod keys;
mod kind;
mod record;
mod retries;
#[cfg(test)]
mod tests;

use std::future::{Future, ready};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryFutureExt as _;
use futures_util::future::BoxFuture;

use crate::backoff::Backoff;
use crate::body::{Locked, OnLost, RunResult, outcome_of};
use crate::error::LockError;
use crate::hold::{Common, LockGuard};
use crate::key::Key;
use crate::store::Outcome;
use crate::telemetry::{Run, UNNAMED};
use crate::tenure::Terms;
use array::Array;
use attempts::attempts;
pub(crate) use check::NoLocker;
pub(crate) use check::whole_key;
use check::{Asked, Checked, Patience, Wait};
use in_line::wait;
use keys::Keys;
pub use kind::{Plain, Recorded};
use record::RECORDED_FOR;
use retries::Retries;

/// A request for a lock, from [`Locker::lock`](crate::Locker::lock): how long, how to retry. Nothing is sent before
/// [`acquire`](Self::acquire) or [`run`](Self::run).
///
/// ```
/// # use redis_locked_runtime as redis_locked;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), redis_locked::LockError> {
/// use std::time::Duration;
/// let locker = redis_locked::Locker::in_memory();
/// let guard = locker
///     .lock("report:42")
///     .ttl(Duration::from_secs(5))
///     .retries(3)
///     .acquire()
///     .await?;
/// // … what must be done by one at a time …
/// guard.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a request does nothing until `acquire` or `run` is awaited"]
pub struct LockRequest<K = Plain> {
    // Boxed, since a function's future holds its request until it is first polled.
    asked: Box<Asked>,
    kind: PhantomData<fn() -> K>,
}

impl LockRequest {
    /// A request to the locker that has this in common with its other requests.
    pub(crate) fn new(locker: Result<Arc<Common>, NoLocker>, key: String) -> Self {
        Self::of(locker, Keys::One(key))
    }

    /// A request for all of several keys.
    pub(crate) fn of_all(locker: Result<Arc<Common>, NoLocker>, keys: Vec<String>) -> Self {
        Self::of(locker, Keys::array(keys))
    }

    fn of(locker: Result<Arc<Common>, NoLocker>, keys: Keys) -> Self {
        let asked = Asked {
            locker,
            keys,
            flaw: None,
            ttl: None,
            retries: None,
            backoff: None,
            wait: None,
            terms: Terms {
                ttl: Duration::ZERO,
                renew: false,
                max_hold: None,
                min_hold: None,
                max_idle: None,
                recorded: false,
                name: UNNAMED,
            },
            on_lost: OnLost::Cancel,
            fenced: false,
            coalesce: false,
            permits: None,
            shared: false,
            once_per: None,
            record: None,
        };
        Self {
            asked: Box::new(asked),
            kind: PhantomData,
        }
    }

    /// A request by the attribute, whose key was made from a template.
    pub(crate) fn annotated(locker: Result<Arc<Common>, NoLocker>, key: Key) -> Self {
        let template = key.template();
        let (text, flaw) = checked(key);
        let mut request = Self::new(locker, text).name(template);
        request.asked.flaw = flaw;
        request
    }

    /// A request by the attribute for several keys; this is what their templates are called together.
    pub(crate) fn annotated_all(
        locker: Result<Arc<Common>, NoLocker>,
        keys: impl IntoIterator<Item = Key>,
        name: &'static str,
    ) -> Self {
        let (keys, flaws): (Vec<_>, Vec<_>) = keys.into_iter().map(checked).unzip();
        let mut request = Self::of_all(locker, keys).name(name);
        request.asked.flaw = flaws.into_iter().flatten().next();
        request
    }
}

/// The text of a key, and what is wrong with it.
fn checked(key: Key) -> (String, Option<Box<LockError>>) {
    let (text, template, empty) = key.into_parts();
    let flaw = empty.map(|field| {
        let problem = format!(
            "`{field}` in its template {template:?} is empty or blank, so that unrelated calls would \
             share a lock; make sure that it has a value"
        );
        Box::new(LockError::invalid(&text, problem))
    });
    (text, flaw)
}

impl<K> LockRequest<K> {
    /// How long Redis keeps the lock if this process dies, at least 10 ms. Without
    /// [`renew`](Self::renew), it is also the longest that a body may run. By default, it is the locker's
    /// [`default_ttl`](crate::LockerBuilder::default_ttl), 30 s.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.asked.ttl = Some(ttl);
        self
    }

    /// How many attempts follow the first, while the lock is busy or after an error that may pass. By
    /// default none. Not together with [`wait`](Self::wait).
    pub fn retries(mut self, retries: u32) -> Self {
        self.asked.retries = Some(retries);
        self
    }

    /// The pause between attempts; a plain `Duration` is a fixed pause. By default, pauses grow from
    /// 50 ms to 1 s, with jitter. Not together with [`wait`](Self::wait), which does not pause.
    pub fn backoff(mut self, backoff: impl Into<Backoff>) -> Self {
        self.asked.backoff = Some(backoff.into());
        self
    }

    /// Instead of retries: queues until the lock is free, for at most this long. A request that has both
    /// is `InvalidRequest`.
    ///
    /// Callers of one process line up first come first served, and the lock is passed on among
    /// them without asking Redis. On one server, the heads of these lines line up there, and a
    /// release passes the lock on to the first of them. The first is also woken when the key is deleted
    /// or expires, by whatever client. It does not poll, but looks once in 5 s.
    ///
    /// Poll the future until it is ready, or drop it. A future that is kept without being polled keeps its
    /// place, and holds up the callers behind it: with `select!` in a loop, pin it outside of the loop, and
    /// do nothing long in the other branches.
    ///
    /// ```
    /// # use redis_locked_runtime as redis_locked;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), redis_locked::LockError> {
    /// use std::time::Duration;
    /// let locker = redis_locked::Locker::in_memory();
    /// let first = locker.lock("report:42").acquire().await?;
    /// let second = tokio::spawn(
    ///     locker.lock("report:42").wait(Duration::from_secs(10)).run(async { "my turn" }),
    /// );
    /// first.release().await?;
    /// assert_eq!(second.await.unwrap()?, "my turn");
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait(mut self, limit: Duration) -> Self {
        self.asked.wait = Some(Wait::AtMost(limit));
        self
    }

    /// Like [`wait`](Self::wait), without a limit. A Redis that is broken is then asked again and again,
    /// too. As no caller hears of that, it is logged at `error`, once for each time of trouble.
    pub fn wait_forever(mut self) -> Self {
        self.asked.wait = Some(Wait::Forever);
        self
    }

    /// With [`wait`](Self::wait): if somebody waits for the lock already, on whatever machine, this
    /// request is `Busy` at once. One run after the present one is enough, where the work is such that
    /// one does what all have come for: the one who waits has not begun, so it will see what was
    /// changed before this was called.
    ///
    /// Whoever is told `Busy` counts on the one that waits. Should that one give up before its turn,
    /// since its wait is over, or its caller leaves or dies, then nobody runs for those that it was
    /// counted on by: let such waits be long, or without a limit. On one server, all processes are
    /// seen; in memory, and where a user has no right to the line on the server, those of this locker.
    ///
    /// ```
    /// # use redis_locked_runtime as redis_locked;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), redis_locked::LockError> {
    /// let locker = redis_locked::Locker::in_memory();
    /// let rebuild = || locker.lock("index").wait_forever().coalesce();
    /// let running = rebuild().acquire().await?;
    /// let waits = tokio::spawn(rebuild().acquire());
    /// tokio::task::yield_now().await;
    /// assert!(rebuild().acquire().await.unwrap_err().is_busy());
    /// running.release().await?;
    /// waits.await.unwrap()?.release().await
    /// # }
    /// ```
    pub fn coalesce(mut self) -> Self {
        self.asked.coalesce = true;
        self
    }

    /// Keeps extending the lock for as long as it is held.
    pub fn renew(mut self) -> Self {
        self.asked.terms.renew = true;
        self
    }

    /// With [`renew`](Self::renew): the longest that the lock may be held.
    pub fn max_hold(mut self, max_hold: Duration) -> Self {
        self.asked.terms.max_hold = Some(max_hold);
        self
    }

    /// With [`renew`](Self::renew): how long a body may be idle. A body that nothing has woken for so long
    /// waits for what never answers: its lock is extended no more, and it is cut off as
    /// [`LostReason::Idle`](crate::LostReason::Idle), or runs on without the lock, as
    /// [`on_lost`](Self::on_lost) says.
    ///
    /// What counts is that something wakes the body: a timer, a socket, a channel that it awaits. What else its
    /// task is polled for does not. So a body that sleeps for longer than this is idle; and one that
    /// does not await anything, but computes or blocks its thread, is idle as well: it can't be dropped
    /// before it returns, but its lock is given up. The time counts from the body's first poll. Guards have
    /// no body, so it is nothing to [`acquire`](Self::acquire).
    ///
    /// ```
    /// # use redis_locked_runtime as redis_locked;
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::time::Duration;
    /// use redis_locked::{LockError, LostReason};
    /// let locker = redis_locked::Locker::in_memory();
    /// let request = locker.lock("import").renew().max_idle(Duration::from_secs(60));
    /// let error = request.run(std::future::pending::<()>()).await.unwrap_err();
    /// assert!(matches!(error, LockError::Lost { reason: LostReason::Idle, .. }));
    /// # }
    /// ```
    pub fn max_idle(mut self, max_idle: Duration) -> Self {
        self.asked.terms.max_idle = Some(max_idle);
        self
    }

    /// Keeps the key at least this long after it was asked for, whatever becomes of the body, so
    /// that a short job runs once per tick on all machines.
    pub fn min_hold(mut self, min_hold: Duration) -> Self {
        self.asked.terms.min_hold = Some(min_hold);
        self
    }

    /// Whether the body is cut off when the lock is lost, which is the default, or runs to its end.
    pub fn on_lost(mut self, on_lost: OnLost) -> Self {
        self.asked.on_lost = on_lost;
        self
    }

    /// Lets in so many at a time, over all machines: from 1, which is a plain lock, to 1,000.
    ///
    /// Each holder has a place of its own, with its own ttl, so that the place of a process that dies is
    /// free after that. Where requests for one key name different numbers, each looks at its own, and
    /// every holder counts for all. A holder of the whole key, whether of this library or another, keeps
    /// out all of them, and they keep it out. Not together with [`shared`](Self::shared), and not on a
    /// quorum.
    ///
    /// In the server's line, those who wait come in their order: a request for the whole key waits until
    /// all places are free, and who comes behind it waits, too, even if there is room. So a request that
    /// doesn't wait is `Busy` while somebody waits in front of it.
    ///
    /// ```
    /// # use redis_locked_runtime as redis_locked;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), redis_locked::LockError> {
    /// let locker = redis_locked::Locker::in_memory();
    /// let export = || locker.lock("export").permits(2);
    /// let (first, second) = (export().acquire().await?, export().acquire().await?);
    /// assert!(export().acquire().await.unwrap_err().is_busy());
    /// first.release().await?;
    /// let third = export().acquire().await?;
    /// # drop((second, third));
    /// # Ok(())
    /// # }
    /// ```
    pub fn permits(mut self, permits: u32) -> Self {
        self.asked.permits = Some(permits);
        self
    }

    /// Holds the key together with all others that are `shared`, however many: they and a holder of the
    /// whole key keep each other out. Not together with [`permits`](Self::permits), and not on a quorum.
    ///
    /// Those who wait come in their order, as with [`permits`](Self::permits): a request for the whole key
    /// waits for the holders that it finds, and whoever comes after it waits behind it. Don't ask for a
    /// key inside of a body that has it, `shared` or not: if another waits for the whole key in between,
    /// both would wait for ever. That is [`LockError::WouldDeadlock`].
    ///
    /// ```
    /// # use redis_locked_runtime as redis_locked;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), redis_locked::LockError> {
    /// let locker = redis_locked::Locker::in_memory();
    /// let read = || locker.lock("catalogue").shared();
    /// let (first, second) = (read().acquire().await?, read().acquire().await?);
    /// assert!(locker.lock("catalogue").acquire().await.unwrap_err().is_busy());
    /// # drop((first, second));
    /// # Ok(())
    /// # }
    /// ```
    pub fn shared(mut self) -> Self {
        self.asked.shared = true;
        self
    }

    /// Draws a [fencing token](crate::FencingToken) with the lock.
    ///
    /// With [`permits`](Self::permits) or [`shared`](Self::shared), the number is greater than that of
    /// each earlier holder that excludes this one. Holders that may hold together are in no order: a
    /// resource can't be fenced against one of them.
    pub fn fenced(mut self) -> Self {
        self.asked.fenced = true;
        self
    }

    /// At most one run that succeeds in each period of the server's clock, from 1 s to 366 days long.
    /// Whoever comes later in the period gets [`LockError::AlreadyDone`], also while it waits for the
    /// lock, and while another has it.
    ///
    /// Periods are counted from 1970 in UTC: `"1h"` goes from full hour to full hour, `"1d"` from midnight
    /// UTC, `"7d"` from Thursday to Thursday. A run belongs to the period in which the server
    /// granted its lock. For clocks that are early, that begins a tenth of the period before, 5 s at
    /// most: such a run counts to the period that begins, and the one that ends may be left without one.
    ///
    /// A run that fails, panics, is cut off or dies leaves the period open, and the next caller on
    /// whatever machine runs it. Whether it failed, its result tells: see [`RunResult`]. A guard's
    /// [`release`](LockGuard::release) is a success, and its [`fail`](LockGuard::fail) is none.
    ///
    /// The success is written by the command that releases the lock, into the
    /// [record](Self::record), which lives for two periods at least. It is as good as the server's
    /// memory: an eviction, `FLUSHALL`, or a failover to a replica that has not heard of it leaves the
    /// period open (with [`replicas`](crate::LockerBuilder::replicas), they confirm it). So does a
    /// Redis that cannot be reached from the body's end until the lock's ttl is over.
    ///
    /// On a quorum it is `InvalidRequest`.
    ///
    /// ```
    /// # use redis_locked_runtime as redis_locked;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), redis_locked::LockError> {
    /// use std::time::Duration;
    /// # async fn send_reports() -> Result<(), std::io::Error> { Ok(()) }
    /// const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    /// let locker = redis_locked::Locker::in_memory();
    /// let nightly = || locker.lock("nightly").once_per(DAY).renew();
    /// nightly().run(send_reports()).await?.expect("sent");
    /// let error = nightly().run(send_reports()).await.unwrap_err();
    /// assert!(error.is_already_done());
    /// assert!(error.retry_after().unwrap() <= DAY); // until the next day begins
    /// # Ok(())
    /// # }
    /// ```
    pub fn once_per(mut self, period: Duration) -> LockRequest<Recorded> {
        self.asked.once_per = Some(period);
        self.into_recorded()
    }

    /// Keeps a record of the run beside the lock, for so long after it began or ended (from 1 s to ten
    /// years, and at least for two periods of [`once_per`](Self::once_per), which records for 30 days where
    /// this is not said): who ran it, from when to when, how it ended, and its fencing token.
    /// [`Locker::last_run`](crate::Locker::last_run) reads it.
    ///
    /// It costs no command. It takes turns, though: a lock whose run is recorded is not passed on within
    /// the process, but by the server.
    ///
    /// Where the record's key holds something else, that is left alone, and runs are not recorded. Each
    /// locker logs it at `warn` once for such a key, and again only after a run was recorded there in
    /// between. With `once_per`, the request is `Backend`, and nothing runs. On a quorum it is
    /// `InvalidRequest`.
    ///
    /// ```
    /// # use redis_locked_runtime as redis_locked;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), redis_locked::LockError> {
    /// use std::time::Duration;
    /// let locker = redis_locked::Locker::in_memory();
    /// let week = Duration::from_secs(7 * 24 * 60 * 60);
    /// locker.lock("import").record(week).run(async { /* … */ }).await?;
    /// let last = locker.last_run("import").await?.expect("it has run");
    /// assert_eq!(last.outcome, Some(redis_locked::Outcome::Ok));
    /// # Ok(())
    /// # }
    /// ```
    pub fn record(mut self, lifetime: Duration) -> LockRequest<Recorded> {
        self.asked.record = Some(lifetime);
        self.into_recorded()
    }

    /// Like [`record`](Self::record), for 30 days.
    pub fn recorded(self) -> LockRequest<Recorded> {
        self.record(RECORDED_FOR)
    }

    fn into_recorded(self) -> LockRequest<Recorded> {
        LockRequest {
            asked: self.asked,
            kind: PhantomData,
        }
    }

    /// What spans and metrics call the lock (`lock.name`), since there are too many keys to count by. By
    /// default it is `unnamed`; for an annotated function, it is the template of its key.
    ///
    /// ```
    /// # use redis_locked_runtime as redis_locked;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), redis_locked::LockError> {
    /// # let (locker, tenant) = (redis_locked::Locker::in_memory(), "acme");
    /// let request = locker.lock(format!("report:{tenant}")).name("report:{tenant}");
    /// request.run(async { /* … */ }).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn name(mut self, name: &'static str) -> Self {
        self.asked.terms.name = name;
        self
    }

    /// Acquires the lock.
    ///
    /// The guard releases the lock when it is dropped, so bind it: `let _guard`, not `let _`.
    ///
    /// The metrics count this lock, but it has no span, as nobody knows which of its caller's work is
    /// done under the guard. [`run`](Self::run) has a span.
    ///
    /// # Errors
    ///
    /// [`LockError::Busy`] when another holder has the key after the last attempt or the whole
    /// wait, `AlreadyDone` with [`once_per`](Self::once_per) when the period has had its run, `Backend` when Redis could not be asked, `Lost` when the answer came after the
    /// deadline, `WouldDeadlock` when a body that this runs in holds the key, `NotConfigured`
    /// without a locker, `InvalidRequest` for a request that makes no sense, such as an empty key.
    ///
    /// # Cancellation
    ///
    /// Dropping the future frees the key in the background, even if Redis has granted it meanwhile, and
    /// gives up the place in the line.
    pub async fn acquire(self) -> Result<LockGuard, LockError> {
        start(*self.asked).await
    }

    /// Runs the body, and has this say of its result how the run ended.
    pub(crate) fn run_judged<F: Future>(
        self,
        body: F,
        judge: fn(&F::Output) -> Outcome,
    ) -> Locked<F> {
        let asked = self.asked;
        let on_lost = asked.on_lost;
        // The span and the request's check are for the task that polls.
        let begin = move || {
            let run = Run::start(&asked.keys.shown(), asked.terms.name);
            (run, start(*asked))
        };
        Locked::new(Box::new(begin), on_lost, judge, body)
    }
}

impl LockRequest {
    /// Acquires the lock, runs the body while it is surely held, and releases.
    ///
    /// The body is never polled after the deadline. It is dropped then, and the caller gets
    /// `Lost`, unless [`on_lost`](Self::on_lost) says otherwise. The body's result is returned even if
    /// the release fails. The failure is then logged, and the release is tried again in the background
    /// until the key's ttl is over.
    ///
    /// # Traces
    ///
    /// A run is a `tracing` span `lock` at level `info`, and the body's spans are inside of it. Its
    /// fields are `lock.key`, [`lock.name`](Self::name), `lock.attempts`, `lock.waited` (until it
    /// had the lock) and `lock.held` (until the body ended), both as durations are written for
    /// debugging (`1.5s`), `lock.holder` when busy, and `lock.outcome`: `ran`, `busy`, `already_done`, `lost`,
    /// `backend`, `would_deadlock`, `not_configured`, `invalid_request`, `cancelled` when the run
    /// was dropped, or `panicked`.
    ///
    /// A busy lock, and a period that is done, are logged at `debug`. A lost lock and a release that fails are logged at `warn`. A
    /// store that a wait without a limit cannot ask, and an error that `skip` hides, are logged at
    /// `error`. The caller logs the other errors.
    ///
    /// # Errors
    ///
    /// Those of [`acquire`](Self::acquire); the body has not begun then. And `Lost`.
    ///
    /// # Cancellation
    ///
    /// When the future is dropped, the body is dropped first; then the lock is released in the
    /// background.
    ///
    /// ```
    /// # use redis_locked_runtime as redis_locked;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), redis_locked::LockError> {
    /// let locker = redis_locked::Locker::in_memory();
    /// let sum = locker.lock("report:42").run(async { 1 + 1 }).await?;
    /// assert_eq!(sum, 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn run<F: Future>(self, body: F) -> impl Future<Output = Result<F::Output, LockError>> {
        self.run_judged(body, |_| Outcome::Ok)
    }
}

impl LockRequest<Recorded> {
    /// Acquires the lock, runs the body while it is surely held, and releases, as [`run`](LockRequest::run)
    /// of a plain request does. The release writes how the run ended.
    ///
    /// The body's result tells whether it succeeded: an `Err` is a run that failed; see [`RunResult`].
    ///
    /// # Errors
    ///
    /// Those of [`acquire`](Self::acquire), of which `AlreadyDone` is one; the body has not begun then.
    /// And `Lost`, whose run counts as cut off.
    ///
    /// # Cancellation
    ///
    /// When the future is dropped, the body is dropped first; then the lock is released in the
    /// background, and the run counts as dropped.
    ///
    /// ```
    /// # use redis_locked_runtime as redis_locked;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), redis_locked::LockError> {
    /// # const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);
    /// let locker = redis_locked::Locker::in_memory();
    /// let hourly = || locker.lock("sync").once_per(HOUR);
    /// let first = hourly().run(async { Err::<(), _>("no network") }).await?;
    /// assert!(first.is_err());
    /// let second = hourly().run(async { Ok::<_, &str>(()) }).await?; // the hour is still open
    /// assert!(second.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    pub fn run<F>(self, body: F) -> impl Future<Output = Result<F::Output, LockError>>
    where
        F: Future,
        F::Output: RunResult,
    {
        self.run_judged(body, outcome_of)
    }
}

/// The path of one acquisition. To be called where it is awaited: it looks at the running task.
fn start(asked: Asked) -> BoxFuture<'static, Result<LockGuard, LockError>> {
    let (request, patience) = match asked.check() {
        Err(error) => return Box::pin(ready(Err(error))),
        Ok(Checked {
            request,
            others: None,
            patience,
        }) => (request, patience),
        Ok(Checked {
            request,
            others: Some(others),
            patience,
        }) => return Box::pin(Array::new(request, others).acquire(patience)),
    };
    match patience {
        Patience::Retry { retries, backoff } => Box::pin(async move {
            let pauses = backoff.pauses();
            match attempts(&request, &mut Retries { retries, pauses }).await {
                Ok(got) => Ok(got.begin(request.terms.name, request.started)),
                Err(missed) => Err(missed.into_error(&request)),
            }
        }),
        Patience::Wait { limit } => {
            let (name, started) = (request.terms.name, request.started);
            Box::pin(wait(request, limit).map_ok(move |got| got.begin(name, started)))
        }
    }
}
