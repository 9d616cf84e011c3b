//! Those who wait are woken by the node that has the key, whichever it is by then.

use std::time::{Duration, Instant};

use redis_locked::{LockError, LockGuard, Locker};
use redis_locked_test_support::{Cluster, Event, Server, until, until_some};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::{LIMIT, LONG, PAUSE, RETRIES, connect, is_busy, lock};

/// Less than the pause between two looks, which is 5 s: nothing is asked in it behind a look.
const LULL: Duration = Duration::from_secs(4);

/// Longer than it takes from a look to what follows it. One that polls is never quiet.
const QUIET: Duration = Duration::from_millis(500);

type Waiting = JoinHandle<Result<Instant, LockError>>;

/// A caller of another process that waits for the key and lets go of it at once.
pub(crate) fn waiter(locker: &Locker, key: &str) -> Waiting {
    let request = locker.lock(key).ttl(LONG).wait(2 * LIMIT);
    tokio::spawn(async move {
        let guard = request.acquire().await?;
        let granted = Instant::now();
        guard.release().await?;
        Ok(granted)
    })
}

/// Which scripts a node was asked to run.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Asked {
    /// How the line stands.
    looks: usize,
    /// What the key holds, and to be told of changes.
    watches: usize,
    /// Others: to take the key without a line, to give it back.
    pub(crate) others: usize,
}

/// One in line looks, and has itself told of changes.
const IN_LINE: Asked = Asked {
    looks: 1,
    watches: 1,
    others: 0,
};

/// One that has no line asks for the key, and is told of changes by that.
const WITHOUT_LINE: Asked = Asked {
    looks: 0,
    watches: 0,
    others: 1,
};

fn is_script(event: &Event) -> bool {
    event.command() == "evalsha" && !event.is_from_script()
}

pub(crate) fn asked(events: &[Event]) -> Asked {
    let mut asked = Asked::default();
    for event in events.iter().filter(|event| is_script(event)) {
        let words = &event.arguments;
        if words.iter().any(|word| word.starts_with("bell:")) {
            asked.looks += 1;
        // The script, and one key.
        } else if words.len() == 4 {
            asked.watches += 1;
        } else {
            asked.others += 1;
        }
    }
    asked
}

/// What is asked of this node in a lull, which begins with the first script after nothing was asked.
async fn in_a_lull(server: &Server) -> Asked {
    let monitor = until_some(LIMIT, "nothing is asked", async || {
        let monitor = server.monitor();
        sleep(QUIET).await;
        let is_quiet = asked(&monitor.events().await) == Asked::default();
        is_quiet.then_some(monitor)
    })
    .await;
    let first = monitor.wait_for(is_script, LIMIT).await;
    sleep(LULL).await;
    let mut events = monitor.events().await;
    // Should the machine stand still meanwhile, the next look may have come: it is later by the server's
    // clock.
    events.retain(|event| event.at < first.at + LULL);
    asked(&events)
}

/// That this node will tell the waiter, who asks this from time to time and nothing else.
async fn lies_in_wait(waiting: &Waiting, server: &Server, from_time_to_time: Asked) {
    let began = Instant::now();
    // Where its slot has moved, or its master is another, it finds its place again first, and each of its
    // connections finds the node.
    loop {
        let asked = in_a_lull(server).await;
        assert!(!waiting.is_finished(), "granted while it is held");
        if asked == from_time_to_time {
            return;
        }
        assert!(began.elapsed() < LIMIT / 2, "{asked:?} from time to time");
    }
}

/// Releases the lock, and sees that this node wakes the waiter.
async fn is_woken(waiting: Waiting, server: &Server, guard: LockGuard) {
    assert!(server.tracked_keys().await > 0, "nobody would be told");
    let monitor = server.monitor();
    let released = Instant::now();
    guard.release().await.expect("still ours");
    let granted = waiting.await.expect("ran").expect("granted");
    // Untold it would look again only at the end of the ttl.
    assert!(granted.duration_since(released) < LIMIT / 6);
    let asked = asked(&monitor.events().await);
    // Two releases, and between them a look, since the last was long ago. That the key was changed may be
    // heard before that it was passed on.
    assert_eq!((asked.looks, asked.others), (1, 2), "{asked:?}");
    assert!(asked.watches <= 1, "{asked:?}");
}

#[tokio::test]
async fn waiters_are_woken_on_every_shard() {
    let cluster = Cluster::start().await;
    let (ours, theirs) = (connect(&cluster).await, connect(&cluster).await);
    let keys = cluster.a_key_per_master("job").await;
    let one = async |key: &String| {
        let guard = lock(&ours, key).await;
        let waiting = waiter(&theirs, key);
        let master = cluster.node(cluster.master_of(key).await);
        master.wait_until_tracking(LIMIT).await;
        assert_eq!(in_a_lull(master).await, IN_LINE);
        is_woken(waiting, master, guard).await;
    };
    tokio::join!(one(&keys[0]), one(&keys[1]), one(&keys[2]));
}

