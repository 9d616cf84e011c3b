//! Everything that can go wrong, in words for the one who reads the log.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Why a lock could not be had, or is held no more.
///
/// Each variant names its key, says what happened and what to do, and has its cause as
/// [`source()`](std::error::Error::source). Keys are given without the locker's prefix.
///
/// ```
/// # use redis_locked_runtime as redis_locked;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), redis_locked::LockError> {
/// let locker = redis_locked::Locker::in_memory();
/// let held = locker.lock("report:42").acquire().await?;
/// let error = locker.lock("report:42").acquire().await.unwrap_err();
/// assert!(error.is_busy());
/// assert_eq!(error.key(), Some("report:42"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another holder has the key. Nothing is wrong with Redis.
    #[error("lock {key:?} is busy: {}{} (tried {}); {}",
        Held(.owner.as_deref(), *.holders, *.retry_after, *.foreign, *.endless), Waiting(*.waiting),
        Tried(*.attempts, *.waited), when_busy(*.foreign, *.endless))]
    #[non_exhaustive]
    Busy {
        /// The key, without the prefix.
        key: String,
        /// How many attempts were made.
        attempts: u32,
        /// How long was tried.
        waited: Duration,
        /// The owner that the key's value names, if it names one. Control characters are escaped, and
        /// the text is cut after 100 characters. Where several hold it, the first three of them to end,
        /// and how many more there are.
        owner: Option<String>,
        /// How many hold it: more than one only with `permits` or `shared`.
        holders: u32,
        /// How long the holder's key still lives unless it is extended or released. Where several hold
        /// it, how long until this request could have its place.
        retry_after: Option<Duration>,
        /// The key holds something that this library did not write: another library's lock, or data.
        foreign: bool,
        /// The key has no expiry, so it never goes by itself.
        endless: bool,
        /// How many others wait for it, as far as is known: those in line on the server, one for each
        /// process. `None` where there is no line, as on a quorum.
        waiting: Option<u64>,
    },

    /// The period has had its run: with [`once_per`](crate::LockRequest::once_per), another has succeeded in
    /// it. Nothing is to be done before the next period.
    #[error("lock {key:?} has done its work for this period: {owner} succeeded {} ago, and the next period \
        begins in {}; {}", Span(*.ago), Span(*.next), when_done(*.clock_stepped_back))]
    #[non_exhaustive]
    AlreadyDone {
        /// The key, without the prefix.
        key: String,
        /// Whose run succeeded. Control characters are escaped, and the text is cut after 100 characters.
        owner: String,
        /// How long ago that run ended, by the server's clock.
        ago: Duration,
        /// How long it is until the next period begins, by the server's clock.
        next: Duration,
        /// The next period is more than two periods away, so that the run was recorded at a time which the
        /// server's clock has not reached again.
        clock_stepped_back: bool,
    },

    /// The lock was held, and is held no more although nobody here released it. The body was cut
    /// off, or never started.
    #[error("lock {key:?} was lost: {}", Loss(*.reason, *.failed_extensions, .last_failure.as_deref()))]
    #[non_exhaustive]
    Lost {
        /// The key, without the prefix.
        key: String,
        /// How it was lost.
        reason: LostReason,
        /// How many extensions had failed since the last that went well.
        failed_extensions: u32,
        /// What the last of them failed for, and what to do.
        last_failure: Option<String>,
        /// The client's or the server's own error of the last of them.
        #[source]
        source: Option<Arc<dyn Error + Send + Sync>>,
    },

    /// Released, but the key was gone already or is someone else's.
    #[error(
        "lock {key:?} was released but not held: {}; if what it protected took longer than its \
        ttl, raise `ttl` or use `renew`",
        if *.taken_over { "someone else has the key now" } else { "its key was gone" }
    )]
    #[non_exhaustive]
    NotHeld {
        /// The key, without the prefix.
        key: String,
        /// Whether someone else has the key; otherwise nobody does.
        taken_over: bool,
    },

    /// A body that this call runs in holds the key already: the call would wait for itself.
    ///
    /// This is found out for bodies in the running task. Guards taken by hand and spawned tasks are not
    /// seen.
    #[error(
        "lock {key:?} is held by a body around this call, which would wait for itself; \
        use another key, or call the inner code without its lock"
    )]
    #[non_exhaustive]
    WouldDeadlock {
        /// The key, without the prefix.
        key: String,
    },

    /// The store could not be asked, or refused. It is unknown whether the lock is free.
    #[error("{}: {happened}{}; {advice}", Doing(.key.as_deref(), .doing), After(*.attempts, *.waited))]
    #[non_exhaustive]
    Backend {
        /// The key, without the prefix; `None` while connecting.
        key: Option<String>,
        /// What could not be done.
        doing: &'static str,
        /// What happened.
        happened: String,
        /// What to do.
        advice: &'static str,
        /// How many attempts were made.
        attempts: u32,
        /// How long was tried.
        waited: Duration,
        /// The client's or the server's own error.
        #[source]
        source: Arc<dyn Error + Send + Sync>,
    },

    /// No locker was given, none is in scope, none is installed, and `REDIS_URL` gives none.
    #[error(
        "lock {key:?} has no locker: {problem}; call `Locker::install` at the start of the \
        program, set REDIS_URL, or pass `locker = …`; a spawned task does not see the \
        `Locker::scope` that it was spawned in"
    )]
    #[non_exhaustive]
    NotConfigured {
        /// The key, without the prefix.
        key: String,
        /// What was found instead of a locker.
        problem: &'static str,
        /// Why `REDIS_URL` could not be used, if it is set.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },

    /// The request makes no sense. Nothing was sent.
    #[error("{}{problem}", Refused(.key.as_deref()))]
    #[non_exhaustive]
    InvalidRequest {
        /// The key, without the prefix; `None` where the mistake is not in a request, and for one that names no key.
        key: Option<String>,
        /// What is wrong with it, and what to write instead.
        problem: String,
    },
}

