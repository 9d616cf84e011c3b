//! A lock as it is found in Redis, and how it is recognised.

use std::time::Duration;

use redis_locked_runtime::private::{TURNS, token_and_owner};
pub(crate) use redis_locked_runtime::private::{counter_key, is_side_key, line_keys, record_key};
use serde::Serialize;
use tokio::time::Instant;

use crate::glob;

/// What JavaScript and jq keep of a number in JSON.
const LARGEST_IN_JSON: u128 = (1 << 53) - 1;

/// A key that is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Lock {
    /// Without the prefix.
    pub(crate) key: String,
    /// Who holds it; `None` for foreign locks, whose value has no owner.
    pub(crate) owner: Option<String>,
    /// The token; for foreign locks, the whole value.
    pub(crate) token: String,
    /// How long the key still lives; `None` when it has no expiry.
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

impl Lock {
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
            left,
            fence: None,
            waiting: None,
            line: None,
            reading,
            servers: None,
        }
    }
}

/// Tokens with blanks between.
pub(crate) struct Tokens<'a>(pub(crate) &'a str);

impl Tokens<'_> {
    /// Whether the holder who wrote this value has one of them. One that was released and is kept has
    /// none.
    pub(crate) fn include_that_of(&self, value: &[u8]) -> bool {
        let value = String::from_utf8_lossy(value);
        let holder = value.split_once(';').map(|(token, _)| token);
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
    fn a_number_leaves_room_for_hand_overs() {
        assert_eq!(fence(b"3"), Some(3 << 10));
        assert_eq!(fence(b"x"), None);
        assert_eq!(fence(u64::MAX.to_string().as_bytes()), None);
    }
}
