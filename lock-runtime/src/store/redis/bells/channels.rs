//! The channels that were subscribed to, and where each is heard.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::store::redis::cluster::Address;

/// How long a bell is kept that nobody needs. Who waits looks more often than that.
const KEPT: Duration = Duration::from_secs(15);

#[derive(Default)]
pub(super) struct Channels {
    all: HashMap<String, Channel>,
    /// When those were looked for that nobody needs.
    swept: Option<Instant>,
}

struct Channel {
    on: Address,
    used: Instant,
}

impl Channels {
    pub(super) fn add(&mut self, name: &str, on: &Address, now: Instant) {
        let (on, used) = (on.clone(), now);
        self.all.insert(name.to_owned(), Channel { on, used });
    }

    /// Somebody needs it. Where it is heard.
    pub(super) fn touch(&mut self, name: &str, now: Instant) -> Option<&Address> {
        let channel = self.all.get_mut(name)?;
        channel.used = now;
        Some(&channel.on)
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        self.all.remove(name).is_some()
    }

    pub(super) fn is_any_on(&self, on: &Address) -> bool {
        self.all.values().any(|channel| channel.on == *on)
    }

    pub(super) fn take_on(&mut self, on: &Address) -> HashSet<String> {
        let taken = self.all.extract_if(|_, channel| channel.on == *on);
        taken.map(|(name, _)| name).collect()
    }

    /// Those that nobody has needed for long; none if they were looked for not long ago.
    pub(super) fn take_unneeded(&mut self, now: Instant) -> Vec<(Address, String)> {
        if self.swept.is_some_and(|swept| now - swept < KEPT) {
            return Vec::new();
        }
        self.swept = Some(now);
        let is_unneeded = |channel: &Channel| now - channel.used >= KEPT;
        let taken = self.all.extract_if(|_, channel| is_unneeded(channel));
        taken.map(|(name, channel)| (channel.on, name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_needs_is_given_up() {
        let on = ("host".to_owned(), 7001);
        let (mut channels, now) = (Channels::default(), Instant::now());
        channels.add("a", &on, now);
        channels.add("b", &on, now);
        assert!(channels.take_unneeded(now + KEPT / 3).is_empty());
        assert_eq!(channels.touch("b", now + KEPT / 2), Some(&on));
        assert!(channels.take_unneeded(now + KEPT).is_empty(), "too soon");
        let unneeded = channels.take_unneeded(now + KEPT / 3 + KEPT);
        assert_eq!(unneeded, [(on.clone(), "a".to_owned())]);
        assert!(channels.is_any_on(&on) && !channels.remove("a"));
        assert_eq!(channels.take_on(&on), HashSet::from(["b".to_owned()]));
        assert_eq!(channels.touch("b", now), None);
    }
}
