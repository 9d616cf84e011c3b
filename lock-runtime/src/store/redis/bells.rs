//! The bells of a cluster's locks: sharded channels, each in the slot of its lock, heard on a connection
//! of its own to the master that has the slot.
//!
//! Not on redis-rs' connections to the nodes. When a slot moves away, a node says `sunsubscribe` without
//! being asked; redis-rs takes that for the answer to whatever was asked first, and from then on each
//! answer for that to the next question. So nothing is asked on these connections but to subscribe, and every
//! answer is looked at.

mod channels;
mod homes;

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, PushInfo, PushKind, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::time::{Instant, sleep, timeout};

use super::cluster::{Address, Cluster, Ranges, Seeds};
use super::operation::{Operation, Reader, Said};
use super::reconnecting::Reconnecting;
use super::script::WATCH;
use super::settings::Timeouts;
use crate::store::StoreError;
use channels::Channels;
use homes::{Homes, slot_of};

type Master = Arc<Reconnecting<MultiplexedConnection>>;

/// Called with the data of a message.
type Heard = dyn Fn(&[Value]) + Send + Sync;

/// Called with the channels that are heard no more.
type Deaf = dyn Fn(&HashSet<String>) + Send + Sync;

pub(super) struct Bells {
    this: Weak<Self>,
    seeds: Seeds,
    timeouts: Timeouts,
    heard: Box<Heard>,
    deaf: Box<Deaf>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    homes: Homes,
    masters: HashMap<Address, Master>,
    channels: Channels,
}

