//! Running a body under a lease.

mod result;
#[cfg(all(test, target_os = "linux"))]
mod tests;
mod unlocked;
mod woken;

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::future::{BoxFuture, MaybeDone};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep_until};

use crate::error::LockError;
use crate::hold::{LockGuard, Loss, Releasing};
use crate::store::Outcome;
use crate::telemetry::Run;
pub use result::RunResult;
pub(crate) use result::{outcome, outcome_of};
pub use unlocked::{FromLockError, FromSkipped, or_else};
use woken::Woken;

/// What becomes of the body when its lock is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnLost {
    /// It is dropped where it awaits, and the caller gets [`LockError::Lost`].
    #[default]
    Cancel,
    /// It runs to its end without the lock. The caller gets its result, and a warning is logged.
    Finish,
}

/// The request, once it is awaited: its span, and what answers with the lock.
pub(crate) type Begin = Box<dyn FnOnce() -> (Run, Acquiring) + Send>;

pub(crate) type Acquiring = BoxFuture<'static, Result<LockGuard, LockError>>;

pin_project! {
    /// Acquires, polls the body while the lock is surely held, releases.
    ///
    /// The body is stored once. Its state is dropped before the lock is released, whatever ends it:
    /// by `drop`, and should that state panic, by the order of the fields.
    pub(crate) struct Locked<F: Future> {
        #[pin]
        body: MaybeDone<F>,
        // Boxed, and only for a body that pauses: a timer is larger than all the rest.
        cutoff: Option<Pin<Box<Sleep>>>,
        step: Step,
        on_lost: OnLost,
        // What a result says of its run.
        judge: fn(&F::Output) -> Outcome,
        // Says whether anything has woken the body, where that is asked for.
        woken: Option<Arc<Woken>>,
        // The body is being polled, or has panicked while it was.
        polling: bool,
        // Around the body and all that is done for it.
        run: Run,
    }

    impl<F: Future> PinnedDrop for Locked<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            // What the body says while it is dropped belongs to the run as well.
            let _in_run = this.run.enter();
            this.body.set(MaybeDone::Gone);
            if let Step::Held(guard) = this.step {
                // Not by the thread: a body may be dropped while something else unwinds.
                guard.ended(if *this.polling {
                    Outcome::Panicked
                } else {
                    Outcome::Dropped
                });
            }
            *this.step = Step::Done;
        }
    }
}

enum Step {
    /// Not polled yet: what the request looks at is the task that polls.
    Asked(Begin),
    Acquiring(Acquiring),
    Held(LockGuard),
    Releasing(Releasing),
    Done,
}

impl<F: Future> Locked<F> {
    pub(crate) fn new(
        begin: Begin,
        on_lost: OnLost,
        judge: fn(&F::Output) -> Outcome,
        body: F,
    ) -> Self {
        Self {
            body: MaybeDone::Future(body),
            cutoff: None,
            on_lost,
            judge,
            woken: None,
            polling: false,
            run: Run::none(),
            step: Step::Asked(begin),
        }
    }
}

impl<F: Future> Future for Locked<F> {
    type Output = Result<F::Output, LockError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Step::Asked(_) = this.step
            && let Step::Asked(begin) = mem::replace(this.step, Step::Done)
        {
            let (run, acquiring) = begin();
            *this.run = run;
            *this.step = Step::Acquiring(acquiring);
        }
        let _in_run = this.run.enter();
        loop {
            match this.step {
                Step::Asked(_) => unreachable!("it has begun just now"),
                Step::Acquiring(acquire) => match ready!(acquire.as_mut().poll(cx)) {
                    Ok(guard) => {
                        this.run.acquired(guard.attempts(), guard.waited());
                        if guard.watches_idleness() {
                            *this.woken = Some(Woken::new());
                        }
                        *this.step = Step::Held(guard);
                    }
                    Err(error) => {
                        this.run.failed(&error);
                        this.body.set(MaybeDone::Gone);
                        *this.step = Step::Done;
                        return Poll::Ready(Err(error));
                    }
                },
                Step::Held(guard) => {
                    let body = this.body.as_mut();
                    *this.polling = true;
                    let woken = this.woken.as_ref();
                    let polled =
                        poll_held(guard, *this.on_lost, this.run, body, woken, this.cutoff, cx);
                    *this.polling = false;
                    let ended = ready!(polled);
                    if ended.is_ok() {
                        this.run.ran();
                    }
                    guard.ended_as(|| match (&ended, this.body.as_mut().output_mut()) {
                        (Ok(()), Some(output)) => (this.judge)(output),
                        _ => Outcome::CutOff,
                    });
                    match ended {
                        Ok(()) => {
                            if let Step::Held(guard) = mem::replace(this.step, Step::Done) {
                                *this.step = Step::Releasing(guard.give_back());
                            }
                        }
                        Err(loss) => {
                            let error = guard.tell_loss(loss);
                            this.run.failed(&error);
                            this.body.set(MaybeDone::Gone);
                            // Drops the guard, which releases in the background.
                            *this.step = Step::Done;
                            return Poll::Ready(Err(error));
                        }
                    }
                }
                Step::Releasing(releasing) => {
                    // Its failure must not mask what the body returned.
                    if let Err(failed) = ready!(Pin::new(releasing).poll(cx)) {
                        failed.log();
                    }
                    *this.step = Step::Done;
                }
                Step::Done => {
                    let output = this.body.as_mut().take_output();
                    return Poll::Ready(Ok(output.expect("polled again after it was ready")));
                }
            }
        }
    }
}

/// Polls the body if the lock is held; ready when the body is, or when it has to be cut off.
fn poll_held<F: Future>(
    guard: &LockGuard,
    on_lost: OnLost,
    run: &Run,
    body: Pin<&mut MaybeDone<F>>,
    woken: Option<&Arc<Woken>>,
    cutoff: &mut Option<Pin<Box<Sleep>>>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Loss>> {
    if on_lost == OnLost::Cancel
        && let Err(loss) = guard.watch(cx.waker())
    {
        return Poll::Ready(Err(loss));
    }
    let polled = match woken {
        None => run.in_body(|| guard.enter(|| body.poll(cx))),
        Some(woken) => {
            if woken.take(cx) {
                guard.moved();
            }
            let waker = woken.waker();
            let own = &mut Context::from_waker(&waker);
            run.in_body(|| guard.enter(|| body.poll(own)))
        }
    };
    if polled.is_ready() {
        guard.tell_losses();
        return Poll::Ready(Ok(()));
    }
    if on_lost == OnLost::Finish {
        return Poll::Pending;
    }
    loop {
        let until = match guard.watch(cx.waker()) {
            Ok(until) => until,
            Err(loss) => return Poll::Ready(Err(loss)),
        };
        // A timer that rings early, because the deadline has moved since, is set anew only then.
        match cutoff {
            None => *cutoff = Some(Box::pin(sleep_until(until))),
            Some(timer) => {
                // The machine has slept.
                if timer.deadline() > until {
                    timer.as_mut().reset(until);
                }
                ready!(timer.as_mut().poll(cx));
                timer.as_mut().reset(until);
            }
        }
    }
}
