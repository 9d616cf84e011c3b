//! Stopping and continuing a child process, and telling it to end.

use std::process::Child;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// Returns once every thread of the process stands still: the signal alone only asks for it.
pub(crate) fn stop(child: &Child) {
    let pid = Pid::from_child(child);
    if kill_process(pid, Signal::STOP).is_ok() {
        // Without EXITED, this would wait for ever for a process that has died meanwhile; without
        // NOWAIT, it would take that exit from the one who waits for it.
        let until = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let _ = waitid(WaitId::Pid(pid), until);
    }
}

/// # Panics
/// If it has ended, and its exit was seen.
pub(crate) fn terminate(child: &Child) {
    kill_process(Pid::from_child(child), Signal::TERM).expect("the child is there");
}

pub(crate) fn resume(child: &Child) {
    let _ = kill_process(Pid::from_child(child), Signal::CONT);
}
