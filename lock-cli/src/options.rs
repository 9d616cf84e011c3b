//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::connection::Connection;
use crate::duration::positive;
use crate::lock::Lock;
use crate::run::ignored::Outlive;
use crate::run::options::Run;
use crate::run::under_lock::UnderLock;

/// Shows, watches and breaks the locks of redis-locked, and runs commands under them.
#[derive(Debug, Parser)]
#[command(name = "redis-locked", version, propagate_version = true, after_long_help = CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const CODES: &str = "\
Exit codes:
   0  done
   1  `show`: nobody holds the lock; `break`, `unhold`: nothing was freed; `forget`: nothing was
      forgotten; `last --older-than`: a job is late
  64  the command line is wrong
  69  Redis could not be asked, or refused
  74  the answer could not be written
      `run` has more: see `redis-locked run --help`";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the locks that are held: key, owner, time left, fencing number
    List(List),
    /// Show one lock; exits with 1 if nobody holds it
    Show(Show),
    /// Watch the locks live, in a terminal; changes are marked
    Watch(Watch),
    /// Free a lock, but only if it is still the one that you mean
    Break(Break),
    /// Keep a job from running, for so long: hold its lock, with a reason that everyone is told. Or hold a
    /// lock for a part of a script
    Hold(Hold),
    /// End what `hold` has begun
    Unhold(Unhold),
    /// Show the last runs that are recorded: key, start, how long it took, outcome, who
    Last(Last),
    /// Let a job that runs once per period run again in this one
    Forget(Forget),
    /// Run a command only while holding a lock, as flock(1) does, across machines
    Run(Box<Run>),
    /// Write the manual pages into a directory
    Man {
        /// Made if missing
        directory: PathBuf,
    },
    /// Write the completions of a shell to standard output
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// What `run` starts first, to become its command
    #[command(hide = true)]
    UnderLock(UnderLock),
    /// What `run` starts to learn whether a signal is ignored
    #[command(hide = true)]
    Outlive(Outlive),
}

/// Which locks, and in which order.
#[derive(Debug, Args)]
pub(crate) struct Choice {
    /// Only keys that match this glob, such as `report:*`. It does not apply to the prefix
    #[arg(default_value = "*")]
    pub(crate) pattern: String,
    /// In which order
    #[arg(long, value_enum, default_value_t = Column::Key)]
    pub(crate) sort: Column,
    /// The other way around
    #[arg(long)]
    pub(crate) reverse: bool,
    /// Only locks whose owner matches this glob, such as `web-1:*`
    #[arg(long, value_name = "GLOB", allow_hyphen_values = true)]
    pub(crate) owner: Option<String>,
    /// Also every string key that has an expiry and names no owner: locks of other libraries, or data
    #[arg(long)]
    pub(crate) foreign: bool,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) choice: Choice,
    /// One JSON array instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The lock's key, without the prefix
    pub(crate) key: String,
    /// One JSON object instead of lines
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Watch {
    #[command(flatten)]
    pub(crate) choice: Choice,
    /// How often to look. Each look scans all keys of the servers
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = positive)]
    pub(crate) interval: Duration,
    /// No colour. A variable `NO_COLOR` that is not empty does the same
    #[arg(long)]
    pub(crate) no_color: bool,
    /// One JSON object for each change instead of a screen
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Last {
    /// Only keys that match this glob, such as `report:*`. It does not apply to the prefix
    #[arg(default_value = "*")]
    pub(crate) pattern: String,
    /// Only those without a run that succeeded in this time. Ends with 1 if there is one, or if no run is
    /// recorded at all: for monitoring
    #[arg(long, value_name = "DURATION", value_parser = positive)]
    pub(crate) older_than: Option<Duration>,
    /// One JSON array instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Hold {
    /// The lock's key, without the prefix
    pub(crate) key: String,
    /// For how long. `unhold` ends it before
    #[arg(
        long = "for",
        value_name = "DURATION",
        value_parser = positive,
        required_unless_present = "until_eof"
    )]
    pub(crate) time: Option<Duration>,
    /// Until standard input ends, for a part of a script: `hold` writes a line when it has the lock, and
    /// runs until then
    #[arg(long, conflicts_with = "time")]
    pub(crate) until_eof: bool,
    /// The reason, which everyone is told who finds the lock busy. With --until-eof, the owner may be told
    /// without one
    #[arg(long, value_name = "TEXT", required_unless_present = "until_eof")]
    pub(crate) why: Option<String>,
    /// Break the lock first if somebody has it. By default, `hold` waits for its turn
    #[arg(long)]
    pub(crate) now: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Unhold {
    /// The lock's key, without the prefix
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Forget {
    /// The lock's key, without the prefix
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Debug, Args)]
pub(crate) struct Break {
    /// The lock's key, without the prefix. Without KEY, all locks of an owner are freed
    #[arg(required_unless_present = "owner")]
    pub(crate) key: Option<String>,
    /// With KEY: only if this owner still holds it, as `list` and `show` name it. Without KEY: free all
    /// locks whose owner matches this glob, such as `web-1:*`, after a question
    #[arg(
        long,
        value_name = "OWNER",
        required_unless_present = "token",
        allow_hyphen_values = true
    )]
    pub(crate) owner: Option<String>,
    /// Only if the holder still has this token, which `show` names. For a foreign lock: its whole value
    #[arg(long, requires = "key", allow_hyphen_values = true)]
    pub(crate) token: Option<String>,
    /// Without KEY: free the locks without a question
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// One JSON object for each lock instead of a sentence
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

impl Choice {
    /// Keeps the locks of the owners that were asked for.
    pub(crate) fn of_owner(&self, locks: &mut Vec<Lock>) {
        if let Some(pattern) = &self.owner {
            locks.retain(|lock| lock.is_of(pattern));
        }
    }
}

/// What locks are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Column {
    Key,
    Owner,
    Left,
    Fence,
}
