//! Tests as a user of `redis-locked` writes them. With `start_paused`, tokio's clock stands still
//! and jumps to the next timer when nothing else is to do: seconds and hours take no time, and what
//! happens when is exact.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis_locked::Locker;
use redis_locked_recipe_testing::{Bank, Shop, empty_cache};
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

/// A bank that takes this long, and remembers when it began and when it was done with what.
struct SlowBank {
    takes: Duration,
    since: Instant,
    begun: Mutex<Vec<(u64, Duration)>>,
    done: Mutex<Vec<(u64, Duration)>>,
}

impl SlowBank {
    fn taking(takes: Duration) -> Self {
        Self {
            takes,
            since: Instant::now(),
            begun: Mutex::default(),
            done: Mutex::default(),
        }
    }

    fn note(&self, log: &Mutex<Vec<(u64, Duration)>>, order: u64) {
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        log.push((order, self.since.elapsed()));
    }
}

/// What is in such a log: orders, and after how many whole seconds.
fn seconds(log: &Mutex<Vec<(u64, Duration)>>) -> Vec<(u64, u64)> {
    let log = log.lock().unwrap_or_else(PoisonError::into_inner);
    log.iter()
        .map(|(order, at)| (*order, at.as_secs()))
        .collect()
}

impl Bank for SlowBank {
    async fn charge(&self, order: u64) {
        self.note(&self.begun, order);
        sleep(self.takes).await;
        self.note(&self.done, order);
    }
}

fn shop(bank_takes: Duration) -> Shop<SlowBank> {
    Shop::new(Locker::in_memory(), SlowBank::taking(bank_takes))
}

#[tokio::test(start_paused = true)]
async fn an_order_is_busy_while_it_is_charged() {
    let shop = shop(2 * SECOND);
    let (first, second, other) = tokio::join!(shop.charge(7), shop.charge(7), shop.charge(8));
    first.expect("charged");
    let busy = second.expect_err("charged twice at a time");
    assert!(busy.is_busy());
    assert_eq!(busy.key(), Some("order:7"));
    assert_eq!(busy.retry_after(), Some(5 * SECOND)); // the holder's ttl
    other.expect("another order has another key");
    assert_eq!(seconds(&shop.bank().begun), [(7, 0), (8, 0)]);

    shop.charge(7).await.expect("free again");
}

#[tokio::test(start_paused = true)]
async fn those_with_patience_try_again_after_each_pause() {
    let shop = shop(2 * SECOND + SECOND / 2);
    let (first, second) = tokio::join!(shop.charge(7), shop.charge_soon(7));
    first.expect("charged");
    second.expect("on the third retry, for the first was done after 2.5 s");
    assert_eq!(seconds(&shop.bank().begun), [(7, 0), (7, 3)]);

    let slow = self::shop(4 * SECOND);
    let (first, second) = tokio::join!(slow.charge(7), slow.charge_soon(7));
    first.expect("charged");
    assert!(second.expect_err("three retries end after 3 s").is_busy());
    assert_eq!(seconds(&slow.bank().begun), [(7, 0)]);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_come_in_the_order_in_which_they_came() {
    let shop = shop(2 * SECOND);
    let ended = Mutex::new(Vec::new());
    let in_turn = async |name: &'static str| {
        shop.charge_in_turn(7).await.expect("its turn comes");
        let mut ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.push(name);
    };
    // `join!` begins with the first.
    tokio::join!(in_turn("anna"), in_turn("ben"), in_turn("cleo"));
    assert_eq!(*ended.lock().expect("whole"), ["anna", "ben", "cleo"]);
    assert_eq!(seconds(&shop.bank().begun), [(7, 0), (7, 2), (7, 4)]);
}

#[tokio::test(start_paused = true)]
async fn a_bank_that_takes_too_long_is_cut_off_at_the_deadline() {
    let shop = shop(60 * SECOND);
    let lost = shop.charge(7).await.expect_err("longer than the ttl");
    assert!(lost.is_lost(), "{lost}");
    // The deadline is a little before the end of the ttl.
    assert_eq!(shop.bank().since.elapsed().as_secs(), 4);
    assert_eq!(seconds(&shop.bank().done), []);
    sleep(120 * SECOND).await;
    assert_eq!(seconds(&shop.bank().done), [], "it went on in secret");
}

#[tokio::test(start_paused = true)]
async fn subscribers_are_charged_once_a_day_on_all_machines() {
    // Two shops that share a locker are two machines that share a Redis.
    let locker = Locker::in_memory();
    let machine = || Shop::new(locker.clone(), SlowBank::taking(SECOND));
    let (first, second) = (machine(), machine());

    assert_eq!(first.charge_subscribers(1).await.ok(), Some(true));
    // Long done, but the other clock is ten minutes late.
    sleep(600 * SECOND).await;
    assert_eq!(second.charge_subscribers(1).await.ok(), Some(false));
    assert_eq!(second.charge_subscribers(2).await.ok(), Some(true));

    assert_eq!(seconds(&first.bank().begun).len(), 1);
    assert_eq!(seconds(&second.bank().begun).len(), 1);
    // What `min_hold` does not do is remember: after the hour, the day would be run again.
    sleep(3600 * SECOND).await;
    assert_eq!(second.charge_subscribers(1).await.ok(), Some(true));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_frees_its_order() {
    let shop = shop(4 * SECOND);
    let (given_up, second) = tokio::join!(timeout(SECOND, shop.charge(7)), shop.charge(7));
    given_up.expect_err("it takes longer");
    assert!(second.expect_err("still held").is_busy());
    // It is released in the background: retry rather than count on it.
    shop.charge_soon(7).await.expect("free again");
    assert_eq!(seconds(&shop.bank().begun), [(7, 0), (7, 1)]);
}

/// Fails at the first order.
#[derive(Default)]
struct BrokenBank(Mutex<u32>);

impl Bank for BrokenBank {
    async fn charge(&self, _order: u64) {
        sleep(SECOND).await;
        let mut charged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *charged += 1;
        assert!(*charged > 1, "the bank is closed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_frees_the_order() {
    let shop = Arc::new(Shop::new(Locker::in_memory(), BrokenBank::default()));
    let task = tokio::spawn({
        let shop = shop.clone();
        async move { shop.charge(7).await }
    });
    tokio::task::yield_now().await; // it begins
    assert!(shop.charge(7).await.expect_err("held").is_busy());
    assert!(task.await.expect_err("the first fails").is_panic());
    let start = Instant::now();
    shop.charge_soon(7).await.expect("free again");
    assert!(start.elapsed() < 3 * SECOND, "only when the ttl was over");
}

#[tokio::test(start_paused = true)]
async fn functions_that_name_no_locker_use_that_of_their_scope() {
    let locker = Locker::in_memory();
    assert_eq!(locker.scope(empty_cache(3)).await, Some(3));

    // A test can be the other holder itself.
    let held = locker.lock("cache").acquire().await.expect("free");
    assert_eq!(locker.scope(empty_cache(3)).await, None);
    assert_eq!(Locker::in_memory().scope(empty_cache(3)).await, Some(3));
    held.release().await.expect("held");
    assert_eq!(locker.scope(empty_cache(3)).await, Some(3));
}
