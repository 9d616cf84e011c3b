//! Places of a key on a server: what is written, who comes in, and what is left alone.

mod common;
#[path = "common/several.rs"]
mod several;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use common::{LIMIT, locker_at, redis};
use redis_locked::{LockError, LockGuard, LockRequest, Locker, LostReason};
use redis_locked_test_support::{AfterLoss, Server, bulk, until, until_some};
use several::{TTL, Waiter, busy, has, permit, reader, whole};
use tokio::task::JoinHandle;

const BRIEF: Duration = Duration::from_millis(300);

async fn ask<T: redis::FromRedisValue>(server: &Server, words: &str) -> T {
    let mut connection = server.connection().await;
    let mut words = words.split(' ');
    let mut command = redis::cmd(words.next().expect("a command"));
    words.for_each(|word| {
        command.arg(word);
    });
    let answer = command.query_async(&mut connection).await;
    answer.expect("answered")
}

/// The values that have places, and when they end in microseconds.
async fn places(server: &Server) -> Vec<(String, u64)> {
    ask(server, "ZRANGE k 0 -1 WITHSCORES").await
}

async fn micros(server: &Server) -> u64 {
    let (seconds, micros): (u64, u64) = ask(server, "TIME").await;
    seconds * 1_000_000 + micros
}

/// Until so many processes are in the line for `k`.
async fn until_waiting(server: &Server, count: usize) {
    until(LIMIT, format_args!("{count} wait"), async || {
        ask::<usize>(server, "ZCARD {k}:line").await == count
    })
    .await;
}

/// Another process, whose caller has its seat when this returns.
async fn joins(
    server: &Server,
    before: usize,
    request: impl FnOnce(&Locker) -> LockRequest,
) -> (Locker, Waiter) {
    let locker = locker_at(&server.url()).await;
    let waiter = tokio::spawn(request(&locker).wait(LIMIT).acquire());
    until_waiting(server, before + 1).await;
    (locker, waiter)
}

async fn comes_in(waiter: Waiter) -> LockGuard {
    let guard = tokio::time::timeout(LIMIT, waiter).await;
    guard.expect("its turn").expect("no panic").expect("room")
}

#[tokio::test]
async fn a_key_with_places_is_a_set_that_ends_with_the_last() {
    let (server, locker) = redis().await;
    let before = micros(&server).await;
    let first = has(permit(&locker, 3)).await;
    let second = has(permit(&locker, 3).ttl(TTL * 2)).await;
    let after = micros(&server).await;
    let held = places(&server).await;
    let ttl = 60_000_000;
    for ((value, ends), (guard, ttl)) in held.iter().zip([(&first, ttl), (&second, 2 * ttl)]) {
        let (token, owner) = value.split_once(';').expect("an owner");
        assert_eq!(token, format!("{}p", guard.token()));
        assert!(owner.ends_with(&format!(":{}", std::process::id())));
        assert!((before + ttl..=after + ttl).contains(ends), "{ends}");
    }
    assert_eq!(held.len(), 2);
    let expires: u64 = ask(&server, "PEXPIRETIME k").await;
    assert_eq!(expires, held[1].1.div_ceil(1000));
    second.release().await.expect("ours");
    let expires: u64 = ask(&server, "PEXPIRETIME k").await;
    assert_eq!(expires, held[0].1.div_ceil(1000), "lowered to the last");
    first.release().await.expect("ours");
    assert!(!server.exists("k").await);
    let shared = has(reader(&locker)).await;
    let value = &places(&server).await[0].0;
    assert!(
        value.starts_with(&format!("{}s;", shared.token())),
        "{value}"
    );
}

#[tokio::test]
async fn one_permit_is_a_plain_lock() {
    let (server, locker) = redis().await;
    let one = has(permit(&locker, 1)).await;
    let value = server.get("k").await.expect("a string");
    assert!(value.starts_with(&format!("{};", one.token())), "{value}");
}

