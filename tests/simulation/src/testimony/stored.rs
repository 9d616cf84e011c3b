//! What a server's keys say.

use super::{How, ProcessId, Room, Token};

/// What a key holds; where several have places of it, one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in super::super) struct Kept {
    pub(in super::super) content: Content,
    /// The last millisecond of the server's clock in which it is there.
    pub(in super::super) expires: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in super::super) enum Content {
    /// A lock's value; `kept` when it was released, and stays for `min_hold`.
    Lock {
        token: Token,
        owner: ProcessId,
        kept: bool,
        room: Room,
    },
    /// A counter's.
    Number(u64),
    /// What no process of this world writes.
    Foreign,
    /// The same, where it is a sorted set.
    ForeignSet,
}

/// What is kept of a key's runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(in super::super) struct Record {
    /// What is under way.
    pub(in super::super) run: Option<Run>,
    pub(in super::super) last: Option<LastRun>,
    /// The beginning of the latest period with a success.
    pub(in super::super) done: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in super::super) struct Run {
    pub(in super::super) token: Token,
    pub(in super::super) owner: ProcessId,
    pub(in super::super) started: u64,
    /// When its period began, or zero.
    pub(in super::super) period: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in super::super) struct LastRun {
    pub(in super::super) owner: ProcessId,
    pub(in super::super) started: u64,
    pub(in super::super) ended: u64,
    pub(in super::super) how: How,
}

/// What stands where a record is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in super::super) enum Noted {
    Ours(Record),
    Foreign,
}
