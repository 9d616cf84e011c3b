//! A future that is dropped at any of its await points frees its key.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use redis_locked::{LockError, LockGuard, LockRequest, Locker, redis_locked};
use redis_locked_test_support::{AfterLoss, Pace, Proxy, Server, until};
use tokio::task::yield_now;

const TTL: Duration = Duration::from_secs(60);
/// In what sets the key, be it the plain command or the script.
const TTL_ON_THE_WIRE: &str = "60000";
const DELAY: Duration = Duration::from_millis(60);
const GONE: Duration = Duration::from_millis(200);
/// Of all that the end of a test waits for in doubt: twice the time of an attempt.
const TIMEOUT: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(20);
/// More polls than any of the futures takes.
const MANY: usize = 40;

#[redis_locked(key = "{key}", ttl = TTL, retries = 2, backoff = "1ms", locker = locker)]
async fn annotated(locker: &Locker, key: &str) -> Result<usize, LockError> {
    yield_now().await;
    let length = async {
        yield_now().await;
        key.len()
    };
    tokio::time::sleep(Duration::from_millis(2)).await;
    Ok(length.await)
}

#[redis_locked(key = "{key}", ttl = TTL, wait = LIMIT, fenced, renew, locker = locker)]
async fn waiting(locker: &Locker, key: &str) -> Result<usize, LockError> {
    yield_now().await;
    Ok(key.len())
}

/// The first of the keys is the one that is looked at; in the end, none is there.
async fn several(locker: &Locker, key: &str) -> Result<usize, LockError> {
    let keys = [
        format!("{key}:third"),
        key.to_owned(),
        format!("{key}:second"),
    ];
    let request = locker.lock_all(keys).ttl(TTL).retries(2);
    let guard = request.backoff(DELAY / 10).acquire().await?;
    yield_now().await;
    guard.release().await?;
    Ok(key.len())
}

async fn by_hand(locker: &Locker, key: &str) -> Result<usize, LockError> {
    let guard = request(locker, key).acquire().await?;
    yield_now().await;
    guard.release().await?;
    Ok(key.len())
}

