//! The command's process group.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use redis_locked_runtime::Lease;

use super::itself::this_program;
use super::nested::variables;
use super::options::Run;
use crate::exit::Failure;

pub(crate) struct Group {
    /// The group's id is the id of its leader, the command.
    id: Pid,
    leader: Option<u8>,
    /// Whether what the leader leaves behind is waited for.
    is_whole: bool,
}

/// What has happened in the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// The command was stopped by this signal, as by Ctrl-Z.
    Stopped(Signal),
    /// The command runs on after it was stopped.
    Continued,
    /// The command has ended with this exit code, and all that is waited for.
    Ended(u8),
}

impl Group {
    /// Starts the command.
    pub(crate) fn start(options: &Run, lease: &Lease, foreground: bool) -> Result<Self, Failure> {
        // What the command leaves behind is ours to bury, so that the group can be seen to end also
        // where process 1 buries nobody. Without it, the group is waited for all the same.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let _ = nix::sys::prctl::set_child_subreaper(true);
        let mut start = this_program()?;
        start.args(["under-lock", "--parent"]);
        start.arg(std::process::id().to_string());
        if foreground {
            start.arg("--foreground");
        }
        start.arg("--").args(options.command()).process_group(0);
        start.stdin(Stdio::inherit());
        start.envs(variables(options, lease));
        let name = OsStr::new("REDIS_LOCKED_FENCE");
        match lease.fencing_token().map(u64::from) {
            Some(fence) => start.env(name, fence.to_string()),
            // That of a lock around this one is not the command's.
            None => start.env_remove(name),
        };
        let child = start
            .spawn()
            .map_err(|error| Failure::system("the command could not be started", error))?;
        let id = i32::try_from(child.id()).map_err(|error| Failure::system("process id", error))?;
        Ok(Self {
            id: Pid::from_raw(id),
            leader: None,
            is_whole: !options.command_only,
        })
    }

    pub(crate) fn id(&self) -> Pid {
        self.id
    }

    /// Whether the command itself has ended, though others of its group may not have.
    pub(crate) fn is_leaderless(&self) -> bool {
        self.leader.is_some()
    }

    /// Sends a signal to all of the group.
    pub(crate) fn send(&self, signal: Signal) {
        // Fails when there is nobody left, which is seen by `look`; or when all have become other
        // users' processes, which are not ours to signal.
        let _ = killpg(self.id, signal);
        if self.leader.is_none() {
            // Also when it left its group; what has ended is not buried yet, so the id is its own.
            let gone = killpg(self.id, None) == Err(Errno::ESRCH);
            if gone {
                let _ = kill(self.id, signal);
            }
        }
    }

    /// Buries who has ended, and tells what has changed.
    pub(crate) fn look(&mut self) -> Option<Change> {
        let flags = WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED | WaitPidFlag::WCONTINUED;
        let anyone = Pid::from_raw(-1);
        loop {
            match waitpid(anyone, Some(flags)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == self.id => {
                    self.leader = Some(u8::try_from(code & 0xff).unwrap_or(u8::MAX));
                }
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == self.id => {
                    self.leader = Some(code_of(signal));
                }
                Ok(WaitStatus::Stopped(pid, by)) if pid == self.id => {
                    return Some(Change::Stopped(by));
                }
                Ok(WaitStatus::Continued(pid)) if pid == self.id => {
                    return Some(Change::Continued);
                }
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => break,
                // Another of the group, or a signal that came meanwhile.
                Ok(_) | Err(_) => {}
            }
        }
        let code = self.leader?;
        let is_over = !self.is_whole || killpg(self.id, None) == Err(Errno::ESRCH);
        is_over.then_some(Change::Ended(code))
    }
}

/// As shells tell it.
pub(crate) fn code_of(signal: Signal) -> u8 {
    u8::try_from(128 + signal as i32).unwrap_or(u8::MAX)
}
