//! Watching over the command and its lock until the command has ended.

use std::time::Duration;

use nix::sys::signal::{Signal, raise};
use redis_locked_runtime::Lease;
use tokio::time::{Instant, sleep, sleep_until};

use super::group::{Change, Group};
use super::options::Run;
use super::plan::Plan;
use super::signals::{Signals, ends, listen};
use super::terminal::{Loan, stop_job};
use super::voice::Voice;
use crate::exit::{Failure, LOST, in_options};

/// How often is looked whether the group has ended, when its leader has: nobody tells.
const LOOK: Duration = Duration::from_millis(10);

struct Watch<'a> {
    options: &'a Run,
    lease: &'a Lease,
    group: Group,
    terminal: Option<Loan>,
    /// Whether SIGTSTP does not stop us, since we listen for it and do it ourselves.
    stops_itself: bool,
    voice: Voice,
    plan: Plan,
    /// When the lock was asked for, less the clocks' drift.
    began: Instant,
    /// As it was last seen.
    deadline: Instant,
    /// Since when the command has been stopped.
    stopped: Option<Instant>,
    /// When the command is killed that was told to end.
    kill_at: Option<Instant>,
}

/// Runs the command, and returns the exit code when all of its group has ended.
pub(crate) async fn supervise(
    options: &Run,
    lease: &Lease,
    signals: &mut Signals,
    grace: Duration,
) -> Result<u8, Failure> {
    let mut children = listen(Signal::SIGCHLD)?;
    let terminal = Loan::offer();
    let foreground = terminal.as_ref().is_some_and(Loan::is_due);
    if !foreground {
        // In the foreground, the command itself gets what stops it.
        signals.add(Signal::SIGTSTP)?;
    }
    signals.add(Signal::SIGCONT)?;
    let deadline = Instant::now() + lease.remaining();
    // As the deadline tells: answers may take long.
    let first = options.longest_at_a_time();
    let began = deadline.checked_sub(first).unwrap_or(deadline);
    if lease.remaining() <= grace {
        let message = format!(
            "lock {:?} was granted so late that the command would have to end at once; it was not \
             begun. Raise --ttl, or find out why Redis takes so long",
            options.name()
        );
        return Err(Failure::new(LOST, message));
    }
    let voice = Voice::new()?;
    let mut watch = Watch {
        options,
        lease,
        group: Group::start(options, lease, foreground)?,
        terminal,
        stops_itself: !foreground,
        voice,
        plan: Plan::new(grace),
        began,
        deadline,
        stopped: None,
        kill_at: None,
    };
    loop {
        while let Some(change) = watch.group.look() {
            match change {
                Change::Ended(code) => return Ok(watch.ended(code)),
                Change::Stopped(by) => watch.was_stopped(by),
                Change::Continued => watch.stopped = None,
            }
        }
        watch.see_deadline();
        let wake = watch.wake_at();
        let told = watch.kill_at.is_some();
        tokio::select! {
            _ = children.recv() => {}
            () = sleep(LOOK), if watch.group.is_leaderless() => {}
            _ = lease.lost(), if !told => {
                // Of several keys, it tells which.
                if let Some(loss) = lease.loss() {
                    watch.end(&in_options(&loss.to_string()));
                }
            }
            () = sleep_until(wake), if told => {
                watch.group.send(Signal::SIGKILL);
                watch.kill_at = Some(Instant::now() + LOOK);
            }
            () = sleep_until(wake), if !told => watch.look_at_time(),
            signal = signals.next() => watch.pass_on(signal),
        }
    }
}

