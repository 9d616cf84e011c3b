//! A connection that is opened by whoever needs it first, and anew when it broke.

use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use futures_util::future::{BoxFuture, FutureExt as _, Shared};
use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind};

type Opening<C> = BoxFuture<'static, RedisResult<C>>;

/// What redis-rs' `ConnectionManager` does, and in addition: a connection that has gone silent is
/// given up like one that broke, so that a server that vanished without a word costs one timeout
/// and not one for each command until TCP gives up; a connection can be set up after it was opened;
/// and its server can be looked up anew each time.
pub(super) struct Reopening<C: Clone> {
    /// Opens the connection of this number, which tells one from the next.
    open: Box<dyn Fn(u64) -> Opening<C> + Send + Sync>,
    /// Called when a connection that was in use is given up.
    gone: Box<dyn Fn() + Send + Sync>,
    slot: RwLock<Slot<C>>,
}

struct Slot<C: Clone> {
    number: u64,
    opening: Option<Shared<Opening<C>>>,
    /// Once it is in use: each command takes it from here, without waiting for others who do.
    open: Option<C>,
}

impl<C: Clone> Reopening<C> {
    pub(super) fn new(open: impl Fn(u64) -> Opening<C> + Send + Sync + 'static) -> Self {
        Self {
            open: Box::new(open),
            gone: Box::new(|| {}),
            slot: RwLock::new(Slot {
                number: 0,
                opening: None,
                open: None,
            }),
        }
    }

    /// Has this called whenever a connection that was in use is given up.
    pub(super) fn telling(mut self, gone: impl Fn() + Send + Sync + 'static) -> Self {
        self.gone = Box::new(gone);
        self
    }

    fn slot(&self) -> RwLockWriteGuard<'_, Slot<C>> {
        self.slot.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn in_use(&self) -> Option<(u64, C)> {
        let slot = self.slot.read().unwrap_or_else(PoisonError::into_inner);
        Some((slot.number, slot.open.clone()?))
    }

    /// The connection and its number.
    pub(super) async fn get(&self) -> RedisResult<(u64, C)> {
        if let Some(open) = self.in_use() {
            return Ok(open);
        }
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
            Ok(connection) => {
                let mut slot = self.slot();
                if slot.number == number && slot.opening.is_some() {
                    slot.open = Some(connection.clone());
                }
                drop(slot);
                Ok((number, connection))
            }
            Err(error) => {
                self.broken(number);
                Err(error)
            }
        }
    }

    /// The connection of this number is of no use any more.
    pub(super) fn broken(&self, number: u64) {
        let slot = self.slot();
        if slot.number == number {
            self.give_up(slot);
        }
    }

    /// One that could not be opened is given up without a word, or else those who are told would
    /// try to open the next without a pause.
    fn give_up(&self, mut slot: RwLockWriteGuard<'_, Slot<C>>) {
        let opening = slot.opening.take();
        let open = slot.open.take();
        drop(slot);
        drop(opening);
        if open.is_some() {
            (self.gone)();
        }
    }

    /// Gives the connection up when the error shows that it broke, that nobody is there, or that
    /// the server is no master any more.
    pub(super) fn check(&self, number: u64, error: Option<&RedisError>) {
        if error.is_some_and(|error| error.is_io_error() || is_no_master(error)) {
            self.broken(number);
        }
    }

    pub(super) fn close(&self) {
        self.give_up(self.slot());
    }
}

/// The server refused to write; nothing was carried out.
pub(super) fn is_no_master(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}
