//! One direction of a proxy: its rules, and what came and went.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// What happens to the bytes of one direction.
#[derive(Clone, Copy, Default)]
pub(super) struct Rules {
    pub(super) delay: Duration,
    pub(super) stalled: bool,
    /// The connections from this number to before that one are stalled, too.
    pub(super) stuck: (u64, u64),
    pub(super) dropping: bool,
}

pub(super) struct Lane {
    pub(super) rules: watch::Sender<Rules>,
    pub(super) arrived: Log,
    pub(super) passed: Log,
}

impl Rules {
    pub(super) fn stall(&self, connection: u64) -> bool {
        self.stalled || (self.stuck.0..self.stuck.1).contains(&connection)
    }
}

impl Lane {
    pub(super) fn new(word: &'static str) -> Self {
        Self {
            rules: watch::Sender::default(),
            arrived: Log::new(word),
            passed: Log::new(word),
        }
    }

    pub(super) fn set(&self, change: impl FnOnce(&mut Rules)) {
        self.rules.send_modify(change);
    }

    /// Waits until all that came on these connections has passed.
    ///
    /// # Panics
    /// If it has not when `limit` has passed.
    pub(super) async fn drained(&self, (from, to): (u64, u64), limit: Duration) {
        let mut passed = self.passed.bytes.subscribe();
        let length = |all: &BTreeMap<u64, Vec<u8>>, of: u64| all.get(&of).map_or(0, Vec::len);
        let drained = passed.wait_for(|passed| {
            let arrived = self.arrived.bytes.borrow();
            (from..to).all(|of| length(passed, of) >= length(&arrived, of))
        });
        let drained = timeout(limit, drained).await.is_ok();
        assert!(
            drained,
            "what was held back has not passed within {limit:?}"
        );
    }

    pub(super) fn forget(&self) {
        self.arrived.forget();
        self.passed.forget();
    }
}

/// The bytes of each connection: a pattern may come in two pieces.
pub(super) struct Log {
    word: &'static str,
    bytes: watch::Sender<BTreeMap<u64, Vec<u8>>>,
}

impl Log {
    fn new(word: &'static str) -> Self {
        Self {
            word,
            bytes: watch::Sender::default(),
        }
    }

    pub(super) fn add(&self, connection: u64, bytes: &[u8]) {
        self.bytes
            .send_modify(|all| all.entry(connection).or_default().extend_from_slice(bytes));
    }

    pub(super) fn count(&self, pattern: &[u8]) -> usize {
        count(&self.bytes.borrow(), pattern)
    }

    pub(super) async fn wait(&self, pattern: &[u8], limit: Duration) {
        let mut bytes = self.bytes.subscribe();
        let seen = bytes.wait_for(|all| count(all, pattern) > 0);
        let seen = timeout(limit, seen).await.is_ok();
        assert!(
            seen,
            "no {} with {:?} within {limit:?} in {:#?}",
            self.word,
            pattern.escape_ascii().to_string(),
            self.readable()
        );
    }

    fn forget(&self) {
        self.bytes.send_modify(BTreeMap::clear);
    }

    fn readable(&self) -> Vec<String> {
        let bytes = self.bytes.borrow();
        bytes
            .values()
            .map(|bytes| bytes.escape_ascii().to_string())
            .collect()
    }
}

fn count(all: &BTreeMap<u64, Vec<u8>>, pattern: &[u8]) -> usize {
    all.values()
        .flat_map(|bytes| bytes.windows(pattern.len()))
        .filter(|window| *window == pattern)
        .count()
}
