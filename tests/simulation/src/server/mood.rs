//! The states in which a server refuses what it else would do.

use super::reply::Refusal;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mood {
    Well,
    /// A script of somebody runs for too long.
    Busy,
    /// Its data is read from the disk.
    Loading,
    /// It has fewer replicas than `min-replicas-to-write`.
    NoReplicas,
    /// Its data could not be saved.
    Misconf,
    OutOfMemory,
    /// It is a replica.
    ReadOnly,
}

/// What a command is, as far as it matters to the refusals: `COMMAND INFO` tells it of Redis'.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each may be there without the others"
)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Traits {
    pub(super) reads: bool,
    pub(super) writes: bool,
    pub(super) needs_memory: bool,
    pub(super) while_loading: bool,
    pub(super) while_busy: bool,
    pub(super) outside_of_scripts: bool,
}

impl Mood {
    /// Why the server does not take this command from a client.
    pub(super) fn refuses(self, name: &str, traits: Traits) -> Option<Refusal> {
        let refuses = match self {
            Self::Well => false,
            Self::Busy => !traits.while_busy,
            Self::Loading => !traits.while_loading,
            Self::Misconf => traits.writes || name == "ping",
            Self::NoReplicas | Self::ReadOnly => traits.writes,
            Self::OutOfMemory => traits.needs_memory,
        };
        refuses.then(|| self.words().into())
    }

    /// Why the server does not take this command from a script, which may have written before.
    pub(super) fn refuses_in_script(self, traits: Traits, has_written: bool) -> Option<Refusal> {
        let refuses = match self {
            Self::Well | Self::Busy | Self::Loading => false,
            Self::Misconf | Self::NoReplicas | Self::ReadOnly => traits.writes,
            Self::OutOfMemory => traits.needs_memory,
        };
        (refuses && !has_written).then(|| self.words().into())
    }

    fn words(self) -> &'static str {
        match self {
            Self::Well => "ERR nothing is wrong",
            Self::Busy => {
                "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN \
                 NOSAVE."
            }
            Self::Loading => "LOADING Redis is loading the dataset in memory",
            Self::NoReplicas => "NOREPLICAS Not enough good replicas to write.",
            Self::Misconf => {
                "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to \
                 persist to disk. Commands that may modify the data set are disabled, because this \
                 instance is configured to report errors during writes if RDB snapshotting fails \
                 (stop-writes-on-bgsave-error option). Please check the Redis logs for details \
                 about the RDB error."
            }
            Self::OutOfMemory => "OOM command not allowed when used memory > 'maxmemory'.",
            Self::ReadOnly => "READONLY You can't write against a read only replica.",
        }
    }
}
