//! Where locks live: the seam between leases and servers.
//!
//! A store knows keys, tokens and milliseconds, and nothing of functions, retries or leases.

pub(crate) mod alerts;
pub(crate) mod failure;
pub(crate) mod memory;
pub(crate) mod quorum;
pub(crate) mod redis;
mod value;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

pub(crate) use alerts::Alert;
pub(crate) use failure::StoreError;
pub(crate) use value::KEPT;
pub(crate) use value::owner_of;
pub use value::{shown, token_and_owner};

/// What a store answers. It borrows nothing, so that a body's future can hold it.
pub(crate) type Answer<T> = BoxFuture<'static, Result<T, StoreError>>;

/// One store of locks.
pub(crate) trait Store: fmt::Debug + Send + Sync + 'static {
    /// Takes the key when it is free.
    fn acquire(
        &self,
        entry: Arc<Entry>,
        ttl: Duration,
        asking: Asking,
    ) -> BoxFuture<'static, Attempted>;

    /// Deletes the key when it is ours; with `keep`, lets it expire after that time instead, under
    /// a value that is not ours any more: [`KEPT`] and what it was.
    fn release(&self, entry: Arc<Entry>, keep: Option<Duration>) -> Answer<Released>;

    /// Like `release`, for a store that answers without being waited for; `None` from others.
    fn release_now(&self, _entry: &Entry, _keep: Option<Duration>) -> Option<Released> {
        None
    }

    /// Makes keys that are ours last at least so long from now; one answer for each, in order.
    fn extend(&self, batch: Vec<(Arc<Entry>, Duration)>) -> BoxFuture<'static, Vec<Extension>>;

    /// Tells when this key may be free, as far as attempts that are [`Asking::Watching`] were told
    /// so by [`Holder::rings`].
    fn alert(&self, key: &str) -> Alert;

    /// How long after the call of `acquire` a command of it may still be carried out, on a connection
    /// that was given up meanwhile.
    fn settles_within(&self) -> Duration;

    /// Whether each attempt needs a token of its own: where a command that gives the key back may be
    /// under way from the last attempt, and take away what the next is granted.
    fn spends_tokens(&self) -> bool {
        false
    }

    /// Where it is, for errors: hosts and ports, never credentials.
    fn place(&self) -> String;

    /// Why no fencing numbers can be had here, if so.
    fn refuses_fencing(&self) -> Option<&'static str> {
        None
    }

    /// Whether keys go on to their ends while this machine sleeps.
    fn is_on_servers(&self) -> bool {
        true
    }

    /// Closes the connections; the next call opens them again.
    fn close(&self);
}

/// What is written to the store while a lock is held. The key is ours when it has this value.
#[derive(Debug)]
pub(crate) struct Entry {
    /// With the locker's prefix.
    pub(crate) key: String,
    /// The token, then `;` and the owner.
    pub(crate) value: String,
    /// The fencing counter to draw from, if a number is wanted.
    pub(crate) counter: Option<String>,
}

/// What an attempt to acquire has to find out when the key is not free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asking {
    /// Nothing: another attempt follows.
    Plain,
    /// Who holds it, and for how long: this attempt is the last.
    WhoHolds,
    /// Also whether it is ours: the answer to an earlier attempt was lost.
    Again,
    /// Also whether it is ours, and from now on when it may be free.
    Watching,
}

pub(crate) type Extension = Result<Extended, StoreError>;

/// What came of an attempt to acquire.
#[derive(Debug)]
pub(crate) struct Attempted {
    pub(crate) outcome: Result<Acquired, StoreError>,
    /// Whether every command of the attempt that can set the key was answered, or was never sent.
    /// Otherwise one of them may set it later, whatever the outcome says.
    pub(crate) settled: bool,
}

#[derive(Debug)]
pub(crate) enum Acquired {
    Granted {
        /// Just before the command was sent that set the expiry.
        since: Instant,
        fence: Option<u64>,
    },
    Busy(Option<Holder>),
    /// Busy, but some of several servers granted the key before they were asked to give it back, or
    /// may have.
    Split(Option<Holder>),
}

/// Who has a key that is not ours.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    /// The owner's name, fit to be shown; `None` when the key holds what this library did not write.
    pub(crate) owner: Option<String>,
    /// How long the key still lives; `None` when it has no expiry.
    pub(crate) left: Option<Duration>,
    /// Whether the key's alert rings when it is freed.
    pub(crate) rings: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Released {
    /// The key was ours and is gone, or goes when its `keep` has passed.
    Done,
    /// There is no such key.
    Gone,
    /// The key has a value that is not ours, and was left alone.
    TakenOver,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extended {
    /// Until the ttl after this instant, at least.
    Since(Instant),
    Gone,
    TakenOver,
}

#[cfg(test)]
mod tests;