impl LockError {
    pub(crate) fn invalid(key: &str, problem: impl Into<String>) -> Self {
        Self::InvalidRequest {
            key: Some(key.to_owned()),
            problem: problem.into(),
        }
    }

    /// The mistake is not in a request.
    pub(crate) fn not_set_up(problem: impl fmt::Display) -> Self {
        Self::nameless(format!("the locker was not set up: {problem}"))
    }

    /// The mistake is about no key.
    pub(crate) fn nameless(problem: impl Into<String>) -> Self {
        Self::InvalidRequest {
            key: None,
            problem: problem.into(),
        }
    }

    /// A loss that no failed extension came before.
    pub(crate) fn lost(key: &str, reason: LostReason) -> Self {
        Self::Lost {
            key: key.to_owned(),
            reason,
            failed_extensions: 0,
            last_failure: None,
            source: None,
        }
    }

    /// The key that it is about, without the prefix; `None` for errors about no key.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Busy { key, .. }
            | Self::AlreadyDone { key, .. }
            | Self::Lost { key, .. }
            | Self::NotHeld { key, .. }
            | Self::WouldDeadlock { key }
            | Self::NotConfigured { key, .. } => Some(key),
            Self::Backend { key, .. } | Self::InvalidRequest { key, .. } => key.as_deref(),
        }
    }

    /// Another holder has the key.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }

    /// The period of `once_per` has had its run.
    #[must_use]
    pub fn is_already_done(&self) -> bool {
        matches!(self, Self::AlreadyDone { .. })
    }

    /// The lock was held and is held no more.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost { .. })
    }

    /// The release found the key gone, or someone else's.
    #[must_use]
    pub fn is_not_held(&self) -> bool {
        matches!(self, Self::NotHeld { .. })
    }

    /// The store could not be asked, or refused.
    #[must_use]
    pub fn is_backend(&self) -> bool {
        matches!(self, Self::Backend { .. })
    }

    /// When asking again may help: for `Busy`, how long the holder's key still lives unless it is extended or
    /// released, or, where several hold it, how long until this request could have its place; for `AlreadyDone`,
    /// how long it is until the next period begins.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } => *retry_after,
            Self::AlreadyDone { next, .. } => Some(*next),
            _ => None,
        }
    }
}

