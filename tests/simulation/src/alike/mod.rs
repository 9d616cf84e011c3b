//! Whether the store in memory and the scripts on Redis answer alike.
//!
//! Both are asked the same, one thing after the other. Where they may differ, and why:
//!
//! - An attempt that is plain asks Redis for nothing but the key: it is not told who holds it. Nor is
//!   it asked for a key that has its own value, so that is not compared.
//! - Only a watching attempt is told by Redis when the key is free; the memory store tells everyone.
//! - Redis counts whole milliseconds, and rounds a duration up to one: a key may live there up to a
//!   millisecond longer, never shorter.
//! - The memory store has one counter for all keys' numbers. On both, they grow.
//! - Places in the line have numbers that mean something to their store only.
//! - The memory store counts a lock that it passes on from that moment, Redis from the last look.

mod direct;
mod ground;
mod line;
mod seen;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::timeout;

pub use ground::Ground;
use ground::Side;
use line::Waiting;
use seen::{Numbers, Seen};

use crate::kind::Kind;
use crate::store::{Alert, Asking, Entry, KEPT, Released};

/// Something that both stores are told.
#[derive(Debug, Clone)]
pub enum Step {
    Acquire {
        owned: Owned,
        asking: Ask,
        /// Whether a fencing number is wanted.
        numbered: bool,
        time: Time,
    },
    Release {
        owned: Owned,
        keep: Option<Time>,
    },
    Extend(Vec<(Owned, Time)>),
    /// One who waits looks, and takes a seat in the line; maybe at the place that it has had.
    Look {
        owned: Owned,
        numbered: bool,
        time: Time,
        coalesce: bool,
        again: bool,
    },
    /// So many units of time pass.
    Pass(u32),
}

/// One of a few keys, and one of a few values that it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owned {
    pub key: usize,
    pub value: usize,
}

/// So many units and a half, and if that is wanted, a part of a millisecond.
#[derive(Debug, Clone, Copy)]
pub struct Time {
    pub units: u32,
    pub odd: bool,
}

/// What an attempt asks for.
#[derive(Debug, Clone, Copy)]
pub enum Ask {
    Plain,
    WhoHolds,
    Again,
    Watching,
}

pub const KEYS: usize = 3;
pub const VALUES: usize = 8;
/// Behind those, values of which each is of one key only, as they are in a line: of each kind some.
pub const WAITING: usize = 9;
const RING_LIMIT: Duration = Duration::from_secs(10);

/// Values of this library and of others; some begin like those of keys that are kept.
fn value(Owned { key, value }: Owned) -> String {
    let token = "abcdefghij-_ABCDEFGHIJ";
    match value {
        0 => format!("{token};web-1:1"),
        1 => "0123456789-_ABCDEFGHIJ;web-2:1".to_owned(),
        2 => format!("~{token};web-1:1"),
        3 => format!("{token};größe\n\u{202e}{}", "ß".repeat(200)),
        4 => format!("{token};{}", "\u{1f512}".repeat(2000)),
        5 => String::new(),
        6 => "~".to_owned(),
        7 => "0".to_owned(),
        _ => {
            let letter = kind(value).letter();
            format!("{key:011}{value:011}{letter};web-{value}")
        }
    }
}

/// How the key is wanted with this value.
fn kind(value: usize) -> Kind {
    match value.checked_sub(VALUES) {
        None | Some(0..3) => Kind::Exclusive,
        Some(3..5) => Kind::Permits(2),
        Some(5) => Kind::Permits(3),
        Some(_) => Kind::Shared,
    }
}

fn entry(owned: Owned, numbered: bool) -> Arc<Entry> {
    let key = format!("key-{}", owned.key);
    Arc::new(Entry {
        counter: numbered.then(|| format!("{{{key}}}:fence")),
        record: None,
        key,
        value: value(owned),
        kind: kind(owned.value),
    })
}

impl Time {
    fn of(self, unit: Duration) -> Duration {
        let odd = Duration::from_micros(if self.odd { 300 } else { 0 });
        unit * self.units + unit / 2 + odd
    }
}

/// Asks both the same.
///
/// # Errors
/// With what differs.
pub fn compare(steps: &[Step], ground: &Ground) -> Result<(), String> {
    let mut pair = Pair::new(ground);
    for step in steps {
        pair.take(step)
            .map_err(|what| format!("{step:?}: {what}"))?;
    }
    Ok(())
}

struct Pair {
    ground: Ground,
    sides: [Side; 2],
    alerts: [Vec<Alert>; 2],
    numbers: [Numbers; 2],
    /// Keys whose next release rings.
    watched: BTreeSet<usize>,
    /// Who holds each key: the last to whom it was granted, who has not given it back.
    holders: BTreeSet<Owned>,
    waiting: [Waiting; 2],
}

