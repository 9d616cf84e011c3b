//! Testimony in words, for whoever reads a story.

use std::fmt;

use super::read::name_of;
use super::testimony::{By, Content, Event, Kept, Noted, Room, Terms, Which};

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked {
                errand,
                array,
                process,
                key,
                terms,
                ..
            } => {
                let name = name_of(*key);
                write!(
                    f,
                    "errand {errand}: process {process} asks for {name}, {terms}"
                )?;
                array.map_or(Ok(()), |first| write!(f, ", with all of errand {first}"))
            }
            Self::Entered {
                errand,
                token,
                left,
                number,
                ..
            } => {
                write!(f, "errand {errand}: enters with {token:?}, has {left} ms")?;
                number.map_or(Ok(()), |number| write!(f, " and the number {number}"))
            }
            Self::Inside { errand, left, .. } => {
                write!(f, "errand {errand}: goes on, has {left} ms")
            }
            Self::Left { errand, how } => write!(f, "errand {errand}: leaves ({how:?})"),
            Self::Got {
                errand, outcome, ..
            } => write!(f, "errand {errand}: its caller gets {outcome:?}"),
            Self::Changed {
                server,
                by,
                key,
                which,
                before,
                after,
            } => {
                let who = who(*by);
                let name = match which {
                    Which::Lock => name_of(*key),
                    Which::Counter => format!("the counter of {}", name_of(*key)),
                    Which::Record => format!("the record of {}", name_of(*key)),
                };
                let (before, after) = (Holds(*before), Holds(*after));
                write!(
                    f,
                    "server {server}: {who} changes {name} from {before} to {after}"
                )
            }
            Self::Recorded {
                server,
                by,
                key,
                after,
                ..
            } => {
                let (who, name) = (who(*by), name_of(*key));
                write!(f, "server {server}: {who} makes the record of {name} ")?;
                match after {
                    None => f.write_str("nothing"),
                    Some(Noted::Foreign) => f.write_str("what is not ours"),
                    Some(Noted::Ours(record)) => write!(f, "{record:?}"),
                }
            }
            Self::LinedUp { token } => write!(f, "{token:?} stands in line"),
            Self::Started { process, place } => {
                write!(f, "process {process} starts in place {place}")
            }
            Self::Died {
                process,
                with_machine: false,
            } => write!(f, "process {process} dies"),
            Self::Died { process, .. } => write!(f, "process {process} dies with its machine"),
            Self::Restored { server } => write!(f, "server {server} starts anew"),
            Self::Stopped { process, until } => {
                write!(f, "process {process} is stopped until {until}")
            }
            Self::Trouble { what, until } => write!(f, "TROUBLE until {until}: {what}"),
            Self::Closed { process } => write!(f, "process {process} closes its connections"),
            Self::Settled { process } => write!(f, "process {process} has shut down"),
            Self::Late {
                place,
                server,
                is_to_server,
                sent,
            } => {
                let (from, to) = (format!("place {place}"), format!("server {server}"));
                let (from, to) = if *is_to_server {
                    (from, to)
                } else {
                    (to, from)
                };
                write!(f, "{to}: hears what {from} sent at {sent}")
            }
            Self::Logged { what } => write!(f, "log: {what}"),
        }
    }
}

fn who(by: By) -> String {
    match by {
        By::Process(process) => format!("process {process}"),
        By::Foreigner => "a stranger".to_owned(),
        By::Time => "time".to_owned(),
        By::Loss => "what it has lost".to_owned(),
    }
}

impl fmt::Display for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (ttl {} ms, {:?}", self.kind, self.ttl, self.patience)?;
        if self.renew {
            f.write_str(", renew")?;
        }
        for (name, time) in [
            ("max_hold", self.max_hold),
            ("min_hold", self.min_hold),
            ("once_per", self.once_per),
        ] {
            if let Some(time) = time {
                write!(f, ", {name} {time} ms")?;
            }
        }
        match self.room {
            Room::Alone => {}
            Room::Permit => write!(f, ", one of {}", self.permits)?,
            Room::Shared => f.write_str(", shared")?,
        }
        if self.record {
            f.write_str(", record")?;
        }
        if self.fenced {
            f.write_str(", fenced")?;
        }
        if self.finish {
            f.write_str(", finish")?;
        }
        f.write_str(")")
    }
}

/// What a key holds. Of the server's clock, the last digits tell enough.
struct Holds(Option<Kept>);

impl fmt::Display for Holds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(kept) = self.0 else {
            return f.write_str("nothing");
        };
        match kept.content {
            Content::Lock {
                token,
                owner,
                kept,
                room,
            } => {
                let mark = if kept { "~" } else { "" };
                write!(f, "{mark}{token:?} of process {owner}")?;
                match room {
                    Room::Alone => {}
                    Room::Permit => f.write_str(" (permit)")?,
                    Room::Shared => f.write_str(" (shared)")?,
                }
            }
            Content::Number(number) => write!(f, "{number}")?,
            Content::Foreign => f.write_str("what is not ours")?,
            Content::ForeignSet => f.write_str("a set that is not ours")?,
        }
        match kept.expires {
            Some(expires) => write!(f, " until …{:06}", expires % 1_000_000),
            None => f.write_str(" for ever"),
        }
    }
}
