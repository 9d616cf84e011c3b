//! A line of the table.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What one kind of fault did, over all its rounds.
pub(crate) struct Row {
    pub(crate) servers: &'static str,
    pub(crate) fault: &'static str,
    pub(crate) rounds: usize,
    /// The longest time without a grant after each fault, for the keys of the servers that failed.
    pub(crate) pauses: Vec<Duration>,
    /// The same for other keys; empty where there are none.
    pub(crate) pauses_elsewhere: Vec<Duration>,
    pub(crate) granted: u64,
    /// How many acquisitions and releases failed, by what happened.
    pub(crate) failed: BTreeMap<String, u64>,
    /// How often two held a lock at a time.
    pub(crate) overlaps: usize,
    /// How often a fencing token was not greater than one before it; none where there are none.
    pub(crate) fences: Option<usize>,
}

impl Row {
    pub(crate) const HEAD: &str = "\
| servers | fault | rounds | locks granted | no grant for: median / longest | other keys | failed calls | two at a time | fencing out of order |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |";
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed: Vec<_> = self
            .failed
            .iter()
            .map(|(what, count)| format!("{count} × {what}"))
            .collect();
        let failed = if failed.is_empty() {
            "none".to_owned()
        } else {
            failed.join("; ")
        };
        write!(
            f,
            "| {} | {} | {} | {} | {} | {} | {failed} | {} | {} |",
            self.servers,
            self.fault,
            self.rounds,
            self.granted,
            spread(&self.pauses),
            spread(&self.pauses_elsewhere),
            self.overlaps,
            self.fences
                .map_or("n/a".to_owned(), |fences| fences.to_string()),
        )
    }
}

fn spread(pauses: &[Duration]) -> String {
    let mut pauses = pauses.to_vec();
    pauses.sort();
    match (pauses.get(pauses.len() / 2), pauses.last()) {
        (Some(median), Some(longest)) => format!(
            "{:.2} s / {:.2} s",
            median.as_secs_f64(),
            longest.as_secs_f64()
        ),
        _ => "–".to_owned(),
    }
}
