//! Whether those who came first were served first.
//!
//! A visit is told by a line more, `came key fence holder time_ns token`, before its begin. Between
//! processes, who came first is who had its seat in the server's line before the other called: a
//! process that stood still on its way there came later than it believes.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::clock::monotonic_ns;
use crate::monitor::Event;

/// How long a process may pass a lock on among its own callers.
const PASSING_NS: u64 = 50_000_000;

/// One visit to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// The key that was locked.
    pub key: String,
    /// Who held the lock.
    pub holder: String,
    /// The tenure, which several visits of one process may share.
    pub token: String,
    /// When the caller called.
    pub came: u64,
    /// When it was served.
    pub begin: u64,
    /// When it was done; none if its process was killed.
    pub end: Option<u64>,
}

impl Visit {
    /// The process that locked, where holders are named `process-…`.
    #[must_use]
    pub fn process(&self) -> &str {
        self.holder.split('-').next().unwrap_or_default()
    }

    /// How long the caller waited, in nanoseconds.
    #[must_use]
    pub fn waited(&self) -> u64 {
        self.begin.saturating_sub(self.came)
    }
}

/// All visits of a history, in the order in which they were served.
///
/// # Panics
/// If a line makes no sense, or a visit began without having come.
#[must_use]
pub fn visits(history: &str) -> Vec<Visit> {
    let mut visits: BTreeMap<String, Visit> = BTreeMap::new();
    for line in history.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let time = |at: usize| words[at].parse::<u64>().expect("a time");
        match words[..] {
            ["came", key, _, holder, _, token] => {
                let visit = Visit {
                    key: key.to_owned(),
                    holder: holder.to_owned(),
                    token: token.to_owned(),
                    came: time(4),
                    begin: 0,
                    end: None,
                };
                visits.insert(holder.to_owned(), visit);
            }
            ["begin" | "end" | "extend", _, _, holder, ..] => {
                let visit = visits.get_mut(holder);
                let visit = visit.unwrap_or_else(|| panic!("{holder} never came"));
                match words[0] {
                    "begin" => visit.begin = time(4),
                    "end" => visit.end = Some(time(4)),
                    _ => {}
                }
            }
            _ => panic!("{line:?} is no line of a history"),
        }
    }
    let mut visits: Vec<Visit> = visits.into_values().collect();
    visits.sort_by_key(|visit| visit.begin);
    visits
}

/// Who was passed over, and by whom: the first had its seat when the second had not even called.
/// `seated` tells when a tenure's value was put into the line.
///
/// What a process passes on among its own within 50 ms is out of turn for nobody.
#[must_use]
pub fn out_of_turn(visits: &[Visit], seated: &BTreeMap<String, u64>) -> Vec<(Visit, Visit)> {
    let mut by_key: BTreeMap<&str, Vec<&Visit>> = BTreeMap::new();
    for visit in visits {
        by_key.entry(&visit.key).or_default().push(visit);
    }
    by_key
        .values()
        .flat_map(|visits| out_of_turn_on_one_key(visits, seated))
        .collect()
}

fn out_of_turn_on_one_key(
    visits: &[&Visit],
    seated: &BTreeMap<String, u64>,
) -> Vec<(Visit, Visit)> {
    let is_passed_on = passed_on(visits);
    let mut found = Vec::new();
    // Of those who were served later, the one who sat down first.
    let mut earliest: Option<(u64, &Visit)> = None;
    for (&visit, is_passed_on) in visits.iter().zip(is_passed_on).rev() {
        if let Some((seat, passed_over)) = earliest
            && seat < visit.came
            && !is_passed_on
        {
            found.push((passed_over.clone(), visit.clone()));
        }
        // The seat is that of the first visit of a tenure.
        if let Some(&seat) = seated.get(&visit.token)
            && !is_passed_on
            && earliest.is_none_or(|(earliest, _)| seat < earliest)
        {
            earliest = Some((seat, visit));
        }
    }
    found
}

/// Which visits are later turns of a tenure that was passed on in its process, and in time.
fn passed_on(visits: &[&Visit]) -> Vec<bool> {
    // When each tenure's first turn began, and its last one ended.
    let mut tenures: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let mut is_passed_on = Vec::new();
    for visit in visits {
        let end = visit.end.unwrap_or(u64::MAX);
        let tenure = tenures.get_mut(visit.token.as_str());
        let is_in_time = tenure.map(|(began, ended)| {
            let is_in_time = *ended <= began.saturating_add(PASSING_NS);
            *ended = end;
            is_in_time
        });
        if is_in_time.is_none() {
            tenures.insert(&visit.token, (visit.begin, end));
        }
        is_passed_on.push(is_in_time.unwrap_or(false));
    }
    is_passed_on
}

