//! `break`: frees a lock that is still the one that was meant.

use std::io::Write as _;

use futures_util::future::join_all;
use redis::Value;
use serde_json::json;

use crate::exit::{Failure, NO, UNAVAILABLE};
use crate::lock::Lock;
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
    let (mut freed, mut others, mut failed) = (Vec::new(), Vec::new(), None);
    for outcome in join_all(asking).await {
        match outcome {
            Ok(Outcome::Freed(lock)) => freed.push(lock),
            Ok(Outcome::Other(lock)) => others.push(lock),
            Ok(Outcome::Free) => {}
            Err(failure) => failed = Some(failure),
        }
    }
    let count = freed.len();
    let on = nodes
        .quorum
        .map(|of| format!(" on {count} of {of} servers"));
    let (said, code) = match (freed.pop(), others.pop(), failed) {
        (Some(lock), _, _) => (freed_text(key, &lock, on.as_deref()), 0),
        (None, _, Some(failure)) => return Err(failure),
        (None, Some(lock), None) => (other_text(key, &lock), NO),
        (None, None, None) => (
            format!("lock {key:?} is free already; nothing was done"),
            NO,
        ),
    };
    let mut out = std::io::stdout().lock();
    if options.json {
        writeln!(
            out,
            "{}",
            json!({ "key": key, "freed": count > 0, "message": said })
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
    let answer: Vec<Value> = node.ask(&script).await?;
    let lock = |value: &[u8], left| Lock::read(options.key.clone(), value, left_of(left));
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

fn freed_text(key: &str, lock: &Lock, on: Option<&str>) -> String {
    format!(
        "freed lock {key:?}{}: {} held it, with {} left (token {}); what it runs ends as lost at \
         its next extension, or at its deadline if it does not renew",
        on.unwrap_or_default(),
        text::owner(lock),
        text::left(lock.left),
        text::plain(&lock.token),
    )
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
