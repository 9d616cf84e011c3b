//! What has changed between two looks.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::lock::{Id, Lock};

/// How long a change is marked.
const SHOWN: Duration = Duration::from_secs(5);

/// A time left that grew by less than this has not been extended: the clocks are not that even.
const JITTER: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    New,
    OtherHolder,
    Extended,
    Gone,
}

impl Mark {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::OtherHolder => "other holder",
            Self::Extended => "extended",
            Self::Gone => "gone",
        }
    }

    /// Tells the marks apart without colour.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::New => "+",
            Self::OtherHolder => "~",
            Self::Extended => "^",
            Self::Gone => "-",
        }
    }
}

/// A lock as it was seen, and what changed with it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) lock: Lock,
    change: Option<(Mark, Instant)>,
}

/// All locks that are held, or were a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    seen: BTreeMap<Id, Seen>,
    /// The last look; `None` before the first, when nothing is news.
    last: Option<Instant>,
    fresh: Vec<(Mark, Lock)>,
}

impl Seen {
    pub(crate) fn mark(&self, now: Instant) -> Option<Mark> {
        let (mark, since) = self.change?;
        (now < since + SHOWN).then_some(mark)
    }

    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.change, Some((Mark::Gone, _)))
    }

    /// What is left at most of what was left when it was seen.
    pub(crate) fn left(&self, now: Instant) -> Option<Duration> {
        let passed = now.saturating_duration_since(self.lock.reading.answered);
        Some(self.lock.left?.saturating_sub(passed))
    }

    fn change_to(&self, lock: &Lock) -> Option<Mark> {
        if self.is_gone() {
            return Some(Mark::New);
        }
        if self.lock.token != lock.token {
            return Some(Mark::OtherHolder);
        }
        // Its time was not read before it was asked for, however late the answer is.
        let expected = self.left(lock.reading.asked)?;
        let is_extended = lock.left.is_none_or(|left| left > expected + JITTER);
        is_extended.then_some(Mark::Extended)
    }
}

impl Changes {
    /// Takes note of a look.
    pub(crate) fn see(&mut self, locks: Vec<Lock>, now: Instant) {
        let is_first = self.last.replace(now).is_none();
        self.fresh.clear();
        let mut before = std::mem::take(&mut self.seen);
        for lock in locks {
            let known = before.remove(&lock.id());
            let change = match &known {
                Some(known) => known.change_to(&lock),
                None => (!is_first).then_some(Mark::New),
            };
            if let Some(mark) = change {
                self.fresh.push((mark, lock.clone()));
            }
            let earlier = known
                .and_then(|known| known.change)
                .filter(|(mark, _)| *mark != Mark::Gone);
            let change = change.map(|mark| (mark, now)).or(earlier);
            self.seen.insert(lock.id(), Seen { lock, change });
        }
        for (id, mut gone) in before {
            if !gone.is_gone() {
                self.fresh.push((Mark::Gone, gone.lock.clone()));
                gone.lock.left = Some(Duration::ZERO);
                gone.change = Some((Mark::Gone, now));
            }
            if gone.mark(now).is_some() {
                self.seen.insert(id, gone);
            }
        }
    }

    /// What the last look brought.
    pub(crate) fn fresh(&self) -> &[(Mark, Lock)] {
        &self.fresh
    }

    pub(crate) fn seen(&self) -> impl Iterator<Item = &Seen> {
        self.seen.values()
    }

