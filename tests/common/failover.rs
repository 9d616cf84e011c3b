//! Records of runs whose master is killed, on whatever kind of servers has another one then.

use std::future::Future;
use std::time::Duration;

use redis_locked::{LastRun, LockError, LockRequest, Locker, LockerBuilder, Outcome, Recorded};
use redis_locked_test_support::until_some;
use tokio::sync::watch;

/// Longer than a failover takes.
const LIMIT: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(120);
/// The longest, so that no test meets its end.
const PERIOD: Duration = Duration::from_secs(366 * 24 * 60 * 60);
const PAUSE: Duration = Duration::from_millis(100);
const RETRIES: u32 = 600;

/// Two processes. The braces keep all keys at one master.
pub(crate) struct Fleet {
    ours: Locker,
    theirs: Locker,
    /// Waits for a replica to confirm what it writes.
    confirming: Locker,
}

pub(crate) const KEY: &str = "{job}";

fn job(locker: &Locker, key: &str) -> LockRequest<Recorded> {
    let request = locker.lock(key).ttl(LONG).once_per(PERIOD);
    request.retries(RETRIES).backoff(PAUSE)
}

impl Fleet {
    pub(crate) async fn new(
        connect: impl AsyncFn(LockerBuilder) -> Result<Locker, LockError>,
    ) -> Self {
        let connected = async |builder| connect(builder).await.expect("the servers answer");
        Self {
            ours: connected(Locker::builder()).await,
            theirs: connected(Locker::builder()).await,
            confirming: connected(Locker::builder().replicas(1, LIMIT / 6)).await,
        }
    }

    /// A replica has all that the master has been told until now.
    async fn is_replicated(&self) {
        let mark = self.confirming.lock(format!("{KEY}:mark")).retries(RETRIES);
        let guard = mark.acquire().await.expect("confirmed");
        guard.release().await.expect("confirmed");
    }

    async fn last(&self, key: &str) -> LastRun {
        until_some(LIMIT, "the record is read", async || {
            match self.theirs.last_run(key).await {
                Ok(last) => Some(last.expect("recorded")),
                Err(error) => {
                    assert!(error.is_backend(), "{error}");
                    None
                }
            }
        })
        .await
    }

    pub(crate) async fn a_success_counts_at_the_new_master(
        self,
        fails_over: impl Future<Output = ()>,
    ) {
        let done = job(&self.ours, KEY).run(async {}).await;
        done.expect("the period is open");
        let before = self.last(KEY).await;
        self.is_replicated().await;
        fails_over.await;
        for locker in [&self.ours, &self.theirs] {
            let again = job(locker, KEY).acquire().await;
            let error = again.expect_err("done");
            assert!(error.is_already_done(), "{error}");
        }
        assert_eq!(self.last(KEY).await, before);
    }

    pub(crate) async fn runs_end_with_a_true_record(
        self,
        kills: impl Future<Output = ()>,
        fails_over: impl Future<Output = ()>,
    ) {
        let (works, fails) = (format!("{KEY}:works"), format!("{KEY}:fails"));
        let (end, ends) = watch::channel(false);
        let start = |key: &str, result: Result<(), &'static str>| {
            let mut ends = ends.clone();
            let body = async move {
                ends.wait_for(|ends| *ends).await.expect("it is said");
                result
            };
            tokio::spawn(job(&self.ours, key).renew().run(body))
        };
        let runs = [start(&works, Ok(())), start(&fails, Err("as asked"))];
        let mut began = Vec::new();
        for key in [&works, &fails] {
            let running = until_some(LIMIT, "it runs", async || {
                let last = self.theirs.last_run(key).await.expect("read")?;
                last.running.then_some(last)
            });
            began.push(running.await.started);
        }
        self.is_replicated().await;
        kills.await;
        end.send(true).expect("they run");
        let [worked, failed] = runs;
        worked
            .await
            .expect("no panic")
            .expect("it ran")
            .expect("it works");
        failed
            .await
            .expect("no panic")
            .expect("it ran")
            .expect_err("it fails");
        fails_over.await;
        self.ours.shutdown().await;
        let (worked, failed) = (self.last(&works).await, self.last(&fails).await);
        for (last, outcome) in [(&worked, Outcome::Ok), (&failed, Outcome::Error)] {
            assert_eq!(last.outcome, Some(outcome), "{last:?}");
            assert!(!last.running && last.ended.is_some(), "{last:?}");
        }
        assert_eq!([worked.started, failed.started], began[..]);
        assert_eq!(worked.last_success, worked.ended);
        let error = job(&self.theirs, &works).acquire().await.expect_err("done");
        assert!(error.is_already_done(), "{error}");
        let again = job(&self.theirs, &fails).run(async {}).await;
        again.expect("the period is open");
    }
}
