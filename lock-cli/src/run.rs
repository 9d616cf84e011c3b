//! `run`: a command under a lock, as flock(1) does, across machines.

mod connecting;
pub(crate) mod group;
pub(crate) mod ignored;
mod itself;
mod nested;
pub(crate) mod options;
mod plan;
pub(crate) mod signals;
mod supervise;
mod terminal;
pub(crate) mod under_lock;
mod voice;
pub(crate) mod warnings;

use std::io::IsTerminal as _;
use std::time::Duration;

use redis_locked_runtime::{LockError, LockGuard, LockRequest, Locker};
use tokio::time::{Instant, timeout};
use tracing::instrument::WithSubscriber as _;

use crate::exit::{Failure, UNAVAILABLE, say};
use crate::text;
use connecting::{Patience, connect};
use group::code_of;
use options::Run;
use signals::Signals;
use warnings::Warnings;

/// How long the end of the tool may wait for Redis.
pub(crate) const SHUTDOWN: Duration = Duration::from_secs(5);

pub(crate) async fn run(options: &Run) -> Result<u8, Failure> {
    let grace = options.grace()?;
    let mut signals = Signals::listen()?;
    nested::refuse(options).await?;
    let (locker, patience) = tokio::select! {
        biased;
        signal = signals.next_ending() => return Ok(code_of(signal)),
        connected = connect(options) => connected?,
    };
    let answer = tokio::select! {
        biased;
        signal = signals.next_ending() => Err(signal),
        answer = acquire(options, patience, &locker) => Ok(answer),
    };
    let code = match answer {
        Ok(answer) => held(options, answer, &mut signals, grace).await,
        // The acquisition under way frees its key in the background.
        Err(signal) => Ok(code_of(signal)),
    };
    // What is still pending after that was told of by `release`.
    let _ = timeout(SHUTDOWN, locker.shutdown()).await;
    code
}

async fn acquire(
    options: &Run,
    patience: Patience,
    locker: &Locker,
) -> Result<LockGuard, LockError> {
    let request = match options.keys()[..] {
        [key] => locker.lock(key),
        ref keys => locker.lock_all(keys.iter().copied()),
    };
    let request = match (options.once_per, options.record) {
        (None, None) => return ask(complete(request, options, patience), patience).await,
        (Some(period), None) => request.once_per(period),
        (None, Some(lifetime)) => request.record(lifetime),
        (Some(period), Some(lifetime)) => request.once_per(period).record(lifetime),
    };
    ask(complete(request, options, patience), patience).await
}

/// Who waits without a limit is told of trouble by nothing but the log.
async fn ask<K>(request: LockRequest<K>, patience: Patience) -> Result<LockGuard, LockError> {
    match patience {
        Patience::Forever => request.acquire().with_subscriber(Warnings).await,
        Patience::Until(_) | Patience::Retries(_) => request.acquire().await,
    }
}

/// A lock that another has passed on lasts for a moment at first, shorter than a command may need to end.
async fn make_last(options: &Run, guard: &LockGuard) -> Result<(), LockError> {
    let whole = options.longest_at_a_time();
    if guard.remaining() > whole / 2 {
        return Ok(());
    }
    guard.extend(whole).await
}

/// Runs the command, if the lock was granted.
async fn held(
    options: &Run,
    answer: Result<LockGuard, LockError>,
    signals: &mut Signals,
    grace: Duration,
) -> Result<u8, Failure> {
    match answer {
        Ok(guard) => {
            make_last(options, &guard).await?;
            let code = supervise::supervise(options, &guard, signals, grace).await;
            release(options, guard, matches!(code, Ok(0))).await;
            code
        }
        Err(LockError::AlreadyDone {
            key, owner, ago, ..
        }) if options.skip => {
            let ago = text::left(Some(ago));
            skipped(options, format_args!("{owner} has done {key:?} {ago} ago"));
            Ok(0)
        }
        Err(LockError::Busy {
            key,
            owner,
            holders,
            ..
        }) if options.skip => {
            let holder = owner.as_deref().unwrap_or("another holder");
            let have = if holders > 1 { "have" } else { "has" };
            skipped(options, format_args!("{holder} {have} lock {key:?}"));
            Ok(0)
        }
        // What the library says of these cannot be said shorter.
        Err(
            error @ (LockError::AlreadyDone { .. }
            | LockError::Busy { foreign: true, .. }
            | LockError::Busy { endless: true, .. }),
        ) => {
            let Failure { message, .. } = error.into();
            let message = format_args!("{message}. Nothing was run");
            Err(Failure::new(options.busy_exit, message))
        }
        Err(LockError::Busy {
            key,
            owner,
            holders,
            retry_after,
            attempts,
            waiting,
            ..
        }) => {
            let holder = (owner.as_deref(), holders);
            let mut message = busy(&key, holder, retry_after, attempts);
            message.push_str(&others(waiting));
            Err(Failure::new(options.busy_exit, message))
        }
        Err(error) => Err(refused(options, error)),
    }
}

