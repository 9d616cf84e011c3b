//! Many callers at once, of two lockers and other programs, who hold, give up, panic and hang at
//! random: one at a time is inside, and nobody is forgotten.

mod common;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use common::{LIMIT, locker_at, redis};
use redis_locked::{LockRequest, Locker};
use redis_locked_test_support::{Server, until};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const TTL: Duration = Duration::from_secs(60);
const TASKS: usize = 12;
const RUNNING: Duration = Duration::from_secs(3);

/// Counts who is inside.
#[derive(Default)]
struct Room {
    inside: AtomicUsize,
    visits: AtomicUsize,
    crowded: AtomicBool,
}

struct Visit<'a>(&'a Room);

impl Room {
    fn enter(&self) -> Visit<'_> {
        if self.inside.fetch_add(1, SeqCst) > 0 {
            self.crowded.store(true, SeqCst);
        }
        self.visits.fetch_add(1, SeqCst);
        Visit(self)
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, SeqCst);
    }
}

fn random(below: u64) -> u64 {
    RandomState::new().build_hasher().finish() % below
}

fn micros(below: u64) -> Duration {
    Duration::from_micros(random(below))
}

fn request(locker: &Locker) -> LockRequest {
    let request = locker.lock("k").ttl(TTL).wait(LIMIT);
    match random(8) {
        0 => request.fenced(),
        1 => request.renew(),
        2 => request.min_hold(micros(2_000) + Duration::from_micros(1)),
        3 => locker
            .lock("k")
            .ttl(TTL)
            .retries(1_000_000)
            .backoff(Duration::from_micros(700)),
        _ => request,
    }
}

/// One call after the other; how many were served.
async fn caller(locker: Locker, room: Arc<Room>, until: Instant) {
    while Instant::now() < until {
        let inside = Arc::clone(&room);
        let pause = micros(2_000);
        let how = random(10);
        let body = async move {
            let _visit = inside.enter();
            match how {
                0..5 => {}
                5 => tokio::task::yield_now().await,
                6 => resume_unwind(Box::new("as planned")),
                _ => sleep(pause).await,
            }
        };
        let call = tokio::spawn(request(&locker).run(body));
        match random(4) {
            0 => {
                sleep(micros(1_500)).await;
                call.abort();
                let _ = call.await;
            }
            1 => {
                let guard = request(&locker).acquire();
                if let Ok(guard) = timeout(micros(3_000), guard).await {
                    let visit = room.enter();
                    tokio::task::yield_now().await;
                    drop(visit);
                    match guard {
                        Ok(guard) if random(2) == 0 => drop(guard),
                        Ok(guard) => {
                            // A release that is given up half-way.
                            let _ = timeout(micros(300), guard.release()).await;
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
                served(call).await;
            }
            _ => served(call).await,
        }
    }
}

async fn served(call: tokio::task::JoinHandle<Result<(), redis_locked::LockError>>) {
    match timeout(LIMIT, call).await.expect("forgotten") {
        Ok(result) => result.expect("its turn"),
        Err(panic) => assert!(panic.is_panic()),
    }
}

/// Another program, which knows nothing but `SET NX PX` and `DEL`.
async fn foreigner(server: Arc<Server>, room: Arc<Room>, until: Instant) {
    while Instant::now() < until {
        if server.set_nx_px("k", "theirs", 60_000).await {
            let visit = room.enter();
            sleep(micros(2_000)).await;
            drop(visit);
            assert!(server.del("k").await);
        }
        sleep(micros(10_000)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_at_a_time_and_nobody_is_forgotten() {
    let (server, locker) = redis().await;
    let other = locker_at(&server.url()).await;
    let (server, room) = (Arc::new(server), Arc::new(Room::default()));
    let until_then = Instant::now() + RUNNING;
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        tasks.spawn(caller(locker.clone(), Arc::clone(&room), until_then));
        tasks.spawn(caller(other.clone(), Arc::clone(&room), until_then));
    }
    tasks.spawn(foreigner(
        Arc::clone(&server),
        Arc::clone(&room),
        until_then,
    ));
    while let Some(task) = tasks.join_next().await {
        task.expect("no panic");
    }
    assert!(!room.crowded.load(SeqCst), "two were inside");
    assert!(room.visits.load(SeqCst) > TASKS);
    until(LIMIT, "the key is gone", async || !server.exists("k").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_in_memory() {
    let (locker, room) = (Locker::in_memory(), Arc::new(Room::default()));
    let until = Instant::now() + RUNNING / 2;
    let mut tasks = JoinSet::new();
    for _ in 0..2 * TASKS {
        tasks.spawn(caller(locker.clone(), Arc::clone(&room), until));
    }
    while let Some(task) = tasks.join_next().await {
        task.expect("no panic");
    }
    assert!(!room.crowded.load(SeqCst), "two were inside");
    locker.shutdown().await;
    let free = locker.lock("k").wait(LIMIT).acquire().await;
    assert!(free.expect("free").is_held());
}
