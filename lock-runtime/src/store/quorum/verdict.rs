//! What a majority says to a release and to extensions.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, timeout_at};

use super::servers::{Server, Servers, majority};
use crate::store::{Entry, Extended, Extension, Released, StoreError};

type Answered<T> = Vec<Result<T, StoreError>>;

impl Servers {
    pub(super) async fn release_all(
        &self,
        entry: Arc<Entry>,
        keep: Option<Duration>,
    ) -> Result<Released, StoreError> {
        let (soon, limit) = (Instant::now() + self.grace(), self.limit());
        let release = |server| {
            // One that failed last time is waited for no longer than to see that it is back.
            let limit = if Server::is_failing(server) {
                soon
            } else {
                limit
            };
            self.release(server, &entry, keep, limit)
        };
        released(join_all(self.all.iter().map(release)).await)
    }

    pub(super) async fn extend(&self, batch: Vec<(Arc<Entry>, Duration)>) -> Vec<Extension> {
        let limit = self.limit();
        let ask = |server| {
            let answers = Server::store(server).extend(batch.clone());
            let late = || (0..batch.len()).map(|_| Err(server.late(self.patience)));
            async move {
                let answers = timeout_at(limit, answers).await;
                let answers = answers.unwrap_or_else(|_| late().collect());
                answers.into_iter().map(|answer| server.heard(answer))
            }
        };
        let mut asked: FuturesUnordered<_> = self.all.iter().map(ask).collect();
        let mut votes: Vec<Answered<Extended>> = batch.iter().map(|_| Vec::new()).collect();
        let mut until = limit;
        while let Ok(Some(answers)) = timeout_at(until, asked.next()).await {
            for (votes, answer) in votes.iter_mut().zip(answers) {
                votes.push(answer);
            }
            // The others have a moment more: one that has to be sent the script once more would
            // never be extended, and its key would go.
            if until == limit && votes.iter().all(|votes| self.have_extended(votes)) {
                until = limit.min(Instant::now() + self.grace());
            }
        }
        let servers = self.all.len();
        votes
            .into_iter()
            .map(|votes| extended(votes, servers))
            .collect()
    }

    fn have_extended(&self, votes: &[Extension]) -> bool {
        let yes = votes
            .iter()
            .filter(|vote| matches!(vote, Ok(Extended::Since(_))));
        yes.count() >= self.majority()
    }
}

fn extended(votes: Vec<Extension>, servers: usize) -> Extension {
    let mut since = Vec::new();
    let mut errors = Vec::new();
    let mut refusal = Extended::Gone;
    for vote in votes {
        match vote {
            Ok(Extended::Since(instant)) => since.push(instant),
            Ok(Extended::Gone) => {}
            Ok(Extended::TakenOver) => refusal = Extended::TakenOver,
            Err(error) => errors.push(error),
        }
    }
    let enough = since.len() >= majority(servers);
    match since.iter().min() {
        Some(first) if enough => Ok(Extended::Since(*first)),
        _ if since.len() + errors.len() >= majority(servers) => {
            Err(StoreError::no_majority(errors, servers))
        }
        _ => Ok(refusal),
    }
}

fn released(votes: Answered<Released>) -> Result<Released, StoreError> {
    let servers = votes.len();
    let mut done = 0;
    let mut errors = Vec::new();
    let mut refusal = Released::Gone;
    for vote in votes {
        match vote {
            Ok(Released::Done) => done += 1,
            Ok(Released::Gone) => {}
            Ok(Released::TakenOver) => refusal = Released::TakenOver,
            Err(error) => errors.push(error),
        }
    }
    if done >= majority(servers) {
        return Ok(Released::Done);
    }
    if done + errors.len() >= majority(servers) {
        return Err(StoreError::no_majority(errors, servers));
    }
    Ok(refusal)
}