/// As behind proxies, and of servers before Redis 6: nobody is told, and so whoever waits asks again.
#[tokio::test]
async fn nodes_that_speak_only_the_old_protocol_serve_all_the_same() {
    let cluster = Cluster::start().await;
    for number in 0..cluster.urls().len() {
        let mut node = cluster.node(number).connection().await;
        let mut user = redis::cmd("ACL");
        let user = user.arg("SETUSER").arg("default").arg("-hello");
        user.query_async::<()>(&mut node).await.expect("set");
    }
    let (ours, theirs) = (connect(&cluster).await, connect(&cluster).await);
    let guard = lock(&ours, "job").await;
    assert!(is_busy(&theirs, "job").await);
    let waiting = waiter(&theirs, "job");
    let node = cluster.node(cluster.master_of("job").await);
    until(LIMIT, "it asks again and again", async || {
        node.command_calls().await["evalsha"] > 3
    })
    .await;
    let released = Instant::now();
    guard.release().await.expect("still ours");
    let granted = waiting.await.expect("ran").expect("granted");
    assert!(granted.duration_since(released) < LIMIT / 6);
}

#[tokio::test]
async fn a_failover_by_command_keeps_the_lock_and_wakes_those_who_wait() {
    let cluster = Cluster::start().await;
    let (ours, theirs) = (connect(&cluster).await, connect(&cluster).await);
    let guard = lock(&ours, "job").await;
    let old = cluster.master_of("job").await;
    let waiting = waiter(&theirs, "job");
    cluster.node(old).wait_until_tracking(LIMIT).await;
    let new = cluster.fail_over("job").await;
    assert!(is_busy(&theirs, "job").await);
    // The old master is a replica now, which tells of the extension as it did before, and sends
    // the waiter to the new one.
    guard.extend(2 * LONG).await.expect("still ours");
    cluster.node(new).wait_until_tracking(LIMIT).await;
    assert_eq!(cluster.node(old).tracked_keys().await, 0);
    lies_in_wait(&waiting, cluster.node(new), IN_LINE).await;
    is_woken(waiting, cluster.node(new), guard).await;
}

#[tokio::test]
async fn when_a_master_is_killed_its_keys_are_granted_again_by_its_replica() {
    let cluster = Cluster::start().await;
    let (ours, theirs) = (connect(&cluster).await, connect(&cluster).await);
    let keys = cluster.a_key_per_master("job").await;
    // No extension is due before the end.
    let renewed = ours.lock(&keys[0]).ttl(10 * LONG).renew();
    let guard = renewed.acquire().await.expect("granted");
    let old = cluster.master_of(&keys[0]).await;
    let waiting = waiter(&theirs, &keys[0]);
    cluster.node(old).wait_until_tracking(LIMIT).await;
    assert_eq!(cluster.kill_master(&keys[0]).await, old);

    // Nothing hangs, and the other masters' keys are not held up.
    for key in &keys[1..] {
        lock(&ours, key).await.release().await.expect("released");
    }
    let start = Instant::now();
    let error = theirs
        .lock(&keys[0])
        .acquire()
        .await
        .expect_err("nobody to ask");
    assert!(error.is_backend() || error.is_busy(), "{error}");
    assert!(
        start.elapsed() < Duration::from_secs(3) + LIMIT / 20,
        "{:?}",
        start.elapsed()
    );

    let new = cluster.another_master(&keys[0], old).await;
    assert!(is_busy(&theirs, &keys[0]).await);
    lies_in_wait(&waiting, cluster.node(new), IN_LINE).await;
    is_woken(waiting, cluster.node(new), guard).await;
    // The node comes back as a replica, without ado.
    cluster.node(old).restart().await;
    cluster.settled().await;
    lock(&theirs, &keys[0])
        .await
        .release()
        .await
        .expect("released");
}

#[tokio::test]
async fn a_slot_moves_while_its_lock_is_held_and_waited_for() {
    let cluster = Cluster::start().await;
    let (ours, theirs) = (connect(&cluster).await, connect(&cluster).await);
    let keys = cluster.a_key_per_master("job").await;
    let key = &keys[0];
    let from = cluster.master_of(key).await;
    let to = cluster.master_of(&keys[1]).await;
    let fenced = |locker: &Locker| {
        locker
            .lock(key)
            .ttl(LONG)
            .retries(RETRIES)
            .backoff(PAUSE)
            .fenced()
    };
    let guard = fenced(&ours).acquire().await.expect("granted");
    let waiting = waiter(&theirs, key);
    cluster.node(from).wait_until_tracking(LIMIT).await;

    // Half way: the key is still where it was, new ones would go to the other node.
    cluster.begin_move(key, to).await;
    guard.extend(2 * LONG).await.expect("still ours");
    assert!(is_busy(&theirs, key).await);
    cluster.finish_move(key, to).await;
    assert_eq!(cluster.master_of(key).await, to);
    assert!(is_busy(&theirs, key).await);
    guard.extend(3 * LONG).await.expect("still ours");
    let first = guard.fencing_token();
    cluster.node(to).wait_until_tracking(LIMIT).await;
    assert_eq!(cluster.node(from).tracked_keys().await, 0);
    lies_in_wait(&waiting, cluster.node(to), IN_LINE).await;
    is_woken(waiting, cluster.node(to), guard).await;
    let next = fenced(&theirs).acquire().await.expect("granted");
    assert!(next.fencing_token() > first);
    next.release().await.expect("released");

    // A key that is taken while its slot is on the way is taken where it is going to be.
    cluster.settled().await;
    cluster.begin_move(key, from).await;
    let guard = lock(&ours, key).await;
    assert!(is_busy(&theirs, key).await);
    let waiting = waiter(&theirs, key);
    lies_in_wait(&waiting, cluster.node(from), WITHOUT_LINE).await;
    cluster.finish_move(key, from).await;
    lies_in_wait(&waiting, cluster.node(from), IN_LINE).await;
    is_woken(waiting, cluster.node(from), guard).await;
}
