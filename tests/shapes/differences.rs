//! What differs from the plain function, as the docs of the attribute say; and what might, and does not.

use std::panic::{Location, UnwindSafe};

use redis_locked::{LockError, redis_locked};

use super::alone;
use super::drops::{End, Failure, Note, Outcome, drops, note, turn};

#[redis_locked(key = "k", or_else = |_| if only_or_else.armed { Ok(()) } else { Err(Failure::Lock) })]
#[expect(clippy::toplevel_ref_arg, reason = "it is what is tried")]
async fn late(_: Note, (kept, _): (Note, Note), ref borrowed: Note, only_or_else: Note) -> Outcome {
    borrowed.touch();
    kept.touch();
    turn().await
}

/// As the docs of the attribute say.
#[test]
fn what_the_body_cannot_own_drops_after_the_release() {
    let future = late(
        note("a"),
        (note("kept"), note("rest")),
        note("borrowed"),
        note("or_else"),
    );
    let (all, late) = drops(End::Last, future);
    assert_eq!(all, ["kept", "or_else", "borrowed", "rest", "a"]);
    assert_eq!(late, all[1..]);
}

#[track_caller]
fn line() -> u32 {
    Location::caller().line()
}

#[redis_locked(key = "k")]
async fn lines() -> Result<(u32, u32), LockError> {
    let here = (line(), line!());
    Ok(here)
}

#[tokio::test]
async fn panics_are_located_where_they_are_written() {
    let (caller, here) = alone(lines()).await;
    assert_eq!(caller, here);
}

struct Probe<'a, T>(&'a T);

impl<T: Sync> Probe<'_, T> {
    fn is_sync(&self) -> bool {
        size_of_val(self.0) > 0
    }
}

impl<T: Unpin> Probe<'_, T> {
    fn is_unpin(&self) -> bool {
        size_of_val(self.0) > 0
    }
}

impl<T: UnwindSafe> Probe<'_, T> {
    fn is_unwind_safe(&self) -> bool {
        size_of_val(self.0) > 0
    }
}

/// What a type has that has it not.
trait Lacks {
    fn is_sync(&self) -> bool {
        false
    }

    fn is_unwind_safe(&self) -> bool {
        false
    }

    fn is_unpin(&self) -> bool {
        false
    }
}

impl<T> Lacks for Probe<'_, T> {}

async fn plain_id(id: u8) -> Result<u8, LockError> {
    std::future::ready(()).await;
    Ok(id)
}

#[redis_locked(key = "k")]
async fn locked_id(id: u8) -> Result<u8, LockError> {
    std::future::ready(()).await;
    Ok(id)
}

/// As the docs of the attribute say.
#[test]
fn a_locked_future_is_send_but_not_sync_nor_unwind_safe() {
    fn assert_send<T: Send>(future: T) -> T {
        future
    }

    let (plain, locked) = (assert_send(plain_id(1)), assert_send(locked_id(1)));
    let (plain, locked) = (Probe(&plain), Probe(&locked));
    assert!(plain.is_sync() && plain.is_unwind_safe());
    assert!(!locked.is_sync() && !locked.is_unwind_safe());
    assert!(!plain.is_unpin() && !locked.is_unpin() && Probe(&0).is_unpin());
}
