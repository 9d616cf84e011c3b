//! The record of a key's runs: what is kept of them beside the lock.

use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use super::value::{owner_of, shown};
use crate::token::FencingToken;

/// For clocks that are early, a period takes in those who come so much before it begins.
const EARLY_AT_MOST: Duration = Duration::from_secs(5);

/// What a request wants to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recording {
    /// At most one success in each of these.
    pub(crate) period: Option<Duration>,
    /// How long the record lives after a run began or ended.
    pub(crate) lifetime: Duration,
}

impl Recording {
    /// How much before a period begins a run counts to it.
    pub(crate) fn tolerance(&self) -> Duration {
        (self.period.unwrap_or_default() / 10).min(EARLY_AT_MOST)
    }
}

/// The record of one tenure: what it wants to be kept, and what is known of its run.
#[derive(Debug)]
pub(crate) struct Record {
    /// The record's key.
    pub(crate) key: String,
    pub(crate) wants: Recording,
    began: OnceLock<Began>,
    outcome: OnceLock<Outcome>,
}

/// A run, as the store began it. Its times are the server's, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Began {
    pub(crate) started: u64,
    /// The beginning of its period; zero without periods.
    pub(crate) period: u64,
    /// The fencing number, if one was drawn.
    pub(crate) fence: Option<u64>,
}

/// What a release writes about the run that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) began: Began,
    pub(crate) outcome: Outcome,
}

impl Record {
    pub(crate) fn new(key: String, wants: Recording) -> Self {
        Self {
            key,
            wants,
            began: OnceLock::new(),
            outcome: OnceLock::new(),
        }
    }

    /// The store has begun the run.
    pub(crate) fn begun(&self, began: Began) {
        // A tenure has one run: an answer that says so again says the same.
        let _ = self.began.set(began);
    }

    /// The run has ended so. Only the first word counts, and is true here: what follows the end of a body
    /// is no news.
    pub(crate) fn ended(&self, outcome: Outcome) -> bool {
        self.outcome.set(outcome).is_ok()
    }

    /// What is known of the run's end; nothing of one that nobody has had.
    pub(crate) fn ending(&self) -> Option<Ending> {
        Some(Ending {
            began: *self.began.get()?,
            outcome: *self.outcome.get()?,
        })
    }
}

/// What a request is told whose period has had its success.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    /// Who had it, fit to be shown.
    pub(crate) owner: String,
    /// How long ago that run ended.
    pub(crate) ago: Duration,
    /// How long it is until the next period begins.
    pub(crate) next: Duration,
}

impl Done {
    /// From what a record says of an owner.
    pub(crate) fn new(owner: &str, ago: Duration, next: Duration) -> Self {
        Self {
            owner: shown(owner),
            ago,
            next,
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// It came to its end, with a result that is a success.
    Ok,
    /// It came to its end, with an `Err`, or its guard said that it [failed](crate::LockGuard::fail).
    Error,
    /// It panicked.
    Panicked,
    /// It was cut off, as its lock was lost.
    CutOff,
    /// Its future, or its guard, was dropped before its end.
    Dropped,
}

impl Outcome {
    pub(crate) const ALL: [Self; 5] = [
        Self::Ok,
        Self::Error,
        Self::Panicked,
        Self::CutOff,
        Self::Dropped,
    ];

    /// The word for it in records and metrics: `ok`, `error`, `panicked`, `cut_off` or `dropped`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Panicked => "panicked",
            Self::CutOff => "cut_off",
            Self::Dropped => "dropped",
        }
    }

    fn named(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|outcome| outcome.as_str() == word)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What is known of a key's last run, from [`Locker::last_run`](crate::Locker::last_run). All times are
/// the server's, to the millisecond.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastRun {
    /// Who runs it, or ran it. Control characters are escaped, and the text is cut after 100
    /// characters.
    pub owner: String,
    /// When the server granted its lock.
    pub started: SystemTime,
    /// When its end was written; `None` if it runs, or died.
    pub ended: Option<SystemTime>,
    /// How it ended; `None` if it runs, or died.
    pub outcome: Option<Outcome>,
    /// Its fencing token, if its request was `fenced`.
    pub fencing_token: Option<FencingToken>,
    /// Whether it holds the lock. A run that has not ended and does not hold the lock has died, or
    /// has lost its lock and not ended yet.
    pub running: bool,
    /// When the last run that succeeded ended, this one or one before.
    pub last_success: Option<SystemTime>,
}

/// The fields of a record that tell of runs.
pub const FIELDS: [&str; 7] = [
    "run",
    "started",
    "ended",
    "owner",
    "outcome",
    "number",
    "success_at",
];

/// What a record with these values of [`FIELDS`] tells, while the lock's key has this value.
#[must_use]
pub fn last_run_of<'a>(
    values: impl IntoIterator<Item = Option<&'a str>>,
    holder: Option<&str>,
) -> Option<LastRun> {
    Kept::read(values).told(holder)
}

