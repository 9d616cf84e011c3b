//! Processes that wait for a key of a cluster line up at the master that has it, and find their places
//! again when it is another one.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use redis_locked::{LockError, LockGuard, Locker};
use redis_locked_test_support::{Cluster, Server, until};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use crate::{LIMIT, LONG, connect, lock};

/// Who waits looks about each 5 s in any case.
const REFRESH: Duration = Duration::from_secs(4);

/// How long a bell is kept that nobody needs.
const KEPT: Duration = Duration::from_secs(15);

pub(crate) async fn ask<T: redis::FromRedisValue>(server: &Server, words: &[&str]) -> T {
    let mut connection = server.connection().await;
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    let answer = command.query_async(&mut connection).await;
    answer.expect("answered")
}

/// How many sharded channels somebody hears at this node.
pub(crate) async fn bells(server: &Server) -> usize {
    let channels: Vec<String> = ask(server, &["PUBSUB", "SHARDCHANNELS"]).await;
    channels.len()
}

pub(crate) async fn places(cluster: &Cluster, key: &str) -> usize {
    let master = cluster.node(cluster.master_of(key).await);
    ask(master, &["ZCARD", &format!("{{{key}}}:line")]).await
}

/// Other processes that wait for one key, in the order in which they came.
struct Line {
    served: Arc<Mutex<Vec<usize>>>,
    waiters: Vec<JoinHandle<Result<Locker, LockError>>>,
}

impl Line {
    /// So many, who have their places when this returns, and let go of the lock at once.
    async fn of(count: usize, cluster: &Cluster, key: &str) -> Self {
        let mut line = Self {
            served: Arc::default(),
            waiters: Vec::new(),
        };
        for number in 0..count {
            let (locker, served) = (connect(cluster).await, Arc::clone(&line.served));
            let waiting = locker.lock(key).ttl(LONG).wait(2 * LIMIT);
            line.waiters.push(tokio::spawn(async move {
                let guard = waiting.acquire().await?;
                served.lock().expect("no panic").push(number);
                guard.release().await?;
                Ok(locker)
            }));
            until(LIMIT, "it has its place", async || {
                places(cluster, key).await == number + 1
            })
            .await;
        }
        line
    }

    /// In which order they were served, once all were.
    async fn served(self) -> Vec<usize> {
        let mut lockers = Vec::new();
        for waiter in self.waiters {
            lockers.push(waiter.await.expect("ran").expect("its turn"));
        }
        let served = self.served.lock().expect("no panic");
        served.clone()
    }
}

fn in_order(count: usize) -> Vec<usize> {
    (0..count).collect()
}

#[tokio::test]
async fn first_come_first_served() {
    const WAITERS: usize = 8;
    let cluster = Cluster::start().await;
    let locker = connect(&cluster).await;
    let guard = lock(&locker, "job").await;
    let line = Line::of(WAITERS, &cluster, "job").await;
    let master = cluster.node(cluster.master_of("job").await);
    master.reset_stats().await;
    guard.release().await.expect("still ours");
    assert_eq!(line.served().await, in_order(WAITERS));
    let calls = master.command_calls().await;
    // Each is passed the key by one release, and told when it is the first.
    assert_eq!(calls["spublish"], 2 * WAITERS as u64 - 1, "{calls:?}");
    assert_eq!(calls.get("ssubscribe"), None, "{calls:?}");
    // Where the machine is slow, the first has itself told of changes before it is its turn.
    assert!(calls["evalsha"] <= 3 * (WAITERS as u64 + 1), "{calls:?}");
    for key in ["job", "{job}:line"] {
        assert!(!ask::<bool>(master, &["EXISTS", key]).await, "{key} stays");
    }
}

/// Two that want it all the time have it by turns, at the price of a look and a release.
#[tokio::test]
async fn two_take_turns() {
    const TURNS: usize = 60;
    let cluster = Cluster::start().await;
    let served = Arc::<Mutex<Vec<usize>>>::default();
    let (first, other) = (connect(&cluster).await, connect(&cluster).await);
    let guard = lock(&first, "job").await;
    let master = cluster.node(cluster.master_of("job").await);
    let mut both = JoinSet::new();
    for (number, locker) in [first.clone(), other].into_iter().enumerate() {
        let served = Arc::clone(&served);
        both.spawn(async move {
            for _ in 0..TURNS {
                let waiting = locker.lock("job").ttl(LONG).wait(LIMIT);
                let guard = waiting.acquire().await.expect("its turn");
                served.lock().expect("no panic").push(number);
                // So that the other has come back.
                sleep(Duration::from_millis(5)).await;
                guard.release().await.expect("still ours");
            }
        });
    }
    until(LIMIT, "both wait", async || {
        places(&cluster, "job").await == 2
    })
    .await;
    master.reset_stats().await;
    guard.release().await.expect("still ours");
    both.join_all().await;
    let calls = master.command_calls().await;
    let served = served.lock().expect("no panic");
    let twice = served.windows(2).filter(|two| two[0] == two[1]).count();
    // Who comes back late under load is passed over by nobody else than the other.
    assert!(twice <= TURNS / 10, "{twice} times twice in a row");
    // Two scripts a turn, and some more where the machine is slow.
    let turns = 2 * TURNS as u64;
    assert!(10 * calls["evalsha"] < 26 * turns, "{calls:?}");
}

