//! What the attribute's code and the operators' tool call. Not for use by hand; it may change with
//! any version.

pub use std::format_args;
pub use std::option::Option;
pub use std::result::Result;
pub use std::time::Duration;

pub use crate::backoff::Backoff;
pub use crate::key::{Fields, Key};
use crate::lease::Lease;
use crate::locker::Locker;
pub use crate::outcome::{FromLockError, FromSkipped, or_else};
use crate::request::LockRequest;
pub use crate::request::{OnLost, counter_key};
use crate::token::FencingToken;
pub use crate::token::TOKEN_LEN;

/// How many holders a tenure has room for: what the server draws counts in these.
pub const TURNS: u32 = FencingToken::TURNS;

/// What a body returns. Behind another name, clippy does not count a type twice that is written twice.
pub type Returned<T> = T;

/// A request to the locker that applies where none is named.
pub fn request(key: Key) -> LockRequest {
    LockRequest::annotated(Locker::ambient(), key)
}

/// A request to this locker.
pub fn request_on(locker: &(impl AsLocker + ?Sized), key: Key) -> LockRequest {
    LockRequest::annotated(Ok(locker.as_locker().clone()), key)
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

/// What `locker = …` accepts.
#[diagnostic::on_unimplemented(
    message = "`locker` takes a `Locker`, not `{Self}`",
    label = "not a `Locker`",
    note = "give an expression of type `Locker`, `&Locker` or `Arc<Locker>`; it is borrowed, never moved",
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
