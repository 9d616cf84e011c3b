//! A lock as it is found in Redis, and how it is recognised.

use std::time::Duration;

use redis_locked_runtime::private::{TURNS, token_and_owner};
pub(crate) use redis_locked_runtime::private::{counter_key, is_side_key, line_keys, record_key};
use serde::Serialize;
use tokio::time::Instant;

use crate::glob;

/// How long a token is.
const TOKEN: usize = 22;

/// What JavaScript and jq keep of a number in JSON.
const LARGEST_IN_JSON: u128 = (1 << 53) - 1;

/// A key that is held, or one of the places of a key that several hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Lock {
    /// Without the prefix.
    pub(crate) key: String,
    /// Who holds it; `None` for foreign locks, whose value has no owner.
    pub(crate) owner: Option<String>,
    /// The token; for foreign locks, the whole value.
    pub(crate) token: String,
    /// What its holder has of the key, where several may hold it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<Place>,
    /// How long the key, or the place, still lives; `None` when it has no expiry.
    #[serde(rename = "left_ms", serialize_with = "millis")]
    pub(crate) left: Option<Duration>,
    /// The last fencing number drawn for the key, if one was.
    #[serde(serialize_with = "in_text")]
    pub(crate) fence: Option<u64>,
    /// How many processes wait for it; `None` where they do not line up on the server.
    pub(crate) waiting: Option<usize>,
    /// Those who wait, in order, if somebody asked who.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<Vec<Waiter>>,
    #[serde(skip)]
    pub(crate) reading: Reading,
    /// On how many servers of a quorum it is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) servers: Option<Share>,
}

/// A place of a key that several may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Place {
    Permit,
    Shared,
}

impl Place {
    /// Of a value of ours, by the letter behind its token.
    fn of(value: &str) -> Option<Self> {
        token_and_owner(value)?;
        let value = value.strip_prefix('~').unwrap_or(value);
        match value.as_bytes().get(TOKEN)? {
            b'p' => Some(Self::Permit),
            b's' => Some(Self::Shared),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Shared => "shared",
        }
    }
}

/// A process that waits for a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Waiter {
    pub(crate) owner: Option<String>,
    pub(crate) token: String,
}

/// When a key's value and time left were read: behind the first instant, before the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) asked: Instant,
    pub(crate) answered: Instant,
}

impl Reading {
    pub(crate) fn since(asked: Instant) -> Self {
        let answered = Instant::now();
        Self { asked, answered }
    }
}

/// So many servers of so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Share {
    pub(crate) holding: usize,
    pub(crate) of: usize,
}

impl Share {
    pub(crate) fn is_majority(self) -> bool {
        2 * self.holding > self.of
    }
}

/// What tells a lock, or a place, from all others that are held at the time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id {
    key: String,
    /// Of a place only: it is not the place of another who comes after its holder.
    token: Option<String>,
}

impl Lock {
    pub(crate) fn id(&self) -> Id {
        Id {
            key: self.key.clone(),
            token: self.place.map(|_| self.token.clone()),
        }
    }

    /// Whether the value is one of ours.
    pub(crate) fn is_foreign(&self) -> bool {
        self.owner.is_none()
    }

    /// Whether its owner matches the glob.
    pub(crate) fn is_of(&self, pattern: &str) -> bool {
        let owner = self.owner.as_deref();
        owner.is_some_and(|owner| glob::matches(pattern, owner))
    }

    /// Reads the value of a key.
    pub(crate) fn read(
        key: String,
        value: &[u8],
        left: Option<Duration>,
        reading: Reading,
    ) -> Self {
        let value = String::from_utf8_lossy(value);
        let (token, owner) = match token_and_owner(&value) {
            Some((token, owner)) => (token.to_owned(), Some(owner.to_owned())),
            None => (value.into_owned(), None),
        };
        Self {
            key,
            owner,
            token,
            place: None,
            left,
            fence: None,
            waiting: None,
            line: None,
            reading,
            servers: None,
        }
    }
}

