//! A connection that is opened by whoever needs it first, and anew when it broke.

use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::{BoxFuture, FutureExt as _, Shared};
use redis::aio::MultiplexedConnection;
use redis::{RedisError, RedisResult};

type Opening = BoxFuture<'static, RedisResult<MultiplexedConnection>>;

/// For connections that redis-rs' `ConnectionManager` does not manage: those that have to be set
/// up after they are opened, or whose server has to be looked up each time.
pub(super) struct Reopening {
    /// Opens the connection of this number, which tells one from the next.
    open: Box<dyn Fn(u64) -> Opening + Send + Sync>,
    slot: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    number: u64,
    opening: Option<Shared<Opening>>,
}

impl Reopening {
    pub(super) fn new(open: impl Fn(u64) -> Opening + Send + Sync + 'static) -> Self {
        Self {
            open: Box::new(open),
            slot: Mutex::default(),
        }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection and its number.
    pub(super) async fn get(&self) -> RedisResult<(u64, MultiplexedConnection)> {
        let (number, opening) = {
            let mut slot = self.slot();
            if let Some(opening) = &slot.opening {
                (slot.number, opening.clone())
            } else {
                slot.number += 1;
                let opening = (self.open)(slot.number).shared();
                slot.opening = Some(opening.clone());
                (slot.number, opening)
            }
        };
        match opening.await {
            Ok(connection) => Ok((number, connection)),
            Err(error) => {
                self.broken(number);
                Err(error)
            }
        }
    }

    /// The connection of this number is of no use any more.
    pub(super) fn broken(&self, number: u64) {
        let mut slot = self.slot();
        if slot.number == number {
            slot.opening = None;
        }
    }

    /// Gives the connection up when the answer shows that it broke, or that nobody is there.
    pub(super) fn check<T>(&self, number: u64, answer: &RedisResult<T>) {
        if answer.as_ref().is_err_and(RedisError::is_io_error) {
            self.broken(number);
        }
    }

    pub(super) fn close(&self) {
        self.slot().opening = None;
    }
}
