//! A real Redis Cluster of the test's own.

use std::time::Duration;

use redis::{Cmd, cmd};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::port::Port;
use crate::server::Server;
use crate::until::{until, until_some};

/// Longer than a failover takes on a machine that runs too many tests at once.
const LIMIT: Duration = Duration::from_secs(60);
const MASTERS: usize = 3;
const SLOTS: u32 = 16_384;

/// Three masters with a replica each, on ports of their own, killed when dropped.
pub struct Cluster {
    nodes: Vec<Server>,
    bus_ports: Vec<Port>,
}

/// What a node says of itself.
struct Node {
    id: String,
    is_master: bool,
    /// Of a replica: the master's id.
    master: String,
    epoch: u64,
    slots: Vec<(u32, u32)>,
}

/// All of these panic if something does not come about in a minute.
impl Cluster {
    /// Starts a cluster that takes a node for dead after two seconds.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Starts a cluster that takes a node for dead after this time without an answer.
    pub async fn with_node_timeout(timeout: Duration) -> Self {
        let timeout = timeout.as_millis().to_string();
        Self::with(&[("cluster-node-timeout", &timeout)]).await
    }

    /// Starts a cluster of nodes with these settings more, as in `redis.conf` (a name without the dashes).
    pub async fn with(settings: &[(&str, &str)]) -> Self {
        let bus_ports: Vec<_> = (0..2 * MASTERS).map(|_| Port::claim()).collect();
        let mut starting = JoinSet::new();
        for (number, bus) in bus_ports.iter().enumerate() {
            let mut builder = Server::builder()
                .arg("cluster-enabled", "yes")
                .arg("cluster-port", &bus.number().to_string())
                .arg("cluster-node-timeout", "2000")
                .arg("cluster-require-full-coverage", "no")
                .arg("cluster-replica-validity-factor", "0")
                .arg("cluster-allow-replica-migration", "no")
                .arg("repl-diskless-sync-delay", "0")
                .arg("repl-ping-replica-period", "1");
            for (name, value) in settings {
                builder = builder.arg(name, value);
            }
            starting.spawn(async move { (number, builder.start().await) });
        }
        let mut nodes = starting.join_all().await;
        nodes.sort_by_key(|(number, _)| *number);
        let cluster = Self {
            nodes: nodes.into_iter().map(|(_, node)| node).collect(),
            bus_ports,
        };
        cluster.form().await;
        cluster
    }

    async fn form(&self) {
        let (masters, replicas) = self.nodes.split_at(MASTERS);
        let share = |number: usize| {
            u32::try_from(number).unwrap_or(0) * SLOTS / u32::try_from(MASTERS).unwrap_or(1)
        };
        for (number, node) in self.nodes.iter().enumerate() {
            let mut epoch = subcommand("SET-CONFIG-EPOCH");
            node.ask::<()>(epoch.arg(number + 1)).await;
        }
        for (number, master) in masters.iter().enumerate() {
            let mut slots = subcommand("ADDSLOTSRANGE");
            slots.arg(share(number)).arg(share(number + 1) - 1);
            master.ask::<()>(&slots).await;
        }
        let first = &self.nodes[0];
        for (node, bus) in self.nodes.iter().zip(&self.bus_ports).skip(1) {
            let mut meet = subcommand("MEET");
            meet.arg("127.0.0.1").arg(node.port()).arg(bus.number());
            first.ask::<()>(&meet).await;
        }
        until(LIMIT, "all nodes know one another", async || {
            for node in &self.nodes {
                let known: String = node.ask(&subcommand("NODES")).await;
                if known
                    .lines()
                    .filter(|line| line.contains("connected"))
                    .count()
                    < 2 * MASTERS
                    || known.contains("handshake")
                {
                    return false;
                }
            }
            true
        })
        .await;
        for (master, replica) in masters.iter().zip(replicas) {
            let id: String = master.ask(&subcommand("MYID")).await;
            replica.ask::<()>(subcommand("REPLICATE").arg(id)).await;
        }
        self.settled().await;
    }

