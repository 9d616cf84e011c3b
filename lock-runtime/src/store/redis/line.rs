//! The line on the server: the bell on which this process hears of it, and what is known of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redis::aio::MultiplexedConnection;
#[cfg(feature = "cluster")]
use redis::cluster_routing::Slot;
use redis::{RedisResult, Value};
use tokio::time::Instant;

use super::refusal::is_without_right;
#[cfg(feature = "cluster")]
use crate::key::tag;
use crate::random::random;
use crate::store::StoreError;
use crate::store::ears::{Ears, Passed, Word};

/// How long a refusal is taken for the last word.
const REFUSED_FOR: Duration = Duration::from_secs(60);

/// Within which time a bell that is not heard twice is heard by nobody.
const DEAF_TWICE: Duration = Duration::from_secs(60);

pub(super) struct Line {
    /// Whoever knows it and may publish can ring us: nobody guesses it. On a cluster, what follows is
    /// another for each slot.
    pub(super) channel: String,
    pub(super) ears: Arc<Ears>,
    /// Whether a lock that was passed on may be begun before the server has confirmed it.
    begins_at_once: bool,
    /// From when stamps count.
    made: Instant,
    /// The number of the connection on which the bell is heard.
    heard_on: AtomicU64,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// When a right was missing, and the number of the connection for commands at that time.
    refused: Option<(Instant, u64)>,
    is_told: bool,
    deaf: Option<Instant>,
}

/// Whether the error may mean that there is no line for us.
pub(super) fn is_refusal(error: &StoreError) -> bool {
    error.redis().is_some_and(is_without_right)
}

/// Who was passed a lock that nobody here waits for any more.
pub(super) struct Stray {
    pub(super) key: String,
    pub(super) value: String,
}

impl Line {
    pub(super) fn new(prefix: &str, begins_at_once: bool) -> Self {
        let name = URL_SAFE_NO_PAD.encode(random::<[u8; 16]>());
        Self {
            channel: format!("{prefix}bell:{name}"),
            ears: Arc::default(),
            begins_at_once,
            made: Instant::now(),
            heard_on: AtomicU64::new(0),
            known: Mutex::default(),
        }
    }

    /// The bell of a lock in a cluster: a sharded channel in the slot of its key. `None` where the
    /// prefix's braces keep it from there.
    #[cfg(feature = "cluster")]
    pub(super) fn channel_of(&self, key: &str) -> Option<String> {
        let channel = [&self.channel, ":{", tag(key), "}"].concat();
        (Slot::for_key(&channel) == Slot::for_key(key)).then_some(channel)
    }

    fn is_ours(&self, channel: &[u8]) -> bool {
        let behind = channel.strip_prefix(self.channel.as_bytes());
        behind.is_some_and(|behind| behind.is_empty() || behind.starts_with(b":{"))
    }

    /// Has the connection hear the bell, and rings it once without words: a release that may not ring
    /// would delete the key and tell nobody. A server that refuses either has no line for us.
    pub(super) async fn subscribe(
        &self,
        number: u64,
        connection: &mut MultiplexedConnection,
    ) -> RedisResult<()> {
        let mut ring = redis::cmd("PUBLISH");
        ring.arg(&self.channel).arg("");
        let subscribed = connection.subscribe(&self.channel).await;
        let answer = match subscribed {
            Ok(()) => ring.exec_async(connection).await,
            refused => refused,
        };
        match answer {
            Ok(()) => self.heard_on.store(number, Ordering::Release),
            Err(error) if error.is_io_error() => return Err(error),
            Err(error) => tracing::debug!(%error, "no bell"),
        }
        Ok(())
    }

