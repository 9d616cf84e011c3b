//! What `run` can be told.

use std::ffi::{OsStr, OsString};
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
#[command(
    after_long_help = HELP,
    override_usage = "redis-locked run [OPTIONS] --key KEY --ttl DURATION -- COMMAND [ARGUMENT]...\n       \
                      redis-locked run [OPTIONS] --key KEY --ttl DURATION -c LINE"
)]
#[expect(clippy::struct_excessive_bools, reason = "flags of the command line")]
pub(crate) struct Run {
    /// The lock's key, without the prefix. Given again, the command runs under all of these keys or none, in
    /// whatever order they are named: up to 64, and without a fencing number
    #[arg(long = "key", short, value_name = "KEY", required = true)]
    keys: Vec<String>,
    /// How long Redis keeps the lock if this machine dies. Without --renew, it is also the longest that
    /// the command may run. At least 1s
    #[arg(long, value_name = "DURATION", value_parser = ttl)]
    pub(crate) ttl: Duration,
    /// How many may hold the key at a time, over all machines: from 1, which is a plain lock, to 1000
    #[arg(long, value_name = "N", value_parser = permits)]
    pub(crate) permits: Option<u32>,
    /// Hold the key together with all others that are --shared; those that are not keep them out
    #[arg(long, conflicts_with = "permits")]
    pub(crate) shared: bool,
    /// How many attempts follow the first, while the lock is busy or after an error that may pass
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) retries: u32,
    /// The pause between attempts: fixed, such as 1s, or growing, such as 50ms..1s
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
    /// Keep the key at least this long, however soon the command ends, so that it runs once per tick on
    /// all machines
    #[arg(long, value_name = "DURATION", value_parser = positive)]
    pub(crate) min_hold: Option<Duration>,
    /// At most one run that ends with 0 in each period of the server's clock, counted in UTC: `1d` is from
    /// midnight to midnight. Later in the period, it is as if the lock were busy. From 1s to 366d
    #[arg(long, value_name = "DURATION", value_parser = positive)]
    pub(crate) once_per: Option<Duration>,
    /// Keep a record of the last run for so long, which `last` and `show` tell: by default 30d. With
    /// --once-per, one is kept anyway
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "30d", require_equals = true, value_parser = positive)]
    pub(crate) record: Option<Duration>,
    /// Draw no fencing number. By default, the command finds one in its variable `REDIS_LOCKED_FENCE`.
    /// Drawing it needs a second key beside the lock's, and the right +time
    #[arg(long)]
    pub(crate) no_fence: bool,
    /// How long before the deadline of its lock the command gets SIGTERM. SIGKILL follows when four
    /// fifths of this time have passed. By default a quarter of --ttl or of --max-hold, at most 10s
    #[arg(long, value_name = "DURATION", value_parser = positive)]
    grace: Option<Duration>,
    /// If another holder has the lock, or the period of --once-per has had its run, exit with 0. It is said in one line on a terminal or with -v
    #[arg(long, conflicts_with = "busy_exit")]
    pub(crate) skip: bool,
    /// Say on standard error that the command was skipped, also where that is no terminal
    #[arg(long, short)]
    pub(crate) verbose: bool,
    /// The exit code if another holder has the lock, or the period has had its run
    #[arg(long, value_name = "CODE", default_value_t = BUSY)]
    pub(crate) busy_exit: u8,
    /// Hold the lock only until the command itself has ended, even if a daemon that it has started runs
    /// on, as `flock -o` does
    #[arg(long, short = 'o')]
    pub(crate) command_only: bool,
    /// The owner that `list` and `show` name. By default the host's name and this process's id
    #[arg(long)]
    pub(crate) owner: Option<String>,
    /// A line for the shell to run, instead of a command: `sh -c 'LINE'`
    #[arg(
        short = 'c',
        value_name = "LINE",
        conflicts_with = "command",
        allow_hyphen_values = true
    )]
    pub(crate) line: Option<OsString>,
    /// What to run, with its arguments
    #[arg(last = true, required_unless_present = "line", value_name = "COMMAND")]
    command: Vec<OsString>,
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
    /// How long the replicas may take to confirm. Choose little more than they usually take
    #[arg(
        long,
        value_name = "DURATION",
        help_heading = SERVERS,
        default_value = "100ms",
        value_parser = answer_time
    )]
    pub(crate) replicas_timeout: Duration,
    /// With --quorum: how long to wait for servers that do not answer. Choose it far below the ttl
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
that group. The lock is held until the whole group has ended; with --command-only, until the command
has ended. If the lock is lost, the group gets SIGTERM, then SIGKILL before the key can expire.