/// What is kept of a key's runs, as the stores have it.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// The run under way, and the value that it holds the key with.
    pub(crate) run: Option<(Began, String)>,
    /// The last run that ended, and its owner.
    pub(crate) last: Option<Last>,
    /// When the last success ended.
    pub(crate) success: Option<u64>,
}

#[derive(Debug, Clone)]
pub(crate) struct Last {
    pub(crate) began: Began,
    pub(crate) owner: String,
    pub(crate) ended: u64,
    pub(crate) outcome: Outcome,
}

impl Kept {
    /// What is told of it, while the lock's key has this value.
    pub(crate) fn told(self, holder: Option<&str>) -> Option<LastRun> {
        let last_success = self.success.map(time);
        let token = |began: &Began| began.fence.map(|number| FencingToken::new(number, 0));
        if let Some((began, value)) = &self.run {
            return Some(LastRun {
                owner: owner_of(value)?,
                started: time(began.started),
                ended: None,
                outcome: None,
                fencing_token: token(began),
                running: holder == Some(value),
                last_success,
            });
        }
        let last = self.last?;
        Some(LastRun {
            owner: shown(&last.owner),
            started: time(last.began.started),
            ended: Some(time(last.ended)),
            outcome: Some(last.outcome),
            fencing_token: token(&last.began),
            running: false,
            last_success,
        })
    }

    /// Reads what `record_begin.lua` and `record_end.lua` write: the values of [`FIELDS`], those that are there.
    pub(crate) fn read<'a>(values: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        let mut kept = Self::default();
        let (mut began, mut owner, mut ended, mut outcome) = (None, None, None, None);
        let mut fence = None;
        for (field, value) in FIELDS.into_iter().zip(values) {
            let Some(value) = value else {
                continue;
            };
            match field {
                "run" => kept.run = read_run(value),
                "started" => began = value.parse().ok(),
                "ended" => ended = value.parse().ok(),
                "owner" => owner = Some(value.to_owned()),
                "outcome" => outcome = Outcome::named(value),
                "number" => fence = value.parse().ok(),
                "success_at" => kept.success = value.parse().ok(),
                _ => {}
            }
        }
        if let (Some(started), Some(owner), Some(ended), Some(outcome)) =
            (began, owner, ended, outcome)
        {
            let began = Began {
                started,
                period: 0,
                fence,
            };
            kept.last = Some(Last {
                began,
                owner,
                ended,
                outcome,
            });
        }
        kept
    }
}

/// `started period number|- value`.
fn read_run(run: &str) -> Option<(Began, String)> {
    let mut parts = run.splitn(4, ' ');
    let began = Began {
        started: parts.next()?.parse().ok()?,
        period: parts.next()?.parse().ok()?,
        fence: parts.next()?.parse().ok(),
    };
    Some((began, parts.next()?.to_owned()))
}

fn time(millis: u64) -> SystemTime {
    let since = Duration::from_millis(millis);
    // Of a record that somebody else has written, no system need have a time for the number.
    SystemTime::UNIX_EPOCH
        .checked_add(since)
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = "abcdefghij-_ABCDEFGHIJ;web 3:812";

    #[test]
    fn a_run_is_read_with_all_of_its_value() {
        let run = format!("1700000000000 1699999200000 - {VALUE}");
        let kept = Kept::read([Some(run.as_str())]);
        let (began, value) = kept.run.as_ref().expect("a run");
        assert_eq!((began.started, began.fence), (1_700_000_000_000, None));
        assert_eq!(value, VALUE);
        let told = kept.told(Some(VALUE)).expect("told");
        assert!(told.running);
        assert_eq!(told.owner, "web 3:812");
    }

    #[test]
    fn what_others_wrote_is_no_run() {
        for run in ["", "1 2 3", "x 2 - v;o", "1 2 -", "1 2 - not-ours"] {
            assert_eq!(last_run_of([Some(run)], None), None, "{run:?}");
        }
        let largest = u64::MAX.to_string();
        let ended = [Some(largest.as_str()), Some("5"), Some("a\n"), Some("ok")];
        let values = [None].into_iter().chain(ended);
        let told = last_run_of(values, None).expect("told");
        assert_eq!(told.owner, "a\\n");
    }

    #[test]
    fn outcomes_have_their_words() {
        for outcome in Outcome::ALL {
            assert_eq!(Outcome::named(outcome.as_str()), Some(outcome));
        }
        assert_eq!(Outcome::named("done"), None);
    }

    #[test]
    fn the_tolerance_is_a_tenth_and_five_seconds_at_most() {
        let of = |period| {
            let lifetime = Duration::from_secs(1);
            Recording { period, lifetime }.tolerance()
        };
        assert_eq!(of(None), Duration::ZERO);
        assert_eq!(of(Some(Duration::from_secs(1))), Duration::from_millis(100));
        assert_eq!(of(Some(Duration::from_secs(3600))), Duration::from_secs(5));
    }
}