    /// Waits until all nodes run, agree on who has which slots, and replicas follow their masters.
    pub async fn settled(&self) {
        until(LIMIT, "the cluster is settled", async || {
            let mut views = Vec::new();
            for node in &self.nodes {
                let info: String = node.ask(&subcommand("INFO")).await;
                let replication: String = node.ask(cmd("INFO").arg("replication")).await;
                if !info.contains("cluster_state:ok")
                    || !info.contains("cluster_slots_ok:16384")
                    || replication.contains("master_link_status:down")
                {
                    return false;
                }
                let known: String = node.ask(&subcommand("NODES")).await;
                if known.contains("fail") {
                    return false;
                }
                let mut view: Vec<_> = known.lines().filter_map(read).map(summary).collect();
                view.sort();
                views.push(view);
            }
            let masters = views[0].iter().filter(|(_, is_master, ..)| *is_master);
            masters.count() == MASTERS && views.iter().all(|view| *view == views[0])
        })
        .await;
    }

    /// The urls of all nodes.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Server::url).collect()
    }

    /// A node.
    #[must_use]
    pub fn node(&self, number: usize) -> &Server {
        &self.nodes[number]
    }

    /// The slot of a key.
    pub async fn slot(&self, key: &str) -> u32 {
        until_some(LIMIT, "a node tells the slot", async || {
            let node = self.nodes.iter().find(|node| node.is_running())?;
            let mut question = subcommand("KEYSLOT");
            node.control.query(question.arg(key)).await.ok()
        })
        .await
    }

    /// A key in each shard, made of `name` and a number.
    pub async fn a_key_per_master(&self, name: &str) -> Vec<String> {
        let mut keys: Vec<Option<String>> = vec![None; MASTERS];
        for number in 0.. {
            let key = format!("{name}:{number}");
            let shard = self.shard_of(&key).await;
            keys[shard].get_or_insert(key);
            if keys.iter().all(Option::is_some) {
                break;
            }
        }
        keys.into_iter().flatten().collect()
    }

    async fn shard_of(&self, key: &str) -> usize {
        let slot = self.slot(key).await;
        usize::try_from(slot * u32::try_from(MASTERS).unwrap_or(1) / SLOTS).unwrap_or(0)
    }

    /// The master that has the slot of a key, by its number.
    pub async fn master_of(&self, key: &str) -> usize {
        let slot = self.slot(key).await;
        until_some(LIMIT, "a master has the slot", async || {
            self.owner(slot).await
        })
        .await
    }

    /// With the newest claim, since one that was stopped may not know of its successor yet.
    async fn owner(&self, slot: u32) -> Option<usize> {
        let mut claims = Vec::new();
        for (number, node) in self.nodes.iter().enumerate() {
            if let Some(node) = myself(node).await
                && node.is_master
                && node
                    .slots
                    .iter()
                    .any(|&(from, to)| (from..=to).contains(&slot))
            {
                claims.push((node.epoch, number));
            }
        }
        claims.into_iter().max().map(|(_, number)| number)
    }

    /// Has a replica take over from the master of a key, by command: the new master. A node gives such a
    /// takeover up after five seconds, if the master is busy or the votes come late; then it is asked again.
    pub async fn fail_over(&self, key: &str) -> usize {
        const GIVEN_UP: Duration = Duration::from_secs(6);
        let old = self.master_of(key).await;
        let id: String = self.nodes[old].ask(&subcommand("MYID")).await;
        until_some(LIMIT, "a replica takes over", async || {
            for replica in &self.nodes {
                if let Some(node) = myself(replica).await
                    && node.master == id
                {
                    // It refuses if it has taken over since.
                    let _ = replica.control.query::<()>(&subcommand("FAILOVER")).await;
                }
            }
            timeout(GIVEN_UP, self.another_master(key, old)).await.ok()
        })
        .await
    }

    /// Kills the master of a key (SIGKILL): which one it was.
    pub async fn kill_master(&self, key: &str) -> usize {
        let master = self.master_of(key).await;
        self.nodes[master].kill();
        master
    }

    /// Waits until another node is the master of a key: which one.
    pub async fn another_master(&self, key: &str, old: usize) -> usize {
        let slot = self.slot(key).await;
        until_some(LIMIT, "another master has the slot", async || {
            self.owner(slot).await.filter(|owner| *owner != old)
        })
        .await
    }

    /// Begins to move the slot of a key: new keys go to `to`, those that are there stay for now.
    pub async fn begin_move(&self, key: &str, to: usize) {
        let (slot, from) = (self.slot(key).await, self.master_of(key).await);
        for (at, state, other) in [(to, "IMPORTING", from), (from, "MIGRATING", to)] {
            let other: String = self.nodes[other].ask(&subcommand("MYID")).await;
            let mut set = subcommand("SETSLOT");
            self.nodes[at]
                .ask::<()>(set.arg(slot).arg(state).arg(other))
                .await;
        }
    }

    /// Moves what is in the slot of a key, and the slot, after [`Cluster::begin_move`].
    pub async fn finish_move(&self, key: &str, to: usize) {
        let (slot, from) = (self.slot(key).await, self.master_of(key).await);
        loop {
            let mut keys = subcommand("GETKEYSINSLOT");
            let keys: Vec<String> = self.nodes[from].ask(keys.arg(slot).arg(100)).await;
            if keys.is_empty() {
                break;
            }
            let mut migrate = cmd("MIGRATE");
            migrate.arg("127.0.0.1").arg(self.nodes[to].port()).arg("");
            migrate.arg(0).arg(5000).arg("KEYS").arg(keys);
            self.nodes[from].ask::<String>(&migrate).await;
        }
        let id: String = self.nodes[to].ask(&subcommand("MYID")).await;
        for at in [to, from] {
            let mut set = subcommand("SETSLOT");
            set.arg(slot).arg("NODE").arg(&id);
            // The old owner refuses while it has keys: somebody may have written one meanwhile.
            until(LIMIT, "the slot is moved", async || {
                self.nodes[at].control.query::<()>(&set).await.is_ok()
            })
            .await;
        }
    }

    /// Moves the slot of a key with all that is in it.
    pub async fn move_slot(&self, key: &str, to: usize) {
        self.begin_move(key, to).await;
        self.finish_move(key, to).await;
    }

    /// The value of a key, wherever it is.
    pub async fn get(&self, key: &str) -> Option<String> {
        let master = self.master_of(key).await;
        self.nodes[master].get(key).await
    }

    /// The milliseconds until a key expires: -1 without an expiry, -2 without the key.
    pub async fn pttl(&self, key: &str) -> i64 {
        let master = self.master_of(key).await;
        self.nodes[master].pttl(key).await
    }
}

