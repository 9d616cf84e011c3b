//! Very many renewed locks on a slow server: what is due together goes out in pieces, none of which
//! costs the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use futures_util::future::join_all;
use redis_locked::{LockGuard, Locker};
use redis_locked_test_support::{FakeAnswers, until};
use tokio::time::Instant;

const LOCKS: usize = 6_000;
const TTL: Duration = Duration::from_secs(20);
/// What the server takes for one extension; for all together, far longer than it may.
const EACH: Duration = Duration::from_micros(500);
const RESPONSE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_server_that_is_too_slow_for_all_at_once_extends_all() {
    let is_slow = Arc::new(AtomicBool::new(false));
    let slow = Arc::clone(&is_slow);
    let server = FakeAnswers::with(move |command| {
        if command[0] == "SET" {
            return "+OK".to_owned();
        }
        if slow.load(Ordering::SeqCst) {
            thread::sleep(EACH);
        }
        ":1".to_owned()
    })
    .await;
    let builder = Locker::builder().response_timeout(RESPONSE);
    let locker = builder.connect(&server.url()).await.expect("connected");
    let mut guards: Vec<(LockGuard, Instant)> = Vec::new();
    while guards.len() < LOCKS {
        let requests = (0..500).map(|number| {
            let key = format!("{}:{number}", guards.len());
            locker.lock(key).ttl(TTL).renew().acquire()
        });
        for granted in join_all(requests).await {
            let guard = granted.expect("free");
            let granted_until = Instant::now() + guard.remaining();
            guards.push((guard, granted_until));
        }
    }
    is_slow.store(true, Ordering::SeqCst);
    // The process stands still until all are due.
    thread::sleep(TTL / 4);
    let is_extended = |(guard, granted_until): &(LockGuard, Instant)| {
        Instant::now() + guard.remaining() > *granted_until + TTL / 8
    };
    until(TTL / 2, "all are extended", async || {
        guards.iter().all(is_extended)
    })
    .await;
    is_slow.store(false, Ordering::SeqCst);
}