fn request(locker: &Locker, key: &str) -> LockRequest {
    locker.lock(key).ttl(TTL).retries(2).backoff(DELAY / 10)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Answers {
    Prompt,
    Delayed,
    Lost(AfterLoss),
}

struct Bench {
    server: Server,
    proxy: Proxy,
    locker: Locker,
    answers: Answers,
}

impl Bench {
    async fn new(answers: Answers) -> Self {
        let server = Server::start().await;
        let proxy = server.proxy().await;
        let locker = Locker::builder()
            .connection_timeout(TIMEOUT)
            .response_timeout(TIMEOUT)
            .connect(&proxy.url())
            .await
            .expect("connected");
        Self {
            server,
            proxy,
            locker,
            answers,
        }
    }

    /// The faults of one round.
    fn set(&self) {
        match self.answers {
            Answers::Prompt => {}
            Answers::Delayed => self.proxy.delay_answers(DELAY),
            Answers::Lost(then) => self.proxy.drop_next_answer(TTL_ON_THE_WIRE, then),
        }
    }

    /// Drops the future after 0, 1, 2, … polls, until it comes to its end; answers with how many
    /// it takes. With `landed`, waits for the key to be there before dropping a future that was
    /// polled once, after one round without faults that makes the scripts known to the server.
    async fn drop_everywhere<F>(&self, landed: bool, future: impl Fn(String) -> F) -> usize
    where
        F: Future<Output = Result<usize, LockError>>,
    {
        if landed {
            future("warm".to_owned()).await.expect("no faults yet");
        }
        for polls in 0..MANY {
            if let Some(output) = self.drop_after(polls, landed, &future).await {
                return output;
            }
        }
        panic!("no end after {MANY} polls");
    }

    /// The key is to go within 200 ms, unless this machine itself stood still, and goes in any case.
    async fn drop_after<F>(
        &self,
        polls: usize,
        landed: bool,
        future: &impl Fn(String) -> F,
    ) -> Option<usize>
    where
        F: Future<Output = Result<usize, LockError>>,
    {
        self.set();
        let key = format!("{polls} of {:?} {landed}", self.answers);
        let ended = {
            let mut future = pin!(future(key.clone()));
            let ended = poll_times(future.as_mut(), polls).await;
            if ended.is_none() && landed && polls == 1 {
                until(LIMIT, "it has landed", async || {
                    self.server.exists(&key).await
                })
                .await;
            }
            ended
        };
        self.assert_gone(&key).await;
        match ended? {
            Ok(length) => {
                assert_eq!(length, key.len());
                Some(polls)
            }
            Err(error) => {
                assert!(error.is_backend(), "{error}");
                None
            }
        }
    }

    async fn assert_gone(&self, key: &str) {
        let (pace, dropped) = (Pace::start(), Instant::now());
        until(LIMIT, format!("{key} is gone"), async || {
            !self.server.exists(key).await
        })
        .await;
        let took = dropped.elapsed();
        assert!(
            took < GONE || pace.worst() > GONE / 8,
            "{key} went after {took:?}"
        );
    }

    /// What lands late is released, too: in the end, nothing is there.
    async fn end(self, polls: usize) {
        println!("{:?}: {polls} polls", self.answers);
        self.proxy.delay_answers(Duration::ZERO);
        self.locker.shutdown().await;
        let keys = self.server.keys().await;
        // What stays beside the locks expires by itself: numbers, and that a look would come too late.
        let is_side = |key: &String| key.ends_with(":fence") || key.ends_with(":seats");
        let left: Vec<_> = keys.iter().filter(|key| !is_side(key)).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Polls so many times, each time when it was woken, unless it ends before.
async fn poll_times<F: Future>(mut future: Pin<&mut F>, polls: usize) -> Option<F::Output> {
    let mut polled = 0;
    poll_fn(|cx| {
        if polled < polls {
            polled += 1;
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
        }
        if polled < polls {
            Poll::Pending
        } else {
            Poll::Ready(None)
        }
    })
    .await
}

async fn all_shapes(answers: Answers) {
    let mut benches = Vec::new();
    for landed in [false, true] {
        let bench = Bench::new(answers).await;
        let locker = &bench.locker;
        let polls = bench
            .drop_everywhere(landed, |key| async move { annotated(locker, &key).await })
            .await;
        assert!(polls > 3, "{polls} polls leave points out");
        benches.push((bench, polls));

        let bench = Bench::new(answers).await;
        let locker = &bench.locker;
        let polls = bench
            .drop_everywhere(landed, |key| async move { waiting(locker, &key).await })
            .await;
        benches.push((bench, polls));

        let bench = Bench::new(answers).await;
        let locker = &bench.locker;
        let polls = bench
            .drop_everywhere(landed, |key| async move { by_hand(locker, &key).await })
            .await;
        benches.push((bench, polls));

        let bench = Bench::new(answers).await;
        let locker = &bench.locker;
        let polls = bench
            .drop_everywhere(landed, |key| async move { several(locker, &key).await })
            .await;
        benches.push((bench, polls));
    }
    // Each waits for what is in doubt.
    let ends = benches.into_iter().map(|(bench, polls)| bench.end(polls));
    join_all(ends).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_prompt_answers() {
    all_shapes(Answers::Prompt).await;
}

#[tokio::test]
async fn with_prompt_answers_on_one_thread() {
    all_shapes(Answers::Prompt).await;
}

#[tokio::test]
async fn with_late_answers() {
    all_shapes(Answers::Delayed).await;
}

#[tokio::test]
async fn when_the_answer_is_lost_with_its_connection() {
    all_shapes(Answers::Lost(AfterLoss::Cut)).await;
}

/// The connection carries what is asked, and never answers again.
#[tokio::test]
async fn when_the_answer_is_lost_in_silence() {
    for landed in [false, true] {
        let bench = Bench::new(Answers::Lost(AfterLoss::Silence)).await;
        annotated(&bench.locker, "warm")
            .await
            .expect("no faults yet");
        let key = format!("silent {landed}");
        bench.set();
        let mut future = Box::pin(annotated(&bench.locker, &key));
        assert!(poll_times(future.as_mut(), 1).await.is_none());
        if landed {
            until(LIMIT, "it has landed", async || {
                bench.server.exists(&key).await
            })
            .await;
        }
        drop(future);
        bench.assert_gone(&key).await;
        bench.end(1).await;
    }
}

/// The server does not know the script, says so, and nobody hears it: the next connection helps.
#[tokio::test]
async fn a_silent_connection_is_given_up() {
    let bench = Bench::new(Answers::Lost(AfterLoss::Silence)).await;
    bench.set();
    let mut future = Box::pin(annotated(&bench.locker, "key"));
    assert!(poll_times(future.as_mut(), 1).await.is_none());
    until(LIMIT, "it has landed", async || {
        bench.server.exists("key").await
    })
    .await;
    drop(future);
    until(LIMIT, "it is gone", async || {
        !bench.server.exists("key").await
    })
    .await;
    assert_eq!(
        annotated(&bench.locker, "key").await.ok(),
        Some(3),
        "it works again"
    );
    bench.end(1).await;
}

/// An attempt whose answer was lost has the key: the next finds it by its token.
#[tokio::test]
async fn a_lost_answer_costs_nothing_but_time() {
    let bench = Bench::new(Answers::Lost(AfterLoss::Cut)).await;
    bench.set();
    let guard: LockGuard = request(&bench.locker, "key").acquire().await.expect("ours");
    let value = bench.server.get("key").await.expect("there");
    assert!(value.starts_with(guard.token()), "{value}");
    assert_eq!(bench.proxy.lost_answers(), 1);
    guard.release().await.expect("still ours");
    bench.end(1).await;
}
