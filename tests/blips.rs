//! A renewed lock and a network that fails for a while.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis_locked::{LockError, Locker, LostReason};
use redis_locked_test_support::{Event, Monitor, Pace, Proxy, Server};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

const LIMIT: Duration = Duration::from_secs(30);
/// How often the body and the intruder show themselves on the server.
const TICK: Duration = Duration::from_millis(5);

#[derive(Clone, Copy, Debug)]
enum Break {
    /// Connections are reset, and new ones refused.
    Cut,
    /// Nothing gets through, and nobody is told.
    Stall,
    /// All is carried out, and no answer comes back.
    StallAnswers,
}

impl Break {
    async fn set(self, proxy: &Proxy, on: bool) {
        match self {
            Self::Cut => {
                proxy.refuse(on).await;
                if on {
                    proxy.cut().await;
                }
            }
            Self::Stall => proxy.stall_requests(on),
            Self::StallAnswers => proxy.stall_answers(on),
        }
    }
}

/// A body that ticks on the server by a connection that is never broken, under a lock that is
/// renewed through the proxy; and an intruder who takes the key as soon as it is free.
struct Scene {
    server: Server,
    proxy: Proxy,
    monitor: Monitor,
    holder: JoinHandle<Result<(), LockError>>,
    intruder: JoinHandle<()>,
}

async fn scene(ttl: Duration, length: Duration) -> Scene {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let monitor = server.monitor();
    let locker = Locker::builder()
        .connection_timeout(LIMIT)
        .response_timeout(Duration::from_secs(2))
        .connect(&proxy.url())
        .await
        .expect("connected");
    let mut direct = server.connection().await;
    let body = async move {
        let end = Instant::now() + length;
        while Instant::now() < end {
            tick(&mut direct).await;
            sleep(TICK).await;
        }
    };
    let holder = tokio::spawn(locker.lock("key").ttl(ttl).renew().run(body));
    monitor
        .wait_for(|event| event.command() == "incr", LIMIT)
        .await;
    let mut direct = server.connection().await;
    let intruder = tokio::spawn(async move {
        let mut set = redis::cmd("SET");
        set.arg("key")
            .arg("intruder")
            .arg("NX")
            .arg("PX")
            .arg(60_000);
        while set
            .query_async::<Option<String>>(&mut direct)
            .await
            .expect("up")
            .is_none()
        {
            sleep(TICK).await;
        }
    });
    Scene {
        server,
        proxy,
        monitor,
        holder,
        intruder,
    }
}

async fn tick(direct: &mut MultiplexedConnection) {
    let incr = redis::cmd("INCR").arg("ticks").to_owned();
    incr.query_async::<()>(direct).await.expect("up");
}

fn last(events: &[Event], fits: impl Fn(&Event) -> bool) -> usize {
    events.iter().rposition(fits).expect("there is one")
}

/// The break begins at each of several moments of the first ttl. When it is over, a twentieth of the
/// ttl is left at worst, for several steps of several processes.
async fn survived(how: Break) {
    const TTL: Duration = Duration::from_millis(7200);
    let scenes = (0..8).map(|moment| async move {
        let pace = Pace::start();
        let scene = scene(TTL, 2 * TTL).await;
        sleep(TTL / 8 * moment).await;
        how.set(&scene.proxy, true).await;
        sleep(TTL * 6 / 10).await;
        how.set(&scene.proxy, false).await;
        let result = scene.holder.await.expect("no panic");
        if result.is_err() && pace.worst() > TTL / 72 {
            println!("{how:?} at {moment}: no proof, this machine stood still");
            return;
        }
        assert!(result.is_ok(), "{how:?} at {moment}: {result:?}");
        scene.intruder.await.expect("it gets the key in the end");
        // The intruder's last attempt is the one that got the key: after the release.
        let events = scene.monitor.events().await;
        let taken = last(&events, |event| event.is("set", "intruder"));
        let released = last(&events, |event| event.is("del", "key"));
        let ticked = last(&events, |event| event.command() == "incr");
        assert!(ticked < released && released < taken, "{how:?} at {moment}");
    });
    join_all(scenes).await;
}

async fn join_all(all: impl Iterator<Item = impl Future<Output = ()>>) {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    std::future::poll_fn(|cx| {
        all.retain_mut(|one| one.as_mut().poll(cx).is_pending());
        if all.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

/// All ways at once, since this has the machine to itself.
#[tokio::test]
async fn a_break_of_less_than_two_thirds_of_the_ttl_is_survived() {
    let each = |how| tokio::spawn(survived(how));
    let ways = [Break::Cut, Break::Stall, Break::StallAnswers].map(each);
    for way in ways {
        way.await.expect("survived");
    }
}

/// A long ttl, since its hundredth is the time that a loaded machine has for a step.
async fn given_up(how: Break) {
    const TTL: Duration = Duration::from_secs(5);
    let pace = Pace::start();
    let scene = scene(TTL, LIMIT).await;
    how.set(&scene.proxy, true).await;
    let broken = Instant::now();
    let result = scene.holder.await.expect("no panic");
    let mut direct = scene.server.connection().await;
    let lost: Result<(), _> = redis::cmd("ECHO")
        .arg("lost")
        .query_async(&mut direct)
        .await;
    lost.expect("up");
    match result {
        Err(LockError::Lost { reason, .. }) => assert_eq!(reason, LostReason::Expired),
        other => panic!("{how:?}: {other:?}"),
    }
    scene.intruder.await.expect("it gets the key in the end");
    let events = scene.monitor.events().await;
    let taken = last(&events, |event| event.is("set", "intruder"));
    let ticked = last(&events, |event| event.command() == "incr");
    let told = last(&events, |event| event.is("echo", "lost"));
    if pace.worst() > TTL / 150 {
        println!("{how:?}: no proof, this machine stood still");
    } else {
        assert!(
            ticked < taken,
            "{how:?}: the body went on when the key was free"
        );
        assert!(
            told < taken,
            "{how:?}: the loss was told when the key was free"
        );
    }
    // What is late gets through, and touches nothing that is the intruder's.
    how.set(&scene.proxy, false).await;
    sleep_until(broken + TTL).await;
    assert_eq!(scene.server.get("key").await.as_deref(), Some("intruder"));
}

#[tokio::test]
async fn a_longer_break_is_a_loss_before_the_key_can_have_expired() {
    tokio::join!(given_up(Break::Cut), given_up(Break::Stall));
}