/// Whether this is the value of a place.
pub(crate) fn is_place(value: &[u8]) -> bool {
    Place::of(&String::from_utf8_lossy(value)).is_some()
}

/// The places that these values of a sorted set name, with their ends in the server's microseconds, as
/// far as these are to come; none where it is not a lock's.
pub(crate) fn places(
    key: &str,
    values: &[(Vec<u8>, f64)],
    now: u64,
    reading: Reading,
) -> Vec<Lock> {
    let place = |(value, ends): &(Vec<u8>, f64)| {
        let place = Some(Place::of(&String::from_utf8_lossy(value))?);
        let left = Duration::try_from_secs_f64(ends / 1e6).ok()?;
        let left = left.checked_sub(Duration::from_micros(now));
        let lock = Lock::read(key.to_owned(), value, left, reading);
        Some(Lock { place, ..lock })
    };
    let Some(all) = values.iter().map(place).collect::<Option<Vec<_>>>() else {
        return Vec::new();
    };
    all.into_iter().filter(|lock| lock.left.is_some()).collect()
}

/// Tokens with blanks between.
pub(crate) struct Tokens<'a>(pub(crate) &'a str);

impl Tokens<'_> {
    /// Whether the holder who wrote this value has one of them. One that was released and is kept has
    /// none.
    pub(crate) fn include_that_of(&self, value: &[u8]) -> bool {
        let value = String::from_utf8_lossy(value);
        let holder = value.split_once(';').map(|(token, _)| token);
        let holder = holder.map(|token| match token.split_at_checked(TOKEN) {
            Some((token, "p" | "s")) => token,
            _ => token,
        });
        holder.is_some_and(|holder| self.0.split(' ').any(|token| token == holder))
    }
}

/// The fencing number of a tenure's first holder, from the counter's value.
pub(crate) fn fence(counter: &[u8]) -> Option<u64> {
    let drawn: u64 = std::str::from_utf8(counter).ok()?.parse().ok()?;
    drawn.checked_mul(TURNS.into())
}

#[expect(clippy::ref_option, reason = "serde passes fields so")]
fn millis<S: serde::Serializer>(left: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    left.map(|left| left.as_millis().min(LARGEST_IN_JSON))
        .serialize(to)
}

/// Numbers of fences are larger.
#[expect(clippy::ref_option, reason = "serde passes fields so")]
fn in_text<S: serde::Serializer>(number: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
    number.map(|number| number.to_string()).serialize(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_from_the_values_of_a_set() {
        let token = "abcdefghij-_ABCDEFGHIJ";
        let value = |letter: &str| format!("{token}{letter};web-1:7").into_bytes();
        let reading = Reading::since(Instant::now());
        let read = |values: &[(Vec<u8>, f64)]| places("k", values, 5_000_000, reading);
        let both = [(value("p"), 4_999_999.0), (value("p"), 6_500_000.0)];
        let found = read(&both);
        assert_eq!(found.len(), 1, "the first has ended");
        let place = &found[0];
        assert_eq!(
            (place.token.as_str(), place.place),
            (token, Some(Place::Permit))
        );
        assert_eq!(place.left, Some(Duration::from_millis(1500)));
        assert_eq!(read(&[(value("s"), 6e6)])[0].place, Some(Place::Shared));
        for other in [value(""), b"ann".to_vec()] {
            assert_eq!(read(&[(value("p"), 6e6), (other, 7e6)]), []);
        }
        assert!(Tokens(token).include_that_of(&value("p")));
        assert!(Tokens(token).include_that_of(&value("")));
        assert!(!Tokens(token).include_that_of(&[b"~", &*value("s")].concat()));
    }

    #[test]
    fn a_number_leaves_room_for_hand_overs() {
        assert_eq!(fence(b"3"), Some(3 << 10));
        assert_eq!(fence(b"x"), None);
        assert_eq!(fence(u64::MAX.to_string().as_bytes()), None);
    }
}
