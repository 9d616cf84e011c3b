//! Many on one key: who came first is served first, and nobody starves.

mod common;

use std::time::{Duration, Instant};

use common::{LIMIT, LONG, Place, or_more};
use redis_locked_test_support::history::{Visit, out_of_turn, seated};
use redis_locked_test_support::{Pace, Process, Server};

/// Who came later than it called is no proof of anything; they are counted.
const PROMPT: Duration = Duration::from_millis(5);

/// So many lockers, each with connections of its own as a process has them, in so many processes.
struct Crowd {
    processes: usize,
    lockers: usize,
    tasks: usize,
    visits: usize,
}

impl Crowd {
    fn total(&self) -> usize {
        self.lockers * self.tasks * self.visits
    }

    /// All of them, visiting, and judged.
    async fn visits(&self) -> Vec<Visit> {
        let server = Server::start().await;
        let place = Place::at("one", &[server.url()]);
        let monitor = server.monitor();
        let each = (self.lockers / self.processes).to_string();
        let words = [&each, &self.tasks.to_string(), &self.visits.to_string()];
        let start = |_| {
            let words: Vec<&str> = words.iter().map(|word| word.as_str()).collect();
            let words = [&["visit"], &words[..]].concat();
            place.visitors(&words).env("GO", place.path("go")).start()
        };
        let processes: Vec<Process> = (0..self.processes).map(start).collect();
        for process in &processes {
            process.wait_for_line("ready", LONG).await;
        }
        std::fs::write(place.path("go"), "").expect("told");
        place.all_well(&processes).await;
        let (summary, visits) = place.judged();
        assert_eq!(summary.sections, self.total());
        assert_eq!((summary.unfinished, summary.late_ends), (0, 0));
        let seats = seated(&monitor.events().await);
        let seat_of = |visit: &&Visit| seats.contains_key(&visit.token);
        let waited = visits.iter().filter(seat_of).count();
        let wrong = out_of_turn(&visits, &seats);
        assert!(wrong.is_empty(), "{} of {waited}: {wrong:#?}", wrong.len());
        let prompt = visits.iter().filter(|visit| {
            let seat = seats.get(&visit.token);
            seat.is_some_and(|seat| Duration::from_nanos(seat.saturating_sub(visit.came)) < PROMPT)
        });
        println!(
            "{} visits, {waited} by a seat in the line, {} of them taken within {PROMPT:?}; \
             the longest wait was {:?}",
            visits.len(),
            prompt.count(),
            Duration::from_nanos(visits.iter().map(Visit::waited).max().unwrap_or(0))
        );
        assert!(!server.exists("k").await && !server.exists("{k}:line").await);
        visits
    }
}

/// `VISITS=10000` for more.
#[tokio::test]
async fn nobody_is_served_out_of_turn() {
    let crowd = Crowd {
        processes: 3,
        lockers: 12,
        tasks: 1,
        visits: or_more("VISITS", 1_200) / 12,
    };
    let visits = crowd.visits().await;
    // Each was handed over.
    let hand_overs = visits.windows(2).filter(|two| two[0].token != two[1].token);
    assert_eq!(hand_overs.count(), crowd.total() - 1);
}

/// The same with many callers in each process, which passes the lock on among them for a while.
#[tokio::test]
async fn callers_of_one_process_are_served_out_of_turn_for_a_moment_only() {
    let crowd = Crowd {
        processes: 3,
        lockers: 3,
        tasks: 8,
        visits: or_more("VISITS", 1_200) / 24,
    };
    crowd.visits().await;
}

/// By default, fifty lockers in each of four processes: two hundred are too heavy for the suite on
/// two processors. `PROCESSES=200` has a process for each.
#[tokio::test]
async fn two_hundred_on_one_key() {
    let crowd = Crowd {
        processes: or_more("PROCESSES", 4),
        lockers: 200,
        tasks: 1,
        visits: or_more("VISITS", 400) / 200,
    };
    crowd.visits().await;
}

/// What a process that ran for a while says: how often it visited, and its longest wait.
async fn ran(process: &Process) -> (u64, Duration) {
    let done = process.wait_for_line("done", LONG).await;
    let mut numbers = done
        .split(' ')
        .skip(1)
        .map(|word| word.parse().expect("a number"));
    let visits = numbers.next().expect("visits");
    (
        visits,
        Duration::from_micros(numbers.next().expect("a wait")),
    )
}

#[tokio::test]
async fn two_processes_with_many_tasks_have_equal_shares() {
    let server = Server::start().await;
    let place = Place::at("one", &[server.url()]);
    let start = || {
        let visitors = place.visitors(&["rate", "1", "32", "3000"]);
        visitors.env("GO", place.path("go")).start()
    };
    let processes = [start(), start()];
    for process in &processes {
        process.wait_for_line("ready", LIMIT).await;
    }
    let machine = Pace::start();
    std::fs::write(place.path("go"), "").expect("told");
    let [(mine, wait), (theirs, their_wait)] = [ran(&processes[0]).await, ran(&processes[1]).await];
    let longest = wait.max(their_wait);
    println!("{mine} and {theirs} visits, the longest wait {longest:?}");
    // In turns of 50 ms: 30 each, and one more or less at the ends. A machine that is late makes turns
    // longer.
    let smaller = 100 * mine.min(theirs) / (mine + theirs);
    assert!(
        smaller >= if machine.worst() < PROMPT { 45 } else { 35 },
        "{smaller} %"
    );
    assert!(
        longest <= Duration::from_millis(150) + 4 * machine.worst(),
        "{longest:?}"
    );
}

/// It knows nothing but `SET NX PX`, and asks each 100 ms.
#[tokio::test]
async fn a_foreign_client_that_polls_is_served_while_a_line_stands() {
    for lockers in ["2", "4", "40"] {
        let server = Server::start().await;
        let place = Place::at("one", &[server.url()]);
        let crowd = place.visitors(&["rate", lockers, "1", "60000"]).start();
        crowd.wait_for_line("ready", LIMIT).await;
        // So long the lock has gone from hand to hand before.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let began = Instant::now();
        let mut polls = tokio::time::interval(Duration::from_millis(100));
        loop {
            polls.tick().await;
            if server.set_nx_px("k", "theirs", 60_000).await {
                break;
            }
            // On a quiet machine 5 s are enough: the benchmarks measure that.
            assert!(began.elapsed() < LIMIT, "it starves under {lockers}");
        }
        println!("under {lockers}: after {:?}", began.elapsed());
        assert!(server.del("k").await, "theirs");
    }
}
