//! `break`: frees a lock that is still the one that was meant.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use futures_util::future::join_all;
use redis::Value;
use serde_json::json;
use tokio::time::Instant;

use crate::exit::{Failure, NO, UNAVAILABLE};
use crate::list::in_columns;
use crate::lock::{Lock, Reading, Share};
use crate::options::Break;
use crate::scan::{self, Search, left_of};
use crate::servers::{Node, Nodes};
use crate::text;

const SCRIPT: &str = include_str!("break.lua");

/// What became of the key on one server.
enum Outcome {
    Freed(Lock, Option<Places>),
    Free,
    Other(Lock),
}

/// Of a key that several hold.
#[derive(Clone, Copy)]
struct Places {
    freed: i64,
    /// How many others stay.
    others: i64,
}

/// Which lock is meant.
#[derive(Clone, Copy)]
pub(crate) struct Meant<'a> {
    pub(crate) key: &'a str,
    pub(crate) owner: Option<&'a str>,
    pub(crate) token: Option<&'a str>,
}

pub(crate) async fn free(options: &Break) -> Result<u8, Failure> {
    let empty = [&options.owner, &options.token];
    if empty.into_iter().flatten().any(String::is_empty) {
        return Err(Failure::usage(
            "the owner or token is empty; give the one that `show` names",
        ));
    }
    let (owner, token) = (options.owner.as_deref(), options.token.as_deref());
    let mut nodes = options.connection.servers()?.connect().await?;
    let Some(key) = &options.key else {
        return all_of(options, &mut nodes, owner.unwrap_or_default()).await;
    };
    let prefix = &options.connection.prefix;
    let (said, code) = free_one(prefix, &nodes, Meant { key, owner, token }).await?;
    tell(options, key, said, code)?;
    Ok(code)
}

/// Frees all locks whose owner matches: each in the tenure in which it was shown.
async fn all_of(options: &Break, nodes: &mut Nodes, pattern: &str) -> Result<u8, Failure> {
    let search = Search {
        prefix: &options.connection.prefix,
        pattern: "*",
        foreign: false,
    };
    let mut locks = scan::all(nodes, search).await?;
    locks.retain(|lock| lock.is_of(pattern));
    if locks.is_empty() {
        crate::exit::say(format_args!(
            "no lock is held by an owner that matches {pattern:?}; nothing was freed"
        ));
        return Ok(NO);
    }
    if !options.yes && !is_confirmed(&locks)? {
        crate::exit::say("nothing was freed");
        return Ok(NO);
    }
    let mut worst = 0;
    for lock in &locks {
        let meant = Meant {
            key: &lock.key,
            owner: None,
            token: Some(&lock.token),
        };
        let (said, code) = free_one(&options.connection.prefix, nodes, meant).await?;
        tell(options, &lock.key, said, code)?;
        worst = code.max(worst);
    }
    Ok(worst)
}

/// Shows the locks, and asks.
fn is_confirmed(locks: &[Lock]) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(
            "there is no terminal to ask on whether these locks shall be freed: give --yes, or look \
             at them first with `list --owner`",
        ));
    }
    let count = match locks.len() {
        1 => "this lock".to_owned(),
        many => format!("these {many} locks"),
    };
    let table = in_columns(locks, None);
    eprint!("{table}free {count}? What runs under them may go on for a while. [y/N] ");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn tell(options: &Break, key: &str, said: String, code: u8) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    if options.json {
        let told = json!({ "key": key, "freed": code == 0, "message": said });
        writeln!(out, "{told}")?;
    } else if code == 0 {
        writeln!(out, "{said}")?;
    } else {
        crate::exit::say(said);
    }
    Ok(())
}