#[tokio::test]
async fn a_slot_moves_away_under_a_line() {
    const WAITERS: usize = 5;
    let cluster = Cluster::start().await;
    let locker = connect(&cluster).await;
    let keys = cluster.a_key_per_master("job").await;
    let key = &keys[0];
    let (from, to) = (
        cluster.master_of(key).await,
        cluster.master_of(&keys[1]).await,
    );
    let guard = lock(&locker, key).await;
    let line = Line::of(WAITERS, &cluster, key).await;
    assert_eq!(bells(cluster.node(from)).await, WAITERS);
    cluster.move_slot(key, to).await;
    // The old master has told them that it is one no more for them.
    let moved = Instant::now();
    until(LIMIT, "all are heard at the new master", async || {
        bells(cluster.node(to)).await == WAITERS
    })
    .await;
    assert!(moved.elapsed() < REFRESH, "{:?}", moved.elapsed());
    assert_eq!(bells(cluster.node(from)).await, 0);
    until(LIMIT, "all have their places", async || {
        places(&cluster, key).await == WAITERS
    })
    .await;
    guard.release().await.expect("still ours");
    assert_eq!(line.served().await, in_order(WAITERS));

    // One that is not back yet loses its place, and nothing else.
    cluster.settled().await;
    let guard = lock(&locker, key).await;
    let line = Line::of(WAITERS, &cluster, key).await;
    cluster.move_slot(key, from).await;
    guard.release().await.expect("still ours");
    let mut served = line.served().await;
    served.sort_unstable();
    assert_eq!(served, in_order(WAITERS));
}

/// What is between the nodes has no line: who waits is told of changes, and asks.
#[tokio::test]
async fn a_line_whose_slot_is_on_its_way_goes_on() {
    const WAITERS: usize = 3;
    let cluster = Cluster::start().await;
    let locker = connect(&cluster).await;
    let keys = cluster.a_key_per_master("job").await;
    let key = &keys[0];
    let to = cluster.master_of(&keys[1]).await;
    let guard = lock(&locker, key).await;
    let line = Line::of(WAITERS, &cluster, key).await;
    cluster.begin_move(key, to).await;
    guard.release().await.expect("still ours");
    let mut served = line.served().await;
    served.sort_unstable();
    assert_eq!(served, in_order(WAITERS));
    cluster.finish_move(key, to).await;
    lock(&locker, key).await.release().await.expect("released");
}

#[tokio::test]
async fn a_master_is_killed_under_a_line() {
    const WAITERS: usize = 5;
    let cluster = Cluster::start().await;
    let locker = connect(&cluster).await;
    let guard = lock(&locker, "job").await;
    let line = Line::of(WAITERS, &cluster, "job").await;
    let old = cluster.kill_master("job").await;
    let new = cluster.another_master("job", old).await;
    until(LIMIT, "all are heard at the new master", async || {
        bells(cluster.node(new)).await == WAITERS
    })
    .await;
    until(LIMIT, "all have their places", async || {
        places(&cluster, "job").await == WAITERS
    })
    .await;
    released(guard).await;
    assert_eq!(line.served().await, in_order(WAITERS));

    // A node that comes back is a replica, and the next failover makes it the master.
    cluster.node(old).restart().await;
    cluster.settled().await;
    let guard = lock(&locker, "job").await;
    let line = Line::of(WAITERS, &cluster, "job").await;
    assert_eq!(cluster.fail_over("job").await, old);
    released(guard).await;
    let mut served = line.served().await;
    served.sort_unstable();
    assert_eq!(served, in_order(WAITERS));
}

/// Releases it, by the runtime's own repetitions if the first attempt fails.
async fn released(guard: LockGuard) {
    if let Err(error) = guard.release().await {
        assert!(error.is_backend(), "{error}");
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_is_there_again_at_once() {
    const WAITERS: usize = 3;
    let cluster = Cluster::start().await;
    let locker = connect(&cluster).await;
    let guard = lock(&locker, "job").await;
    let line = Line::of(WAITERS, &cluster, "job").await;
    let master = cluster.node(cluster.master_of("job").await);
    let cut = Instant::now();
    let killed: usize = ask(master, &["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    assert_eq!(killed, WAITERS);
    until(LIMIT, "all are heard again", async || {
        bells(master).await == WAITERS
    })
    .await;
    assert!(cut.elapsed() < REFRESH, "{:?}", cut.elapsed());
    guard.release().await.expect("still ours");
    assert_eq!(line.served().await, in_order(WAITERS));
}

#[tokio::test]
async fn bells_that_nobody_needs_are_given_up() {
    let cluster = Cluster::start().await;
    let (ours, theirs) = (connect(&cluster).await, connect(&cluster).await);
    let master = cluster.node(cluster.master_of("job").await);
    let wait = async |key: &str| {
        let guard = lock(&ours, key).await;
        let waiting = theirs.lock(key).ttl(LONG).wait(LIMIT).acquire();
        let waiting = tokio::spawn(waiting);
        until(LIMIT, "it has its place", async || {
            places(&cluster, key).await == 1
        })
        .await;
        guard.release().await.expect("still ours");
        let guard = waiting.await.expect("ran").expect("its turn");
        guard.release().await.expect("still ours");
    };
    wait("job").await;
    wait("job").await;
    assert_eq!(bells(master).await, 1, "kept for the next time");
    sleep(KEPT).await;
    wait("another").await;
    until(LIMIT, "the first is given up", async || {
        let channels: Vec<String> = ask(master, &["PUBSUB", "SHARDCHANNELS"]).await;
        channels.iter().all(|channel| !channel.ends_with("{job}"))
    })
    .await;
    wait("job").await;
}
