//! The task: it takes jobs, extends what is due, and drives the releases.

use std::future::{Future as _, poll_fn};
use std::mem::take;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::batch::{Batch, Due, Extended, PIECE, Watched};
use super::release::{Release, vacate};
use super::staff::{Check, Job, Staff, Work};
use super::timers::Timer;
use crate::store::Extension;
use crate::telemetry;
use crate::tenure::NextExtension;

/// No timer is set further ahead, for clocks and timers have their ends: it is looked at again then.
const FURTHEST: Duration = Duration::from_secs(24 * 60 * 60);

/// So many may be under way: then what is due waits for answers before it goes out. Enough for two
/// pieces a round trip, and not so many that a slow server takes longer for all than it may for one.
const UNDER_WAY: usize = 2 * PIECE;

/// How long the task stays when it has nothing to do: where a lock goes round among processes, each
/// hand-over needs it again.
const LINGERS: Duration = Duration::from_millis(10);

pub(super) struct Task {
    staff: Arc<Staff>,
    /// Until the task ends by itself.
    work: Option<Work>,
    under_way: FuturesUnordered<BoxFuture<'static, Done>>,
    /// How many extensions are.
    extending: usize,
    timer: Option<Pin<Box<Sleep>>>,
    /// The end of its patience, while it has nothing to do.
    lingering: Option<Pin<Box<Sleep>>>,
}

/// A piece of work that came to its end.
enum Done {
    /// So many extensions.
    Extended(usize, Extended),
    Released,
}

impl Task {
    pub(super) fn new(staff: Arc<Staff>, work: Work) -> Self {
        Self {
            staff,
            work: Some(work),
            under_way: FuturesUnordered::new(),
            extending: 0,
            timer: None,
            lingering: None,
        }
    }

