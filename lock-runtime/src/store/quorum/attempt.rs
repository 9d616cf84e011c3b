//! One attempt: who granted, who must give back.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{join, join_all};
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, timeout_at};

use super::servers::{Server, Servers};
use crate::store::{Acquired, Asking, Attempted, Entry, Holder, StoreError};

/// The answers to an attempt so far.
#[derive(Default)]
struct Answers<'a> {
    granted: Vec<(&'a Server, Instant)>,
    /// Those that granted it or said that they did not.
    heard: Vec<&'a Server>,
    busy: Vec<Option<Holder>>,
    errors: Vec<StoreError>,
    /// How many may set the key later, for all that is known: all, until each is shown not to.
    unsettled: usize,
}

impl<'a> Answers<'a> {
    fn of(servers: usize) -> Self {
        Self {
            unsettled: servers,
            ..Self::default()
        }
    }

    fn count(&mut self, server: &'a Server, answer: Attempted) {
        if answer.outcome.is_ok() {
            self.heard.push(server);
        }
        self.unsettled -= usize::from(answer.settled);
        match answer.outcome {
            Ok(Acquired::Granted { since, .. }) => self.granted.push((server, since)),
            Ok(Acquired::Busy(holder) | Acquired::Split(holder)) => self.busy.push(holder),
            Ok(Acquired::Done(_)) => unreachable!("a quorum keeps no records"),
            Err(error) => self.errors.push(error),
        }
    }

    /// Those that have not answered are settled where a release comes behind what they were sent.
    fn are_settled(&self, unanswered: usize, in_order: bool) -> bool {
        self.unsettled == if in_order { unanswered } else { 0 }
    }

    /// Those that may have granted it, for all that is known.
    fn silent<'b>(&self, all: &'b [Server]) -> Vec<&'b Server> {
        let heard =
            |server: &&Server| !self.heard.iter().any(|heard| std::ptr::eq(*heard, *server));
        all.iter().filter(heard).collect()
    }

    /// Whether so many answered, or so many failed, that the rest decides nothing for one who cannot
    /// get the majority.
    fn are_clear(&self, all: usize, majority: usize) -> bool {
        self.heard.len() >= majority || self.errors.len() > all - majority
    }

    /// Whether some who may still grant it are missing for a majority. Of those that failed last
    /// time nothing is hoped while others hold parts: whoever waits for them keeps its own part.
    fn may_win(&self, all: &[Server], majority: usize) -> bool {
        let silent = self.silent(all);
        let failed = silent.iter().filter(|server| server.is_failing()).count();
        let hopeless = if self.busy.is_empty() {
            self.errors.len()
        } else {
            failed
        };
        self.granted.len() < majority && self.granted.len() + silent.len() - hopeless >= majority
    }

    /// Whose key goes last of those that have to go before a majority is free.
    fn holder(&mut self, majority: usize) -> Option<Holder> {
        // Grants that came too late to be hoped for may have made it a majority after all.
        let missing = majority.saturating_sub(self.granted.len()).max(1);
        let mut holders: Vec<_> = self.busy.drain(..).flatten().collect();
        holders.sort_by_key(|holder| holder.left.unwrap_or(Duration::MAX));
        let rings = holders.iter().all(|holder| holder.rings);
        holders.truncate(missing);
        holders.pop().map(|holder| Holder { rings, ..holder })
    }
}

