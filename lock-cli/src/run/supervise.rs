//! Watching over the command and its lock until the command has ended.

use std::time::Duration;

use nix::sys::signal::{Signal, raise};
use redis_locked_runtime::Lease;
use tokio::time::{Instant, sleep, sleep_until};

use super::group::{Change, Group};
use super::options::Run;
use super::plan::Plan;
use super::signals::{Signals, listen};
use super::terminal::{self, Terminal};
use super::voice::Voice;
use crate::exit::{Failure, LOST};

/// How often is looked whether the group has ended, when its leader has: nobody tells.
const LOOK: Duration = Duration::from_millis(10);

struct Watch<'a> {
    options: &'a Run,
    lease: &'a Lease,
    voice: Voice,
    plan: Plan,
    /// When the lock was asked for, less the clocks' drift.
    began: Instant,
    /// As it was last seen.
    deadline: Instant,
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
    let foreground = terminal::is_for_us();
    if !foreground {
        // In the foreground, the command itself gets what stops it.
        signals.add(Signal::SIGTSTP)?;
    }
    signals.add(Signal::SIGCONT)?;
    let deadline = Instant::now() + lease.remaining();
    // As the deadline tells: answers may take long.
    let first = options
        .max_hold
        .map_or(options.ttl, |limit| limit.min(options.ttl));
    let began = deadline.checked_sub(first).unwrap_or(deadline);
    let mut watch = Watch {
        options,
        lease,
        voice: Voice::new()?,
        plan: Plan::new(grace),
        began,
        deadline,
        kill_at: None,
    };
    if lease.remaining() <= grace {
        let message = format!(
            "lock {:?} was granted so late that the command would have to end at once; it was not \
             begun. Raise --ttl, or find out why Redis takes so long",
            options.key
        );
        return Err(Failure::new(LOST, message));
    }
    let fence = lease.fencing_token().map(u64::from);
    let mut group = Group::start(&options.command, fence, foreground)?;
    let mut terminal = foreground.then(|| Terminal::lent_to(group.id()));
    loop {
        match group.look() {
            Some(Change::Ended(code)) if watch.kill_at.is_none() => return Ok(code),
            Some(Change::Ended(code)) => {
                watch
                    .voice
                    .say(format!("the command has ended with {code}"));
                return Ok(LOST);
            }
            // It reads from the terminal, or sets it up, so that it needs the foreground.
            Some(Change::Stopped(Signal::SIGTTIN | Signal::SIGTTOU)) if terminal::is_ours() => {
                terminal = Some(Terminal::lent_to(group.id()));
                watch.resume(&group, terminal.as_ref());
            }
            Some(Change::Stopped(_)) => {
                if let Some(terminal) = &terminal {
                    terminal.suspend();
                    watch.resume(&group, Some(terminal));
                }
            }
            None => {}
        }
        watch.see_deadline();
        let wake = watch.kill_at.unwrap_or(watch.plan.term_at(watch.deadline));
        let told = watch.kill_at.is_some();
        tokio::select! {
            _ = children.recv() => {}
            () = sleep(LOOK), if group.is_leaderless() => {}
            reason = lease.lost(), if !told => {
                watch.end(&group, &format!("lock {:?} was lost: {reason}", options.key));
            }
            () = sleep_until(wake), if told => {
                group.send(Signal::SIGKILL);
                watch.kill_at = Some(Instant::now() + LOOK);
            }
            () = sleep_until(wake), if !told => watch.look_at_lock(&group),
            signal = signals.next() => match signal {
                Signal::SIGTSTP => {
                    group.send(Signal::SIGSTOP);
                    // Fails only where there is no such signal.
                    let _ = raise(Signal::SIGSTOP);
                    watch.resume(&group, terminal.as_ref());
                }
                Signal::SIGCONT => watch.resume(&group, terminal.as_ref()),
                signal => group.send(signal),
            },
        }
    }
}

impl Watch<'_> {
    fn see_deadline(&mut self) {
        if self.lease.is_held() {
            self.deadline = Instant::now() + self.lease.remaining();
        }
    }

    /// The time for SIGTERM has come, unless the lock was extended meanwhile.
    fn look_at_lock(&mut self, group: &Group) {
        self.see_deadline();
        if Instant::now() >= self.plan.term_at(self.deadline) {
            self.end(group, &self.why());
        }
    }

    /// We were stopped, the command with us, and are continued. If the time is over meanwhile, the
    /// command is not: it is killed where it stands.
    fn resume(&mut self, group: &Group, terminal: Option<&Terminal>) {
        if self.lease.is_held() {
            if let Some(terminal) = terminal {
                terminal.lend();
            }
            group.send(Signal::SIGCONT);
        } else if self.kill_at.is_none() {
            let key = &self.options.key;
            let why =
                format!("lock {key:?} was lost: this job was stopped for longer than its ttl");
            self.end(group, &why);
        }
    }

    /// Tells the command to end.
    fn end(&mut self, group: &Group, why: &str) {
        let now = Instant::now();
        let kill_at = self.plan.kill_at(now, self.deadline);
        self.kill_at = Some(kill_at);
        let left = kill_at.saturating_duration_since(now);
        let then = if left.is_zero() {
            group.send(Signal::SIGKILL);
            "killed".to_owned()
        } else {
            group.send(Signal::SIGTERM);
            // What is stopped could not end.
            group.send(Signal::SIGCONT);
            format!("told to end, and is killed in {left:.1?}")
        };
        self.voice.say(format!("{why}. The command is {then}"));
    }

    /// Why a lock that is held still is about to be over.
    fn why(&self) -> String {
        let Run { key, ttl, .. } = self.options;
        let ttl = humantime::format_duration(*ttl);
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
