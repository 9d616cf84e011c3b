//! The servers that hold the locks, as far as one looks at them.

use redis::{IntoConnectionInfo as _, RedisError, Value};
use redis_locked_runtime::LockerBuilder;
pub(crate) use redis_locked_runtime::private::Topology;
use redis_locked_runtime::private::{Master, Masters, Unreachable, masters};

use crate::exit::{Failure, UNAVAILABLE, with_causes};

pub(crate) struct Servers {
    masters: Masters,
    /// What the servers are called, in a title.
    pub(crate) title: String,
    /// How many servers a quorum has; `None` where a lock is on one.
    quorum: Option<usize>,
}

/// A server that has locks: a master.
#[derive(Clone)]
pub(crate) struct Node(Master);

/// The masters that answer.
pub(crate) struct Nodes {
    pub(crate) nodes: Vec<Node>,
    /// How many servers a quorum has; `None` where a lock is on one.
    pub(crate) quorum: Option<usize>,
}

impl Servers {
    /// Those that a locker with these settings would ask.
    pub(crate) fn new(
        builder: &LockerBuilder,
        topology: &Topology,
        urls: &[String],
    ) -> Result<Self, Failure> {
        let unusable = |error: RedisError| {
            let error = with_causes(&error);
            Failure::usage(format_args!("a URL or certificate cannot be used: {error}"))
        };
        let masters = masters(builder, topology, urls).map_err(unusable)?;
        let first = urls[0].as_str().into_connection_info().map_err(unusable)?;
        let title = match topology {
            Topology::One => first.addr().to_string(),
            Topology::Cluster => format!("cluster {}", first.addr()),
            Topology::Quorum => format!("quorum of {}", urls.len()),
            Topology::Sentinel(name) => format!("{name} (sentinel)"),
        };
        Ok(Self {
            masters,
            title,
            quorum: matches!(topology, Topology::Quorum).then_some(urls.len()),
        })
    }

    /// Connects to all masters. Of a quorum, a minority may be missing.
    pub(crate) async fn connect(&self) -> Result<Nodes, Failure> {
        let mut nodes = Vec::new();
        let mut failures = Vec::new();
        for answer in self.masters.connect().await {
            match answer {
                Ok(masters) => nodes.extend(masters.into_iter().map(Node)),
                Err(Unreachable { server, error }) => {
                    failures.push(Failure::redis(&server, &error));
                }
            }
        }
        let quorum = self.quorum;
        match (failures.pop(), quorum) {
            (Some(failure), None) => Err(failure),
            (Some(failure), Some(of)) if 2 * nodes.len() <= of => Err(Failure::new(
                UNAVAILABLE,
                format_args!(
                    "{} of {of} servers do not answer; {failure}",
                    of - nodes.len()
                ),
            )),
            _ => Ok(Nodes { nodes, quorum }),
        }
    }
}

impl Nodes {
    /// The nodes that have this key, if it exists: all of a quorum, else one.
    pub(crate) async fn of_key(&self, key: &str) -> Result<Vec<Node>, Failure> {
        if self.nodes.iter().all(|node| node.0.slots.is_empty()) {
            return Ok(self.nodes.clone());
        }
        let mut first = self.nodes[0].clone();
        let mut slot = redis::cmd("CLUSTER");
        let slot: u16 = first.ask(slot.arg("KEYSLOT").arg(key)).await?;
        let mut nodes = self.nodes.iter();
        let has = |(from, to): &(u16, u16)| (*from..=*to).contains(&slot);
        match nodes.find(|node| node.0.slots.iter().any(has)) {
            Some(node) => Ok(vec![node.clone()]),
            None => Err(Failure::new(
                UNAVAILABLE,
                format_args!("no master of the cluster has slot {slot}, where {key:?} belongs"),
            )),
        }
    }
}

impl Node {
    /// Its address, for messages.
    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    /// Asks, and says whom when it fails.
    pub(crate) async fn ask<T: redis::FromRedisValue>(
        &mut self,
        command: &redis::Cmd,
    ) -> Result<T, Failure> {
        let answer = command.query_async(&mut self.0.connection).await;
        answer.map_err(|error| self.failure(&error))
    }

    /// Asks all in one round trip. A key that is of another type by now, or on another node, spoils no
    /// other: its command has the error in its place.
    pub(crate) async fn ask_all(
        &mut self,
        pipeline: &redis::Pipeline,
    ) -> Result<Vec<Value>, Failure> {
        if pipeline.is_empty() {
            return Ok(Vec::new());
        }
        let connection = &mut self.0.connection;
        let answers = connection.send_packed_commands(pipeline, 0, pipeline.len());
        let answers = answers.await.map_err(|error| self.failure(&error))?;
        let refusal = answers.iter().find_map(|answer| match answer {
            Value::ServerError(error) if !matches!(error.code(), "WRONGTYPE" | "MOVED" | "ASK") => {
                Some(RedisError::from(error.clone()))
            }
            _ => None,
        });
        match refusal {
            Some(error) => Err(self.failure(&error)),
            None => Ok(answers),
        }
    }

    pub(crate) fn failure(&self, error: &RedisError) -> Failure {
        Failure::redis(self.name(), error)
    }
}