/// How a lock was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LostReason {
    /// The deadline passed: the ttl was too short, or no extension got through in time.
    Expired,
    /// Someone deleted the key.
    Deleted,
    /// The key has someone else's value.
    TakenOver,
    /// The body ran for as long as `max_hold` allows.
    MaxHold,
    /// Nothing has woken the body for as long as `max_idle` allows: it hangs.
    Idle,
}

impl fmt::Display for LostReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => {
                "its deadline passed; raise `ttl`, or use `renew` and check that Redis can be reached"
            }
            Self::Deleted => {
                "its key was deleted: by `redis-locked break`, DEL or FLUSHALL, by an eviction, or by \
                 a restart of Redis without its data; look for these on the server"
            }
            Self::TakenOver => {
                "someone else has its key now; find out who wrote it without checking the holder"
            }
            Self::Idle => {
                "nothing has woken its body for as long as `max_idle` allows; find out what it waits for, \
                 give that a timeout, or raise `max_idle`"
            }
            Self::MaxHold => "`max_hold` was reached; raise it, or make the work shorter",
        })
    }
}

/// A loss, and the extensions that had failed before it.
pub(crate) struct Loss<'a>(
    pub(crate) LostReason,
    pub(crate) u32,
    pub(crate) Option<&'a str>,
);

impl fmt::Display for Loss<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self(LostReason::Expired, 1, Some(last)) => {
                write!(f, "its deadline passed, as an extension had failed: {last}")
            }
            Self(LostReason::Expired, failed, Some(last)) => write!(
                f,
                "its deadline passed, as {failed} extensions had failed, the last one: {last}"
            ),
            Self(reason, ..) => reason.fmt(f),
        }
    }
}

struct Tried(u32, Duration);

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let &Self(attempts, waited) = self;
        match attempts {
            1 => write!(f, "once, in {waited:.1?}"),
            _ => write!(f, "{attempts} times, in {waited:.1?}"),
        }
    }
}

struct After(u32, Duration);

impl fmt::Display for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let &Self(attempts, waited) = self;
        match attempts {
            0 => Ok(()),
            _ => write!(f, " (tried {})", Tried(attempts, waited)),
        }
    }
}

/// A time in the two largest units that it has.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        const DAY: u64 = 24 * HOUR;
        let seconds = self.0.as_secs();
        match seconds {
            ..MINUTE => write!(f, "{:.1?}", self.0),
            MINUTE..HOUR => write!(f, "{}m {}s", seconds / MINUTE, seconds % MINUTE),
            HOUR..DAY => write!(f, "{}h {}m", seconds / HOUR, seconds % HOUR / MINUTE),
            DAY.. => write!(f, "{}d {}h", seconds / DAY, seconds % DAY / HOUR),
        }
    }
}

/// What to do where a period is done.
fn when_done(clock_stepped_back: bool) -> &'static str {
    if clock_stepped_back {
        "that is more than two periods away, so the server's clock has stepped back since: set it right, \
        or let the run be forgotten with `redis-locked forget`"
    } else {
        "call it again then, or let the run be forgotten with `redis-locked forget`"
    }
}

/// What to do about a busy key.
fn when_busy(foreign: bool, endless: bool) -> &'static str {
    match (foreign, endless) {
        (false, false) => "try later, or let the request retry or wait longer",
        (false, true) => {
            "somebody removed its expiry: when nobody holds it any more, free it with \
            `redis-locked break`"
        }
        (true, false) => {
            "if that is another library's lock, try later, or let the request retry or wait \
            longer; if not, use another key"
        }
        (true, true) => "use another key, or delete this one when you know what wrote it",
    }
}

/// Who has a busy key, how many they are, for how long; whether its value is foreign, whether it has
/// no expiry.
struct Held<'a>(Option<&'a str>, u32, Option<Duration>, bool, bool);

