//! The one background task of a locker: it extends leases, and does the releases nobody awaits.
//!
//! It starts with the first lease that needs it and ends when none does. All work is done inside
//! this one task: extensions that are due together go out as one pipeline, and neither a slow
//! answer nor a release that has to be repeated holds up the rest. When the runtime ends in which
//! the task runs, another one whose leases it keeps takes the task over.

mod release;
mod task;
mod timers;

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use crate::line::Lines;
use crate::store::{Store, StoreError};
use crate::tenure::{Needs, SharedTenure};
pub(crate) use release::{Release, Unheard, vacate};
use task::Task;
use timers::Timers;

/// The lines of a locker's callers: a tenure is passed on to one who needs so much of it.
pub(crate) type TenureLines = Lines<SharedTenure, Needs, StoreError>;

pub(crate) struct Keeper {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    lines: Arc<TenureLines>,
    jobs: mpsc::UnboundedSender<Job>,
    status: Mutex<Status>,
    /// Notified when a release is done, and when the task ends.
    progress: Notify,
}

struct Status {
    /// What no task has taken over.
    idle: Option<Work>,
    task: Option<JoinHandle<()>>,
    /// How many tenures are to be extended.
    watched: usize,
    /// Releases that have not come to their end.
    releases: usize,
    /// Whether a runtime is being looked for that takes over.
    moving: bool,
}

/// What one task passes on to the next.
struct Work {
    jobs: mpsc::UnboundedReceiver<Job>,
    /// Jobs of a task that was ended.
    left: VecDeque<Job>,
    timers: Timers,
}

enum Job {
    Watch(Weak<SharedTenure>, Handle),
    Release(Release),
    /// The last tenure that was watched is over.
    Look,
}

impl Keeper {
    pub(crate) fn new(store: Arc<dyn Store>, lines: Arc<TenureLines>) -> Self {
        let (sender, jobs) = mpsc::unbounded_channel();
        Self {
            inner: Arc::new(Inner {
                store,
                lines,
                jobs: sender,
                status: Mutex::new(Status {
                    idle: Some(Work {
                        jobs,
                        left: VecDeque::new(),
                        timers: Timers::default(),
                    }),
                    task: None,
                    watched: 0,
                    releases: 0,
                    moving: false,
                }),
                progress: Notify::new(),
            }),
        }
    }

    /// Extends the lease for as long as it is wanted.
    pub(crate) fn watch(&self, tenure: &Arc<SharedTenure>, runtime: &Handle) {
        self.inner.status().watched += 1;
        let job = Job::Watch(Arc::downgrade(tenure), runtime.clone());
        self.inner.submit(job, Some(runtime));
    }

    /// A tenure that was watched is over.
    pub(crate) fn forget(&self) {
        if self.inner.forget() {
            self.inner.submit(Job::Look, None);
        }
    }

    /// Gives the key of a guard back that was dropped, or whose tenure left doubt.
    pub(crate) fn release(&self, release: Release) {
        self.inner.status().releases += 1;
        self.inner.submit_release(release);
    }

    /// Waits until no release is pending, and the task is gone if no lease needs it.
    pub(crate) async fn settle(&self) {
        let inner = &self.inner;
        loop {
            let mut progress = std::pin::pin!(inner.progress.notified());
            progress.as_mut().enable();
            let runtime = Handle::try_current().ok();
            inner.start_if_idle(runtime.as_ref(), |status| status.releases > 0);
            let ended = {
                let mut status = inner.status();
                let is_running = status.idle.is_none();
                if is_running && status.releases == 0 && status.watched > 0 {
                    return;
                }
                if is_running {
                    None
                } else if let Some(task) = status.task.take() {
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

impl Inner {
    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True if nothing is watched any more.
    fn forget(&self) -> bool {
        let mut status = self.status();
        status.watched = status.watched.saturating_sub(1);
        status.watched == 0
    }

    fn submit_release(self: &Arc<Self>, release: Release) {
        let runtime = release.runtime.clone();
        self.submit(Job::Release(release), Some(&runtime));
    }

    fn submit(self: &Arc<Self>, job: Job, runtime: Option<&Handle>) {
        // The receiver lives as long as this does. Either the task sees the job before it ends, or
        // it has ended, and is started anew.
        let sent = self.jobs.send(job);
        debug_assert!(sent.is_ok());
        self.start_if_idle(runtime, |_| true);
    }

    fn start_if_idle(
        self: &Arc<Self>,
        runtime: Option<&Handle>,
        wanted: impl FnOnce(&Status) -> bool,
    ) {
        let Some(runtime) = runtime else {
            return;
        };
        let work = {
            let mut status = self.status();
            if status.moving || !wanted(&status) {
                return;
            }
            status.idle.take()
        };
        if let Some(work) = work {
            self.start(work, runtime);
        }
    }

    /// Where the runtime has ended, the work is idle again by the end of this.
    fn start(self: &Arc<Self>, work: Work, runtime: &Handle) {
        let task = runtime.spawn(Task::new(Arc::clone(self), work).run());
        self.status().task = Some(task);
    }

    /// A task was dropped in the middle of its work, because its runtime ends or because something
    /// in it has panicked: whoever else has leases here takes over.
    fn take_over(self: &Arc<Self>, work: Work) {
        {
            let mut status = self.status();
            status.idle = Some(work);
            // One that has ended drops the task at once, which leads here.
            if std::mem::replace(&mut status.moving, true) {
                return;
            }
        }
        let mut tried = HashSet::new();
        loop {
            let (work, runtime) = {
                let mut status = self.status();
                let next = status.idle.as_mut().and_then(|work| {
                    let mut runtimes = work.runtimes();
                    runtimes.find(|runtime| tried.insert(runtime.id())).cloned()
                });
                match (next, status.idle.take()) {
                    (Some(runtime), Some(work)) => (work, runtime),
                    (_, idle) => {
                        status.idle = idle;
                        status.moving = false;
                        return;
                    }
                }
            };
            self.start(work, &runtime);
        }
    }
}

impl Work {
    /// The runtimes in which leases were taken, or guards dropped.
    fn runtimes(&mut self) -> impl Iterator<Item = &Handle> {
        while let Ok(job) = self.jobs.try_recv() {
            self.left.push_back(job);
        }
        let left = self.left.iter().filter_map(|job| match job {
            Job::Watch(_, runtime) => Some(runtime),
            Job::Release(release) => Some(&release.runtime),
            Job::Look => None,
        });
        left.chain(self.timers.runtimes())
    }
}