/// None if it does not run, or answers nothing useful at the moment.
async fn myself(node: &Server) -> Option<Node> {
    if !node.is_running() {
        return None;
    }
    let known: String = node.control.query(&subcommand("NODES")).await.ok()?;
    known
        .lines()
        .find(|line| line.contains("myself"))
        .and_then(read)
}

/// A line of `CLUSTER NODES`.
fn read(line: &str) -> Option<Node> {
    let fields: Vec<_> = line.split_whitespace().collect();
    let [
        id,
        _address,
        flags,
        master,
        _ping,
        _pong,
        epoch,
        _link,
        slots @ ..,
    ] = &fields[..]
    else {
        return None;
    };
    let range = |slots: &&str| {
        let (from, to) = slots.split_once('-').unwrap_or((slots, slots));
        Some((from.parse().ok()?, to.parse().ok()?))
    };
    Some(Node {
        id: (*id).to_owned(),
        is_master: flags.contains("master"),
        master: (*master).to_owned(),
        epoch: epoch.parse().ok()?,
        slots: slots.iter().filter_map(range).collect(),
    })
}

fn summary(node: Node) -> (String, bool, String, Vec<(u32, u32)>) {
    (node.id, node.is_master, node.master, node.slots)
}

fn subcommand(name: &str) -> Cmd {
    let mut command = cmd("CLUSTER");
    command.arg(name);
    command
}

#[cfg(test)]
mod tests {
    use super::Cluster;

    #[tokio::test]
    async fn its_keys_survive_failovers_and_moves() {
        let cluster = Cluster::start().await;
        let keys = cluster.a_key_per_master("key").await;
        let key = &keys[0];
        let first = cluster.master_of(key).await;
        cluster.node(first).set_px(key, "value", 60_000).await;
        let second = cluster.fail_over(key).await;
        assert_ne!(first, second);
        assert_eq!(cluster.get(key).await.as_deref(), Some("value"));
        cluster.settled().await;
        let third = cluster.master_of(&keys[1]).await;
        cluster.move_slot(key, third).await;
        assert_eq!(cluster.master_of(key).await, third);
        assert_eq!(cluster.get(key).await.as_deref(), Some("value"));
        cluster.settled().await;
        assert_eq!(cluster.kill_master(key).await, third);
        assert_ne!(cluster.another_master(key, third).await, third);
        assert_eq!(cluster.get(key).await.as_deref(), Some("value"));
        cluster.node(third).restart().await;
        cluster.settled().await;
    }
}
