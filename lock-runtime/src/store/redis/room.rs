//! Futures that come one after the other, in room that is allocated once for all.
//!
//! What asks Redis for something takes about a kilobyte, and so does redis-rs' future for a command. One
//! lock needs two of each.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::ReusableBoxFuture;

/// Has room for one future at a time. Others have room of their own.
pub(super) struct Room<T> {
    /// That of a future which is ready.
    spare: Mutex<Option<ReusableBoxFuture<'static, T>>>,
}

impl<T: 'static> Room<T> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            spare: Mutex::new(None),
        })
    }

    fn spare(&self) -> MutexGuard<'_, Option<ReusableBoxFuture<'static, T>>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The future, in its room.
    ///
    /// Not an asynchronous function: the future would be stored in that one's as well.
    pub(super) fn run(
        self: &Arc<Self>,
        future: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send + 'static {
        let spare = self.spare().take();
        let mut running = match spare {
            Some(mut room) => {
                room.set(future);
                room
            }
            None => ReusableBoxFuture::new(future),
        };
        let home = Arc::clone(self);
        async move {
            let output = poll_fn(|cx| running.poll(cx)).await;
            *home.spare() = Some(running);
            output
        }
    }

    #[cfg(test)]
    pub(super) fn is_free(&self) -> bool {
        self.spare().is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::FutureExt as _;

    use super::*;

    /// Counts how often it is dropped.
    struct Dropped(Arc<AtomicUsize>);

    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn one_after_the_other_they_have_the_same_room() {
        let room = Room::new();
        for number in 0..3 {
            let running = room.run(ready(number));
            assert!(!room.is_free());
            assert_eq!(running.now_or_never(), Some(number));
            assert!(room.is_free());
        }
    }

    #[test]
    fn at_once_each_has_its_own() {
        let room = Room::new();
        let (one, other) = (room.run(ready(1)), room.run(ready(2)));
        assert_eq!(other.now_or_never(), Some(2));
        assert_eq!(one.now_or_never(), Some(1));
    }

    /// What a future holds is gone when it is ready, or is dropped before: the room keeps nothing of it.
    #[test]
    fn nothing_stays_of_what_was_there() {
        let room = Room::new();
        let dropped = Arc::<AtomicUsize>::default();
        let held = Dropped(Arc::clone(&dropped));
        let ends = room.run(async move {
            let _held = held;
        });
        assert_eq!(ends.now_or_never(), Some(()));
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
        let held = Dropped(Arc::clone(&dropped));
        let left = room.run(async move {
            let _held = held;
            pending::<()>().await;
        });
        assert_eq!(left.now_or_never(), None);
        assert_eq!(dropped.load(Ordering::Relaxed), 2);
        assert!(!room.is_free());
    }
}