    pub(super) async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // Each step leaves a waker behind where it has nothing to do; only when all three have
            // nothing to do at once is it safe to pause.
            let moved = self.take_jobs(cx) | self.extend_due(cx) | self.take_done(cx);
            if !moved {
                return self.pause(cx);
            }
            self.lingering = None;
        }
    }

    fn work(&mut self) -> &mut Work {
        self.work.as_mut().expect("it is not polled after its end")
    }

    fn take_jobs(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        loop {
            let work = self.work();
            let job = match work.left.pop_front() {
                Some(job) => job,
                None => match work.jobs.poll_recv(cx) {
                    Poll::Ready(Some(job)) => job,
                    Poll::Ready(None) | Poll::Pending => return any,
                },
            };
            any = true;
            match job {
                Job::Watch(tenure, runtime) => {
                    if let Some(tenure) = tenure.upgrade() {
                        self.schedule(&Watched { tenure, runtime });
                    }
                }
                Job::Release(release) => {
                    let mut under_way = UnderWay {
                        staff: Arc::clone(&self.staff),
                        release: Some(release),
                    };
                    self.under_way.push(Box::pin(async move {
                        under_way.run().await;
                        Done::Released
                    }));
                }
                Job::Look => {}
            }
        }
    }

    /// Sends pipelines for the leases whose time has come.
    fn extend_due(&mut self, cx: &mut Context<'_>) -> bool {
        let now = Instant::now();
        let (mut plain, mut listening) = (Batch::default(), Batch::default());
        let mut any = false;
        while self.extending + plain.len() + listening.len() < UNDER_WAY
            && let Some(timer) = self.work().timers.pop(now)
        {
            any = true;
            let Some(tenure) = timer.due() else {
                continue;
            };
            let runtime = timer.runtime;
            let watched = Watched { tenure, runtime };
            match watched.tenure.tell(|tenure| tenure.next_extension(now)) {
                NextExtension::At(next) if next <= now => {
                    self.listen(&watched);
                    let sending = watched.extending(now);
                    self.arm(&watched, sending.again);
                    let batch = if sending.listening {
                        &mut listening
                    } else {
                        &mut plain
                    };
                    batch.add(now, watched, &sending);
                    if batch.len() == PIECE {
                        self.extend(take(batch));
                    }
                }
                NextExtension::At(next) => self.arm(&watched, next),
                NextExtension::Over => self.forget(),
                NextExtension::Unwatched => {}
            }
        }
        self.extend(plain);
        self.extend(listening);
        // Answers make room; until then, no timer can help.
        any || self.extending < UNDER_WAY && self.poll_timer(cx)
    }

    fn extend(&mut self, batch: Batch) {
        let count = batch.len();
        if count == 0 {
            return;
        }
        self.extending += count;
        let sending = batch.send(&*self.staff.store);
        let done = sending.map(move |extended| Done::Extended(count, extended));
        self.under_way.push(done.boxed());
    }

    /// Has a lease extended at once when others change its key: the answer says whose it is.
    fn listen(&self, Watched { tenure, runtime }: &Watched) {
        tenure.listen_to_key(|entry| {
            let check = Check {
                staff: Arc::downgrade(&self.staff),
                tenure: Arc::downgrade(tenure),
                runtime: runtime.clone(),
            };
            self.staff.store.listen_to_key(&entry.key, Arc::new(check))
        });
    }

    /// True if the next timer's time has come.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(next) = self.work().timers.next() else {
            self.timer = None;
            return false;
        };
        let at = next.min(Instant::now() + FURTHEST);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() > next || timer.is_elapsed() {
            timer.as_mut().reset(at);
        }
        timer.as_mut().poll(cx).is_ready()
    }

    fn take_done(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        while let Poll::Ready(Some(done)) = self.under_way.poll_next_unpin(cx) {
            any = true;
            if let Done::Extended(count, extended) = done {
                self.extending -= count;
                for (due, answer) in extended {
                    self.extended(&due, answer);
                }
            }
        }
        any
    }

    fn extended(&mut self, due: &Due, answer: Extension) {
        let tenure = &due.watched.tenure;
        match answer {
            Ok(answer) => {
                if tenure.hear_extension(due.ttl, due.slept, answer).is_err() {
                    vacate(&self.staff.lines, tenure);
                }
                self.schedule(&due.watched);
            }
            // The next attempt has its timer already.
            Err(error) => {
                telemetry::backend_error(tenure.name());
                tenure.was_not_extended(&error);
            }
        }
    }

    /// Has the tenure looked at again when it needs an extension, if it does.
    fn schedule(&mut self, watched: &Watched) {
        let now = Instant::now();
        match watched.tenure.tell(|tenure| tenure.next_extension(now)) {
            NextExtension::At(next) => self.arm(watched, next),
            NextExtension::Over => self.forget(),
            NextExtension::Unwatched => {}
        }
    }

    fn arm(&mut self, watched: &Watched, at: Instant) {
        self.work().timers.insert(Timer {
            at,
            tenure: Arc::downgrade(&watched.tenure),
            runtime: watched.runtime.clone(),
        });
    }

    fn forget(&self) {
        self.staff.forget();
    }

    fn is_idle(&self) -> bool {
        self.staff.status().watched == 0 && !self.has_work()
    }

    fn has_work(&self) -> bool {
        let has_job = |work: &Work| !work.jobs.is_empty();
        !self.under_way.is_empty() || self.work.as_ref().is_some_and(has_job)
    }

    /// Ends the task when it has had nothing to do for a while, unless a job has come in meanwhile.
    fn pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let ends = self.is_idle()
            && {
                let lingering = self
                    .lingering
                    .get_or_insert_with(|| Box::pin(sleep(LINGERS)));
                lingering.as_mut().poll(cx).is_ready()
            }
            && {
                let staff = Arc::clone(&self.staff);
                let mut status = staff.status();
                let ends = status.watched == 0 && !self.has_work();
                if ends && let Some(mut work) = self.work.take() {
                    // All of them are over.
                    work.timers.clear();
                    status.idle = Some(work);
                }
                ends
            };
        self.staff.progress.notify_waiters();
        if ends { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let Some(work) = self.work.take() else {
            return;
        };
        // Releases that are cut short go back to the jobs.
        self.under_way.clear();
        self.staff.take_over(work);
        self.staff.progress.notify_waiters();
    }
}

/// A release that the task drives. Dropped before its end, it becomes a job again; should it panic,
/// it is given up.
struct UnderWay {
    staff: Arc<Staff>,
    release: Option<Release>,
}

impl UnderWay {
    async fn run(&mut self) {
        if let Some(release) = &mut self.release {
            let asking = release.ask(&*self.staff.store, &self.staff.lines);
            // A panic has been reported by its hook.
            drop(AssertUnwindSafe(asking).catch_unwind().await);
        }
        if let Some(release) = self.release.take() {
            vacate(&self.staff.lines, &release.tenure);
            self.staff.status().releases -= 1;
            self.staff.progress.notify_waiters();
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(release) = self.release.take() {
            self.staff.submit_release(release);
        }
    }
}
