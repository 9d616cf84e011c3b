//! The first connection. What the command line says of patience covers it, as every other attempt.

use std::time::Duration;

use redis_locked_runtime::private::pauses;
use redis_locked_runtime::{Locker, LockerBuilder};
use tokio::time::{Instant, sleep, timeout_at};

use super::options::{Run, Wait};
use crate::exit::{Failure, UNAVAILABLE, say};

/// What is left of the patience that was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Patience {
    Retries(u32),
    Until(Instant),
    Forever,
}

impl Patience {
    fn of(options: &Run) -> Self {
        match options.wait {
            Some(Wait::AtMost(limit)) => Self::Until(Instant::now() + limit),
            Some(Wait::Forever) => Self::Forever,
            None => Self::Retries(options.retries),
        }
    }

    /// Whether another attempt may be made, which is spent by that.
    fn allows_another(&mut self) -> bool {
        match self {
            Self::Retries(0) => false,
            Self::Retries(left) => {
                *left -= 1;
                true
            }
            Self::Until(end) => Instant::now() < *end,
            Self::Forever => true,
        }
    }

    /// How long, at most, a pause may be.
    fn limit(self, pause: Duration) -> Duration {
        match self {
            Self::Until(end) => pause.min(end.saturating_duration_since(Instant::now())),
            Self::Retries(_) | Self::Forever => pause,
        }
    }
}

/// Connects, and says what patience is left for the lock.
pub(crate) async fn connect(options: &Run) -> Result<(Locker, Patience), Failure> {
    // Of these, none will pass: what is wrong with a URL or a certificate.
    options.connection.servers()?;
    let started = Instant::now();
    let mut patience = Patience::of(options);
    let mut pauses = pauses(options.backoff.unwrap_or_default());
    let mut failure = match locker(options).await {
        Ok(locker) => return Ok((locker, patience)),
        Err(failure) => failure,
    };
    let mut attempts = 1;
    while failure.code == UNAVAILABLE && patience.allows_another() {
        if attempts == 1 && !matches!(patience, Patience::Retries(_)) {
            say(format_args!("{failure}. It is tried again and again"));
        }
        sleep(patience.limit(pauses.next().unwrap_or_default())).await;
        let answer = match patience {
            // The answer to the last attempt says more than that its time is over.
            Patience::Until(end) => timeout_at(end, locker(options)).await.ok(),
            Patience::Retries(_) | Patience::Forever => Some(locker(options).await),
        };
        match answer {
            Some(Ok(locker)) => return Ok((locker, patience)),
            Some(Err(error)) => failure = error,
            None => break,
        }
        attempts += 1;
    }
    if attempts == 1 {
        return Err(failure);
    }
    let told = format!(
        "{attempts} attempts to connect have failed, in {:.1?}; the last: {failure}",
        started.elapsed()
    );
    Err(Failure::new(failure.code, told))
}

async fn locker(options: &Run) -> Result<Locker, Failure> {
    let settings = |mut builder: LockerBuilder| {
        builder = builder.server_timeout(options.server_timeout);
        if let Some(owner) = &options.owner {
            builder = builder.owner(owner.as_str());
        }
        if let Some(replicas) = options.replicas {
            builder = builder.replicas(replicas, options.replicas_timeout);
        }
        builder
    };
    options.connection.locker(settings).await
}
