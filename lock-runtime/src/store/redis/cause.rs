//! What lies behind an error.

use std::error::Error;
use std::io;
use std::iter::successors;
use std::sync::Arc;

use redis::RedisError;

type Cause<'a> = &'a (dyn Error + 'static);

/// The error, and what it wraps, down to the first cause.
pub(super) fn causes(error: &RedisError) -> impl Iterator<Item = Cause<'_>> {
    successors(Some(error as Cause<'_>), |error| inner(*error))
}

/// What an error wraps. An `Arc` and an `io::Error` have the cause of what they wrap as theirs.
fn inner(error: Cause<'_>) -> Option<Cause<'_>> {
    if let Some(shared) = error.downcast_ref::<Arc<dyn Error + Send + Sync>>() {
        return Some(&**shared);
    }
    match error.downcast_ref::<io::Error>() {
        Some(error) => error.get_ref().map(|inner| inner as _),
        None => error.source(),
    }
}
