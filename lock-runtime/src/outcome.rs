//! What a function returns when it could not lock.

use std::error::Error;
use std::fmt;

use crate::error::LockError;

/// A return type that a lock error fits in.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot hold a lock error",
    label = "the function returns this also when it could not lock",
    note = "return a `Result<_, E>` with `E: From<redis_locked::LockError>`, such as `anyhow::Result<_>` or an error enum with the variant `Lock(#[from] redis_locked::LockError)` of thiserror",
    note = "or say in the attribute what to return instead: `or_else = |error| …` for any failure, `skip` for a lock that is busy"
)]
pub trait FromLockError: Sized {
    /// The error as a value of this type.
    fn from_lock_error(error: LockError) -> Self;
}

#[diagnostic::do_not_recommend]
impl<T, E: From<LockError>> FromLockError for Result<T, E> {
    fn from_lock_error(error: LockError) -> Self {
        Err(E::from(error))
    }
}

/// A return type with an empty value, for `skip`.
#[diagnostic::on_unimplemented(
    message = "`skip` has no value of `{Self}` to return when the lock is busy",
    label = "`skip` needs another return type",
    note = "`skip` works with `()`, `Option<T>`, and `Result<T, E>` with `T: Default` and `E: From<redis_locked::LockError>`",
    note = "for any other type, replace `skip` by `or_else = |error| …`, which makes the value from the error"
)]
pub trait FromSkipped: Sized {
    /// The empty value if the lock was busy, else the error.
    fn from_skipped(error: LockError) -> Self;
}

impl FromSkipped for () {
    fn from_skipped(error: LockError) {
        log_unless_busy(&error);
    }
}

impl<T> FromSkipped for Option<T> {
    fn from_skipped(error: LockError) -> Self {
        log_unless_busy(&error);
        None
    }
}

#[diagnostic::do_not_recommend]
impl<T: Default, E: From<LockError>> FromSkipped for Result<T, E> {
    fn from_skipped(error: LockError) -> Self {
        if error.is_busy() {
            Ok(T::default())
        } else {
            Err(E::from(error))
        }
    }
}

/// Gives the closure its type before it is checked, so that its argument needs none.
pub fn or_else<R, F>(make: F) -> F
where
    F: FnOnce(LockError) -> R,
{
    make
}

/// A return type without an error would hide that nothing worked.
fn log_unless_busy(error: &LockError) {
    if !error.is_busy() {
        tracing::error!(error = %Chain(error), "a locked function with `skip` returned nothing");
    }
}

struct Chain<'a>(&'a LockError);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}
