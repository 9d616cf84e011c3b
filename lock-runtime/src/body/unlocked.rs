//! What a function returns when it could not lock.

use std::error::Error;
use std::fmt;

use crate::error::LockError;

/// A return type that a lock error fits in.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot hold a lock error",
    label = "what should this be when the lock could not be had?",
    note = "return a `Result<_, E>` where `E: From<redis_locked::LockError>`: `anyhow::Result<_>`, or an error of your own with a variant such as `Lock(#[from] redis_locked::LockError)` (thiserror)",
    note = "or tell the attribute what to return: `or_else = |error| …` after any failure, `skip` for nothing when the lock is busy"
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
    /// The empty value if the lock was busy or its period done, else the error.
    fn from_skipped(error: LockError) -> Self;
}

impl FromSkipped for () {
    fn from_skipped(error: LockError) {
        log_unless_skipped(&error);
    }
}

impl<T> FromSkipped for Option<T> {
    fn from_skipped(error: LockError) -> Self {
        log_unless_skipped(&error);
        None
    }
}

impl<T: Empty, E: HoldsLockError> FromSkipped for Result<T, E> {
    fn from_skipped(error: LockError) -> Self {
        if is_skipped(&error) {
            Ok(T::empty())
        } else {
            Err(E::hold(error))
        }
    }
}

/// `Default`, in the words of `skip`.
#[diagnostic::on_unimplemented(
    message = "`skip` has no value of `{Self}` to return when the lock is busy",
    label = "the value in this is not `Default`",
    note = "implement or derive `Default` for `{Self}`, or return `Option<{Self}>` in its place",
    note = "or replace `skip` by `or_else = |error| …`, which makes the value from the error"
)]
pub trait Empty {
    /// The default.
    fn empty() -> Self;
}

#[diagnostic::do_not_recommend]
impl<T: Default> Empty for T {
    fn empty() -> Self {
        T::default()
    }
}

/// `From<LockError>`, in the words of `skip`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot hold a lock error, which `skip` returns when Redis fails",
    label = "the error in this is not `From<LockError>`",
    note = "give `{Self}` a variant such as `Lock(#[from] redis_locked::LockError)` (thiserror), or implement `From<redis_locked::LockError>` for it",
    note = "or replace `skip` by `or_else = |error| …`, which makes the value from the error"
)]
pub trait HoldsLockError {
    /// The error as a value of this type.
    fn hold(error: LockError) -> Self;
}

#[diagnostic::do_not_recommend]
impl<E: From<LockError>> HoldsLockError for E {
    fn hold(error: LockError) -> Self {
        E::from(error)
    }
}

/// Says what the closure takes and returns before it is checked, so that it need not say so itself.
pub fn or_else<R, F>(make: F) -> impl FnOnce(LockError) -> R
where
    F: FnOnce(LockError) -> R,
{
    make
}

/// Another runs it, or has run it.
fn is_skipped(error: &LockError) -> bool {
    error.is_busy() || error.is_already_done()
}

/// A return type without an error would hide that nothing worked.
fn log_unless_skipped(error: &LockError) {
    if !is_skipped(error) {
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

#[cfg(test)]
mod tests {
    use std::fmt::Debug;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<String>>>);

    impl Visit for Log {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            self.0.lock().unwrap().push(format!("{field}={value:?}"));
        }
    }

    impl Subscriber for Log {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, event: &Event<'_>) {
            let level = event.metadata().level().to_string();
            self.0.lock().unwrap().push(level);
            event.record(&mut self.clone());
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    fn busy() -> LockError {
        LockError::Busy {
            key: "report:42".into(),
            attempts: 1,
            waited: Duration::ZERO,
            owner: None,
            holders: 1,
            retry_after: None,
            foreign: false,
            endless: false,
            waiting: None,
        }
    }

    fn broken() -> LockError {
        let cause = std::io::Error::other("wire cut");
        LockError::Backend {
            key: Some("report:42".into()),
            doing: "could not be acquired",
            happened: "Redis is gone".into(),
            advice: "look for it",
            attempts: 1,
            waited: Duration::ZERO,
            source: std::sync::Arc::new(cause),
        }
    }

    fn logged<T>(run: impl FnOnce() -> T) -> (T, Vec<String>) {
        let log = Log::default();
        let result = tracing::subscriber::with_default(log.clone(), run);
        let lines = std::mem::take(&mut *log.0.lock().unwrap());
        (result, lines)
    }

    fn done() -> LockError {
        LockError::AlreadyDone {
            key: "report:42".into(),
            owner: "web-3:812".into(),
            ago: Duration::ZERO,
            next: Duration::ZERO,
            clock_stepped_back: false,
        }
    }

    #[test]
    fn what_is_busy_or_done_skips_silently() {
        for error in [busy, done] {
            assert_eq!(
                logged(|| Option::<u8>::from_skipped(error())),
                (None, vec![])
            );
            assert_eq!(logged(|| <()>::from_skipped(error())), ((), vec![]));
            let (result, lines) = logged(|| Result::<u8, LockError>::from_skipped(error()));
            assert_eq!((result.unwrap(), lines), (0, vec![]));
        }
    }

    #[test]
    fn what_is_broken_is_the_error() {
        let (result, lines) = logged(|| Result::<u8, LockError>::from_skipped(broken()));
        assert!(matches!(result, Err(LockError::Backend { .. })));
        assert!(lines.is_empty());
    }

    #[test]
    fn what_is_broken_is_logged_with_its_cause_where_no_error_can_be_returned() {
        let ((), lines) = logged(|| <()>::from_skipped(broken()));
        let text = lines.join("\n");
        assert!(text.starts_with("ERROR"), "{text}");
        assert!(text.contains("report:42"), "{text}");
        assert!(text.contains("wire cut"), "{text}");
        let (nothing, lines) = logged(|| Option::<u8>::from_skipped(broken()));
        assert!(nothing.is_none() && !lines.is_empty());
    }
}