/// cron sends what is said to somebody, each time.
fn skipped(options: &Run, why: std::fmt::Arguments<'_>) {
    if options.verbose || std::io::stderr().is_terminal() {
        say(format_args!("skipped: {why}; nothing was run"));
    }
}

/// A user who may lock may still not be allowed to draw a number.
fn refused(options: &Run, error: LockError) -> Failure {
    let lacks_a_right =
        matches!(&error, LockError::Backend { happened, .. } if happened.contains("lacks a right"));
    match options.counter() {
        Some(counter) if lacks_a_right => Failure::new(
            UNAVAILABLE,
            format_args!(
                "{}. The number for the command takes the right +time and the key \
                 {counter:?}; --no-fence does without",
                Failure::from(error)
            ),
        ),
        _ => error.into(),
    }
}

fn complete<K>(request: LockRequest<K>, options: &Run, patience: Patience) -> LockRequest<K> {
    let mut request = request.ttl(options.ttl);
    request = match patience {
        Patience::Until(end) => request.wait(end.saturating_duration_since(Instant::now())),
        Patience::Forever => request.wait_forever(),
        Patience::Retries(retries) => request.retries(retries),
    };
    if let Some(backoff) = options.backoff {
        request = request.backoff(backoff);
    }
    if let Some(permits) = options.permits {
        request = request.permits(permits);
    }
    if options.shared {
        request = request.shared();
    }
    if options.renew {
        request = request.renew();
    }
    if let Some(max_hold) = options.max_hold {
        request = request.max_hold(max_hold);
    }
    if let Some(min_hold) = options.min_hold {
        request = request.min_hold(min_hold);
    }
    if options.counter().is_some() {
        request = request.fenced();
    }
    request
}

fn busy(
    key: &str,
    (owner, holders): (Option<&str>, u32),
    left: Option<Duration>,
    attempts: u32,
) -> String {
    // Escaped by the library.
    let holder = owner.unwrap_or("another holder");
    let left = left.map(|left| text::left(Some(left)));
    let has = match (holders, left) {
        (0 | 1, None) => "has it".to_owned(),
        (0 | 1, Some(left)) => format!("has it, for at most {left} unless it extends"),
        (_, None) => "have it".to_owned(),
        (_, Some(left)) => {
            format!("have it, and there is no room for at most {left} unless they extend")
        }
    };
    let tried = match attempts {
        1 => "once".to_owned(),
        _ => format!("{attempts} times"),
    };
    format!(
        "lock {key:?} is busy: {holder} {has} (tried {tried}); nothing was run. Try later, or \
         wait for it with --wait or --retries"
    )
}

/// How many have come before, if somebody has.
fn others(waiting: Option<u64>) -> String {
    match waiting {
        None | Some(0) => String::new(),
        Some(1) => "; one waits for it already".to_owned(),
        Some(count) => format!("; {count} wait for it already"),
    }
}

/// What the command ended with is told whatever becomes of the release.
async fn release(options: &Run, guard: LockGuard, succeeded: bool) {
    let was_lost = !guard.is_held();
    let end = async {
        if succeeded {
            guard.release().await
        } else {
            guard.fail().await
        }
    };
    match timeout(SHUTDOWN, end).await {
        // The loss has been told already.
        Ok(Ok(()) | Err(LockError::NotHeld { .. })) if was_lost => {}
        Ok(Ok(())) => {}
        Ok(Err(error)) => say(Failure::from(error)),
        Err(_) => say(format_args!(
            "lock {:?} could not be released in time; its key stays until its ttl is over",
            options.name()
        )),
    }
}