impl Pair {
    fn new(ground: &Ground) -> Self {
        let sides = [Side::memory(), Side::redis(ground)];
        let alerts = [&sides[0], &sides[1]].map(|side| {
            let keys = (0..KEYS).map(|key| side.store.alert(&format!("key-{key}")));
            keys.collect()
        });
        Self {
            ground: ground.clone(),
            sides,
            alerts,
            numbers: Default::default(),
            watched: BTreeSet::new(),
            holders: BTreeSet::new(),
            waiting: Default::default(),
        }
    }

    fn take(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Acquire {
                owned,
                asking,
                numbered,
                time,
            } => self.acquire(*owned, *asking, *numbered, *time),
            Step::Release { owned, keep } => self.release(*owned, *keep),
            Step::Extend(batch) => self.extend(batch),
            Step::Look { .. } => self.look(step),
            Step::Pass(units) => {
                let time = self.ground.unit() * *units;
                self.sides.iter().for_each(|side| side.pass(time));
                self.watched.clear();
                Ok(())
            }
        }
    }

    fn acquire(
        &mut self,
        owned: Owned,
        ask: Ask,
        numbered: bool,
        time: Time,
    ) -> Result<(), String> {
        if matches!(ask, Ask::Plain) && self.holders.contains(&owned) {
            return Ok(());
        }
        let asking = match ask {
            Ask::Plain => Asking::Plain,
            Ask::WhoHolds => Asking::WhoHolds,
            Ask::Again => Asking::Again,
            Ask::Watching => Asking::Watching,
        };
        if asking == Asking::Watching {
            for alerts in &self.alerts {
                while alerts[owned.key].rung().now_or_never().is_some() {}
            }
        }
        let mut seen = Vec::new();
        for (side, numbers) in self.sides.iter().zip(&mut self.numbers) {
            let entry = entry(owned, numbered);
            let ttl = time.of(self.ground.unit());
            let acquiring = async { seen::acquired(side, entry, ttl, asking, numbers).await };
            seen.push(side.run(acquiring)?);
        }
        let tells = asking != Asking::Plain || numbered;
        Seen::compare(&self.sides, &seen, self.ground.slack(), tells)?;
        self.hear()?;
        match seen[0] {
            Seen::Granted => self.is_held_by(owned),
            _ if asking == Asking::Watching => {
                self.watched.insert(owned.key);
            }
            _ => {}
        }
        Ok(())
    }

    /// Whoever had the key before has lost it, unless several may have it.
    fn is_held_by(&mut self, owned: Owned) {
        let beside = |holder: &Owned| kind(holder.value).stands_beside(kind(owned.value));
        self.holders
            .retain(|holder| holder.key != owned.key || beside(holder));
        self.holders.insert(owned);
        self.watched.remove(&owned.key);
    }

    fn release(&mut self, owned: Owned, keep: Option<Time>) -> Result<(), String> {
        let mut seen = Vec::new();
        for side in &self.sides {
            let keep = keep.map(|keep| keep.of(self.ground.unit()));
            let release = || side.store.release(entry(owned, false), keep);
            seen.push(Seen::Released(side.run(async { release().await })));
        }
        Seen::compare(&self.sides, &seen, Duration::ZERO, true)?;
        let is_done = matches!(seen[0], Seen::Released(Ok(Released::Done)));
        if is_done && keep.is_some() {
            // The value that stays is that of somebody else, who may be one of ours.
            let kept = format!("{KEPT}{}", value(owned));
            let others = (0..VALUES).map(|value| Owned { value, ..owned });
            self.holders
                .extend(others.filter(|other| value(*other) == kept));
        }
        if self.holders.remove(&owned) && is_done && self.watched.remove(&owned.key) {
            for (side, alerts) in self.sides.iter().zip(&self.alerts) {
                let rung = async { timeout(RING_LIMIT, alerts[owned.key].rung()).await };
                let rung = side.run(rung);
                rung.map_err(|_| format!("{} does not ring", side.name))?;
            }
        }
        self.hear()
    }

    fn extend(&mut self, batch: &[(Owned, Time)]) -> Result<(), String> {
        let mut seen = Vec::new();
        for side in &self.sides {
            let entry =
                |(owned, time): &(Owned, Time)| (entry(*owned, false), time.of(self.ground.unit()));
            let batch = batch.iter().map(entry).collect();
            seen.push(side.run(async { seen::extended(side, batch).await })?);
        }
        Seen::compare(&self.sides, &seen, Duration::ZERO, true)?;
        for (owned, _) in batch {
            self.watched.remove(&owned.key);
        }
        Ok(())
    }
}
