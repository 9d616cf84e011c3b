//! One attempt: who granted, who must give back.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{join, join_all};
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, timeout_at};

use super::{Server, Servers};
use crate::store::{Acquired, Asking, Entry, Holder, StoreError};

/// The answers to an attempt so far.
#[derive(Default)]
struct Votes<'a> {
    granted: Vec<(&'a Server, Instant)>,
    busy: Vec<Option<Holder>>,
    errors: Vec<StoreError>,
    /// Whether a command that sets the key may be under way to one that has answered.
    in_doubt: bool,
}

impl<'a> Votes<'a> {
    fn count(&mut self, server: &'a Server, vote: Result<Acquired, StoreError>) {
        match vote {
            Ok(Acquired::Granted {
                since, in_doubt, ..
            }) => {
                self.granted.push((server, since));
                self.in_doubt |= in_doubt;
            }
            Ok(Acquired::Busy(holder)) => self.busy.push(holder),
            Ok(Acquired::Split { holder, in_doubt }) => {
                self.busy.push(holder);
                self.in_doubt |= in_doubt;
            }
            Err(error) => {
                self.in_doubt |= error.unresolved;
                self.errors.push(error);
            }
        }
    }

    /// Whether so many are busy, or so many failed, that the rest decides nothing.
    fn agree(&self, all: usize, majority: usize) -> bool {
        self.busy.len().max(self.errors.len()) > all - majority
    }

    /// Whose key goes last of those that have to go before a majority is free.
    fn holder(&mut self, majority: usize) -> Option<Holder> {
        let missing = majority - self.granted.len();
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
    ) -> Result<Acquired, StoreError> {
        let (started, limit) = (Instant::now(), self.limit());
        let (all, majority) = (self.all.len(), self.majority());
        let ask = |server| {
            let answer = Server::store(server).acquire(Arc::clone(&entry), ttl, asking);
            async move { (server, self.ask(server, answer, limit).await) }
        };
        let mut asked: FuturesUnordered<_> = self.all.iter().map(ask).collect();
        let mut votes = Votes::default();
        // Who has the majority need not hear the rest; who cannot get it any more gives back.
        while votes.granted.len() < majority
            && votes.granted.len() + asked.len() >= majority
            && let Some((server, vote)) = asked.next().await
        {
            votes.count(server, vote);
        }
        // Those that answer at all do so about now.
        let soon = Instant::now() + started.elapsed().max(self.patience / 10);
        if let Some(since) = votes.granted.iter().map(|(_, since)| *since).min()
            && votes.granted.len() >= majority
        {
            // Then they were asked on other connections than those on which they are asked to
            // release, which must not overtake.
            if asking == Asking::Watching {
                while let Ok(Some((server, vote))) = timeout_at(soon, asked.next()).await {
                    votes.count(server, vote);
                }
                votes.in_doubt |= !asked.is_empty();
            }
            return Ok(Acquired::Granted {
                since,
                fence: None,
                in_doubt: votes.in_doubt,
            });
        }
        let granted: Vec<_> = votes.granted.iter().map(|(server, _)| *server).collect();
        let give_back = |server| self.release(server, &entry, None, limit);
        let hear_the_rest = async {
            let mut answers = Vec::new();
            // Neither busy nor broken before a majority says so.
            let mut until = if votes.agree(all, majority) {
                soon
            } else {
                limit
            };
            while let Ok(Some((server, vote))) = timeout_at(until, asked.next()).await {
                if matches!(vote, Ok(Acquired::Granted { .. })) {
                    answers.push(give_back(server).await);
                }
                votes.count(server, vote);
                if votes.agree(all, majority) {
                    until = soon;
                }
            }
            votes.in_doubt |= !asked.is_empty();
            answers
        };
        let early = join_all(granted.into_iter().map(give_back));
        let (early, late) = join(early, hear_the_rest).await;
        votes.in_doubt |= early.iter().chain(&late).any(Result::is_err);
        let in_doubt = votes.in_doubt;
        if votes.errors.len() > all - majority {
            let error = StoreError::no_majority(votes.errors, all);
            return Err(StoreError {
                unresolved: in_doubt,
                ..error
            });
        }
        let holder = votes.holder(majority);
        Ok(if votes.granted.is_empty() && !in_doubt {
            Acquired::Busy(holder)
        } else {
            Acquired::Split { holder, in_doubt }
        })
    }
}
