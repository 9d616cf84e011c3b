//! What the attribute's code and the operators' tool call. Not for use by hand; it may change with
//! any version.

pub use std::format_args;
pub use std::option::Option;
pub use std::result::Result;
pub use std::time::Duration;

pub use crate::backoff::Backoff;
use crate::body::outcome;
pub use crate::body::{FromLockError, FromSkipped, OnLost, or_else};
use crate::error::LockError;
use crate::hold::Lease;
pub use crate::key::{Fields, Key, SideKey, counter_key, is_side_key, line_keys, record_key};
use crate::locker::Locker;
use crate::request::LockRequest;
use crate::store::Outcome;
#[cfg(all(feature = "cluster", feature = "sentinel"))]
pub use crate::store::redis::masters::{Master, Masters, Unreachable};
pub use crate::store::{FIELDS, last_run_of, shown, token_and_owner};
use crate::token::FencingToken;

/// How many holders a tenure has room for: what the server draws counts in these.
pub const TURNS: u32 = FencingToken::TURNS;

/// What a body returns. Behind another name, clippy does not count a type twice that is written twice.
pub type Returned<T> = T;

/// The pauses between the attempts of one request, without end.
pub fn pauses(backoff: Backoff) -> impl Iterator<Item = Duration> + Send {
    backoff.pauses()
}

/// A request to the locker that applies where none is named.
pub fn request(key: Key) -> LockRequest {
    LockRequest::annotated(Locker::ambient().map(|locker| locker.common()), key)
}

/// A request to this locker.
pub fn request_on(locker: &(impl AsLocker + ?Sized), key: Key) -> LockRequest {
    LockRequest::annotated(Ok(locker.as_locker().common()), key)
}

/// A request for several keys, of which this is what their templates are called together, to the locker that
/// applies where none is named.
pub fn request_all(keys: impl IntoIterator<Item = Key>, name: &'static str) -> LockRequest {
    let locker = Locker::ambient().map(|locker| locker.common());
    LockRequest::annotated_all(locker, keys, name)
}

/// The same to this locker.
pub fn request_all_on(
    locker: &(impl AsLocker + ?Sized),
    keys: impl IntoIterator<Item = Key>,
    name: &'static str,
) -> LockRequest {
    LockRequest::annotated_all(Ok(locker.as_locker().common()), keys, name)
}

/// Runs the body of a request whose run is recorded; this says of its result how it ended.
pub fn run_judged<K, F: Future>(
    request: LockRequest<K>,
    body: F,
    judge: fn(&F::Output) -> Outcome,
) -> impl Future<Output = Result<F::Output, LockError>> {
    request.run_judged(body, judge)
}

/// A result whose type the compiler knows where the attribute stands. `(&Judged(result)).outcome()` is that
/// of a `Result`, if it is one, or else a success: a method that takes what stands there is preferred to
/// one that needs another `&`.
pub struct Judged<'a, T: ?Sized>(pub &'a T);

/// How a run ended whose result is a `Result`.
pub trait ByResult {
    /// Whether it is an `Err`.
    fn outcome(&self) -> Outcome;
}

impl<T, E> ByResult for Judged<'_, Result<T, E>> {
    fn outcome(&self) -> Outcome {
        outcome(self.0.is_ok())
    }
}

/// How a run ended whose result is anything else.
pub trait ByDefault {
    /// A success.
    fn outcome(&self) -> Outcome;
}

impl<T: ?Sized> ByDefault for &Judged<'_, T> {
    fn outcome(&self) -> Outcome {
        Outcome::Ok
    }
}

/// The lease of the body that calls this.
///
/// # Panics
///
/// Outside of a body.
#[must_use]
pub fn current_lease() -> Lease {
    Lease::current().expect("the attribute calls this only inside a body")
}

/// The tokens of all keys of a lease, in the order of the keys.
pub fn tokens(lease: &Lease) -> impl Iterator<Item = &str> {
    lease.tokens()
}

/// What `locker = …` accepts.
#[diagnostic::on_unimplemented(
    message = "`locker` takes a `Locker`, not `{Self}`",
    label = "not a `Locker`",
    note = "give an expression of type `Locker`, `&Locker`, `Arc<Locker>` or `LazyLock<Locker>`; it is borrowed, never moved",
    note = "of an `Option` or a `OnceLock`, say what follows where it is empty: `locker = self.locker.as_ref().expect(\"connected\")`",
    note = "a `Locker` is made of an address by `Locker::connect(\"redis://…\").await`"
)]
pub trait AsLocker {
    /// The locker itself.
    fn as_locker(&self) -> &Locker;
}

impl AsLocker for Locker {
    fn as_locker(&self) -> &Locker {
        self
    }
}

impl<L: AsLocker + ?Sized> AsLocker for &L {
    fn as_locker(&self) -> &Locker {
        (**self).as_locker()
    }
}

impl<L: AsLocker + ?Sized> AsLocker for std::sync::Arc<L> {
    fn as_locker(&self) -> &Locker {
        (**self).as_locker()
    }
}

impl<L: AsLocker, F: FnOnce() -> L> AsLocker for std::sync::LazyLock<L, F> {
    fn as_locker(&self) -> &Locker {
        (**self).as_locker()
    }
}

/// What the URLs of servers are of.
#[derive(Debug, Clone)]
pub enum Topology {
    /// A server of its own.
    One,
    /// Some nodes of a cluster.
    Cluster,
    /// The servers of a quorum.
    Quorum,
    /// The sentinels of the master with this name.
    Sentinel(String),
}

/// The servers that a locker with these settings would ask.
///
/// # Errors
///
/// When a URL or a certificate cannot be used.
#[cfg(all(feature = "cluster", feature = "sentinel"))]
pub fn masters(
    builder: &crate::LockerBuilder,
    topology: &Topology,
    urls: &[String],
) -> redis::RedisResult<Masters> {
    use crate::store::redis::Servers;
    let (access, timeouts) = (&builder.access, builder.timeouts);
    let login = builder.sentinel_login.as_ref();
    let servers = match topology {
        Topology::One | Topology::Quorum => urls
            .iter()
            .map(|url| Servers::one(url, access, timeouts))
            .collect::<redis::RedisResult<_>>()?,
        Topology::Cluster => vec![Servers::cluster(urls, access)?],
        Topology::Sentinel(name) => vec![Servers::sentinel(urls, login, name, access, timeouts)?],
    };
    Ok(Masters { servers, timeouts })
}
