//! A connection to one server on which the commands of many callers leave together.
//!
//! A command of its own costs a message to the task that drives the connection, a wake-up of it, one
//! of the caller, and a look at the socket. Where many tasks lock, those who find many others at it leave
//! their commands with a task, which sends whatever came in meanwhile as one pipeline, and does not
//! wait for its answers before it sends the next. A few callers send by themselves, as ever.
//!
//! Commands arrive in the order in which their callers asked, and leave soon though nobody answers: a
//! release that is sent behind a command has to come behind it, whether anybody waits for it or not.
//!
//! The task waits for answers also where callers have left or stand still, so that nobody depends on
//! another caller's being polled.

use std::future::poll_fn;
use std::io;
use std::mem::take;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisError, RedisResult, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::message::Answers;
use super::room::Room;

/// How many callers may be at it who send by themselves. With as few as these, a task between them and
/// the connection costs more than it spares: eight tasks, each with a lock of its own, lock a fifth more
/// often a second than with 1, and 64 hardly less often (the benchmarks' row `own locks`).
const FEW: usize = 16;

/// How many pipelines may be under way at once, as long as they are answered promptly. With one, the
/// server has nothing to do while its answers are read; with many, each carries little.
const PIPELINES: usize = 4;

/// When so many are under way, the next leaves so long after the last in any case: what is not sent when
/// the connection is given up never is.
const PAUSE: Duration = Duration::from_millis(1);

/// How many commands a pipeline has at most: its answers are handed out together.
const LONGEST: usize = 128;

#[derive(Clone)]
pub(super) struct Gathered(Arc<Home>);

struct Home {
    connection: MultiplexedConnection,
    /// Where those send who do it by themselves.
    alone: Arc<Room<(RedisResult<Value>, Cmd)>>,
    /// How long a command may take, from when its caller asked.
    patience: Duration,
    /// How many callers may send by themselves.
    few: usize,
    /// How many callers have asked and were not answered.
    asking: AtomicUsize,
    /// How many commands were left with the task and are not on their way.
    staying: Arc<AtomicUsize>,
    /// Where the task is left commands.
    task: mpsc::UnboundedSender<Left>,
}

/// A command that was left with the task.
struct Left {
    command: Cmd,
    answer: oneshot::Sender<RedisResult<Value>>,
}

/// Counts a caller as long as it is not answered.
struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gathered {
    /// To be called in the runtime in which the connection was opened.
    pub(super) fn new(connection: MultiplexedConnection, patience: Duration) -> Self {
        Self::with(connection, patience, FEW)
    }

    fn with(connection: MultiplexedConnection, patience: Duration, few: usize) -> Self {
        let (task, left) = mpsc::unbounded_channel();
        let staying = Arc::<AtomicUsize>::default();
        let sending = send_what_is_left(left, Arc::clone(&staying), connection.clone());
        tokio::spawn(sending);
        Self(Arc::new(Home {
            connection,
            alone: Room::new(),
            patience,
            few,
            asking: AtomicUsize::new(0),
            staying,
            task,
        }))
    }

    /// The connection itself, for what is not to be gathered.
    pub(super) fn connection(&self) -> MultiplexedConnection {
        self.0.connection.clone()
    }

    /// Sends commands without others'.
    pub(super) async fn send_alone(&self, pipeline: &Pipeline) -> RedisResult<Answers> {
        let mut connection = self.connection();
        let answers = connection.send_packed_commands(pipeline, 0, pipeline.len());
        answers.await.map(Answers::Many)
    }

    /// Sends a command, alone or together with others'. It is the same again when this is ready.
    pub(super) async fn send(&self, command: &mut Cmd) -> RedisResult<Value> {
        let others = self.0.asking.fetch_add(1, Ordering::Relaxed);
        let _counted = Counted(&self.0.asking);
        // Callers may have left whose commands are still there.
        if others < self.0.few && self.0.staying.load(Ordering::Acquire) == 0 {
            let sent = carry(self.connection(), take(command));
            let (answer, carried) = self.0.alone.run(sent).await;
            *command = carried;
            return answer;
        }
        let (answer, answered) = oneshot::channel();
        let command = command.clone();
        self.0.staying.fetch_add(1, Ordering::Relaxed);
        if self.0.task.send(Left { command, answer }).is_err() {
            return Err(ended());
        }
        match timeout(self.0.patience, answered).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(ended())),
            Err(late) => Err(io::Error::from(late).into()),
        }
    }
}

async fn carry(mut connection: MultiplexedConnection, command: Cmd) -> (RedisResult<Value>, Cmd) {
    let answer = connection.send_packed_command(&command).await;
    (answer, command)
}

fn ended() -> RedisError {
    let problem = "the runtime ended in which the connection was opened";
    io::Error::new(io::ErrorKind::BrokenPipe, problem).into()
}

/// The task, which ends when nobody is there to leave anything, and all is answered.
fn send_what_is_left(
    mut left: mpsc::UnboundedReceiver<Left>,
    staying: Arc<AtomicUsize>,
    connection: MultiplexedConnection,
) -> impl Future<Output = ()> {
    let mut under_way = FuturesUnordered::new();
    let mut gathered = Vec::new();
    let mut pause = Box::pin(sleep(PAUSE));
    let mut is_over = false;
    let mut leaving = 0;
    poll_fn(move |cx: &mut Context<'_>| {
        loop {
            while let Poll::Ready(Some(())) = under_way.poll_next_unpin(cx) {}
            // Polled once, they are on their way.
            staying.fetch_sub(take(&mut leaving), Ordering::Release);
            if under_way.len() >= PIPELINES && pause.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if !is_over {
                match left.poll_recv_many(cx, &mut gathered, LONGEST) {
                    Poll::Ready(0) => is_over = true,
                    Poll::Ready(count) => {
                        leaving = count;
                        under_way.push(send_together(connection.clone(), take(&mut gathered)));
                        if under_way.len() >= PIPELINES {
                            pause.as_mut().reset(Instant::now() + PAUSE);
                        }
                        continue;
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
            if under_way.is_empty() {
                return Poll::Ready(());
            }
            return Poll::Pending;
        }
    })
}

async fn send_together(mut connection: MultiplexedConnection, left: Vec<Left>) {
    let mut pipeline = Pipeline::with_capacity(left.len());
    let mut callers = Vec::with_capacity(left.len());
    for Left { command, answer } in left {
        pipeline.add_command(command);
        callers.push(answer);
    }
    // One who has left needs no answer.
    match connection
        .send_packed_commands(&pipeline, 0, callers.len())
        .await
    {
        Ok(answers) => {
            for (caller, answer) in callers.into_iter().zip(answers) {
                let _ = caller.send(Ok(answer));
            }
        }
        Err(error) => {
            for caller in callers {
                let _ = caller.send(Err(error.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
