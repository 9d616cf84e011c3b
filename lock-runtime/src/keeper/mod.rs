//! The one background task of a locker: it extends leases, and does the releases nobody awaits.
//!
//! It starts with the first lease that needs it and ends when none does. All work is done inside
//! this one task: extensions that are due together go out as one pipeline, and neither a slow
//! answer nor a release that has to be repeated holds up the rest. When the runtime ends in which
//! the task runs, another one whose leases it keeps takes the task over.

mod batch;
mod release;
mod staff;
mod task;
mod timers;

use std::pin::pin;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::store::Store;
use crate::tenure::SharedTenure;
pub(crate) use release::{Release, TenureLines, UnheardAttempt, vacate};
use staff::{Job, Staff};

pub(crate) struct Keeper {
    staff: Arc<Staff>,
}

impl Keeper {
    pub(crate) fn new(store: Arc<dyn Store>, lines: Arc<TenureLines>) -> Self {
        Self {
            staff: Arc::new(Staff::new(store, lines)),
        }
    }

    /// Extends the lease for as long as it is wanted.
    pub(crate) fn watch(&self, tenure: &Arc<SharedTenure>, runtime: &Handle) {
        self.staff.status().watched += 1;
        let job = Job::Watch(Arc::downgrade(tenure), runtime.clone());
        self.staff.submit(job, Some(runtime));
    }

    /// A tenure that was watched is over.
    pub(crate) fn forget(&self) {
        if self.staff.forget() {
            self.staff.submit(Job::Look, None);
        }
    }

    /// Gives the key of a guard back that was dropped, or whose tenure left doubt.
    pub(crate) fn release(&self, release: Release) {
        self.staff.status().releases += 1;
        self.staff.submit_release(release);
    }

    /// Waits until no release is pending, and the task is gone if no lease needs it.
    pub(crate) async fn settle(&self) {
        let staff = &self.staff;
        loop {
            let mut progress = pin!(staff.progress.notified());
            progress.as_mut().enable();
            let runtime = Handle::try_current().ok();
            staff.start_if_idle(runtime.as_ref(), |status| status.releases > 0);
            let ended = {
                let mut status = staff.status();
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