#[tokio::test]
async fn a_place_costs_two_commands_however_many_have_one() {
    let (server, locker) = redis().await;
    // The server knows the scripts after that.
    has(reader(&locker)).await.release().await.expect("ours");
    let mut held = Vec::new();
    for _ in 0..1000 {
        held.push(has(reader(&locker)).await);
    }
    server.reset_stats().await;
    for _ in 0..10 {
        has(reader(&locker)).await.release().await.expect("ours");
    }
    let calls = server.command_calls().await;
    assert_eq!(calls["evalsha"], 20, "{calls:?}");
    for command in ["eval", "set", "subscribe", "client|tracking", "publish"] {
        assert!(!calls.contains_key(command), "{calls:?}");
    }
}

#[tokio::test]
async fn the_key_and_nothing_else_is_left_and_that_not_for_long() {
    let (server, locker) = redis().await;
    let request = permit(&locker, 2).wait(LIMIT);
    has(request).await.release().await.expect("ours");
    let keys: Vec<String> = ask(&server, "KEYS *").await;
    assert_eq!(keys, [""; 0]);
    std::mem::forget(has(permit(&locker, 2).ttl(BRIEF)).await);
    std::mem::forget(has(permit(&locker, 2).ttl(BRIEF * 2)).await);
    busy(permit(&locker, 2)).await;
    until(LIMIT, "all have ended", async || !server.exists("k").await).await;
}

#[tokio::test]
async fn a_place_that_has_ended_is_taken_by_who_comes_next() {
    let (server, locker) = redis().await;
    let _stays = has(permit(&locker, 2)).await;
    std::mem::forget(has(permit(&locker, 2).ttl(BRIEF)).await);
    let next = until_some(LIMIT, "it has ended", async || {
        permit(&locker, 2).acquire().await.ok()
    })
    .await;
    assert_eq!(places(&server).await.len(), 2);
    drop(next);
}

#[tokio::test]
async fn a_set_that_is_not_ours_is_busy_and_stays_as_it_is() {
    let (server, locker) = redis().await;
    for (add, expires) in [
        ("ZADD k 1 ann 2 bob", true),
        ("ZADD k +inf ann", true),
        ("ZADD k 1 abcdefghij-_ABCDEFGHIJ;me", true),
        ("ZADD k 1 abcdefghij-_ABCDEFGHIJp;me", false),
        ("RPUSH k ann", true),
        ("SET k ann", true),
    ] {
        let _: i64 = ask(&server, "DEL k").await;
        let _: redis::Value = ask(&server, add).await;
        if expires {
            let _: i64 = ask(&server, "PEXPIRE k 60000").await;
        }
        let dump: Vec<u8> = ask(&server, "DUMP k").await;
        for request in [
            permit(&locker, 3),
            reader(&locker),
            reader(&locker).fenced(),
            permit(&locker, 3).wait(BRIEF / 3),
            permit(&locker, 3).retries(2).backoff(BRIEF / 100),
            whole(&locker),
        ] {
            let error = busy(request).await;
            let LockError::Busy {
                foreign, endless, ..
            } = error
            else {
                panic!("{error}");
            };
            assert_eq!((foreign, endless), (true, !expires), "{add}");
        }
        assert_eq!(ask::<Vec<u8>>(&server, "DUMP k").await, dump, "{add}");
    }
}

