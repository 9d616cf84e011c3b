//! `show`: all about one lock.

use std::io::Write as _;

use serde_json::json;

use crate::exit::{Failure, NO};
use crate::lock::{Lock, Share};
use crate::options::Show;
use crate::records::{Run, time};
use crate::{records, scan, text};

pub(crate) async fn show(options: &Show) -> Result<u8, Failure> {
    let nodes = options.connection.servers()?.connect().await?;
    let prefix = &options.connection.prefix;
    let found = scan::one(&nodes, prefix, &options.key).await?;
    let last = match nodes.quorum {
        None => records::one(&nodes, prefix, &options.key).await?,
        Some(_) => None,
    };
    // Redis does not know when a key was taken; the record of its run does.
    let since = last.as_ref().filter(|run| run.last.running);
    let since = since.map(|run| time(run.last.started));
    let mut out = std::io::stdout().lock();
    if options.json {
        let mut told = match found.as_slice() {
            [first, ..] if first.place.is_some() => holders(&found),
            [lock, ..] => json!(lock),
            [] => json!({ "key": options.key, "owner": null }),
        };
        if let Some(since) = &since {
            told["since"] = json!(since);
        }
        if let Some(last) = &last {
            told["last_run"] = json!(last.told());
        }
        writeln!(out, "{told}")?;
    } else {
        match found.as_slice() {
            [] => writeln!(out, "lock {:?} is free", options.key)?,
            _ => write!(out, "{}", in_lines(&found, since))?,
        }
        if let Some(last) = &last {
            write!(out, "{}", in_words(last))?;
        }
    }
    let first = found.first();
    let held = first.is_some_and(|lock| lock.servers.is_none_or(Share::is_majority));
    Ok(if held { 0 } else { NO })
}

/// Those who have places of one key, as one object: what they have in common, and each.
fn holders(places: &[Lock]) -> serde_json::Value {
    let mut whole = json!(places[0]);
    let each = ["owner", "token", "left_ms"];
    let each = |place: &Lock| {
        let mut place = json!(place);
        let parts = each.map(|name| (name, place[name].take()));
        parts.into_iter().collect::<serde_json::Value>()
    };
    let holders = places.iter().map(each).collect();
    if let Some(whole) = whole.as_object_mut() {
        for name in ["owner", "token", "left_ms"] {
            whole.remove(name);
        }
        whole.insert("holders".to_owned(), holders);
    }
    whole
}

/// The last run, and the last success where that is another.
fn in_words(run: &Run) -> String {
    let [started, took, outcome, owner] = run.in_words();
    let words = format!("last    {outcome}, {started}, took {took}, by {owner}\n");
    match run.last.last_success.filter(|_| outcome != "ok") {
        Some(success) => format!("{words}        last success {}\n", time(success)),
        None => words,
    }
}

fn in_lines(found: &[Lock], since: Option<String>) -> String {
    let lock = &found[0];
    let mut lines = vec![("key", text::plain(&lock.key))];
    if let Some(place) = lock.place {
        lines.push((place.name(), format!("held by {}", found.len())));
        for (number, place) in (1..).zip(found) {
            let (owner, token) = (text::owner(place), text::plain(&place.token));
            let left = text::left(place.left);
            lines.push(("", format!("{number}. {owner}  {token}  {left}")));
        }
    } else {
        lines.push(("owner", text::owner(lock)));
        let token = if lock.is_foreign() { "value" } else { "token" };
        lines.push((token, text::plain(&lock.token)));
        lines.push(("left", text::left(lock.left)));
        lines.extend(since.map(|since| ("since", since)));
    }
    lines.push(("fence", text::fence(lock.fence)));
    if let Some(share) = lock.servers {
        let mut servers = text::share(share);
        if !share.is_majority() {
            servers.push_str(" (no majority: nobody holds it)");
        }
        lines.push(("servers", servers));
    }
    if let Some(line) = &lock.line {
        lines.push(("waiting", line.len().to_string()));
        for (place, waiter) in (1..).zip(line) {
            let (owner, token) = (text::named(waiter.owner.as_deref()), &waiter.token);
            lines.push(("", format!("{place}. {owner}  {}", text::plain(token))));
        }
    }
    let lines = lines
        .iter()
        .map(|(name, value)| format!("{name:<8}{value}\n"));
    lines.collect()
}