/// When each token was put into a line, by what a server was seen to do, on the clock of
/// [`monotonic_ns`].
///
/// # Panics
/// If the clock of the day stands before 1970.
#[must_use]
pub fn seated(events: &[Event]) -> BTreeMap<String, u64> {
    let ahead = wall_ahead_of_monotonic();
    let mut seated = BTreeMap::new();
    for event in events {
        if let [command, line, _, value] = &event.arguments[..]
            && command.eq_ignore_ascii_case("zadd")
            && line.ends_with(":line")
        {
            let token = value.split(';').next().unwrap_or_default();
            let at = u64::try_from(event.at.as_nanos()).unwrap_or(u64::MAX);
            // The last: who lost its seat and took it again came for good then.
            seated.insert(token.to_owned(), at.saturating_sub(ahead));
        }
    }
    seated
}

/// Both clocks count alike; the pair that was read fastest says by how much they differ.
fn wall_ahead_of_monotonic() -> u64 {
    let pairs = (0..100).map(|_| {
        let before = monotonic_ns();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        let wall = wall.expect("after 1970").as_nanos();
        let after = monotonic_ns();
        let wall = u64::try_from(wall).unwrap_or(u64::MAX);
        // Too little rather than too much: a seat is taken for later than it was.
        (after - before, wall.saturating_sub(after))
    });
    pairs.min().map_or(0, |(_, ahead)| ahead)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{out_of_turn, seated, visits};
    use crate::clock::monotonic_ns;
    use crate::server::Server;

    /// A visit of a tenure of its own.
    fn visit(holder: &str, came: u64, begin: u64) -> String {
        turn(holder, holder, came, begin, begin + 1)
    }

    fn turn(holder: &str, token: &str, came: u64, begin: u64, end: u64) -> String {
        format!(
            "came k 1 {holder} {came} {token}\nbegin k 1 {holder} {begin} {}\nend k 1 {holder} {end}\n",
            u64::MAX
        )
    }

    fn wrong(history: &[String], seats: &[(&str, u64)]) -> Vec<(String, String)> {
        let seats: BTreeMap<String, u64> = seats
            .iter()
            .map(|(token, at)| ((*token).to_owned(), *at))
            .collect();
        out_of_turn(&visits(&history.concat()), &seats)
            .into_iter()
            .map(|(over, by)| (over.holder, by.holder))
            .collect()
    }

    #[test]
    fn who_came_first_is_served_first() {
        let history = [visit("a-0", 0, 100), visit("b-0", 10, 200)];
        assert!(wrong(&history, &[("a-0", 5), ("b-0", 15)]).is_empty());
    }

    #[test]
    fn who_called_when_another_sat_and_is_served_before_it_is_out_of_turn() {
        let history = [visit("a-0", 0, 200), visit("b-0", 10, 100)];
        let found = wrong(&history, &[("a-0", 5), ("b-0", 15)]);
        assert_eq!(found, [("a-0".to_owned(), "b-0".to_owned())]);
        // It may have been on its way, too, and overtaken the other there.
        assert!(wrong(&history, &[("a-0", 11), ("b-0", 10)]).is_empty());
        // Who never sat down was served by chance.
        assert!(wrong(&history, &[("b-0", 15)]).is_empty());
        // Taking a free lock at once is out of turn all the same.
        assert_eq!(wrong(&history, &[("a-0", 5)]).len(), 1);
    }

    #[test]
    fn one_in_between_hides_nothing() {
        let history = [
            visit("a-0", 0, 300),
            visit("b-0", 10, 200),
            visit("c-0", 20, 100),
        ];
        let found = wrong(&history, &[("a-0", 5), ("b-0", 15), ("c-0", 25)]);
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn what_a_process_passes_on_in_time_is_nobodys_turn() {
        let first = turn("b-0", "tenure", 0, 100, 50_000_100);
        let next = turn("b-1", "tenure", 20, 50_000_200, 50_000_300);
        let other = visit("a-0", 5, 60_000_000);
        let seats = [("tenure", 1), ("a-0", 10)];
        assert!(wrong(&[first, next.clone(), other.clone()], &seats).is_empty());
        let late = turn("b-0", "tenure", 0, 100, 50_000_101);
        assert_eq!(wrong(&[late, next, other], &seats).len(), 1);
    }

    #[test]
    fn keys_have_lines_of_their_own() {
        let elsewhere = visit("b-0", 10, 100).replace(" k ", " other ");
        let history = [visit("a-0", 0, 200), elsewhere];
        assert!(wrong(&history, &[("a-0", 5), ("b-0", 15)]).is_empty());
    }

    #[tokio::test]
    async fn seats_are_told_on_our_own_clock() {
        let server = Server::start().await;
        let monitor = server.monitor();
        let before = monotonic_ns();
        let mut connection = server.connection().await;
        let mut add = redis::cmd("ZADD");
        let add = add.arg("{k}:line").arg(1).arg("token;owner");
        add.exec_async(&mut connection).await.expect("added");
        let after = monotonic_ns();
        let seats = seated(&monitor.events().await);
        let at = seats["token"];
        // The clock of the day is set by steps of less than this.
        let millisecond = 1_000_000;
        assert!(at + millisecond > before && at < after + millisecond);
    }
}
