//! What a caller wants, and the errands that it has for it: one for each key.

use super::super::chance::between;
use super::super::read::{key_of, name_of};
use super::super::testimony::{ErrandId, KeyId, Outcome};
use crate::{LockError, LostReason};

/// A key, or several together, as they are named: in any order, and some twice.
#[derive(Clone)]
pub(in super::super) enum Wanted {
    One(KeyId),
    All(Vec<KeyId>),
}

/// What a caller is about. What it has of several keys, it has of each.
#[derive(Clone)]
pub(super) struct Errand {
    pub(super) parts: Vec<Part>,
}

/// That of one key.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub(super) id: ErrandId,
    pub(super) key: KeyId,
}

/// What a caller gets in the end, and the key that it is told about, if it is told of one.
pub(super) struct Answer {
    outcome: Outcome,
    key: Option<KeyId>,
}

impl Wanted {
    pub(super) fn one(keys: usize) -> Self {
        Self::One(between(0..=keys - 1))
    }

    pub(super) fn several(keys: usize) -> Self {
        let wanted = (0..between(2..=4)).map(|_| between(0..=keys - 1));
        Self::All(wanted.collect())
    }

    /// Each key once, in the order in which several are had.
    pub(super) fn keys(&self) -> Vec<KeyId> {
        match self {
            Self::One(key) => vec![*key],
            Self::All(keys) => {
                let mut keys = keys.clone();
                keys.sort_unstable();
                keys.dedup();
                keys
            }
        }
    }
}

impl Errand {
    /// By which it is known: that of its first key.
    pub(super) fn id(&self) -> ErrandId {
        self.parts[0].id
    }

    /// What an answer says to this part of it.
    pub(super) fn outcome_for(&self, part: Part, answer: &Answer) -> Outcome {
        let is_of_one = matches!(
            answer.outcome,
            Outcome::LostByTime | Outcome::LostByOthers | Outcome::LostByLimit | Outcome::NotHeld
        );
        match answer.outcome {
            Outcome::Ran(id) if id == self.id() => Outcome::Ran(part.id),
            _ if is_of_one && answer.key.is_some_and(|key| key != part.key) => Outcome::OfAnother,
            outcome => outcome,
        }
    }
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, key: None }
    }
}

impl From<&LockError> for Answer {
    fn from(error: &LockError) -> Self {
        let outcome = match error {
            LockError::Busy { attempts, .. } => Outcome::Busy {
                attempts: *attempts,
            },
            LockError::Lost { reason, .. } => match reason {
                LostReason::Expired => Outcome::LostByTime,
                LostReason::MaxHold => Outcome::LostByLimit,
                _ => Outcome::LostByOthers,
            },
            LockError::NotHeld { .. } => Outcome::NotHeld,
            LockError::AlreadyDone { .. } => Outcome::AlreadyDone,
            LockError::Backend { .. } => Outcome::Backend,
            // What callers here ask for makes sense.
            _ => panic!("refused: {error}"),
        };
        let key = error.key().and_then(|name| key_of(name.as_bytes()));
        Self {
            outcome,
            key: key.map(|(key, _)| key),
        }
    }
}

impl From<Result<ErrandId, LockError>> for Answer {
    fn from(ran: Result<ErrandId, LockError>) -> Self {
        match ran {
            Ok(errand) => Outcome::Ran(errand).into(),
            Err(error) => Self::from(&error),
        }
    }
}

impl From<Result<(), LockError>> for Answer {
    fn from(released: Result<(), LockError>) -> Self {
        match released {
            Ok(()) => Outcome::Released.into(),
            Err(error) => Self::from(&error),
        }
    }
}

/// All names, as a request takes them.
pub(super) fn names(keys: &[KeyId]) -> impl Iterator<Item = String> {
    keys.iter().copied().map(name_of)
}
