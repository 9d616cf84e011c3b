//! Whether anything has woken a body.
//!
//! A body's task is polled for other reasons, too: by the timer of its own cut-off, or by what else is
//! in a `join!`. A body that waits for an answer which never comes is polled then as well, and is not
//! ready. So the body is polled with a waker of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use futures_util::task::AtomicWaker;

pub(super) struct Woken {
    /// Since the last poll that was told so.
    is_woken: AtomicBool,
    task: AtomicWaker,
}

impl Woken {
    /// That of a body which has not been polled: its first poll is one that it asked for.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            is_woken: AtomicBool::new(true),
            task: AtomicWaker::new(),
        })
    }

    /// Whether this poll is one that the body's waker asked for, since the last.
    pub(super) fn take(&self, cx: &Context<'_>) -> bool {
        // Before the look, or a wake between the two would be for the task of before.
        self.task.register(cx.waker());
        self.is_woken.swap(false, Ordering::AcqRel)
    }

    pub(super) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.store(true, Ordering::Release);
        self.task.wake();
    }
}
