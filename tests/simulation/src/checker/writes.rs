//! Promises 2, 3, 5 and 8, as the servers see them: what a process may do to a key.

use super::super::testimony::{By, Content, Event, Kept, KeyId, ProcessId, Token, Which};
use super::{Facts, Rule};

pub(super) struct Writes;

impl Rule for Writes {
    fn hear(&mut self, facts: &Facts, event: &Event) -> Result<(), String> {
        let Event::Changed {
            server,
            by: By::Process(process),
            key,
            which,
            before,
            after,
        } = event
        else {
            return Ok(());
        };
        if after.is_some_and(|kept| kept.expires.is_none()) {
            return Err("a key without an expiry".to_owned());
        }
        match which {
            Which::Counter => counter(*before, *after),
            Which::Record => Ok(()),
            Which::Lock => {
                beside(facts, *server, *key, *after)?;
                lock(facts, *server, *process, *before, *after)
            }
        }
    }
}

fn counter(before: Option<Kept>, after: Option<Kept>) -> Result<(), String> {
    let number = |kept: Kept| match kept.content {
        Content::Number(number) => Some(number),
        _ => None,
    };
    match (before, after.and_then(number)) {
        (Some(before), _) if number(before).is_none() => {
            Err("what is in the counter's place is not ours, and was changed".to_owned())
        }
        (Some(before), Some(after)) if number(before) >= Some(after) => {
            Err("a fencing number does not grow".to_owned())
        }
        (_, Some(_)) => Ok(()),
        (_, None) => Err("a counter is made what no counter is".to_owned()),
    }
}

/// Whether all that have the key may have it at a time.
fn beside(facts: &Facts, server: usize, key: KeyId, after: Option<Kept>) -> Result<(), String> {
    let Some(Content::Lock { token, room, .. }) = after.map(|kept| kept.content) else {
        return Ok(());
    };
    let mut others = facts.at(server, key).map(|kept| kept.content);
    let other = others.find(|other| match other {
        Content::Lock {
            token: other,
            room: its,
            ..
        } => *other != token && !its.is_beside(room),
        Content::Number(_) | Content::Foreign | Content::ForeignSet => true,
    });
    match other {
        Some(other) => Err(format!("{token:?} is put beside {other:?}")),
        None => Ok(()),
    }
}

fn lock(
    facts: &Facts,
    server: usize,
    process: ProcessId,
    before: Option<Kept>,
    after: Option<Kept>,
) -> Result<(), String> {
    let may_be_gone = |kept: &Kept| facts.may_have_ended(server, kept);
    let before = before.filter(|kept| !may_be_gone(kept) || is_same(*kept, after));
    let Some(before) = before else {
        if after.is_none() {
            return Ok(());
        }
        // A process that finds a key free passes it on to the first in line, whosever that is.
        return match after.map(|kept| kept.content) {
            Some(Content::Lock { kept: false, .. }) => Ok(()),
            _ => Err("a free key gets a value that is no lock".to_owned()),
        };
    };
    let Content::Lock {
        token, owner, kept, ..
    } = before.content
    else {
        return Err("what is not ours was changed".to_owned());
    };
    if owner != process {
        return Err(format!(
            "process {process} changed a lock of process {owner}"
        ));
    }
    if kept {
        return Err("a lock that was released, and only stays, was changed".to_owned());
    }
    match after {
        None => given_back(facts, server, token),
        Some(after) => match after.content {
            Content::Lock {
                token: now,
                kept: false,
                ..
            } if now == token => {
                let inside = facts.inside(token);
                if after.expires < before.expires
                    && let Some(errand) = inside
                {
                    return Err(format!("the lease of errand {errand} was shortened"));
                }
                Ok(())
            }
            Content::Lock {
                token: now,
                kept: true,
                ..
            } if now == token => given_back(facts, server, token),
            // Passed on.
            Content::Lock { kept: false, .. } => given_back(facts, server, token),
            _ => Err("a lock was written over".to_owned()),
        },
    }
}

/// Whether a lock is there as before, or only stays.
fn is_same(before: Kept, after: Option<Kept>) -> bool {
    let token = |content| match content {
        Content::Lock { token, .. } => Some(token),
        Content::Number(_) | Content::Foreign | Content::ForeignSet => None,
    };
    after.is_some_and(|after| token(after.content) == token(before.content))
}

fn given_back(facts: &Facts, server: usize, token: Token) -> Result<(), String> {
    // A quorum's attempt gives back what it has of a vote; one that holds has begun, and left.
    match facts.inside(token) {
        Some(errand) => Err(format!(
            "server {server} has {token:?} given back while errand {errand} is inside"
        )),
        None => Ok(()),
    }
}
