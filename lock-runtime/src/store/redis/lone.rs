//! One command on its way, in a future that is allocated once for many.
//!
//! redis-rs' future for a command takes more than a kilobyte, and one lock sends two.

use std::future::poll_fn;
use std::mem::take;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisResult, Value};
use tokio_util::sync::ReusableBoxFuture;

/// Sends one command at a time, and others by futures of their own.
pub(super) struct Lone {
    /// The future of a command that was answered.
    spare: Mutex<Option<Sending>>,
}

type Sending = ReusableBoxFuture<'static, (RedisResult<Value>, Cmd)>;

impl Lone {
    pub(super) fn new() -> Self {
        Self {
            spare: Mutex::new(None),
        }
    }

    fn spare(&self) -> MutexGuard<'_, Option<Sending>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Not a part of `send`, in which the future would be stored a second time.
    fn sending(&self, connection: MultiplexedConnection, command: Cmd) -> Sending {
        let carried = carry(connection, command);
        let spare = self.spare().take();
        match spare {
            Some(mut sending) => {
                sending.set(carried);
                sending
            }
            None => Sending::new(carried),
        }
    }

    #[cfg(test)]
    pub(super) fn has_room(&self) -> bool {
        self.spare().is_some()
    }

    /// Sends a command, which is the same again when it is answered.
    pub(super) async fn send(
        &self,
        connection: &MultiplexedConnection,
        command: &mut Cmd,
    ) -> RedisResult<Value> {
        let mut sending = self.sending(connection.clone(), take(command));
        let (answer, carried) = poll_fn(|cx| sending.poll(cx)).await;
        *command = carried;
        *self.spare() = Some(sending);
        answer
    }
}

async fn carry(mut connection: MultiplexedConnection, command: Cmd) -> (RedisResult<Value>, Cmd) {
    let answer = connection.send_packed_command(&command).await;
    (answer, command)
}