/// What came of it, and the exit code.
pub(crate) async fn free_one(
    prefix: &str,
    nodes: &Nodes,
    meant: Meant<'_>,
) -> Result<(String, u8), Failure> {
    let key = meant.key;
    let full = format!("{prefix}{key}");
    let mut holding = nodes.of_key(&full).await?;
    let asking = holding.iter_mut().map(|node| free_on(node, &full, meant));
    let (mut freed, mut others, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    for outcome in join_all(asking).await {
        match outcome {
            Ok(Outcome::Freed(lock, places)) => freed.push((lock, places)),
            Ok(Outcome::Other(lock)) => others.push(lock),
            Ok(Outcome::Free) => {}
            Err(failure) => failures.push(failure),
        }
    }
    let share = nodes.quorum.map(|of| Share {
        holding: freed.len(),
        of,
    });
    let unheard = share.map_or(0, |share| share.of - nodes.nodes.len()) + failures.len();
    let is_freed = share.is_none_or(Share::is_majority);
    let no = |text: String| Ok((text, NO));
    match (freed.pop(), others.pop(), failures.pop(), share) {
        (Some((lock, Some(places))), ..) => Ok((places_text(key, &lock, places), 0)),
        (Some((lock, None)), ..) if is_freed => Ok((freed_text(key, &lock, share), 0)),
        (Some(_), _, failure, Some(share)) if unheard > 0 => {
            Err(partly_freed(key, share, unheard, failure))
        }
        (None, _, Some(failure), _) => Err(failure),
        (Some(_), Some(lock), _, Some(share)) => {
            let (left, other) = (leftover_text(key, share), other_text(key, &lock));
            no(format!("{left}; {other}"))
        }
        (Some(_), None, _, Some(share)) => {
            let left = leftover_text(key, share);
            no(format!(
                "{left}; nobody held it, which takes more than half of them"
            ))
        }
        (None, Some(lock), ..) => no(other_text(key, &lock)),
        _ => no(format!("lock {key:?} is free already; nothing was done")),
    }
}

async fn free_on(node: &mut Node, full: &str, meant: Meant<'_>) -> Result<Outcome, Failure> {
    let mut script = redis::cmd("EVAL");
    script.arg(SCRIPT).arg(1).arg(full);
    script.arg(meant.token.unwrap_or_default());
    script.arg(meant.owner.unwrap_or_default());
    let asked = Instant::now();
    let answer: Vec<Value> = node.ask(&script).await?;
    let reading = Reading::since(asked);
    let key = || meant.key.to_owned();
    let lock = |value: &[u8], left| Lock::read(key(), value, left_of(left), reading);
    match answer.as_slice() {
        [Value::Int(0)] => Ok(Outcome::Free),
        [Value::Int(1), Value::Int(left), Value::BulkString(value)] => {
            Ok(Outcome::Freed(lock(value, *left), None))
        }
        [
            Value::Int(1),
            Value::Int(left),
            Value::BulkString(value),
            Value::Int(freed),
            Value::Int(others),
        ] => {
            let (freed, others) = (*freed, *others);
            let places = Places { freed, others };
            Ok(Outcome::Freed(lock(value, *left), Some(places)))
        }
        [Value::Int(-1), Value::Int(left), Value::BulkString(value)] => {
            Ok(Outcome::Other(lock(value, *left)))
        }
        other => Err(Failure::new(
            UNAVAILABLE,
            format_args!("{} answered in an unknown way: {other:?}", node.name()),
        )),
    }
}

fn freed_text(key: &str, lock: &Lock, share: Option<Share>) -> String {
    let on = share.map_or_else(String::new, on);
    format!(
        "freed lock {key:?}{on}: {} held it, {} (token {}); what it runs ends as lost at \
         once or at its next extension, or at its deadline if it does not renew",
        text::owner(lock),
        text::with_left(lock.left),
        text::plain(&lock.token),
    )
}

fn places_text(key: &str, lock: &Lock, Places { freed, others }: Places) -> String {
    let who = match freed {
        1 => format!(
            "1 place of lock {key:?}: {} held it (token {})",
            text::owner(lock),
            text::plain(&lock.token)
        ),
        _ => format!(
            "{freed} places of lock {key:?}: {} and {} more held them",
            text::owner(lock),
            freed - 1
        ),
    };
    let stay = match others {
        0 => String::new(),
        1 => "; 1 other stays".to_owned(),
        _ => format!("; {others} others stay"),
    };
    format!(
        "freed {who}{stay}; what runs there ends as lost at its next extension, or at its deadline if \
         it does not renew, and who waits comes in within 5 s"
    )
}

/// The servers that were not heard may be a majority that has the lock.
fn partly_freed(key: &str, share: Share, unheard: usize, failure: Option<Failure>) -> Failure {
    let why = failure.map_or_else(
        || format!("{unheard} could not be asked"),
        |failure| failure.to_string(),
    );
    Failure::new(
        UNAVAILABLE,
        format_args!(
            "lock {key:?} was freed{}, which is no majority, so that its holder may have it still: \
             {why}. Break it again when all servers answer",
            on(share)
        ),
    )
}

fn leftover_text(key: &str, share: Share) -> String {
    format!(
        "what was left of the lock {key:?} that was meant is gone{}",
        on(share)
    )
}

fn on(share: Share) -> String {
    format!(" on {} of {} servers", share.holding, share.of)
}

fn other_text(key: &str, lock: &Lock) -> String {
    let left = text::with_left(lock.left);
    let token = text::plain(&lock.token);
    if lock.is_foreign() {
        let holds = if token.is_empty() {
            "what is no lock".into()
        } else {
            format!("the value {token}")
        };
        return format!(
            "key {key:?} was not deleted: it holds {holds}, {left}, which this library did not write. \
             If you know what it is and it must go, use DEL, or give that whole value as --token"
        );
    }
    format!(
        "lock {key:?} was not freed: it is not the one that was meant; {} has it now, {left} \
         (token {token}). Look at it with `show`. If it must go, break it by --owner and that owner, \
         or by --token and that token",
        text::owner(lock),
    )
}
