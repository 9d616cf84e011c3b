//! `list`: all locks at once.

use std::cmp::Ordering;
use std::io::{IsTerminal as _, Write as _};

use crate::exit::Failure;
use crate::lock::{Lock, Place};
use crate::options::{Column, List};
use crate::scan::{self, Search};
use crate::table::table;
use crate::text;

pub(crate) async fn list(options: &List) -> Result<u8, Failure> {
    let mut nodes = options.connection.servers()?.connect().await?;
    let search = Search {
        prefix: &options.connection.prefix,
        pattern: &options.choice.pattern,
        foreign: options.choice.foreign,
    };
    let mut locks = scan::all(&mut nodes, search).await?;
    options.choice.of_owner(&mut locks);
    sort(&mut locks, options.choice.sort, options.choice.reverse);
    let mut out = std::io::stdout().lock();
    if options.json {
        serde_json::to_writer_pretty(&mut out, &locks).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        let width = out.is_terminal().then(text::terminal_width).flatten();
        out.write_all(in_columns(&locks, width).as_bytes())?;
    }
    Ok(0)
}

/// What has no value comes last.
pub(crate) fn compare(a: &Lock, b: &Lock, by: Column) -> Ordering {
    let first = match by {
        Column::Key => Ordering::Equal,
        Column::Owner => (a.is_foreign(), &a.owner).cmp(&(b.is_foreign(), &b.owner)),
        Column::Left => (a.left.is_none(), a.left).cmp(&(b.left.is_none(), b.left)),
        Column::Fence => (a.fence.is_none(), a.fence).cmp(&(b.fence.is_none(), b.fence)),
    };
    first.then_with(|| a.key.cmp(&b.key))
}

fn sort(locks: &mut [Lock], by: Column, reverse: bool) {
    locks.sort_by(|a, b| compare(a, b, by));
    if reverse {
        locks.reverse();
    }
}

/// The columns behind the key. Where they leave no room for it, the number goes first.
fn columns(locks: &[Lock], with_fence: bool) -> (Vec<&'static str>, Vec<Vec<String>>) {
    let shared = locks.iter().any(|lock| lock.servers.is_some());
    let several = locks.iter().any(|lock| lock.place.is_some());
    let mut header = vec!["KEY", "OWNER", "LEFT"];
    if with_fence {
        header.push("FENCE");
    }
    header.push("WAIT");
    if shared {
        header.push("SERVERS");
    }
    if several {
        header.push("PLACE");
    }
    let row = |lock: &Lock| {
        let mut row = vec![
            text::plain(&lock.key),
            text::owner(lock),
            text::left(lock.left),
        ];
        if with_fence {
            row.push(text::fence(lock.fence));
        }
        row.push(text::waiting(lock.waiting));
        if shared {
            row.push(lock.servers.map_or_else(|| "-".into(), text::share));
        }
        if several {
            row.push(lock.place.map_or("-", Place::name).into());
        }
        row
    };
    (header, locks.iter().map(row).collect())
}

/// On a terminal of this width, keys and owners are cut such that each lock has one line.
pub(crate) fn in_columns(locks: &[Lock], width: Option<usize>) -> String {
    let (header, mut rows) = columns(locks, true);
    let Some(width) = width else {
        return table(&header, &[2, 3, 4, 5], &rows);
    };
    let (mut header, mut room) = (header, room(&rows, width));
    if room < LEAST {
        (header, rows) = columns(locks, false);
        room = self::room(&rows, width);
    }
    let longest = |at: usize| rows.iter().map(|row| row[at].chars().count()).max();
    let (key, owner) = (longest(0).unwrap_or(0), longest(1).unwrap_or(0));
    // A key says more: an owner gets less than half, unless the keys need no more.
    let owner = owner.min((room * 2 / 5).max(room.saturating_sub(key)));
    for row in &mut rows {
        row[0] = text::cut(&row[0], room.saturating_sub(owner));
        row[1] = text::cut(&row[1], owner);
    }
    table(&header, &[2, 3, 4, 5], &rows)
}

/// Less room for a key and its owner tells neither.
pub(crate) const LEAST: usize = 24;

/// How many characters the columns behind key and owner leave for these two.
fn room(rows: &[Vec<String>], width: usize) -> usize {
    let columns = rows.first().map_or(2, Vec::len);
    let widest = |at: usize| rows.iter().map(|row| row[at].chars().count()).max();
    // No header of these is longer than seven characters.
    let others = (2..columns).map(|at| widest(at).unwrap_or(0).max(5));
    width.saturating_sub(others.sum::<usize>() + 2 * (columns - 1))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::lock::Reading;

    fn lock(key: &str) -> Lock {
        let now = Instant::now();
        let reading = Reading {
            asked: now,
            answered: now,
        };
        let value = "abcdefghij-_ABCDEFGHIJ;web-1:812";
        let left = Some(Duration::from_secs(27));
        let lock = Lock::read(key.into(), value.as_bytes(), left, reading);
        Lock {
            fence: Some(1_838_449_824_940_345_344),
            ..lock
        }
    }

    #[test]
    fn each_lock_has_one_line_of_the_terminal_and_the_number_goes_first() {
        let long = format!("report:{}:2026", "x".repeat(200));
        let locks = [lock("nightly"), lock(&long)];
        let whole = in_columns(&locks, None);
        assert!(whole.contains(&long), "{whole}");
        for (width, has_number) in [
            (100, true),
            (80, true),
            (64, true),
            (60, false),
            (40, false),
        ] {
            let text = in_columns(&locks, Some(width));
            for line in text.lines() {
                assert!(line.chars().count() <= width, "{width}: {text}");
            }
            assert_eq!(text.contains("1838449824940345344"), has_number, "{text}");
            for part in ["nightly", "web-1", "27.0s", "…", "2026"] {
                assert!(text.contains(part), "{width}: {text}");
            }
        }
    }
}
