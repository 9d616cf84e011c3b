//! What a tenure is told with, and what it answers.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::LostReason;
use crate::store::Recording;

/// How long a lease was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) ttl: Duration,
    pub(crate) renew: bool,
    pub(crate) max_hold: Option<Duration>,
    pub(crate) min_hold: Option<Duration>,
    pub(crate) max_idle: Option<Duration>,
    /// Whether the store records the run.
    pub(crate) recorded: bool,
    /// What spans and metrics call the lock.
    pub(crate) name: &'static str,
}

/// How the lock was had.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grant {
    /// Before the store set the expiry, and for how long it did.
    pub(super) since: Instant,
    pub(super) term: Duration,
    /// From when the holder's own times count.
    pub(super) began: Instant,
    pub(super) fence: Option<u64>,
}

/// What a caller in line needs of a lock that is passed on to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needs {
    pub(crate) fenced: bool,
    /// What is to be recorded; such a lock is never passed on in this process.
    pub(crate) record: Option<Recording>,
    pub(crate) ttl: Duration,
}

/// A command that can set the key, from before it is sent until it is answered.
#[derive(Debug)]
#[must_use = "a command that was answered cleanly leaves no doubt: tell `answered`"]
pub(crate) struct Question {
    pub(super) unsettled_before: Option<Instant>,
}

/// What follows from a grant, and from taking over a turn.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Begun {
    Held,
    /// Held, and the keeper has to be told that the lease is to be extended.
    ToWatch,
    /// Lost before it began.
    Late(LostReason),
}

/// What the keeper has to do for a tenure.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum NextExtension {
    /// Extend it at this time.
    At(Instant),
    /// Nothing more, from now on.
    Over,
    /// Nothing, and it was not watched any more.
    Unwatched,
}

/// How the keeper asks for an extension.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct Sending {
    /// When to look again whether another is needed.
    pub(crate) again: Instant,
    /// Whether it is sent such that changes of the key are heard from then on.
    pub(crate) listening: bool,
}

/// What is left to do when a tenure has ended.
#[derive(Debug)]
#[must_use]
pub(crate) struct End {
    /// The release that nobody awaits.
    pub(crate) cleanup: Option<Cleanup>,
    /// Whether the keeper still counts it among those that it watches.
    pub(crate) watched: bool,
}

/// What a release that nobody awaits has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cleanup {
    /// Until when no answer says that the key stays away.
    pub(crate) unsettled_until: Option<Instant>,
    /// When the key is gone by itself.
    pub(crate) expires: Instant,
    /// Until when `min_hold` keeps it.
    pub(crate) keep_until: Option<Instant>,
    /// Whether the lock was had. If not, its caller was told of the failure, or has left.
    pub(crate) had: bool,
    /// Whether the key has to be there, as far as anyone was told.
    pub(crate) held: bool,
}
