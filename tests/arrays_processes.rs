//! Two processes that want the same two keys, each in the other's order: neither ever waits for the other, and
//! what a killed one had is free after one ttl.
//!
//! The suite watches some hundred turns of each. `TURNS=10000 cargo nextest run --test arrays_processes` watches
//! as many as it says.

use std::env;
use std::time::{Duration, Instant};

use redis_locked::Locker;
use redis_locked_test_support::{Process, Server};

const LIMIT: Duration = Duration::from_secs(20);
/// Whoever waited for one that waits for it would wait for so long.
const TTL: Duration = Duration::from_secs(120);
const WAIT: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_secs(2);

/// One of the processes: counts up under both locks, as nobody could do beside it.
#[tokio::test]
#[ignore = "run by the others, as a process"]
async fn worker() {
    let text = |name| env::var(name).expect("given");
    let (url, keys) = (text("REDIS"), text("KEYS"));
    let turns: u32 = text("TURNS").parse().expect("a number");
    let ttl = Duration::from_millis(text("TTL_MS").parse().expect("a number"));
    let client = redis::Client::open(url.as_str()).expect("a URL");
    let connected = client.get_multiplexed_async_connection().await;
    let mut connection = connected.expect("connected");
    let locker = Locker::connect(&url).await.expect("connected");
    println!("ready");
    for _ in 0..turns {
        let began = Instant::now();
        let request = locker.lock_all(keys.split(',')).ttl(ttl).wait(WAIT);
        let both = match request.acquire().await {
            Ok(both) => both,
            Err(error) => {
                println!("trouble {error} after {:?}", began.elapsed());
                return;
            }
        };
        let mut get = redis::cmd("GET");
        let count: Option<u32> = get
            .arg("count")
            .query_async(&mut connection)
            .await
            .expect("read");
        let mut set = redis::cmd("SET");
        let count = count.unwrap_or(0) + 1;
        let set = set.arg("count").arg(count);
        set.query_async::<()>(&mut connection)
            .await
            .expect("written");
        both.release().await.expect("ours");
    }
    println!("done");
}

fn launch(server: &Server, keys: &str, turns: u32, ttl: Duration) -> Process {
    Process::test("worker")
        .env("REDIS", server.url())
        .env("KEYS", keys)
        .env("TURNS", turns.to_string())
        .env("TTL_MS", ttl.as_millis().to_string())
        .start()
}

#[tokio::test]
async fn two_processes_that_want_the_same_keys_in_opposite_orders_never_wait_for_each_other() {
    let turns = env::var("TURNS").map_or(500, |count| count.parse().expect("a number"));
    let server = Server::start().await;
    let began = Instant::now();
    let workers = ["a,b", "b,a"].map(|keys| launch(&server, keys, turns, TTL));
    for worker in &workers {
        let ended = worker.wait(LIMIT * (1 + turns / 500)).await;
        assert!(ended.success(), "{:?}", worker.errors());
        let said = worker.lines();
        assert!(said.iter().any(|line| line == "done"), "{said:?}");
    }
    let count = server.get("count").await;
    assert_eq!(count, Some((2 * turns).to_string()));
    println!("{turns} turns of each in {:?}", began.elapsed());
}

#[tokio::test]
async fn what_killed_processes_had_is_free_after_one_ttl() {
    let server = Server::start().await;
    let locker = Locker::connect(&server.url()).await.expect("connected");
    for _ in 0..3 {
        let workers = ["a,b", "b,a"].map(|keys| launch(&server, keys, u32::MAX, SHORT));
        for worker in &workers {
            worker.wait_for_line("ready", LIMIT).await;
        }
        // In the middle of their turns.
        tokio::time::sleep(Duration::from_millis(300)).await;
        workers.iter().for_each(Process::kill);
        let killed = Instant::now();
        let both = locker.lock_all(["a", "b"]).ttl(TTL).wait(LIMIT).acquire();
        let both = both.await.expect("free");
        let took = killed.elapsed();
        // A seat in the line of one that is dead is skipped when its turn comes.
        assert!(took < SHORT + Duration::from_secs(1), "{took:?}");
        both.release().await.expect("ours");
    }
}
