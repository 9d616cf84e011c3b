//! What `run` can be told.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use redis_locked_runtime::Backoff;

use crate::connection::{Connection, SERVERS};
use crate::duration::{answer_time, duration, positive};
use crate::exit::{BUSY, Failure};
use crate::lock::counter_key;

/// Starting and ending a process takes milliseconds; a lock must not be over by then.
const SHORTEST_TTL: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
#[expect(clippy::struct_excessive_bools, reason = "flags of the command line")]
pub(crate) struct Run {
    /// The lock's key, without the prefix
    #[arg(long, short)]
    pub(crate) key: String,
    /// How long Redis keeps the lock if this machine dies; without --renew, also the longest that
    /// the command may run. At least 1s
    #[arg(long, value_name = "DURATION", value_parser = ttl)]
    pub(crate) ttl: Duration,
    /// Further attempts after the first, while another holder has the lock or an error may pass
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) retries: u32,
    /// The pause between attempts: fixed, as in 1s, or growing, as in 50ms..1s
    #[arg(long, value_name = "FROM..CAP", requires = "retries", value_parser = backoff)]
    pub(crate) backoff: Option<Backoff>,
    /// Instead of retries: queue until the lock is free, for at most this long, or `forever`;
    /// woken when it is released
    #[arg(long, value_name = "DURATION", conflicts_with = "retries", value_parser = wait)]
    pub(crate) wait: Option<Wait>,
    /// Keep extending the lock while the command runs
    #[arg(long)]
    pub(crate) renew: bool,
    /// With --renew: the longest that the command may run
    #[arg(long, value_name = "DURATION", requires = "renew", value_parser = positive)]
    pub(crate) max_hold: Option<Duration>,
    /// Keep the key at least this long, however soon the command ends: once per tick on all machines
    #[arg(long, value_name = "DURATION", value_parser = positive)]
    pub(crate) min_hold: Option<Duration>,
    /// Draw no fencing number. By default one is drawn, `REDIS_LOCKED_FENCE` in the command's
    /// environment; it needs a key beside the lock's, and the right +time
    #[arg(long)]
    pub(crate) no_fence: bool,
    /// How long before the deadline of its lock the command gets SIGTERM; SIGKILL comes when four
    /// fifths of this have passed. By default a quarter of the ttl or of
    /// --max-hold, at most 10s
    #[arg(long, value_name = "DURATION", value_parser = positive)]
    grace: Option<Duration>,
    /// When another holder has the lock, exit with 0 and without a word
    #[arg(long, conflicts_with = "busy_exit")]
    pub(crate) skip: bool,
    /// The exit code when another holder has the lock
    #[arg(long, value_name = "CODE", default_value_t = BUSY)]
    pub(crate) busy_exit: u8,
    /// Hold the lock only until the command itself has ended, though others of its group, such as a
    /// daemon that it has started, may run on; as `flock -o`
    #[arg(long, short = 'o')]
    pub(crate) command_only: bool,
    /// Who to be for those who look; by default the host's name and this process's id
    #[arg(long)]
    pub(crate) owner: Option<String>,
    /// What to run, with its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Have so many replicas confirm the lock before the command begins, and each extension, so
    /// that no failover to one of them loses it
    #[arg(
        long,
        value_name = "N",
        help_heading = SERVERS,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub(crate) replicas: Option<u32>,
    /// How long the replicas may take to confirm; choose little more than they usually take
    #[arg(
        long,
        value_name = "DURATION",
        help_heading = SERVERS,
        default_value = "100ms",
        value_parser = answer_time
    )]
    pub(crate) replicas_timeout: Duration,
    /// With --quorum: how long the lock waits for servers that do not answer; choose it far below
    /// the ttl
    #[arg(
        long,
        value_name = "DURATION",
        help_heading = SERVERS,
        default_value = "100ms",
        value_parser = answer_time
    )]
    pub(crate) server_timeout: Duration,
}

const HELP: &str = "\
The command runs in a process group of its own, and only under the lock. Signals are passed on to
that group, and the lock is held until the whole group has ended, or with --command-only the
command. If the lock is lost, the group gets SIGTERM, then SIGKILL before the key can expire.

REDIS_LOCKED_FENCE in its environment is a number greater than that of all who had the lock before,
for what can check it. It is not set with --no-fence or --quorum, and for a key such as `a}b`, whose
braces allow no counter.

Exit codes:
   0..255  that of the command; 128 + N when signal N ended it
       64  the command line is wrong; nothing was run
       69  Redis could not be asked, or refused; nothing was run
       71  this machine could not start a process; nothing was run
       75  another holder has the lock, see --busy-exit and --skip; nothing was run
       76  the lock was lost, or its time was over, and the command was ended
      126  the command cannot be executed
      127  there is no such command
  128 + N  signal N came before the lock; nothing was run

Example, for cron on many machines:
  redis-locked run --key nightly --ttl 1m --renew --min-hold 30s --skip -- ./nightly.sh";

#[derive(Debug, Clone, Copy)]
pub(crate) enum Wait {
    AtMost(Duration),
    Forever,
}

impl Run {
    /// The key of the counter that the command's number is drawn from. A quorum has none, and some
    /// keys have none.
    pub(crate) fn counter(&self) -> Option<String> {
        if self.no_fence || self.connection.is_quorum() {
            return None;
        }
        counter_key(&format!("{}{}", self.connection.prefix, self.key))
    }

    /// How long before its deadline the command is told to end.
    pub(crate) fn grace(&self) -> Result<Duration, Failure> {
        let time = self.max_hold.map_or(self.ttl, |limit| limit.min(self.ttl));
        let Some(grace) = self.grace else {
            return Ok((time / 4).min(Duration::from_secs(10)));
        };
        // With --renew, a lock that is well has up to three quarters of its ttl left.
        let (most, of) = if self.renew {
            (time / 2, "half of what --ttl and --max-hold allow")
        } else {
            (time * 9 / 10, "nine tenths of --ttl")
        };
        if grace > most {
            return Err(Failure::usage(format_args!(
                "--grace {} is over {of}; shorten it, or allow more",
                humantime::format_duration(grace)
            )));
        }
        Ok(grace)
    }
}

fn ttl(text: &str) -> Result<Duration, String> {
    let ttl = duration(text)?;
    if ttl < SHORTEST_TTL {
        return Err("a process needs time to end; give at least 1s".into());
    }
    Ok(ttl)
}

fn wait(text: &str) -> Result<Wait, String> {
    match text {
        "forever" => Ok(Wait::Forever),
        _ => Ok(Wait::AtMost(duration(text)?)),
    }
}

fn backoff(text: &str) -> Result<Backoff, String> {
    match text.split_once("..") {
        Some((from, cap)) => {
            let (from, cap) = (positive(from)?, positive(cap)?);
            if from > cap {
                return Err("it shrinks; write the shorter pause first".into());
            }
            Ok(Backoff::exponential(from, cap))
        }
        None => Ok(Backoff::fixed(positive(text)?)),
    }
}