impl fmt::Display for Held<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let &Self(owner, holders, left, foreign, endless) = self;
        match owner {
            Some(owners) if holders > 1 => write!(f, "{owners} hold it")?,
            None if holders > 1 => write!(f, "{holders} others hold it")?,
            Some(owner) => write!(f, "{owner} holds it")?,
            None if foreign => f.write_str("its key holds what this library did not write")?,
            None => f.write_str("another holder has it")?,
        }
        match left {
            Some(left) if holders > 1 => write!(
                f,
                ", and there is no room for at most {left:.1?} unless they extend"
            ),
            Some(left) => write!(f, ", for at most {left:.1?} unless it extends"),
            None if endless => f.write_str(", and the key never expires"),
            None => Ok(()),
        }
    }
}

/// How many wait for a busy key.
struct Waiting(Option<u64>);

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None | Some(0) => Ok(()),
            Some(1) => f.write_str(", and one waits for it"),
            Some(count) => write!(f, ", and {count} wait for it"),
        }
    }
}

struct Doing<'a>(Option<&'a str>, &'static str);

impl fmt::Display for Doing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(key) => write!(f, "lock {key:?} could not be {}", self.1),
            None => write!(f, "the locker could not be {}", self.1),
        }
    }
}

struct Refused<'a>(Option<&'a str>);

impl fmt::Display for Refused<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(key) => write!(f, "lock {key:?} was not asked for: "),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_tells_key_holder_time_and_attempts() {
        let busy = || LockError::Busy {
            key: "report:42".into(),
            attempts: 4,
            waited: Duration::from_millis(1340),
            owner: Some("web-3:812".into()),
            holders: 1,
            retry_after: Some(Duration::from_millis(3200)),
            foreign: false,
            endless: false,
            waiting: None,
        };
        let waiting = |waiting| {
            let mut error = busy();
            if let LockError::Busy { waiting: known, .. } = &mut error {
                *known = waiting;
            }
            error.to_string()
        };
        let text = "lock \"report:42\" is busy: web-3:812 holds it, for at most 3.2s unless it \
                    extends (tried 4 times, in 1.3s); try later, or let the request retry or wait \
                    longer";
        assert_eq!(waiting(None), text);
        assert_eq!(waiting(Some(0)), text);
        let with = |words| text.replace("extends (", words);
        assert_eq!(waiting(Some(1)), with("extends, and one waits for it ("));
        assert_eq!(waiting(Some(3)), with("extends, and 3 wait for it ("));
    }

    #[test]
    fn busy_speaks_of_several_holders_in_the_plural() {
        let several = LockError::Busy {
            key: "export".into(),
            attempts: 1,
            waited: Duration::from_millis(2),
            owner: Some("web-1:7 (2 places), web-3:812 and 4 more".into()),
            holders: 7,
            retry_after: Some(Duration::from_millis(3200)),
            foreign: false,
            endless: false,
            waiting: None,
        };
        assert_eq!(
            several.to_string(),
            "lock \"export\" is busy: web-1:7 (2 places), web-3:812 and 4 more hold it, and there is no \
             room for at most 3.2s unless they extend (tried once, in 2.0ms); try later, or let the \
             request retry or wait longer"
        );
    }

    #[test]
    fn a_period_that_is_done_tells_whose_run_it_was_and_when_the_next_begins() {
        let text = |next, clock_stepped_back| {
            let done = LockError::AlreadyDone {
                key: "nightly".into(),
                owner: "web-3:812".into(),
                ago: Duration::from_secs(3 * 3600 + 120),
                next,
                clock_stepped_back,
            };
            assert_eq!(done.retry_after(), Some(next));
            done.to_string()
        };
        assert_eq!(
            text(Duration::from_millis(2500), false),
            "lock \"nightly\" has done its work for this period: web-3:812 succeeded 3h 2m ago, and the \
             next period begins in 2.5s; call it again then, or let the run be forgotten with \
             `redis-locked forget`"
        );
        let stepped = text(Duration::from_secs(3 * 86_400), true);
        assert!(
            stepped.contains("begins in 3d 0h; that is more"),
            "{stepped}"
        );
    }

    #[test]
    fn a_key_with_a_line_break_stays_on_one_line_of_the_log() {
        let error = LockError::invalid("a\nb", "no");
        assert_eq!(error.to_string().lines().count(), 1);
    }

    #[test]
    fn an_error_is_small_enough_to_return() {
        assert!(size_of::<LockError>() <= 128, "{}", size_of::<LockError>());
    }
}