impl Bells {
    pub(super) fn new(
        seeds: Seeds,
        timeouts: Timeouts,
        heard: impl Fn(&[Value]) + Send + Sync + 'static,
        deaf: impl Fn(&HashSet<String>) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: this.clone(),
            seeds,
            timeouts,
            heard: Box::new(heard),
            deaf: Box::new(deaf),
            known: Mutex::default(),
        })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the channel is heard, as far as it is known without asking. One whose connection has been
    /// silent for a while may have been forgotten by something between.
    pub(super) fn is_heard(&self, channel: &str) -> bool {
        let now = Instant::now();
        let mut known = self.known();
        let Known {
            masters, channels, ..
        } = &mut *known;
        let on = channels.touch(channel, now);
        let master = on.and_then(|on| masters.get(on));
        master.is_some_and(|master| master.is_open() && !master.was_idle(now))
    }

    /// Has the channel, in the slot of this key, heard. The operation finds out where the slot is.
    pub(super) async fn subscribe(
        &self,
        operation: &Operation,
        key: &str,
        channel: &str,
    ) -> Result<(), StoreError> {
        let subscribing = self.subscribe_somewhere(operation, key, channel);
        let late = |late| Err(RedisError::from(io::Error::from(late)).into());
        let subscribed = timeout(self.timeouts.connection, subscribing).await;
        subscribed.unwrap_or_else(late)
    }

    async fn subscribe_somewhere(
        &self,
        operation: &Operation,
        key: &str,
        channel: &str,
    ) -> Result<(), StoreError> {
        let slot = slot_of(channel);
        let mut pauses = Cluster::PAUSES.iter();
        loop {
            let on = self.home(operation, key, slot).await?;
            let error = match self.try_subscribe(&on, channel).await {
                Ok(()) => {
                    self.sweep();
                    return Ok(());
                }
                Err(error) => error,
            };
            self.known().homes = Homes::default();
            let may_be_elsewhere = error.is_io_error()
                || matches!(
                    error.kind(),
                    ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::ClusterDown)
                );
            match pauses.next().filter(|_| may_be_elsewhere) {
                Some(pause) => sleep(*pause).await,
                None => return Err(error.into()),
            }
        }
    }

    async fn try_subscribe(&self, on: &Address, channel: &str) -> RedisResult<()> {
        let master = self.master(on);
        let (number, mut connection) = master.get().await?;
        let now = Instant::now();
        let mut commands = redis::pipe();
        commands.cmd("SSUBSCRIBE").arg(channel);
        // Who may not ring it, should not have it rung by others either: nobody would pass a lock on.
        commands.cmd("SPUBLISH").arg(channel).arg("");
        // Else redis-rs hands out one error for all of them, without what the node said.
        commands.ignore_errors();
        let answers = commands.query_async::<Vec<RedisResult<Value>>>(&mut connection);
        let answers: RedisResult<Vec<_>> = answers
            .await
            .and_then(|answers| answers.into_iter().collect());
        match answers {
            Ok(answers) if confirms(&answers, channel) => {
                master.answered(now);
                self.known().channels.add(channel, on, now);
                Ok(())
            }
            Ok(_) => {
                master.broken(number);
                let problem = "the node unsubscribed us meanwhile, so answers are out of step";
                Err(io::Error::new(io::ErrorKind::ConnectionReset, problem).into())
            }
            Err(error) => {
                master.check(number, &error);
                Err(error)
            }
        }
    }

    /// The server does not know that we subscribed: the slot has moved, or has another master.
    pub(super) fn forget(&self, channel: &str) {
        let mut known = self.known();
        known.channels.remove(channel);
        known.homes = Homes::default();
    }

    pub(super) fn close(&self) {
        let masters: Vec<_> = self.known().masters.drain().collect();
        for (_, master) in masters {
            master.close();
        }
    }

    /// Where the slot is, as far as it is known.
    async fn home(
        &self,
        operation: &Operation,
        key: &str,
        slot: u16,
    ) -> Result<Address, StoreError> {
        if let Some(on) = self.known().homes.of(slot) {
            return Ok(on);
        }
        let homes = Homes::new(self.look_up(operation, key).await?);
        let home = homes.of(slot);
        let mut known = self.known();
        known.homes = homes;
        let gone = known.forget_those_who_left();
        drop(known);
        // They tell that they are gone, and are to find nobody who keeps this.
        drop(gone);
        home.ok_or_else(|| {
            let problem = "no master has the slot of the lock's key";
            RedisError::from((ErrorKind::ClusterConnectionNotFound, problem)).into()
        })
    }

    /// Asks the master that has the slot itself, which the first command finds: others may not have
    /// heard of a change yet.
    async fn look_up(&self, operation: &Operation, key: &str) -> Result<Ranges, StoreError> {
        let mut questions = redis::pipe();
        let mut watch = operation.script(&WATCH);
        watch.arg(1).arg(key);
        questions.add_command(watch);
        questions.cmd("CLUSTER").arg("SLOTS");
        let any: Reader<Value, ()> = |answer| Some(Said::Ours(answer.clone()));
        let (_, answers) = operation.clone().ask_all(questions, any).await?;
        match answers.into_iter().nth(1) {
            Some(Ok(Said::Ours(answer))) => Ok(self.seeds.read(&answer)?),
            Some(Ok(Said::NotOurs(()))) | None => Err(StoreError::unexpected(&"none")),
            Some(Err(error)) => Err(error),
        }
    }

    fn master(&self, at: &Address) -> Master {
        let masters = &mut self.known().masters;
        let master = masters
            .entry(at.clone())
            .or_insert_with(|| self.connecting(at));
        Arc::clone(master)
    }

    fn connecting(&self, at: &Address) -> Master {
        let server = self.seeds.node(at.clone(), self.timeouts);
        let server = server.map(|server| server.with_pushes());
        let timeouts = self.timeouts;
        let (this, on) = (self.this.clone(), at.clone());
        let gone = {
            let (this, on) = (this.clone(), on.clone());
            move || {
                let Some(this) = this.upgrade() else { return };
                let lost = this.known().channels.take_on(&on);
                this.tell_deaf(&lost);
            }
        };
        let opening = move |number| {
            let (this, on, server) = (this.clone(), on.clone(), server.clone());
            let config = timeouts.config().set_push_sender(move |push: PushInfo| {
                this.upgrade().ok_or(())?.pushed(&on, number, &push);
                Ok::<_, ()>(())
            });
            Box::pin(async move {
                let nobody = || {
                    (
                        ErrorKind::InvalidClientConfig,
                        "no node of the cluster is known",
                    )
                };
                server.ok_or_else(nobody)?.connect(&config).await
            }) as _
        };
        Arc::new(Reconnecting::new(timeouts.total(), opening).telling(gone))
    }

    fn pushed(&self, on: &Address, number: u64, push: &PushInfo) {
        let master = self.known().masters.get(on).cloned();
        let Some(master) = master else {
            return;
        };
        match push.kind {
            PushKind::Disconnection => return master.broken(number),
            PushKind::SMessage => (self.heard)(&push.data),
            PushKind::SUnsubscribe => {
                if let Some(Value::BulkString(channel)) = push.data.first() {
                    self.unsubscribed(&String::from_utf8_lossy(channel));
                }
            }
            _ => {}
        }
        master.answered(Instant::now());
    }

    /// By the node, unless it was asked to.
    fn unsubscribed(&self, channel: &str) {
        if self.known().channels.remove(channel) {
            self.tell_deaf(&HashSet::from([channel.to_owned()]));
        }
    }

    fn tell_deaf(&self, lost: &HashSet<String>) {
        if !lost.is_empty() {
            (self.deaf)(lost);
        }
    }

    /// Gives up the channels that nobody needs any more.
    fn sweep(&self) {
        let mut known = self.known();
        let Known {
            masters, channels, ..
        } = &mut *known;
        let mut unneeded: HashMap<Address, redis::Pipeline> = HashMap::new();
        for (on, name) in channels.take_unneeded(Instant::now()) {
            unneeded
                .entry(on)
                .or_default()
                .cmd("SUNSUBSCRIBE")
                .arg(name);
        }
        let unneeded: Vec<_> = unneeded
            .into_iter()
            .filter_map(|(on, commands)| Some((Arc::clone(masters.get(&on)?), commands)))
            .collect();
        drop(known);
        for (master, commands) in unneeded {
            tokio::spawn(async move {
                // One that is not open hears none of them.
                if master.is_open()
                    && let Ok((number, mut connection)) = master.get().await
                    && let Err(error) = commands.exec_async(&mut connection).await
                {
                    master.check(number, &error);
                }
            });
        }
    }
}

