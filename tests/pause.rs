//! A holder that stands still past its ttl, as a machine does that swaps or is migrated.

use std::env;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis_locked::{Lease, LockError, Locker, OnLost};
use redis_locked_test_support::{Event, Process, Server};
use tokio::time::sleep;

const TTL: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(200);

/// Sets the value unless it was set under a greater fencing token.
const FENCED_WRITE: &str = "\
    local newest = tonumber(redis.call('HGET', KEYS[1], 'fence') or 0)
    if tonumber(ARGV[1]) < newest then return 0 end
    redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'value', ARGV[2])
    return 1";

/// With time limits that no loaded machine reaches.
async fn connected(url: &str) -> Locker {
    let builder = Locker::builder()
        .connection_timeout(LIMIT)
        .response_timeout(LIMIT);
    builder.connect(url).await.expect("connected")
}

async fn fenced_write(connection: &mut MultiplexedConnection, value: &str) -> bool {
    let lease = Lease::current().expect("in a body");
    let fence = u64::from(lease.fencing_token().expect("fenced"));
    let mut write = redis::cmd("EVAL");
    write
        .arg(FENCED_WRITE)
        .arg(1)
        .arg("store")
        .arg(fence)
        .arg(value);
    write.query_async(connection).await.expect("answered")
}

async fn connection(url: &str) -> MultiplexedConnection {
    let client = redis::Client::open(url).expect("a url");
    client
        .get_multiplexed_async_connection()
        .await
        .expect("connected")
}

/// The holder: a step now and then until it is cut off, or until its write is rejected.
#[tokio::test]
#[ignore = "started as a child by the tests below"]
async fn child() {
    let (Ok(url), Ok(policy)) = (env::var("SERVER"), env::var("POLICY")) else {
        return;
    };
    let locker = connected(&url).await;
    let mut connection = connection(&url).await;
    let mut request = locker.lock("key").ttl(TTL).fenced();
    if policy == "renew" {
        request = request.renew();
    }
    if policy == "finish" {
        request = request.on_lost(OnLost::Finish);
    }
    let body = async {
        while fenced_write(&mut connection, "child").await {
            println!("step");
            sleep(STEP).await;
        }
        println!("rejected");
    };
    match request.run(body).await {
        Ok(()) => println!("finished"),
        Err(LockError::Lost { reason, .. }) => println!("lost {reason:?}"),
        Err(error) => println!("{error}"),
    }
    locker.shutdown().await;
    println!("over");
}

/// Stops the child in its body, takes over, has it continue, and answers with what it printed and
/// what the server executed from the takeover on.
async fn paused(policy: &str) -> (Vec<String>, Vec<Event>) {
    let server = Server::start().await;
    let child = Process::test("child")
        .env("SERVER", server.url())
        .env("POLICY", policy)
        .start();
    child.wait_for_line("step", LIMIT).await;
    child.stop();
    let monitor = server.monitor();
    let locker = connected(&server.url()).await;
    let request = locker.lock("key").ttl(LONG).wait(LIMIT).fenced();
    let guard = request.acquire().await.expect("taken over");
    let mut connection = connection(&server.url()).await;
    let lease = guard.lease();
    let written = write_under(&lease, &mut connection).await;
    assert!(written, "the newest holder's write was rejected");
    child.resume();
    child.wait_for_line("over", LIMIT).await;
    let value = server.get("key").await.expect("the key is still there");
    assert!(value.starts_with(guard.token()), "{value}");
    assert!(guard.is_held());
    let mut events = monitor.events().await;
    let takeover = |event: &Event| event.arguments.contains(&value);
    let won = events.iter().rposition(takeover).expect("seen");
    let events = events.split_off(won + 1);
    guard.release().await.expect("still ours");
    (child.lines(), events)
}

async fn write_under(lease: &Lease, connection: &mut MultiplexedConnection) -> bool {
    let fence = u64::from(lease.fencing_token().expect("fenced"));
    let mut write = redis::cmd("EVAL");
    write
        .arg(FENCED_WRITE)
        .arg(1)
        .arg("store")
        .arg(fence)
        .arg("next");
    write.query_async(connection).await.expect("answered")
}

/// What the server executed on the lock's key or the protected value that changes it.
fn changes<'a>(events: &'a [Event], key: &str) -> Vec<&'a Event> {
    let reads = ["get", "pttl", "hget", "exists"];
    events
        .iter()
        .filter(|event| event.is_from_script() && event.arguments.iter().any(|a| a == key))
        .filter(|event| !reads.contains(&event.command().as_str()))
        .collect()
}

#[tokio::test]
async fn the_body_makes_no_further_step_and_the_release_leaves_the_other_alone() {
    for policy in ["plain", "renew"] {
        let (lines, events) = paused(policy).await;
        assert!(
            lines.iter().any(|line| line == "lost Expired"),
            "{policy}: {lines:?}"
        );
        let writes = changes(&events, "store");
        // The takeover's own write.
        assert_eq!(writes.len(), 1, "{policy}: {writes:#?}");
        assert_eq!(changes(&events, "key"), Vec::<&Event>::new(), "{policy}");
    }
}

/// Where the body runs on all the same, the fencing token keeps its write out.
#[tokio::test]
async fn a_store_that_checks_fencing_tokens_rejects_its_write() {
    let (lines, events) = paused("finish").await;
    assert!(lines.iter().any(|line| line == "rejected"), "{lines:?}");
    assert!(lines.iter().any(|line| line == "finished"), "{lines:?}");
    assert_eq!(changes(&events, "store").len(), 1);
    assert_eq!(changes(&events, "key"), Vec::<&Event>::new());
}