/// Hundreds of turns of a foreign lock beside four callers of ours, by `SET NX`.
async fn beside_another_library(ours: fn(&Locker) -> LockRequest) {
    const TURNS: u32 = 200;
    let (server, locker) = redis().await;
    let mut theirs = server.connection().await;
    let (inside, had) = (Arc::<AtomicU32>::default(), Arc::<AtomicU32>::default());
    let mut callers = Vec::new();
    for _ in 0..4 {
        let (locker, inside, had) = (locker.clone(), Arc::clone(&inside), Arc::clone(&had));
        callers.push(tokio::spawn(async move {
            let mut turns = 0;
            while turns < TURNS || had.load(Ordering::SeqCst) < TURNS {
                let body = async {
                    assert!(inside.fetch_add(1, Ordering::SeqCst) < 1000, "not alone");
                    tokio::task::yield_now().await;
                    inside.fetch_sub(1, Ordering::SeqCst);
                };
                ours(&locker).wait(LIMIT).run(body).await.expect("its turn");
                turns += 1;
                // So that there is a time now and then when nobody has it.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }));
    }
    let began = Instant::now();
    while !callers.iter().all(JoinHandle::is_finished) {
        assert!(began.elapsed() < LIMIT * 3, "they had it {had:?} times");
        let mut set = redis::cmd("SET");
        set.arg("k").arg("theirs").arg("NX").arg("PX").arg(60_000);
        let set: Option<String> = set.query_async(&mut theirs).await.expect("answered");
        if set.is_some() {
            had.fetch_add(1, Ordering::SeqCst);
            // A thousand of ours, as they count.
            assert_eq!(inside.fetch_add(1000, Ordering::SeqCst), 0, "not alone");
            tokio::task::yield_now().await;
            inside.fetch_sub(1000, Ordering::SeqCst);
            let mut delete = redis::cmd("DEL");
            delete.arg("k");
            delete.exec_async(&mut theirs).await.expect("answered");
        }
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    for call in callers {
        call.await.expect("no panic");
    }
}

#[tokio::test]
async fn a_lock_of_another_library_and_permits_keep_each_other_out() {
    beside_another_library(|locker| permit(locker, 3)).await;
}

#[tokio::test]
async fn a_lock_of_another_library_and_shared_ones_keep_each_other_out() {
    beside_another_library(reader).await;
}

#[tokio::test]
async fn processes_come_in_in_order_and_together_where_there_is_room() {
    let (server, locker) = redis().await;
    let held = has(whole(&locker)).await;
    let mut waiting = Vec::new();
    for number in 0..8 {
        let ask = if number == 4 { whole } else { reader };
        waiting.push(joins(&server, number, ask).await);
    }
    server.reset_stats().await;
    held.release().await.expect("ours");
    // The first four come in by one script, all at once; the others wait behind the fifth.
    let mut inside = Vec::new();
    let mut lockers = Vec::new();
    for (locker, waiter) in waiting.drain(..4) {
        inside.push(comes_in(waiter).await);
        lockers.push(locker);
    }
    assert!(inside.iter().all(|guard| guard.is_held()));
    let calls = server.command_calls().await;
    let scripts: u64 = ["evalsha", "eval"]
        .iter()
        .filter_map(|name| calls.get(*name))
        .sum();
    assert!(scripts <= 5, "{calls:?}");
    assert!(waiting.iter().all(|(_, waiter)| !waiter.is_finished()));
    assert_eq!(places(&server).await.len(), 4);
    for guard in inside {
        guard.release().await.expect("ours");
    }
    let (_writers, writer) = waiting.remove(0);
    let writer = comes_in(writer).await;
    assert!(waiting.iter().all(|(_, waiter)| !waiter.is_finished()));
    writer.release().await.expect("ours");
    for (locker, waiter) in waiting {
        comes_in(waiter).await.release().await.expect("ours");
        lockers.push(locker);
    }
    assert!(!server.exists("k").await && !server.exists("{k}:line").await);
}

#[tokio::test]
async fn permits_are_handed_to_those_who_wait_one_for_one() {
    let (server, locker) = redis().await;
    let mut held = vec![has(permit(&locker, 2)).await, has(permit(&locker, 2)).await];
    let mut waiting = Vec::new();
    for number in 0..6 {
        waiting.push(joins(&server, number, |locker| permit(locker, 2)).await);
    }
    busy(permit(&locker, 5)).await;
    for (_locker, waiter) in &mut waiting {
        held.remove(0).release().await.expect("ours");
        let guard = tokio::time::timeout(LIMIT, waiter).await;
        held.push(guard.expect("its turn").expect("no panic").expect("room"));
        assert_eq!(places(&server).await.len(), 2);
    }
    for guard in held {
        guard.release().await.expect("ours");
    }
    assert!(!server.exists("k").await);
}

#[tokio::test]
async fn who_does_not_wait_is_busy_behind_one_that_does() {
    let (server, locker) = redis().await;
    let first = has(reader(&locker)).await;
    let (_writers, writer) = joins(&server, 0, whole).await;
    let error = busy(reader(&locker)).await;
    let text = error.to_string();
    assert!(text.contains(", and one waits for it"), "{text}");
    busy(reader(&locker).retries(3).backoff(BRIEF / 100)).await;
    first.release().await.expect("ours");
    comes_in(writer).await.release().await.expect("ours");
    drop(has(reader(&locker)).await);
}

#[tokio::test]
async fn one_that_waits_in_front_and_dies_or_leaves_is_no_obstacle() {
    let (server, locker) = redis().await;
    let _reads = has(reader(&locker)).await;
    let (_writers, writer) = joins(&server, 0, whole).await;
    let (_readers, behind) = joins(&server, 1, reader).await;
    writer.abort();
    // At once, not when the first has ended.
    let second = comes_in(behind).await;
    // One whose bell nobody hears.
    let gone = format!("{}{}", "x".repeat(22), ";gone");
    let _: i64 = ask(&server, &format!("ZADD {{k}}:line 1 {gone}")).await;
    let mut seat = redis::cmd("HSET");
    seat.arg("{k}:seats").arg(&gone);
    seat.arg("99999999999999 1 2000 0 bell:gone");
    let mut connection = server.connection().await;
    seat.exec_async(&mut connection).await.expect("answered");
    drop(has(reader(&locker)).await);
    drop(second);
}

#[tokio::test]
async fn a_writer_among_readers_that_never_stop_has_its_turn() {
    const BODY: Duration = Duration::from_millis(100);
    let (server, locker) = redis().await;
    let mut readers = Vec::new();
    for number in 0..6 {
        let locker = locker_at(&server.url()).await;
        readers.push(tokio::spawn(async move {
            loop {
                let request = reader(&locker);
                let request = match number % 2 {
                    0 => request.wait(LIMIT),
                    // These don't wait.
                    _ => request.retries(1_000_000).backoff(Duration::from_millis(1)),
                };
                request
                    .run(tokio::time::sleep(BODY))
                    .await
                    .expect("its turn");
            }
        }));
        tokio::time::sleep(BODY / 6).await;
    }
    for _ in 0..5 {
        let start = Instant::now();
        let writer = has(whole(&locker).wait(LIMIT)).await;
        let waited = start.elapsed();
        assert!(waited < 2 * BODY, "waited {waited:?}");
        writer.release().await.expect("ours");
        tokio::time::sleep(BODY).await;
    }
    readers.iter().for_each(JoinHandle::abort);
}

#[tokio::test]
async fn a_place_that_is_removed_is_lost_and_the_others_are_not() {
    let (server, locker) = redis().await;
    let request = permit(&locker, 2).ttl(BRIEF * 3).renew();
    let lost = has(request).await;
    let request = permit(&locker, 2).ttl(BRIEF * 3).renew();
    let stays = has(request).await;
    let all = places(&server).await;
    let (value, _) = all
        .iter()
        .find(|(value, _)| value.starts_with(lost.token()))
        .expect("it has a place");
    let _: i64 = ask(&server, &format!("ZREM k {value}")).await;
    assert_eq!(lost.lost().await, LostReason::Deleted);
    let error = lost.release().await.expect_err("it is gone");
    let LockError::NotHeld { taken_over, .. } = error else {
        panic!("{error}");
    };
    assert!(!taken_over);
    tokio::time::sleep(BRIEF * 3).await;
    assert!(stays.is_held());
    server.set_px("k", "theirs", 60_000).await;
    assert_eq!(stays.lost().await, LostReason::TakenOver);
    let error = stays.release().await.expect_err("someone else's");
    assert!(matches!(
        error,
        LockError::NotHeld {
            taken_over: true,
            ..
        }
    ));
    assert_eq!(server.get("k").await.as_deref(), Some("theirs"));
}

#[tokio::test]
async fn renewed_places_are_not_registered_and_ring_nobody() {
    let (server, locker) = redis().await;
    let mut held = Vec::new();
    for _ in 0..20 {
        let request = reader(&locker).ttl(BRIEF * 2).renew();
        held.push(has(request).await);
    }
    let (_writers, _writer) = joins(&server, 0, whole).await;
    tokio::time::sleep(BRIEF).await;
    server.reset_stats().await;
    let seconds = 2;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let calls = server.command_calls().await;
    // Each is extended after a quarter of its ttl; the writer looks when the last of them would end.
    let most = 20 * seconds * 1000 / 150 + 20 + seconds * 5;
    assert!(calls["evalsha"] <= most, "{calls:?}, at most {most}");
    assert!(held.iter().all(|guard| guard.is_held()));
}

#[tokio::test]
async fn a_place_kept_for_min_hold_is_found_by_nothing_that_comes_late() {
    let (server, locker) = redis().await;
    let guard = has(permit(&locker, 2).min_hold(TTL / 2)).await;
    let lease = guard.lease();
    let value = places(&server).await[0].0.clone();
    guard.release().await.expect("ours");
    assert!(!lease.is_held());
    let kept = places(&server).await;
    assert_eq!(kept[0].0, format!("~{value}"));
    let left = kept[0].1 - micros(&server).await;
    assert!(left <= 30_000_000 && left > 20_000_000, "{left}");
    let second = has(permit(&locker, 2)).await;
    let error = busy(permit(&locker, 2)).await.to_string();
    assert!(error.contains("(2 places) hold it"), "{error}");
    drop(second);
}

#[tokio::test]
async fn a_user_who_may_not_set_an_expiry_leaves_no_set_without_one() {
    let server = Server::start().await;
    let locker = locker_at(&server.url()).await;
    for missing in ["pexpireat", "zadd", "time", "zscore"] {
        let rules = format!("ACL SETUSER default on nopass ~* &* +@all -{missing}");
        let _: String = ask(&server, &rules).await;
        for request in [permit(&locker, 2), reader(&locker).wait(BRIEF)] {
            let error = request.acquire().await.expect_err("no right");
            assert!(error.is_backend(), "{missing}: {error}");
        }
        let _: String = ask(&server, "ACL SETUSER default on nopass ~* &* +@all").await;
        assert!(!server.exists("k").await, "{missing}");
    }
    // What is missing for places is not said of the line, which goes on.
    let held = has(whole(&locker)).await;
    let (_locker, waiter) = joins(&server, 0, whole).await;
    held.release().await.expect("ours");
    drop(comes_in(waiter).await);
}

#[tokio::test]
async fn a_full_memory_lets_a_place_be_extended_and_kept() {
    let (server, locker) = redis().await;
    let extended = has(permit(&locker, 4)).await;
    let kept = has(permit(&locker, 4).min_hold(TTL / 2)).await;
    let released = has(permit(&locker, 4)).await;
    let _: String = ask(&server, "CONFIG SET maxmemory 1").await;
    extended.extend(TTL * 2).await.expect("extended");
    kept.release().await.expect("kept");
    released.release().await.expect("released");
    let _: String = ask(&server, "CONFIG SET maxmemory 0").await;
    let held = places(&server).await;
    assert_eq!(held.len(), 2, "{held:?}");
    assert!(held[0].0.starts_with('~'), "{held:?}");
}

#[tokio::test]
async fn a_place_whose_answer_was_lost_is_one_place() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let locker = locker_at(&proxy.url()).await;
    has(permit(&locker, 2)).await.release().await.expect("ours");
    proxy.drop_next_answer(bulk("EVALSHA"), AfterLoss::Cut);
    let first = has(permit(&locker, 2)).await;
    assert_eq!(places(&server).await.len(), 1);
    let second = has(permit(&locker, 2)).await;
    proxy.drop_next_answer(bulk("EVALSHA"), AfterLoss::Cut);
    first.release().await.expect("ours");
    assert_eq!(places(&server).await.len(), 1);
    drop(second);
}

/// Found by the simulation: the first of the line knew when the place that was given back would have
/// ended, and looked again only after its five seconds.
#[tokio::test]
async fn who_waits_comes_in_when_the_places_that_are_left_have_ended() {
    let (_server, on_redis) = redis().await;
    for locker in [on_redis, Locker::in_memory()] {
        for keeps in [false, true] {
            for (count, wants) in [(1, None), (2, Some(2))] {
                let released = has(permit(&locker, 4)).await;
                for _ in 0..count {
                    let dies = permit(&locker, 4).ttl(BRIEF * 4);
                    let dies = if keeps {
                        dies.ttl(TTL).min_hold(BRIEF * 4)
                    } else {
                        dies
                    };
                    let guard = has(dies).await;
                    if keeps {
                        guard.release().await.expect("ours");
                    } else {
                        std::mem::forget(guard);
                    }
                }
                let waiter = match wants {
                    None => whole(&locker),
                    Some(number) => permit(&locker, number),
                };
                let began = Instant::now();
                let waiter = tokio::spawn(waiter.wait(LIMIT).acquire());
                tokio::time::sleep(BRIEF / 3).await;
                released.release().await.expect("ours");
                let guard = comes_in(waiter).await;
                let took = began.elapsed();
                assert!(
                    took < Duration::from_secs(4),
                    "{took:?}, {wants:?}, {keeps}"
                );
                guard.release().await.expect("ours");
                let all = has(whole(&locker).wait(LIMIT)).await;
                all.release().await.expect("ours");
            }
        }
    }
}

/// Found by the simulation: where the last place had ended, and the key went to one who waited for all
/// of it, the script of the one who came failed, and ended its wait.
#[tokio::test]
async fn who_passes_a_key_on_to_a_writer_waits_behind_it() {
    let (server, locker) = redis().await;
    for _ in 0..20 {
        let ended = has(permit(&locker, 2).ttl(BRIEF / 3)).await;
        let (writers, writer) = joins(&server, 0, whole).await;
        let readers = locker_at(&server.url()).await;
        let waiting = (0..40).map(|_| {
            let readers = readers.clone();
            tokio::spawn(async move {
                loop {
                    match reader(&readers).acquire().await {
                        Ok(guard) => break drop(guard),
                        Err(error) if error.is_busy() => tokio::task::yield_now().await,
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        });
        let waiting: Vec<_> = waiting.collect();
        std::mem::forget(ended);
        comes_in(writer).await.release().await.expect("ours");
        for waiting in waiting {
            waiting.await.expect("no other error");
        }
        for locker in [writers, readers] {
            locker.shutdown().await;
        }
    }
}

#[tokio::test]
async fn many_readers_of_a_process_come_in_behind_a_writer() {
    const READERS: usize = 300;
    let (server, locker) = redis().await;
    let writer = has(whole(&locker)).await;
    let readers = locker_at(&server.url()).await;
    let mut waiting = Vec::new();
    for _ in 0..READERS {
        waiting.push(tokio::spawn(reader(&readers).wait(LIMIT).acquire()));
    }
    until_waiting(&server, 1).await;
    writer.release().await.expect("ours");
    let mut inside = Vec::new();
    for waiter in waiting {
        inside.push(comes_in(waiter).await);
    }
    assert_eq!(places(&server).await.len(), READERS);
    drop(inside);
    readers.shutdown().await;
    assert!(!server.exists("k").await);
}

#[tokio::test]
async fn a_thousand_readers_of_a_process_come_in_within_a_few_round_trips() {
    const READERS: usize = 1000;
    const WAY: Duration = Duration::from_millis(50);
    let (server, locker) = redis().await;
    let writer = has(whole(&locker)).await;
    let proxy = server.proxy().await;
    let readers = locker_at(&proxy.url()).await;
    let mut waiting = Vec::new();
    for _ in 0..READERS {
        waiting.push(tokio::spawn(reader(&readers).wait(LIMIT).acquire()));
    }
    until_waiting(&server, 1).await;
    proxy.delay_answers(WAY);
    let start = Instant::now();
    writer.release().await.expect("ours");
    let mut inside = Vec::new();
    for waiter in waiting {
        inside.push(comes_in(waiter).await);
    }
    let took = start.elapsed();
    // One after the other, it would be a thousand ways.
    assert!(took < WAY * 80, "{took:?}");
    proxy.delay_answers(Duration::ZERO);
    assert_eq!(places(&server).await.len(), READERS);
    // Behind a writer that waits, none of them is left to itself.
    let writer = tokio::spawn(whole(&readers).wait(LIMIT).acquire());
    until_waiting(&server, 1).await;
    let last = tokio::spawn(reader(&readers).wait(LIMIT).acquire());
    drop(inside);
    drop(comes_in(writer).await);
    drop(comes_in(last).await);
}

#[tokio::test]
async fn more_than_one_script_lets_in_are_in_soon() {
    const PROCESSES: usize = 70;
    let (server, locker) = redis().await;
    let writer = has(whole(&locker)).await;
    let mut waiting = Vec::new();
    for number in 0..PROCESSES {
        waiting.push(joins(&server, number, reader).await);
    }
    let start = Instant::now();
    writer.release().await.expect("ours");
    let mut lockers = Vec::new();
    let mut inside = Vec::new();
    for (locker, waiter) in waiting {
        inside.push(comes_in(waiter).await);
        lockers.push(locker);
    }
    // Not at the next look of those who are left, after 5 s.
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(places(&server).await.len(), PROCESSES);
}

#[tokio::test]
async fn all_holders_of_a_key_are_told() {
    let (server, locker) = redis().await;
    for locker in [locker, Locker::in_memory()] {
        let holders = async || {
            let holders = locker.holders("k").await.expect("answered");
            let left = holders.iter().map(|holder| holder.left.expect("it ends"));
            let mut seconds = left.map(|left| left.as_secs().div_ceil(10) * 10);
            assert!(holders.iter().all(|holder| holder.owner.is_some()));
            seconds.by_ref().collect::<Vec<_>>()
        };
        assert_eq!(holders().await, []);
        let one = has(whole(&locker)).await;
        assert_eq!(holders().await, [60]);
        one.release().await.expect("ours");
        let long = has(permit(&locker, 3).ttl(TTL * 2)).await;
        let short = has(permit(&locker, 3)).await;
        let kept = permit(&locker, 3).ttl(TTL / 2).min_hold(TTL / 3);
        has(kept).await.release().await.expect("ours");
        std::mem::forget(has(permit(&locker, 4).ttl(BRIEF / 10)).await);
        until(LIMIT, "one has ended", async || {
            holders().await == [20, 60, 120]
        })
        .await;
        for guard in [long, short] {
            guard.release().await.expect("ours");
        }
        let error = locker.holders("").await.expect_err("no key");
        assert!(matches!(error, LockError::InvalidRequest { .. }), "{error}");
    }
    let foreign = locker_at(&server.url()).await;
    for write in [
        "SET f ann PX 60000",
        "SET f ann",
        "ZADD s 1 ann",
        "ZADD s 5 bob",
    ] {
        let _: redis::Value = ask(&server, write).await;
        for key in ["f", "s"] {
            let holders = foreign.holders(key).await.expect("answered");
            assert!(holders.iter().all(|holder| holder.owner.is_none()));
            assert!(holders.len() <= 1 && (key == "s" || holders.len() == 1));
        }
    }
}

/// For `docs/benchmarks.md`: what a place costs the server, by its own count.
#[tokio::test]
#[ignore = "prints figures: `cargo test --test places -- --ignored --nocapture`"]
async fn how_long_the_server_takes_for_a_place() {
    const TURNS: u32 = 2_000;
    let (server, locker) = redis().await;
    let micros_a_call = async || {
        let info: String = ask(&server, "INFO commandstats").await;
        let stats = info
            .lines()
            .find_map(|line| line.strip_prefix("cmdstat_evalsha:"));
        let stats = stats.expect("scripts were run");
        let each = stats
            .split(',')
            .find_map(|stat| stat.strip_prefix("usec_per_call="));
        each.expect("it is told").to_owned()
    };
    let acquire = async || has(reader(&locker)).await;
    acquire().await.release().await.expect("ours");
    server.reset_stats().await;
    for _ in 0..TURNS {
        has(whole(&locker)).await.release().await.expect("ours");
    }
    println!("the release of a plain lock: {}", micros_a_call().await);
    let mut held = Vec::new();
    for others in [0, 1, 100, 1_000] {
        while held.len() < others {
            held.push(acquire().await);
        }
        let mut turns = Vec::new();
        server.reset_stats().await;
        for _ in 0..TURNS {
            acquire().await.release().await.expect("ours");
        }
        turns.push(("acquire and release, each", micros_a_call().await));
        let one = acquire().await;
        server.reset_stats().await;
        for _ in 0..TURNS {
            one.extend(TTL).await.expect("ours");
        }
        turns.push(("extend", micros_a_call().await));
        server.reset_stats().await;
        for _ in 0..TURNS {
            busy(permit(&locker, 2)).await;
        }
        turns.push(("busy", micros_a_call().await));
        server.reset_stats().await;
        for _ in 0..TURNS / 10 {
            locker.holders("k").await.expect("told");
        }
        turns.push(("holders", micros_a_call().await));
        one.release().await.expect("ours");
        println!("{others} others: {turns:?}");
    }
}