impl Known {
    /// The connections to nodes that are no masters any more, and on which nothing is heard.
    fn forget_those_who_left(&mut self) -> Vec<Master> {
        let (homes, channels) = (&self.homes, &self.channels);
        let has_left = |at: &Address| !homes.is_master(at) && !channels.is_any_on(at);
        let left = self.masters.extract_if(|at, _| has_left(at));
        left.map(|(_, master)| master).collect()
    }
}

/// Whether these are the answers to a subscription and to the ringing after it, and not what was said to
/// something else.
fn confirms(answers: &[Value], channel: &str) -> bool {
    let [Value::Push { kind, data }, Value::Int(_)] = answers else {
        return false;
    };
    let named = data.first();
    *kind == PushKind::SSubscribe
        && matches!(named, Some(Value::BulkString(named)) if named == channel.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_a_subscription_confirms_it() {
        let push = |kind, channel: &str| Value::Push {
            kind,
            data: vec![Value::BulkString(channel.into()), Value::Int(1)],
        };
        let confirmed = push(PushKind::SSubscribe, "a");
        assert!(confirms(&[confirmed.clone(), Value::Int(1)], "a"));
        assert!(!confirms(&[confirmed.clone(), Value::Int(1)], "b"));
        let unasked = push(PushKind::SUnsubscribe, "a");
        assert!(!confirms(&[unasked, confirmed.clone()], "a"));
        assert!(!confirms(&[confirmed], "a"));
        assert!(!confirms(&[Value::Okay, Value::Int(1)], "a"));
    }
}
