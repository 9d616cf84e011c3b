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
    pub(super) dropping: bool,
}

pub(super) struct Lane {
    pub(super) rules: watch::Sender<Rules>,
    pub(super) arrived: Log,
    pub(super) passed: Log,
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
