//! What a server's keys say, as the checker understands it.

use super::server::{Change, Stored, Value};
use super::testimony::{
    Content, How, Kept, KeyId, LastRun, Noted, ProcessId, Record, Room, Run, ServerId, Token, Which,
};

/// How a lock's key is written.
pub(super) fn name_of(key: KeyId) -> String {
    format!("lock-{key:04}")
}

/// How the name of a key beside a lock's begins and ends.
pub(super) fn name_beside(key: KeyId, what: &str) -> String {
    format!("{{{}}}:{what}", name_of(key))
}

pub(super) fn key_of(name: &[u8]) -> Option<(KeyId, Which)> {
    let name = str::from_utf8(name).ok()?;
    let (name, which) = match name.strip_prefix('{') {
        Some(beside) => match beside.split_once("}:")? {
            (name, "fence") => (name, Which::Counter),
            (name, "last") => (name, Which::Record),
            _ => return None,
        },
        None => (name, Which::Lock),
    };
    Some((name.strip_prefix("lock-")?.parse().ok()?, which))
}

/// How a process is named in the values that it writes.
pub(super) fn owner_of(process: ProcessId) -> String {
    format!("process-{process}")
}

/// What a lock's value says, if it is one.
fn lock(value: &[u8]) -> Option<Content> {
    let text = str::from_utf8(value).ok()?;
    let rest = text.strip_prefix('~').unwrap_or(text);
    let (token, owner) = rest.split_once(";process-")?;
    let room = match token.get(22..)? {
        "" => Room::Alone,
        "p" => Room::Permit,
        "s" => Room::Shared,
        _ => return None,
    };
    Some(Content::Lock {
        token: Token::of(token.as_bytes())?,
        owner: owner.parse().ok()?,
        kept: rest.len() < text.len(),
        room,
    })
}

fn number(value: &[u8]) -> Option<Content> {
    let text = str::from_utf8(value).ok()?;
    text.parse().ok().map(Content::Number)
}

/// All that a key holds: of one that several may hold, each place.
pub(super) fn all(stored: Option<&Stored>, which: Which) -> Vec<Kept> {
    let Some(Stored { value, expires }) = stored else {
        return Vec::new();
    };
    let one = |content: Option<Content>| Kept {
        content: content.unwrap_or(Content::Foreign),
        expires: *expires,
    };
    match value {
        Value::String(value) if which == Which::Counter => vec![one(number(value))],
        Value::String(value) => vec![one(lock(value))],
        Value::Set(members) if which == Which::Lock => {
            let places = members.iter().map(|(member, ends)| {
                let ends = u64::try_from(ends - 1).ok()? / 1000;
                Some(Kept {
                    content: lock(member)?,
                    // Without an expiry of the key, it is there for ever: whoever may remove it is gone.
                    expires: expires.map(|expires| expires.min(ends)),
                })
            });
            let places: Option<Vec<_>> = places.collect();
            places.unwrap_or_else(|| vec![one(Some(Content::ForeignSet))])
        }
        Value::Hash(_) | Value::Set(_) => vec![one(None)],
    }
}

/// What is kept of a key's runs.
pub(super) fn record(stored: Option<&Stored>) -> Option<Noted> {
    let Stored { value, expires } = stored?;
    let Value::Hash(fields) = value else {
        return Some(Noted::Foreign);
    };
    if expires.is_none() {
        return Some(Noted::Foreign);
    }
    let field = |name: &str| {
        let value = fields.get(name.as_bytes())?;
        str::from_utf8(value).ok()
    };
    let number = |name: &str| field(name)?.parse().ok();
    let run = || {
        let mut parts = field("run")?.split(' ');
        let (started, period, _, value) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let Some(Content::Lock { token, owner, .. }) = lock(value.as_bytes()) else {
            return None;
        };
        Some(Run {
            token,
            owner,
            started: started.parse().ok()?,
            period: period.parse().ok()?,
        })
    };
    let last = || {
        Some(LastRun {
            owner: field("owner")?.strip_prefix("process-")?.parse().ok()?,
            started: number("started")?,
            ended: number("ended")?,
            how: match field("outcome")? {
                "ok" => How::Ended,
                "error" => How::Failed,
                "panicked" => How::Panicked,
                "dropped" => How::Dropped,
                _ => How::Stopped,
            },
        })
    };
    Some(Noted::Ours(Record {
        run: run(),
        last: last(),
        done: number("done"),
    }))
}

/// What has become of a line, or of what else is beside a lock, in words.
pub(super) fn beside(server: ServerId, change: &Change) -> String {
    let key = String::from_utf8_lossy(&change.key);
    let after = change.after.as_ref().map(|stored| match &stored.value {
        Value::String(value) => String::from_utf8_lossy(value).into_owned(),
        Value::Set(members) => {
            let mut members: Vec<_> = members.iter().map(|(value, at)| (at, value)).collect();
            members.sort_unstable();
            let members = members.iter().map(|(_, value)| short(value));
            members.collect::<Vec<_>>().join(", ")
        }
        Value::Hash(fields) => {
            let fields = fields.iter().map(|(name, value)| {
                format!("{} = {}", short(name), String::from_utf8_lossy(value))
            });
            fields.collect::<Vec<_>>().join(", ")
        }
    });
    let after = after.unwrap_or_else(|| "nothing".to_owned());
    format!("server {server} has {after} at {key}")
}

/// Those who stand in a line now and did not before.
pub(super) fn lined_up(change: &Change) -> Vec<Token> {
    let [before, after] = [&change.before, &change.after].map(|stored| match stored {
        Some(Stored {
            value: Value::Set(members),
            ..
        }) => Some(members),
        _ => None,
    });
    let now = after.into_iter().flat_map(|members| members.keys());
    let new = now.filter(|value| before.is_none_or(|members| !members.contains_key(*value)));
    new.filter_map(|value| match lock(value)? {
        Content::Lock { token, .. } => Some(token),
        _ => None,
    })
    .collect()
}

/// Its token's beginning and its owner.
fn short(value: &[u8]) -> String {
    let value = String::from_utf8_lossy(value);
    match value.split_once(";process-") {
        Some((token, owner)) => format!("{token:.8} of {owner}"),
        None => value.into_owned(),
    }
}

type Difference = (Option<Kept>, Option<Kept>);

/// What has become of each; what is new in the place of what is gone, as one.
pub(super) fn differences(before: &[Kept], after: &[Kept]) -> Vec<Difference> {
    let in_other = |kept: &Kept, all: &[Kept]| {
        let all = all.iter().copied();
        all.into_iter()
            .find(|other| name_in(other) == name_in(kept))
    };
    let gone = before.iter().filter(|kept| in_other(kept, after).is_none());
    let new = after.iter().filter(|kept| in_other(kept, before).is_none());
    let (gone, new): (Vec<_>, Vec<_>) = (gone.copied().collect(), new.copied().collect());
    let mut all = Vec::new();
    if let ([gone], [new]) = (&gone[..], &new[..]) {
        all.push((Some(*gone), Some(*new)));
    } else {
        all.extend(gone.into_iter().map(|gone| (Some(gone), None)));
        all.extend(new.into_iter().map(|new| (None, Some(new))));
    }
    for was in before {
        if let Some(is) = in_other(was, after)
            && is != *was
        {
            all.push((Some(*was), Some(is)));
        }
    }
    all
}

/// By what it is the same in another state.
fn name_in(kept: &Kept) -> Option<Token> {
    match kept.content {
        Content::Lock { token, .. } => Some(token),
        Content::Number(_) | Content::Foreign | Content::ForeignSet => None,
    }
}
