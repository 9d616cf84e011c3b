//! Random bytes for several names, by one call of the system: a call for each was a fortieth of the
//! time of an uncontended lock, and more of the processor's where many tasks lock.
//!
//! What is in stock must not be given out twice by copies of this process. A child by `fork` has the
//! stock of the thread that forked, but cannot go on in its parent's runtime, and what is in stock
//! is for one runtime. Of a machine that is started twice from one snapshot, no process can tell; so
//! a stock is thrown away after a millisecond. Both copies then have in common what they were about
//! to do at the moment of the snapshot, as if they had drawn just before.

use std::cell::RefCell;
use std::time::Duration;

use rand::Rng as _;
use tokio::runtime::Id;
use tokio::time::Instant;

use super::{NAME_LEN, draw};

/// How many names a stock is for.
const NAMES: usize = 16;
/// How long it may be used.
const FRESH: Duration = Duration::from_millis(1);

thread_local! {
    static STOCK: RefCell<Stock> = const { RefCell::new(Stock::empty()) };
}

struct Stock {
    bytes: [[u8; NAME_LEN]; NAMES],
    left: usize,
    /// When it was drawn, and for which runtime.
    drawn: Option<(Instant, Id)>,
}

/// Bytes that were drawn at most a millisecond before `now`.
pub(super) fn take(now: Instant, runtime: Id) -> [u8; NAME_LEN] {
    STOCK.with_borrow_mut(|stock| stock.take(now, runtime))
}

impl Stock {
    const fn empty() -> Self {
        Self {
            bytes: [[0; NAME_LEN]; NAMES],
            left: 0,
            drawn: None,
        }
    }

    fn take(&mut self, now: Instant, runtime: Id) -> [u8; NAME_LEN] {
        let is_fresh = self.drawn.is_some_and(|(since, whose)| {
            whose == runtime && now.saturating_duration_since(since) < FRESH
        });
        if !is_fresh || self.left == 0 {
            // More than one only where the last did not do for a millisecond: drawing more takes
            // longer, which one who seldom locks need not wait for.
            self.left = if is_fresh { NAMES } else { 1 };
            self.drawn = Some((now, runtime));
            let drawn = self.bytes[..self.left].as_flattened_mut();
            draw(|source| source.fill_bytes(drawn));
        }
        self.left -= 1;
        self.bytes[self.left]
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tokio::runtime::{Builder, Handle};

    use super::*;

    fn in_stock() -> usize {
        STOCK.with_borrow(|stock| stock.left)
    }

    /// Takes names until more than one is in stock.
    fn fill(now: Instant) {
        let here = Handle::current().id();
        while in_stock() < 2 {
            take(now, here);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_seldom_draws_draws_no_more_than_one() {
        let now = Instant::now();
        let here = Handle::current().id();
        for round in 0..3 {
            take(now + round * FRESH, here);
            assert_eq!(in_stock(), 0);
        }
        take(now + 2 * FRESH, here);
        assert_eq!(in_stock(), NAMES - 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stock_is_thrown_away_after_a_millisecond() {
        let now = Instant::now();
        fill(now);
        take(now + FRESH, Handle::current().id());
        assert_eq!(in_stock(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stock_is_for_one_runtime() {
        let now = Instant::now();
        fill(now);
        let other = Builder::new_current_thread().build().expect("a runtime");
        take(now, other.handle().id());
        assert_eq!(in_stock(), 0);
        other.shutdown_background();
    }

    #[tokio::test(start_paused = true)]
    async fn a_stock_is_for_one_thread() {
        fill(Instant::now());
        let elsewhere = thread::spawn(in_stock).join().expect("no panic");
        assert_eq!(elsewhere, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_given_out_twice() {
        let (now, here) = (Instant::now(), Handle::current().id());
        let mut all: Vec<_> = (0..1_000).map(|_| take(now, here)).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 1_000);
        assert!(!all.contains(&[0; NAME_LEN]));
    }
}