    pub(crate) fn last(&self) -> Option<Instant> {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::Reading;

    const SECOND: Duration = Duration::from_secs(1);

    /// As it is read when it was asked for at the first instant and the answer came at the second.
    fn read(key: &str, token: &str, left: u64, asked: Instant, answered: Instant) -> Lock {
        let left = Some(Duration::from_secs(left));
        let reading = Reading { asked, answered };
        Lock::read(key.into(), token.as_bytes(), left, reading)
    }

    fn lock(key: &str, token: &str, left: u64, at: Instant) -> Lock {
        read(key, token, left, at, at)
    }

    fn marks(changes: &Changes) -> Vec<(Mark, &str)> {
        let fresh = changes.fresh().iter();
        fresh
            .map(|(mark, lock)| (*mark, lock.key.as_str()))
            .collect()
    }

    #[test]
    fn the_first_look_is_no_news() {
        let mut changes = Changes::default();
        let now = Instant::now();
        changes.see(vec![lock("a", "t", 30, now)], now);
        assert_eq!(marks(&changes), []);
    }

    #[test]
    fn each_kind_of_change_is_told_apart_and_told_once() {
        let mut changes = Changes::default();
        let start = Instant::now();
        let first = vec![
            lock("extended", "t", 30, start),
            lock("gone", "t", 30, start),
            lock("other", "t", 30, start),
            lock("same", "t", 30, start),
        ];
        changes.see(first, start);
        let later = start + SECOND;
        let second = vec![
            lock("extended", "t", 30, later),
            lock("new", "t", 30, later),
            lock("other", "u", 29, later),
            lock("same", "t", 29, later),
        ];
        changes.see(second.clone(), start + SECOND);
        assert_eq!(
            marks(&changes),
            [
                (Mark::Extended, "extended"),
                (Mark::New, "new"),
                (Mark::OtherHolder, "other"),
                (Mark::Gone, "gone"),
            ]
        );
        changes.see(second, start + SECOND);
        assert_eq!(marks(&changes), []);
        let shown = changes.seen().filter_map(|seen| seen.mark(start + SECOND));
        assert_eq!(shown.count(), 4);
    }

    #[test]
    fn marks_fade_and_what_is_gone_leaves_the_screen() {
        let mut changes = Changes::default();
        let start = Instant::now();
        changes.see(vec![lock("a", "t", 30, start)], start);
        changes.see(Vec::new(), start + SECOND);
        assert_eq!(changes.seen().count(), 1);
        changes.see(Vec::new(), start + 2 * SECOND + SHOWN);
        assert_eq!(changes.seen().count(), 0);
        changes.see(
            vec![lock("a", "t", 30, start + 3 * SECOND + SHOWN)],
            start + 3 * SECOND + SHOWN,
        );
        assert_eq!(marks(&changes), [(Mark::New, "a")]);
    }

    #[test]
    fn a_key_that_came_back_while_its_end_was_shown_is_new() {
        let mut changes = Changes::default();
        let start = Instant::now();
        changes.see(vec![lock("a", "t", 30, start)], start);
        changes.see(Vec::new(), start + SECOND);
        changes.see(
            vec![lock("a", "u", 30, start + 2 * SECOND)],
            start + 2 * SECOND,
        );
        assert_eq!(marks(&changes), [(Mark::New, "a")]);
        assert!(changes.seen().all(|seen| !seen.is_gone()));
    }

    #[test]
    fn an_answer_that_comes_late_extends_nothing() {
        let start = Instant::now();
        let times = [(0, 0), (1, 5), (6, 6), (7, 7)].map(|(asked, answered)| {
            let at = |seconds: u32| start + seconds * SECOND;
            (at(asked), at(answered))
        });
        // The second was read at once, as early as it was asked for, or as late as it was answered.
        for second in [29, 25] {
            let mut changes = Changes::default();
            for ((asked, answered), left) in times.into_iter().zip([30, second, 24, 30]) {
                assert_eq!(marks(&changes), [], "{second}");
                changes.see(vec![read("a", "t", left, asked, answered)], answered);
            }
            assert_eq!(marks(&changes), [(Mark::Extended, "a")]);
        }
    }

    #[test]
    fn the_time_left_runs_on_between_looks() {
        let mut changes = Changes::default();
        let start = Instant::now();
        changes.see(vec![lock("a", "t", 30, start)], start);
        let left = changes
            .seen()
            .next()
            .and_then(|seen| seen.left(start + SECOND));
        assert_eq!(left, Some(29 * SECOND));
    }
}
