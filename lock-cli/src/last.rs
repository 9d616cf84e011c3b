//! `last`: what ran last, and whether it succeeded in time.

use std::io::Write as _;

use crate::exit::{Failure, NO, say};
use crate::options::Last;
use crate::records::{self, Run};
use crate::table::table;
use crate::text;

pub(crate) async fn last(options: &Last) -> Result<u8, Failure> {
    let mut nodes = options.connection.servers()?.connect().await?;
    if nodes.quorum.is_some() {
        return Err(Failure::usage("a quorum keeps no records of runs"));
    }
    let (prefix, pattern) = (&options.connection.prefix, &options.pattern);
    let mut runs = records::all(&mut nodes, prefix, pattern).await?;
    let any = !runs.is_empty();
    if let Some(limit) = options.older_than {
        runs.retain(|run| run.is_older_than(limit));
    }
    let mut out = std::io::stdout().lock();
    if options.json {
        let told: Vec<_> = runs.iter().map(Run::told).collect();
        serde_json::to_writer_pretty(&mut out, &told).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else if options.older_than.is_none() || !runs.is_empty() {
        out.write_all(in_columns(&runs).as_bytes())?;
    }
    let is_late = options.older_than.is_some() && (!any || !runs.is_empty());
    if options.older_than.is_some() && !any {
        say(format_args!(
            "no run of a lock that matches {pattern:?} is recorded"
        ));
    }
    Ok(if is_late { NO } else { 0 })
}

fn in_columns(runs: &[Run]) -> String {
    let row = |run: &Run| {
        let mut row = vec![text::plain(&run.key)];
        row.extend(run.in_words());
        row
    };
    let rows: Vec<_> = runs.iter().map(row).collect();
    table(&["KEY", "STARTED", "TOOK", "OUTCOME", "BY"], &[2], &rows)
}
