//! `list`: all locks at once.

use std::cmp::Ordering;
use std::io::Write as _;

use crate::exit::Failure;
use crate::lock::Lock;
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
    sort(&mut locks, options.choice.sort, options.choice.reverse);
    let mut out = std::io::stdout().lock();
    if options.json {
        serde_json::to_writer_pretty(&mut out, &locks).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        out.write_all(in_columns(&locks).as_bytes())?;
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

fn in_columns(locks: &[Lock]) -> String {
    let shared = locks.iter().any(|lock| lock.servers.is_some());
    let mut header = vec!["KEY", "OWNER", "LEFT", "FENCE", "WAIT"];
    if shared {
        header.push("SERVERS");
    }
    let row = |lock: &Lock| {
        let mut row = vec![
            text::plain(&lock.key),
            text::owner(lock),
            text::left(lock.left),
            text::fence(lock.fence),
            text::waiting(lock.waiting),
        ];
        if shared {
            row.push(lock.servers.map_or_else(|| "-".into(), text::share));
        }
        row
    };
    let rows: Vec<_> = locks.iter().map(row).collect();
    table(&header, &[2, 3, 4, 5], &rows)
}
