//! What was asked for, and whether it can be meant.

use std::time::Duration;

use super::{OnLost, Patience};
use crate::acquire::Order;
use crate::error::LockError;
use crate::lease::Lease;
use crate::locker::{Locker, NoLocker};
use crate::tenure::Terms;

/// A shorter ttl would be eaten by the drift and the way to Redis.
const SHORTEST_TTL: Duration = Duration::from_millis(10);

/// Far beyond any use, and far below what Redis and the clocks can count.
const LONGEST_TIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

#[derive(Debug)]
pub(super) struct Wish {
    pub(super) locker: Result<Locker, NoLocker>,
    pub(super) key: String,
    /// Found while the key was put together.
    pub(super) flaw: Option<String>,
    pub(super) ttl: Option<Duration>,
    pub(super) patience: Patience,
    pub(super) renew: bool,
    pub(super) max_hold: Option<Duration>,
    pub(super) min_hold: Option<Duration>,
    pub(super) on_lost: OnLost,
    pub(super) fenced: bool,
    pub(super) name: &'static str,
}

impl Wish {
    /// Refuses what cannot be meant; nothing has been sent so far.
    pub(super) fn into_order(self) -> Result<Order, LockError> {
        let locker = match self.locker {
            Ok(locker) => locker,
            Err(missing) => return Err(missing.into_error(self.key)),
        };
        let ttl = self.ttl.unwrap_or(locker.default_ttl());
        check_ttl(&self.key, ttl)?;
        let invalid = |problem: String| Err(LockError::invalid(&self.key, problem));
        if let Some(flaw) = self.flaw {
            return invalid(flaw);
        }
        if self.key.is_empty() {
            return invalid("its key is empty; name what is locked".into());
        }
        for (name, duration) in [("max_hold", self.max_hold), ("min_hold", self.min_hold)] {
            if duration.is_some_and(|duration| duration.is_zero() || duration > LONGEST_TIME) {
                return invalid(format!(
                    "its {name} is zero or over ten years; give another"
                ));
            }
        }
        if self.max_hold.is_some() && !self.renew {
            return invalid("`max_hold` needs `renew`; without it, `ttl` limits the body".into());
        }
        if self.min_hold.is_some_and(|min_hold| min_hold > ttl) && !self.renew {
            return invalid(format!(
                "its min_hold is over its ttl of {ttl:?}; raise `ttl`, or use `renew`"
            ));
        }
        let key = if locker.prefix().is_empty() {
            self.key
        } else {
            format!("{}{}", locker.prefix(), self.key)
        };
        let order = Order {
            counter: self.fenced.then(|| counter_key(&key)).flatten(),
            terms: Terms {
                ttl,
                renew: self.renew,
                max_hold: self.max_hold,
                min_hold: self.min_hold,
                name: self.name,
            },
            locker,
            key,
        };
        if self.fenced
            && let Some(reason) = order.locker.store().refuses_fencing()
        {
            return Err(LockError::invalid(order.key(), reason));
        }
        if self.fenced && order.counter.is_none() {
            let problem = "its braces allow no fencing counter in the same cluster slot; leave \
                           out the `}`, or put a part of the key between braces";
            return Err(LockError::invalid(order.key(), problem));
        }
        if Lease::would_deadlock(&order.locker, &order.key) {
            return Err(LockError::WouldDeadlock {
                key: order.key().to_owned(),
            });
        }
        Ok(order)
    }
}

pub(crate) fn check_ttl(key: &str, ttl: Duration) -> Result<(), LockError> {
    if (SHORTEST_TTL..=LONGEST_TIME).contains(&ttl) {
        return Ok(());
    }
    let problem = format!("its ttl is {ttl:?}; give one from 10ms to ten years");
    Err(LockError::invalid(key, problem))
}

/// The fencing counter's key: in the slot of the lock's, so that one script may use both.
///
/// Redis hashes what stands between the first `{` and the next `}`, if anything does, else the
/// whole key (<https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>).
#[must_use]
pub fn counter_key(key: &str) -> Option<String> {
    let has_tag = key.find('{').is_some_and(|open| {
        let end = key[open + 1..].find('}');
        end.is_some_and(|length| length > 0)
    });
    if has_tag {
        Some(format!("{key}:fence"))
    } else if key.contains('}') {
        None
    } else {
        Some(format!("{{{key}}}:fence"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_in_the_slot_of_its_lock() {
        let names = [
            ("report:42", Some("{report:42}:fence")),
            ("{a}b", Some("{a}b:fence")),
            ("a{b}c{d}", Some("a{b}c{d}:fence")),
            ("a{b", Some("{a{b}:fence")),
            ("a}b", None),
            ("{}x", None),
        ];
        for (key, counter) in names {
            assert_eq!(counter_key(key).as_deref(), counter, "{key}");
        }
    }
}
