//! Where locks live: the seam between leases and servers.
//!
//! A store knows keys, tokens and milliseconds, and nothing of functions, retries or leases.

pub(crate) mod alerts;
pub(crate) mod ears;
pub(crate) mod failure;
mod holder;
pub(crate) mod memory;
pub(crate) mod quorum;
mod record;
pub(crate) mod redis;
mod seats;
mod value;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::kind::Kind;
pub(crate) use alerts::{Alert, Listening, Ring};
pub(crate) use ears::{Ear, Passed, Word};
pub(crate) use failure::StoreError;
pub(crate) use holder::{Holder, Seat};
pub(crate) use record::{Began, Done, Ending, Kept, Last, Record, Recording};
pub use record::{FIELDS, LastRun, Outcome, last_run_of};
pub(crate) use value::KEPT;
pub(crate) use value::{kind_of, owner_of};
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

    /// Gives the key back when it is ours: to the first in the store's line, or to nobody; with
    /// `keep`, lets it expire after that time instead, under a value that is not ours any more:
    /// [`KEPT`] and what it was. When it is not ours, our place in the line is given back.
    fn release(&self, entry: Arc<Entry>, keep: Option<Duration>) -> Answer<Released>;

    /// Like `release`, while a command of ours may still be carried out within this time that would
    /// take the key or a place in the line: the store is to remember that it came too late.
    fn release_in_doubt(
        &self,
        entry: Arc<Entry>,
        keep: Option<Duration>,
        _unsettled: Option<Duration>,
    ) -> Answer<Released> {
        self.release(entry, keep)
    }

    /// Like `release`, for a store that answers without being waited for; `None` from others.
    fn release_now(&self, _entry: &Entry, _keep: Option<Duration>) -> Option<Released> {
        None
    }

    /// Makes keys that are ours last at least so long from now; one answer for each, in order.
    fn extend(&self, batch: Vec<(Arc<Entry>, Duration)>) -> BoxFuture<'static, Vec<Extension>>;

    /// The same, and from now on who listens to one of these keys is told when others change it, as
    /// far as that can be had. It may be dropped when it takes too long: it need not be answered.
    fn extend_listening(
        &self,
        batch: Vec<(Arc<Entry>, Duration)>,
    ) -> BoxFuture<'static, Vec<Extension>> {
        self.extend(batch)
    }

    /// Has this rung when others change the key, as far as [`extend_listening`] was asked to hear of
    /// it; `None` where the store does not hear of changes.
    ///
    /// [`extend_listening`]: Self::extend_listening
    fn listen_to_key(&self, _key: &str, _ring: Arc<dyn Ring>) -> Option<Listening> {
        None
    }

    /// Tells when this key may be free, as far as attempts were told so by [`Holder::rings`], or the
    /// key is watched.
    fn alert(&self, key: &str) -> Alert;

    /// Whether those who wait line up in the store, as far as it is known before asking.
    fn lines_up(&self) -> bool {
        false
    }

    /// What the store says to this value in its line, from now on; `None` where it has no line.
    fn listen(&self, _entry: &Entry) -> Option<Ear> {
        None
    }

    /// For the first of the store's line: who else has the key, if it is not free. From now on the key's
    /// alert rings when it is changed.
    fn watch(&self, _entry: Arc<Entry>) -> Answer<Option<Holder>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// All who hold the key, the first to end in front; or why nobody can tell here.
    fn holders(&self, key: String) -> Result<Answer<Vec<Holder>>, &'static str>;

    /// How long after the call of `acquire` a command of it may still be carried out, on a connection
    /// that was given up meanwhile.
    fn settles_within(&self) -> Duration;

    /// Whether each attempt needs a token of its own: where a command that gives the key back may be
    /// under way from the last attempt, and take away what the next is granted.
    fn spends_tokens(&self) -> bool {
        false
    }

    /// Where it is, for errors: hosts and ports, never credentials.
    fn place(&self) -> String {
        "this process".to_owned()
    }

    /// Why no fencing numbers can be had here, if so.
    fn refuses_fencing(&self) -> Option<&'static str> {
        None
    }

    /// Why nobody can tell here whether somebody waits already, if so.
    fn refuses_coalescing(&self) -> Option<&'static str> {
        None
    }

    /// Why a key can't be held by several here, if so.
    fn refuses_places(&self) -> Option<&'static str> {
        None
    }

    /// Why no runs can be recorded here, if so.
    fn refuses_records(&self) -> Option<&'static str> {
        None
    }

    /// What the record at this key says of the runs of the lock at the other, where runs can be
    /// recorded.
    fn last_run(&self, _key: String, _record: String) -> Answer<Option<LastRun>> {
        Box::pin(std::future::ready(Ok(None)))
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
    /// The token, the letter of its kind, then `;` and the owner.
    pub(crate) value: String,
    pub(crate) kind: Kind,
    /// The fencing counter to draw from, if a number is wanted.
    pub(crate) counter: Option<String>,
    /// The record of its run, if one is kept. Then the store begins the run with the lock, and ends it
    /// with the release.
    // Boxed, since most have none: an entry is moved several times before it is shared.
    pub(crate) record: Option<Box<Record>>,
}

impl Entry {
    /// Of a value that nobody has any more, to give it back.
    pub(crate) fn left(key: String, value: String) -> Self {
        Self {
            kind: kind_of(&value),
            key,
            value,
            counter: None,
            record: None,
        }
    }
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
    /// By one that may wait: who is in line on the store goes first. Where the store has no line,
    /// like `Plain`.
    Looking { coalesce: bool },
    /// The same by one that does wait, and takes a place in that line or shows that it is still
    /// there; it has had this place before. Where the store has no line, like `Watching`.
    ///
    /// With `coalesce`, it wants no place where somebody waits already: see [`Holder::is_owed`].
    InLine { place: Option<u64>, coalesce: bool },
}

impl Asking {
    /// The same for a store that has no line.
    pub(crate) fn without_line(self) -> Self {
        match self {
            Self::Looking { .. } => Self::Plain,
            Self::InLine { .. } => Self::Watching,
            other => other,
        }
    }
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
    /// The period of the entry's record has had its success. The store has given back what it had of
    /// ours: the key, or a place in its line.
    Done(Done),
    Busy(Option<Holder>),
    /// Busy, but some of several servers granted the key before they were asked to give it back, or
    /// may have.
    Split(Option<Holder>),
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