    pub(super) fn is_heard_on(&self, number: u64) -> bool {
        self.heard_on.load(Ordering::Acquire) == number
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is none for us on the server of this connection.
    pub(super) fn is_refused(&self, number: u64) -> bool {
        let is_refused =
            |(since, at): (Instant, u64)| at == number && since.elapsed() < REFUSED_FOR;
        self.known().refused.is_some_and(is_refused)
    }

    /// There is no line for us; the log hears of it once.
    pub(super) fn refuse(&self, number: u64, error: Option<&StoreError>) {
        let mut known = self.known();
        known.refused = Some((Instant::now(), number));
        let was_told = std::mem::replace(&mut known.is_told, true);
        drop(known);
        if !was_told {
            tracing::warn!(
                error = error.map(|error| error as &dyn std::error::Error),
                "Redis offers no line here, for want of a right or of pub/sub: who waits for a \
                 lock asks when it is freed, and whoever asks first has it"
            );
        }
    }

    /// The server does not know our subscription. True if that is no passing state.
    pub(super) fn is_deaf_again(&self) -> bool {
        let last = self.known().deaf.replace(Instant::now());
        last.is_some_and(|last| last.elapsed() < DEAF_TWICE)
    }

    /// The microseconds since this was made.
    pub(super) fn stamp(&self) -> u64 {
        u64::try_from(self.made.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Passes on what was said to the bell. Answers what was passed on to one who has left.
    pub(super) fn heard(&self, data: &[Value]) -> Option<Stray> {
        let [Value::BulkString(channel), Value::BulkString(words)] = data else {
            return None;
        };
        // Without words, it was tried whether it rings.
        if !self.is_ours(channel) || words.is_empty() {
            return None;
        }
        let message = str::from_utf8(words).ok().and_then(read_message);
        let Some((said, value, key)) = message else {
            tracing::debug!("a bell rang with other words than those of a lock");
            return None;
        };
        let word = match said {
            Said::Passed {
                stamp,
                reservation,
                fence,
            } => Word::Passed(Passed {
                since: self
                    .begins_at_once
                    .then(|| self.made.checked_add(Duration::from_micros(stamp)))
                    .flatten(),
                term: Duration::from_millis(reservation),
                fence,
            }),
            Said::First => Word::First,
            Said::Open(millis) => Word::Open(Duration::from_millis(millis)),
        };
        let is_heard = self.ears.tell(value, word);
        let is_stray = !is_heard && matches!(word, Word::Passed(_));
        is_stray.then(|| Stray {
            key: key.to_owned(),
            value: value.to_owned(),
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Said {
    Passed {
        stamp: u64,
        reservation: u64,
        fence: Option<u64>,
    },
    First,
    Open(u64),
}

/// What was said, to which value, and of which key: see `pass_on.lua`.
fn read_message(message: &str) -> Option<(Said, &str, &str)> {
    let (letter, rest) = message.split_once(' ')?;
    let number = |rest: &mut &str| -> Option<u64> {
        let (number, behind) = rest.split_once(' ')?;
        *rest = behind;
        number.parse().ok()
    };
    let mut rest = rest;
    let said = match letter {
        "g" => {
            let (stamp, reservation) = (number(&mut rest)?, number(&mut rest)?);
            let (drawn, behind) = rest.split_once(' ')?;
            rest = behind;
            let fence = match drawn {
                "-" => None,
                drawn => Some(drawn.parse().ok()?),
            };
            Said::Passed {
                stamp,
                reservation,
                fence,
            }
        }
        "f" => Said::First,
        "o" => Said::Open(number(&mut rest)?),
        _ => return None,
    };
    let length = usize::try_from(number(&mut rest)?).ok()?;
    let (value, key) = rest.split_at_checked(length)?;
    Some((said, value, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "cluster")]
    #[test]
    fn a_cluster_s_bells_are_in_the_slots_of_their_locks() {
        for prefix in ["", "jobs:", "{jobs}:"] {
            let line = Line::new(prefix, true);
            for key in ["k", "a{b}c{d}", "{k}", "with spaces and ü", "a{b"] {
                let key = [prefix, key].concat();
                let channel = line.channel_of(&key);
                let channel = channel.unwrap_or_else(|| panic!("none for {key}"));
                assert_eq!(Slot::for_key(&channel), Slot::for_key(&key), "{channel}");
                assert!(channel.ends_with('}') && channel.starts_with(prefix));
                assert!(line.is_ours(channel.as_bytes()));
                assert!(!Line::new(prefix, true).is_ours(channel.as_bytes()));
            }
            assert!(line.is_ours(line.channel.as_bytes()));
        }
        for (prefix, key) in [("a{", "a{b}"), ("a}", "a}k"), ("{}", "{}k")] {
            assert_eq!(Line::new(prefix, true).channel_of(key), None);
        }
        let line = Line::new("", true);
        assert_eq!(line.channel_of("{a}1"), line.channel_of("{a}2"));
    }

    #[test]
    fn messages_are_read() {
        let passed = Said::Passed {
            stamp: 17,
            reservation: 2000,
            fence: Some(9),
        };
        let read = read_message("g 17 2000 9 5 a b ca key");
        assert_eq!(read, Some((passed, "a b c", "a key")));
        let passed = Said::Passed {
            stamp: 0,
            reservation: 500,
            fence: None,
        };
        let read = read_message("g 0 500 - 3 ß;k");
        assert_eq!(read, Some((passed, "ß;", "k")));
        assert_eq!(read_message("f 1 vk"), Some((Said::First, "v", "k")));
        assert_eq!(read_message("o 30 1 vk"), Some((Said::Open(30), "v", "k")));
        for other in [
            "",
            "f",
            "f v",
            "g 1 2 3",
            "x 1 vk",
            "f 9 vk",
            "g 1 2 x 1 vk",
            "f 1 ßk",
        ] {
            assert_eq!(read_message(other), None, "{other}");
        }
    }
}