The variable REDIS_LOCKED_FENCE of the command is a number that is greater than the numbers of all
earlier holders of the lock, so that a resource can refuse late writes. It is not set with --no-fence,
--quorum or several keys, nor for a key such as `a}b`, whose braces allow no counter.

Exit codes:
   0..255  that of the command; 128 + N when signal N ended it
       64  the command line is wrong; nothing was run
       69  Redis could not be asked, or refused; nothing was run
       71  this machine could not start a process; nothing was run
       75  another holder has the lock, or the period has had its run, see --busy-exit and --skip;
           nothing was run
       76  the lock was lost, or its time was over, and the command was ended
      126  the command cannot be executed
      127  there is no such command
  128 + N  signal N came before the lock; nothing was run

REDIS_LOCKED_KEY, REDIS_LOCKED_PREFIX and REDIS_LOCKED_TOKEN say which lock the command runs under; of
several keys, each key and its token has a line. A run inside of a run that asks for a key of the lock
around it is refused with 64: it would wait for itself.

Example: these lines are in the crontab of every machine, and one machine runs the script.
  PATH=/usr/local/bin:/usr/bin:/bin
  REDIS_URL=redis://user:password@redis.internal:6379
  0 2 * * *  redis-locked run --key nightly --ttl 1m --renew --once-per 1d --skip -- /srv/app/nightly.sh";

#[derive(Debug, Clone, Copy)]
pub(crate) enum Wait {
    AtMost(Duration),
    Forever,
}

impl Run {
    /// The keys that are locked, each once.
    pub(crate) fn keys(&self) -> Vec<&str> {
        let mut keys: Vec<_> = self.keys.iter().map(String::as_str).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// What messages call the lock: its key, or all of them with commas between.
    pub(crate) fn name(&self) -> String {
        self.keys().join(",")
    }

    /// What to run, with its arguments.
    pub(crate) fn command(&self) -> Vec<&OsStr> {
        match &self.line {
            Some(line) => vec![OsStr::new("sh"), OsStr::new("-c"), line],
            None => self.command.iter().map(OsString::as_os_str).collect(),
        }
    }

    /// The key of the counter that the command's number is drawn from. A quorum has none, some
    /// keys have none, and several keys have none.
    pub(crate) fn counter(&self) -> Option<String> {
        match self.keys()[..] {
            [key] if !self.no_fence && !self.connection.is_quorum() => {
                counter_key(&format!("{}{key}", self.connection.prefix))
            }
            _ => None,
        }
    }

    /// How long the lock lasts unless it is extended.
    pub(crate) fn longest_at_a_time(&self) -> Duration {
        self.max_hold.map_or(self.ttl, |limit| limit.min(self.ttl))
    }

    /// How long before its deadline the command is told to end.
    pub(crate) fn grace(&self) -> Result<Duration, Failure> {
        let time = self.longest_at_a_time();
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

fn permits(text: &str) -> Result<u32, String> {
    let number = text.parse().ok();
    let number = number.filter(|number| (1..=1000).contains(number));
    number.ok_or_else(|| "let in 1 at a time, which is a plain lock, up to 1000".into())
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
