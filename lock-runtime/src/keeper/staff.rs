//! Who does the work of a keeper, on which runtime, and what is passed on when that ends.

use std::collections::{HashSet, VecDeque};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use super::release::{Release, TenureLines};
use super::task::Task;
use super::timers::Timers;
use crate::store::{Ring, Store};
use crate::tenure::{SharedTenure, Tenure};

/// Who does the work: a task, or nobody while there is none to do.
pub(super) struct Staff {
    pub(super) store: Arc<dyn Store>,
    pub(super) lines: Arc<TenureLines>,
    jobs: mpsc::UnboundedSender<Job>,
    status: Mutex<Status>,
    /// Notified when a release is done, and when the task ends.
    pub(super) progress: Notify,
}

pub(super) struct Status {
    /// What no task has taken over.
    pub(super) idle: Option<Work>,
    pub(super) task: Option<JoinHandle<()>>,
    /// How many tenures are to be extended.
    pub(super) watched: usize,
    /// Releases that have not come to their end.
    pub(super) releases: usize,
    /// Whether a runtime is being looked for that takes over.
    moving: bool,
}

/// What one task passes on to the next.
pub(super) struct Work {
    pub(super) jobs: mpsc::UnboundedReceiver<Job>,
    /// Jobs of a task that was ended.
    pub(super) left: VecDeque<Job>,
    pub(super) timers: Timers,
}

pub(super) enum Job {
    Watch(Weak<SharedTenure>, Handle),
    Release(Release),
    /// The last tenure that was watched is over.
    Look,
}

/// Has a tenure looked at when others have changed its key.
pub(super) struct Check {
    pub(super) staff: Weak<Staff>,
    pub(super) tenure: Weak<SharedTenure>,
    pub(super) runtime: Handle,
}

impl Ring for Check {
    fn ring(&self) {
        let (Some(staff), Some(tenure)) = (self.staff.upgrade(), self.tenure.upgrade()) else {
            return;
        };
        if tenure.tell(Tenure::changed) {
            let job = Job::Watch(Arc::downgrade(&tenure), self.runtime.clone());
            staff.submit(job, Some(&self.runtime));
        }
    }
}

impl Staff {
    pub(super) fn new(store: Arc<dyn Store>, lines: Arc<TenureLines>) -> Self {
        let (sender, jobs) = mpsc::unbounded_channel();
        Self {
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
        }
    }

    pub(super) fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True if nothing is watched any more.
    pub(super) fn forget(&self) -> bool {
        let mut status = self.status();
        status.watched = status.watched.saturating_sub(1);
        status.watched == 0
    }

    pub(super) fn submit_release(self: &Arc<Self>, release: Release) {
        let runtime = release.runtime.clone();
        self.submit(Job::Release(release), Some(&runtime));
    }

    pub(super) fn submit(self: &Arc<Self>, job: Job, runtime: Option<&Handle>) {
        // The receiver lives as long as this does. Either the task sees the job before it ends, or
        // it has ended, and is started anew.
        let sent = self.jobs.send(job);
        debug_assert!(sent.is_ok());
        self.start_if_idle(runtime, |_| true);
    }

    pub(super) fn start_if_idle(
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
    pub(super) fn take_over(self: &Arc<Self>, work: Work) {
        {
            let mut status = self.status();
            status.idle = Some(work);
            // One that has ended drops the task at once, which leads here.
            if mem::replace(&mut status.moving, true) {
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