impl Servers {
    pub(super) async fn acquire(
        &self,
        entry: Arc<Entry>,
        ttl: Duration,
        asking: Asking,
    ) -> Attempted {
        // Time is left to send a release.
        let limit = self.limit() - self.grace();
        let (all, majority) = (self.all.len(), self.majority());
        // Who waits asks on other connections than those on which servers are asked to give back,
        // which must not overtake. Else one comes behind the other, however late.
        let in_order = asking != Asking::Watching;
        let ask = |server| {
            let answer = Server::store(server).acquire(Arc::clone(&entry), ttl, asking);
            async move {
                let late = |_| Attempted {
                    outcome: Err(server.late(self.patience)),
                    settled: in_order,
                };
                let Attempted { outcome, settled } =
                    timeout_at(limit, answer).await.unwrap_or_else(late);
                let outcome = server.heard(outcome);
                (server, Attempted { outcome, settled })
            }
        };
        let mut asked: FuturesUnordered<_> = self.all.iter().map(ask).collect();
        let mut answers = Answers::of(all);
        // Who has the majority need not hear the rest; who cannot get it any more gives back.
        while answers.may_win(&self.all, majority)
            && let Some((server, answer)) = asked.next().await
        {
            answers.count(server, answer);
        }
        // Those that answer at all do so about now.
        let soon = Instant::now() + self.grace();
        if let Some(since) = answers.granted.iter().map(|(_, since)| *since).min()
            && answers.granted.len() >= majority
        {
            while !in_order && let Ok(Some((server, answer))) = timeout_at(soon, asked.next()).await
            {
                answers.count(server, answer);
            }
            return Attempted {
                outcome: Ok(Acquired::Granted { since, fence: None }),
                settled: answers.are_settled(asked.len(), in_order),
            };
        }
        let granted: Vec<_> = answers.granted.iter().map(|(server, _)| *server).collect();
        let give_back = |server| self.release(server, &entry, None, self.limit());
        let granted = join_all(granted.into_iter().map(give_back));
        let the_rest = async {
            let mut releases = Vec::new();
            // Neither busy nor broken before a majority says so.
            let mut until = limit;
            loop {
                if answers.are_clear(all, majority) {
                    until = soon;
                }
                let Ok(Some((server, answer))) = timeout_at(until, asked.next()).await else {
                    break;
                };
                if matches!(answer.outcome, Ok(Acquired::Granted { .. })) {
                    releases.push(give_back(server).await);
                }
                answers.count(server, answer);
            }
            releases
        };
        let (granted, the_rest) = join(granted, the_rest).await;
        let unanswered = asked.len();
        // From here on, nothing more is sent for the attempt: what was asked with one command may have
        // had a second to come, and that would have set the key behind the release.
        drop(asked);
        let soon = Instant::now() + self.grace();
        let silent = answers.silent(&self.all);
        // Sent, that is enough: it comes behind the command that may set the key.
        let behind = |server| timeout_at(soon, Server::store(server).release(entry.clone(), None));
        join_all(silent.into_iter().map(behind)).await;
        let releases = granted.iter().chain(&the_rest);
        answers.unsettled += releases.filter(|answer| answer.is_err()).count();
        let settled = answers.are_settled(unanswered, in_order);
        let outcome = if answers.errors.len() > all - majority {
            Err(StoreError::no_majority(answers.errors, all))
        } else {
            let holder = answers.holder(majority);
            Ok(if answers.granted.is_empty() && settled {
                Acquired::Busy(holder)
            } else {
                Acquired::Split(holder)
            })
        };
        Attempted { outcome, settled }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;

    fn holder(seconds: u64) -> Holder {
        Holder {
            rings: true,
            ..Holder::new(None, Some(Duration::from_secs(seconds)))
        }
    }

    #[test]
    fn the_holder_is_the_one_who_is_in_the_way_longest() {
        let server = Server::new(Arc::new(MemoryStore::default()));
        // By how many granted; the last came when the attempt was given up already.
        for (granted, left) in [(0, 30), (1, 20), (2, 10), (3, 10), (4, 10)] {
            let mut answers = Answers {
                granted: vec![(&server, Instant::now()); granted],
                busy: [40, 10, 30, 20].map(|left| Some(holder(left))).into(),
                ..Answers::default()
            };
            let holder = answers.holder(3).expect("somebody");
            assert_eq!(holder.left, Some(Duration::from_secs(left)));
        }
    }
}
