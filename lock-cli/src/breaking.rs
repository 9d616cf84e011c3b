//! `break`: frees a lock that is still the one that was meant.

use std::io::Write as _;

use futures_util::future::join_all;
use redis::Value;
use serde_json::json;
use tokio::time::Instant;

use crate::exit::{Failure, NO, UNAVAILABLE};
use crate::lock::{Lock, Reading, Share};
use crate::options::Break;
use crate::scan::left_of;
use crate::servers::Node;
use crate::text;

const SCRIPT: &str = include_str!("break.lua");

/// What became of the key on one server.
enum Outcome {
    Freed(Lock),
    Free,
    Other(Lock),
}

pub(crate) async fn free(options: &Break) -> Result<u8, Failure> {
    let key = &options.key;
    let empty = [&options.owner, &options.token];
    if empty.into_iter().flatten().any(String::is_empty) {
        return Err(Failure::usage("the owner or token is empty; see `show`"));
    }
    let nodes = options.connection.servers()?.connect().await?;
    let full = format!("{}{key}", options.connection.prefix);
    let mut holding = nodes.of_key(&full).await?;
    let asking = holding.iter_mut().map(|node| free_on(node, &full, options));
    let (mut freed, mut others, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    for outcome in join_all(asking).await {
        match outcome {
            Ok(Outcome::Freed(lock)) => freed.push(lock),
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
    let (said, code) = match (freed.pop(), others.pop(), failures.pop(), share) {
        (Some(lock), ..) if is_freed => (freed_text(key, &lock, share), 0),
        (Some(_), _, failure, Some(share)) if unheard > 0 => {
            return Err(partly_freed(key, share, unheard, failure));
        }
        (None, _, Some(failure), _) => return Err(failure),
        (Some(_), Some(lock), _, Some(share)) => {
            let (left, other) = (leftover_text(key, share), other_text(key, &lock));
            (format!("{left}; {other}"), NO)
        }
        (Some(_), None, _, Some(share)) => {
            let left = leftover_text(key, share);
            (
                format!("{left}; nobody held it, which takes more than half of them"),
                NO,
            )
        }
        (None, Some(lock), ..) => (other_text(key, &lock), NO),
        _ => (
            format!("lock {key:?} is free already; nothing was done"),
            NO,
        ),
    };
    let mut out = std::io::stdout().lock();
    if options.json {
        writeln!(
            out,
            "{}",
            json!({ "key": key, "freed": code == 0, "message": said })
        )?;
    } else if code == 0 {
        writeln!(out, "{said}")?;
    } else {
        crate::exit::say(said);
    }
    Ok(code)
}

async fn free_on(node: &mut Node, full: &str, options: &Break) -> Result<Outcome, Failure> {
    let mut script = redis::cmd("EVAL");
    script.arg(SCRIPT).arg(1).arg(full);
    script.arg(options.token.as_deref().unwrap_or_default());
    script.arg(options.owner.as_deref().unwrap_or_default());
    let asked = Instant::now();
    let answer: Vec<Value> = node.ask(&script).await?;
    let reading = Reading::since(asked);
    let lock = |value: &[u8], left| Lock::read(options.key.clone(), value, left_of(left), reading);
    match answer.as_slice() {
        [Value::Int(0)] => Ok(Outcome::Free),
        [Value::Int(1), Value::Int(left), Value::BulkString(value)] => {
            Ok(Outcome::Freed(lock(value, *left)))
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
        "freed lock {key:?}{on}: {} held it, with {} left (token {}); what it runs ends as lost at \
         once or at its next extension, or at its deadline if it does not renew",
        text::owner(lock),
        text::left(lock.left),
        text::plain(&lock.token),
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
    format!(
        "lock {key:?} was not freed: it is not the one that was meant; {} has it now, for {} \
         (token {}). Look at it with `show`, and break it by that token if it must go",
        text::owner(lock),
        text::left(lock.left),
        text::plain(&lock.token),
    )
}
