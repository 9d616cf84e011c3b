//! Keys that several hold, on whatever shard.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use redis_locked_test_support::Cluster;
use tokio::task::JoinSet;

use crate::{LIMIT, LONG, PAUSE, RETRIES, connect};

#[tokio::test]
async fn so_many_hold_a_key_at_a_time_on_every_shard() {
    const PERMITS: u32 = 2;
    let cluster = Cluster::start().await;
    let lockers = [connect(&cluster).await, connect(&cluster).await];
    let inside: Arc<[AtomicU32; 6]> = Arc::default();
    let most = Arc::new(AtomicU32::new(0));
    let mut tasks = JoinSet::new();
    for number in 0..48 {
        let (locker, key) = (lockers[number % 2].clone(), number / 2 % 6);
        let (inside, most) = (Arc::clone(&inside), Arc::clone(&most));
        tasks.spawn(async move {
            let request = locker.lock(format!("export:{{{key}}}:a")).ttl(LONG);
            let request = request.permits(PERMITS);
            // One of three draws a number, one of two waits.
            let request = if number % 3 == 0 {
                request.fenced()
            } else {
                request
            };
            let request = if number % 4 < 2 {
                request.wait(LIMIT)
            } else {
                request.retries(RETRIES).backoff(PAUSE / 10)
            };
            let body = async {
                let now = inside[key].fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(5)).await;
                inside[key].fetch_sub(1, Ordering::SeqCst);
            };
            request.run(body).await
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic").expect("granted");
    }
    assert_eq!(most.load(Ordering::SeqCst), PERMITS);
}

#[tokio::test]
async fn readers_and_a_writer_keep_each_other_out_and_each_has_its_turn() {
    let cluster = Cluster::start().await;
    let locker = connect(&cluster).await;
    let other = connect(&cluster).await;
    for key in ["a", "b", "c", "a}b"] {
        let read = || locker.lock(key).ttl(LONG).shared();
        let readers = [
            read().acquire().await.expect("free"),
            read().wait(LIMIT).acquire().await.expect("room"),
        ];
        let error = other.lock(key).acquire().await.expect_err("read");
        assert!(
            error.to_string().contains("(2 places) hold it, "),
            "{error}"
        );
        let writer = tokio::spawn(other.lock(key).ttl(LONG).wait(LIMIT).acquire());
        for reader in readers {
            reader.extend(2 * LONG).await.expect("ours");
            reader.release().await.expect("ours");
        }
        let writer = writer.await.expect("no panic").expect("its turn");
        let next = tokio::spawn(read().wait(LIMIT).acquire());
        assert!(read().acquire().await.expect_err("written").is_busy());
        writer.release().await.expect("ours");
        let next = next.await.expect("no panic").expect("its turn");
        next.release().await.expect("ours");
    }
}