impl Watch<'_> {
    fn ended(&self, code: u8) -> u8 {
        if self.kill_at.is_none() {
            return code;
        }
        self.voice.say(format!("the command has ended with {code}"));
        LOST
    }

    /// The command was stopped by a key, or since it needs the terminal, or by somebody.
    fn was_stopped(&mut self, by: Signal) {
        self.stopped = Some(Instant::now());
        let group = self.group.id();
        let needs_terminal = matches!(by, Signal::SIGTTIN | Signal::SIGTTOU);
        // Without a terminal, nobody would continue us.
        let Some(terminal) = &mut self.terminal else {
            return;
        };
        if needs_terminal && terminal.ask(group) {
            return self.resume();
        }
        // Somebody who has stopped the command alone may continue it alone, and then we have to be
        // there. What was told to end is killed where it stands.
        let is_of_job = by != Signal::SIGSTOP || terminal.is_lent_to(group);
        if !is_of_job || self.kill_at.is_some() {
            return;
        }
        terminal.take_back(group);
        let by = match by {
            Signal::SIGTTIN | Signal::SIGTTOU => by,
            _ if self.stops_itself => Signal::SIGTTOU,
            _ => Signal::SIGTSTP,
        };
        stop_job(by);
        if by == Signal::SIGTSTP {
            // Also where nobody could continue the job, so that it was not stopped.
            self.resume();
        }
    }

    fn pass_on(&mut self, signal: Signal) {
        match signal {
            Signal::SIGTSTP => {
                if let Some(terminal) = &self.terminal {
                    terminal.take_back(self.group.id());
                }
                self.group.send(Signal::SIGSTOP);
                // Fails only where there is no such signal.
                let _ = raise(Signal::SIGSTOP);
                self.resume();
            }
            Signal::SIGCONT => self.resume(),
            signal => {
                self.group.send(signal);
                if ends(signal) {
                    // What is stopped could not end.
                    self.group.send(Signal::SIGCONT);
                }
            }
        }
    }

    /// When something has to be done, if nothing happens until then.
    fn wake_at(&self) -> Instant {
        let term_at = self.plan.term_at(self.deadline);
        let term_at = self
            .idle_at()
            .map_or(term_at, |idle_at| idle_at.min(term_at));
        self.kill_at.unwrap_or(term_at)
    }

    /// When the lock of a command that is stopped has been kept for long enough.
    fn idle_at(&self) -> Option<Instant> {
        self.stopped.map(|since| since + self.options.ttl)
    }

    fn see_deadline(&mut self) {
        if self.lease.is_held() {
            self.deadline = Instant::now() + self.lease.remaining();
        }
    }

    /// The time for SIGTERM has come, unless the lock was extended meanwhile.
    fn look_at_time(&mut self) {
        self.see_deadline();
        let now = Instant::now();
        if now >= self.plan.term_at(self.deadline) {
            self.end(&self.why());
        } else if self.idle_at().is_some_and(|idle_at| now >= idle_at) {
            let key = self.options.name();
            self.end(&format!(
                "lock {key:?} is given up: the command was stopped for as long as its ttl"
            ));
        }
    }

    /// We were stopped, the command with us, and are continued. If the time is over meanwhile, the
    /// command is not: it is killed where it stands.
    fn resume(&mut self) {
        if self.lease.is_held() {
            if let Some(terminal) = &self.terminal {
                terminal.lend(self.group.id());
            }
            self.group.send(Signal::SIGCONT);
        } else if self.kill_at.is_none() {
            let key = self.options.name();
            let why =
                format!("lock {key:?} was lost: this job was stopped for longer than its ttl");
            self.end(&why);
        }
    }

    /// Tells the command to end.
    fn end(&mut self, why: &str) {
        let now = Instant::now();
        let kill_at = self.plan.kill_at(now, self.deadline);
        self.kill_at = Some(kill_at);
        let left = kill_at.saturating_duration_since(now);
        let then = if left.is_zero() {
            self.group.send(Signal::SIGKILL);
            "killed".to_owned()
        } else {
            self.group.send(Signal::SIGTERM);
            // What is stopped could not end.
            self.group.send(Signal::SIGCONT);
            format!("told to end, and is killed in {left:.1?}")
        };
        self.voice.say(format!("{why}. The command is {then}"));
    }

    /// Why a lock that is held still is about to be over.
    fn why(&self) -> String {
        let key = self.options.name();
        let ttl = humantime::format_duration(self.options.ttl);
        if !self.options.renew {
            return format!(
                "lock {key:?} is nearly over, after its ttl of {ttl}; give --renew or a longer --ttl"
            );
        }
        match self.options.max_hold {
            Some(max_hold) if self.deadline >= self.began + max_hold.mul_f32(0.98) => format!(
                "lock {key:?} is nearly over: --max-hold {} is reached",
                humantime::format_duration(max_hold)
            ),
            _ => format!(
                "lock {key:?} could not be extended for so long that it is nearly over; check that \
                 Redis can be reached"
            ),
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if let Some(terminal) = &self.terminal {
            terminal.take_back(self.group.id());
        }
    }
}
