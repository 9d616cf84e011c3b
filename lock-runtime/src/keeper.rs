//! The one background task of a locker: it extends leases, and does the releases nobody awaits.
//!
//! It starts with the first lease that needs it and ends when none does. All work is done inside
//! this one task: extensions that are due together go out as one pipeline, and neither a slow
//! answer nor a release that has to be repeated holds up the rest.

mod release;

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::time::{DelayQueue, delay_queue};

use crate::store::{Extension, Store};
use crate::telemetry;
use crate::tenure::{Leftover, Tenure};
use release::Release;

/// Where a tenure stands in the timers of a keeper task.
#[derive(Debug)]
pub(crate) struct Timer {
    key: delay_queue::Key,
    /// The task's number: a key says nothing to another task's timers.
    task: u64,
}

pub(crate) struct Keeper {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn Store>,
    desk: Mutex<Desk>,
    /// Notified when a release is done, and when the task ends.
    progress: Notify,
}

/// What the task and the rest of the locker share.
#[derive(Default)]
struct Desk {
    inbox: Vec<Job>,
    waker: Option<Waker>,
    task: Option<JoinHandle<()>>,
    tasks_started: u64,
    /// Set by the task itself, in its last step.
    idle: bool,
    /// Releases that have not come to their end.
    releases: usize,
    /// Leases that the task has to keep, as of its last pause.
    leases: usize,
}

enum Job {
    Watch(Arc<Tenure>),
    Forget(Arc<Tenure>),
    Release(Arc<Tenure>, Leftover),
}

impl Keeper {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            shared: Arc::new(Shared {
                store,
                desk: Mutex::default(),
                progress: Notify::new(),
            }),
        }
    }

    /// Extends the lease for as long as it is wanted.
    pub(crate) fn watch(&self, tenure: Arc<Tenure>) {
        self.submit(Job::Watch(tenure), Handle::try_current().ok());
    }

    /// The lease is over and needs no extension any more.
    pub(crate) fn forget(&self, tenure: Arc<Tenure>) {
        self.submit(Job::Forget(tenure), None);
    }

    /// Releases the key of a guard that was dropped.
    pub(crate) fn release(&self, tenure: Arc<Tenure>, leftover: Leftover, runtime: Option<Handle>) {
        self.shared.desk().releases += 1;
        self.submit(Job::Release(tenure, leftover), runtime);
    }

    fn submit(&self, job: Job, runtime: Option<Handle>) {
        let mut desk = self.shared.desk();
        desk.inbox.push(job);
        desk.wake_or_start(&self.shared, runtime);
    }

    /// Waits until no release is pending, and the task is gone if no lease needs it.
    pub(crate) async fn settle(&self) {
        loop {
            let mut progress = std::pin::pin!(self.shared.progress.notified());
            progress.as_mut().enable();
            let ended = {
                let mut desk = self.shared.desk();
                if !desk.inbox.is_empty() {
                    desk.wake_or_start(&self.shared, Handle::try_current().ok());
                }
                let only_leases = desk.is_alive() && desk.leases > 0;
                if desk.releases == 0 && desk.inbox.is_empty() && only_leases {
                    return;
                }
                if desk.is_alive() {
                    None
                } else if let Some(task) = desk.task.take() {
                    Some(task)
                } else {
                    return;
                }
            };
            match ended {
                // Ended or cancelled: gone in either case.
                Some(task) => drop(task.await),
                None => progress.await,
            }
        }
    }
}

impl Desk {
    /// Whether there is a task that takes jobs; one that its runtime has dropped does not.
    fn is_alive(&self) -> bool {
        let running = self.task.as_ref().is_some_and(|task| !task.is_finished());
        running && !self.idle
    }

    fn wake_or_start(&mut self, shared: &Arc<Shared>, runtime: Option<Handle>) {
        if self.is_alive() {
            if let Some(waker) = self.waker.take() {
                waker.wake();
            }
        } else if let Some(runtime) = runtime {
            self.tasks_started += 1;
            self.idle = false;
            let task = Task::new(Arc::clone(shared), self.tasks_started);
            self.task = Some(runtime.spawn(task.run()));
        }
    }
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Task {
    shared: Arc<Shared>,
    number: u64,
    timers: DelayQueue<Arc<Tenure>>,
    work: FuturesUnordered<BoxFuture<'static, Done>>,
}

/// A piece of work that came to its end.
enum Done {
    Extended(Vec<(Arc<Tenure>, Duration, Extension)>),
    Released,
}

impl Task {
    fn new(shared: Arc<Shared>, number: u64) -> Self {
        Self {
            shared,
            number,
            timers: DelayQueue::new(),
            work: FuturesUnordered::new(),
        }
    }

    async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // Each step leaves a waker behind where it has nothing to do; only when all three have
            // nothing to do at once is it safe to pause.
            let moved = self.take_jobs(cx) | self.extend_due(cx) | self.take_done(cx);
            if !moved {
                return self.pause();
            }
        }
    }

    fn take_jobs(&mut self, cx: &Context<'_>) -> bool {
        let jobs = {
            let mut desk = self.shared.desk();
            desk.waker = Some(cx.waker().clone());
            std::mem::take(&mut desk.inbox)
        };
        let any = !jobs.is_empty();
        for job in jobs {
            match job {
                Job::Watch(tenure) => self.schedule(&tenure),
                Job::Forget(tenure) => self.disarm(&tenure),
                Job::Release(tenure, leftover) => {
                    let release = Release {
                        shared: Arc::clone(&self.shared),
                        tenure,
                        leftover,
                    };
                    self.work.push(Box::pin(async move {
                        release.run().await;
                        Done::Released
                    }));
                }
            }
        }
        any
    }

    /// Sends one pipeline for all leases whose time has come.
    fn extend_due(&mut self, cx: &mut Context<'_>) -> bool {
        let mut due = Vec::new();
        while let Poll::Ready(Some(expired)) = self.timers.poll_expired(cx) {
            let tenure = expired.into_inner();
            tenure.state().timer = None;
            if tenure.next_extension().is_some() {
                due.push(tenure);
            }
        }
        if due.is_empty() {
            return false;
        }
        let batch: Vec<_> = due
            .iter()
            .map(|tenure| (Arc::clone(&tenure.entry), tenure.ttl()))
            .collect();
        let ttls: Vec<_> = batch.iter().map(|(_, ttl)| *ttl).collect();
        for (tenure, ttl) in due.iter().zip(&ttls) {
            // An answer that does not come must not cost the lease: try again beside it.
            self.arm(tenure, Instant::now() + retry_pause(*ttl));
        }
        let answers = self.shared.store.extend(batch);
        self.work.push(Box::pin(async move {
            let answers = answers.await;
            let extended = due.into_iter().zip(ttls).zip(answers);
            Done::Extended(
                extended
                    .map(|((tenure, ttl), answer)| (tenure, ttl, answer))
                    .collect(),
            )
        }));
        true
    }

    fn take_done(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        while let Poll::Ready(Some(done)) = self.work.poll_next_unpin(cx) {
            any = true;
            if let Done::Extended(extended) = done {
                for (tenure, ttl, answer) in extended {
                    self.extended(&tenure, ttl, answer);
                }
            }
        }
        any
    }

    fn extended(&mut self, tenure: &Arc<Tenure>, ttl: Duration, answer: Extension) {
        match answer {
            Ok(answer) => {
                self.disarm(tenure);
                if tenure.extended(ttl, answer).is_ok() {
                    self.schedule(tenure);
                }
            }
            Err(error) if error.may_pass => {
                telemetry::backend_error(tenure.name());
                tracing::debug!(lock.key = tenure.key(), %error, "lock not extended yet");
            }
            Err(error) => {
                telemetry::backend_error(tenure.name());
                tracing::warn!(
                    lock.key = tenure.key(),
                    error = &error as &dyn std::error::Error,
                    "lock cannot be extended; it is lost at its deadline"
                );
                self.disarm(tenure);
            }
        }
    }

    fn schedule(&mut self, tenure: &Arc<Tenure>) {
        if let Some(at) = tenure.next_extension() {
            self.arm(tenure, at);
        }
    }

    fn arm(&mut self, tenure: &Arc<Tenure>, at: Instant) {
        let key = self.timers.insert_at(Arc::clone(tenure), at);
        tenure.state().timer = Some(Timer {
            key,
            task: self.number,
        });
    }

    fn disarm(&mut self, tenure: &Tenure) {
        let timer = tenure.state().timer.take();
        if let Some(Timer { key, task }) = timer
            && task == self.number
        {
            self.timers.remove(&key);
        }
    }

    /// Ends the task when it has nothing to do, unless a job has come in meanwhile.
    fn pause(&self) -> Poll<()> {
        let mut desk = self.shared.desk();
        desk.leases = self.timers.len();
        desk.idle = desk.leases == 0 && self.work.is_empty() && desk.inbox.is_empty();
        self.shared.progress.notify_waiters();
        if desk.idle {
            desk.waker = None;
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

/// The pause before an extension is tried beside one whose answer is still out: a twelfth of the
/// ttl, which is what [`Tenure::next_extension`] leaves after a break of two thirds.
fn retry_pause(ttl: Duration) -> Duration {
    (ttl / 12).clamp(Duration::from_millis(2), Duration::from_secs(1))
}
