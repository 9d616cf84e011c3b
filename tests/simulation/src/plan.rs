//! What a seed makes of the world: how many live in it, what they want, and what goes wrong.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::chance::{between, one_in, one_of};
use super::checker::{COALESCE, Limits};
use super::clock::Clock;
use super::faults::{FAULTS, Fault};
use super::network::Weather;
use super::workload::{Family, KINDS, Kind};

/// Some day of 2026, in microseconds since 1970.
const DAY: i64 = 1_790_000_000_000_000;

/// A ttl that is longer than callers begin new things.
const OUTLASTS: u64 = 10_000;

pub(super) struct Plan {
    /// One, or those of a quorum.
    pub(super) servers: usize,
    pub(super) places: usize,
    /// In each process.
    pub(super) callers: usize,
    pub(super) keys: usize,
    pub(super) kinds: Vec<(&'static Kind, u32)>,
    pub(super) ttls: RangeInclusive<u64>,
    pub(super) longest_body: u64,
    /// One body in so many may outlast its ttl.
    pub(super) long_body_one_in: u32,
    pub(super) longest_pause: u64,
    pub(super) longest_wait: u64,
    /// Whether some wait without a limit.
    pub(super) is_patient: bool,
    /// That of `once_per`.
    pub(super) period: u64,
    pub(super) clocks: Clocks,
    pub(super) weather: Weather,
    pub(super) connection_timeout: Duration,
    pub(super) response_timeout: Duration,
    pub(super) server_timeout: Duration,
    pub(super) faults: Vec<(&'static Fault, u32)>,
    /// Between two faults, in the mean.
    pub(super) calm: u64,
    /// How long callers begin new things.
    pub(super) length: u64,
}

pub(super) struct Clocks {
    drift: bool,
}

impl Clocks {
    pub(super) fn process(&self) -> Clock {
        self.clock(between(0..=1_000_000))
    }

    pub(super) fn server(&self) -> Clock {
        self.clock(DAY + between(0..=1_000_000))
    }

    fn clock(&self, start: i64) -> Clock {
        if self.drift {
            Clock::drifting(start)
        } else {
            Clock::exact(start)
        }
    }
}

/// What kind of a world it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Nothing goes wrong, and many locks are taken and given back.
    Busy,
    /// Nothing goes wrong.
    Calm,
    Troubled,
    /// Many processes wait for few locks, and something may go wrong.
    Line,
    /// Few keys that several may hold, and something may go wrong.
    Places,
    /// Runs are recorded, and something may go wrong.
    Records,
    /// Commands come late, or twice, and what they leave behind is there at the end.
    Doubt,
    /// Several servers, nothing goes wrong, and callers leave.
    Quorum,
    /// Bodies run for longer than their ttl, and something short goes wrong.
    Renewed,
    /// Others take locks away, and whoever holds them looks.
    Taken,
}

impl Sort {
    fn draw() -> Self {
        match between(0..=12) {
            6 => Self::Line,
            7 => Self::Places,
            8 => Self::Records,
            9 => Self::Doubt,
            10 => Self::Quorum,
            11 => Self::Renewed,
            12 => Self::Taken,
            0 => Self::Busy,
            1 | 2 => Self::Calm,
            _ => Self::Troubled,
        }
    }
}

/// Beside each other, these take and give back the most.
const BUSY_KINDS: &[&str] = &[
    "plain", "retries", "wait", "forever", "drop", "leave", "hand", "skip", "fenced", "renew",
];

/// These make a line.
const LINE_KINDS: &[&str] = &["wait", "forever", "renew", "leave", "coalesce", "fenced"];

/// With these, callers leave at any time, and some stay.
const LEAVING_KINDS: &[&str] = &["plain", "retries", "wait", "drop", "leave", "hand", "skip"];

/// After these, a key of a line is free, or one who waits is gone, and all else is as usual.
const QUIET: &[&str] = &["kill", "foreign hand"];

impl Plan {
    pub(super) fn draw() -> Self {
        match Sort::draw() {
            Sort::Busy => Self::busy(),
            Sort::Line => Self::line(),
            Sort::Places => Self::places(),
            Sort::Records => Self::records(),
            Sort::Doubt => Self::doubt(),
            Sort::Quorum => Self::quorum(),
            Sort::Renewed => Self::renewed(),
            Sort::Taken => Self::taken(),
            sort => Self::any(sort),
        }
    }

    /// Of what kind the next to be drawn is.
    pub(super) fn next_sort() -> Sort {
        Sort::draw()
    }

    fn busy() -> Self {
        let kinds = KINDS.iter().filter(|kind| BUSY_KINDS.contains(&kind.name));
        let waits = |kind: &Kind| u32::from(matches!(kind.name, "wait" | "forever"));
        let kinds = kinds.map(|kind| (kind, 1 + 6 * waits(kind)));
        Self {
            servers: 1,
            kinds: kinds.collect(),
            callers: between(20..=40),
            keys: *one_of(&[2, 8, 40, 100]),
            ttls: 1_000..=5_000,
            longest_body: *one_of(&[0, 1, 2]),
            long_body_one_in: 4_000,
            longest_pause: *one_of(&[0, 2]),
            longest_wait: 5_000,
            length: 20_000,
            ..Self::any(Sort::Busy)
        }
    }

    fn line() -> Self {
        let sort = *one_of(&[Sort::Calm, Sort::Troubled]);
        let plan = Self::any(sort);
        let waits = |kind: &Kind| u32::from(LINE_KINDS.contains(&kind.name));
        let kinds = KINDS
            .iter()
            .filter(|kind| kind.family == Family::Whole)
            .map(|kind| (kind, between(0..=2) + 5 * waits(kind)));
        let plan = Self {
            servers: 1,
            places: between(2..=50),
            callers: *one_of(&[1, 1, 2, 4]),
            keys: *one_of(&[1, 1, 2, 4]),
            kinds: kinds.collect(),
            ttls: 1_000..=3_000,
            longest_body: *one_of(&[0, 5, 60, 400]),
            longest_pause: *one_of(&[0, 20, 200]),
            longest_wait: *one_of(&[500, 5_000]),
            ..plan
        };
        if sort == Sort::Troubled {
            return plan;
        }
        match between(0..=3) {
            0 => plan,
            // Nobody else waits whose run would do for those who were told to count on one.
            1 => Self {
                places: between(2..=5),
                callers: between(2..=6),
                keys: between(1..=2),
                // Who is told to count on another knows that at once.
                longest_pause: *one_of(&[5, 20, 200]),
                kinds: KINDS
                    .iter()
                    .filter(|kind| kind.name == COALESCE)
                    .map(|kind| (kind, 1))
                    .collect(),
                ..plan
            },
            _ => plan.quiet(),
        }
    }

    fn places() -> Self {
        let sort = *one_of(&[Sort::Calm, Sort::Troubled, Sort::Troubled]);
        let plan = Self::any(sort);
        let plan = Self {
            kinds: Self::mostly(Family::Places),
            servers: 1,
            places: between(1..=8),
            callers: between(1..=6),
            keys: *one_of(&[1, 1, 2, 4]),
            longest_body: *one_of(&[5, 20, 60, 400]),
            longest_pause: *one_of(&[0, 3, 20, 200]),
            ..plan
        };
        if sort == Sort::Calm && one_in(2) {
            plan.quiet()
        } else {
            plan
        }
    }

    /// All kinds of this family, and some that make a line beside them.
    fn mostly(family: Family) -> Vec<(&'static Kind, u32)> {
        let weight = |kind: &Kind| {
            if kind.family == family {
                between(1..=4)
            } else {
                u32::from(LINE_KINDS.contains(&kind.name)) * between(0..=2)
            }
        };
        KINDS.iter().map(|kind| (kind, weight(kind))).collect()
    }

    fn records() -> Self {
        let sort = *one_of(&[Sort::Calm, Sort::Troubled, Sort::Troubled]);
        Self {
            kinds: Self::mostly(Family::Records),
            servers: 1,
            places: between(1..=6),
            callers: between(1..=5),
            keys: between(1..=4),
            longest_pause: *one_of(&[3, 20, 200]),
            ..Self::any(sort)
        }
    }

    /// The kinds with these names, each as likely.
    fn only(names: &[&str]) -> Vec<(&'static Kind, u32)> {
        let kinds = KINDS.iter().filter(|kind| names.contains(&kind.name));
        kinds.map(|kind| (kind, 1)).collect()
    }

    fn faults_of(names: &[&str]) -> Vec<(&'static Fault, u32)> {
        let faults = FAULTS.iter().filter(|fault| names.contains(&fault.name));
        faults.map(|fault| (fault, between(1..=3))).collect()
    }

    /// What is left behind keeps nobody for long, so that it is still there when all is shut down.
    fn doubt() -> Self {
        let plan = Self::any(Sort::Troubled);
        let (connection, response) = *one_of(&[(500, 300), (100, 60)]);
        Self {
            servers: 1,
            places: between(1..=3),
            callers: between(2..=8),
            keys: between(20..=60),
            kinds: Self::only(LEAVING_KINDS),
            ttls: OUTLASTS..=5 * OUTLASTS,
            longest_body: *one_of(&[2, 5, 20]),
            long_body_one_in: u32::MAX,
            longest_pause: *one_of(&[3, 20]),
            longest_wait: *one_of(&[20, 500]),
            is_patient: false,
            weather: Weather {
                user_timeout: connection + response,
                ..plan.weather
            },
            connection_timeout: Duration::from_millis(connection),
            response_timeout: Duration::from_millis(response),
            faults: Self::faults_of(&[
                "cut in the middle",
                "cut in the middle",
                "connection stands still",
                "cut",
                "server refuses",
                "scripts forgotten",
            ]),
            calm: between(20..=200),
            length: between(2_000..=4_000),
            ..plan
        }
    }

    fn quorum() -> Self {
        let plan = Self::any(Sort::Calm);
        let (connection, response) = (2_000, 1_000);
        Self {
            servers: *one_of(&[3, 5]),
            places: between(1..=3),
            callers: between(2..=8),
            keys: between(3..=30),
            kinds: Self::only(LEAVING_KINDS),
            ttls: OUTLASTS..=5 * OUTLASTS,
            longest_body: *one_of(&[2, 5, 20]),
            long_body_one_in: u32::MAX,
            longest_pause: *one_of(&[3, 20]),
            longest_wait: *one_of(&[20, 500]),
            is_patient: false,
            weather: Weather {
                late_one_in: Some(between(5..=100)),
                user_timeout: connection + response,
                ..plan.weather
            },
            connection_timeout: Duration::from_millis(connection),
            response_timeout: Duration::from_millis(response),
            faults: Self::faults_of(&["scripts forgotten"]),
            calm: between(5..=100),
            length: between(500..=2_000),
            ..plan
        }
    }

    fn renewed() -> Self {
        let plan = Self::any(Sort::Troubled);
        let (connection, response) = (100, 60);
        Self {
            servers: *one_of(&[1, 1, 3]),
            places: between(1..=2),
            callers: between(1..=4),
            keys: between(2..=6),
            kinds: Self::only(&["renew"]),
            ttls: 1_000..=3_000,
            long_body_one_in: 1,
            longest_pause: 20,
            longest_wait: *one_of(&[20, 500]),
            is_patient: false,
            weather: Weather {
                late_one_in: None,
                user_timeout: connection + response,
                ..plan.weather
            },
            connection_timeout: Duration::from_millis(connection),
            response_timeout: Duration::from_millis(response),
            faults: Self::faults_of(&[
                "server refuses",
                "cut",
                "cut in the middle",
                "connection stands still",
                "server stands still",
            ]),
            calm: between(800..=3_000),
            length: between(5_000..=9_000),
            ..plan
        }
    }

    fn taken() -> Self {
        Self {
            servers: 1,
            places: between(1..=2),
            callers: between(4..=12),
            keys: between(1..=3),
            kinds: Self::only(&["extend", "renew", "hand", "wait", "forever"]),
            ttls: 50..=400,
            longest_body: *one_of(&[20, 60]),
            longest_pause: 3,
            longest_wait: 500,
            faults: Self::faults_of(&["foreign hand"]),
            calm: between(5..=40),
            length: between(2_000..=5_000),
            ..Self::any(Sort::Calm)
        }
    }

    /// The order is promised all the same, and who is gone is skipped at once.
    fn quiet(self) -> Self {
        let faults = FAULTS.iter().filter(|fault| QUIET.contains(&fault.name));
        Self {
            faults: faults.map(|fault| (fault, 1)).collect(),
            calm: between(30..=600),
            ..self
        }
    }

    fn any(sort: Sort) -> Self {
        let is_troubled = sort == Sort::Troubled;
        let servers = *one_of(&[1, 1, 1, 1, 3, 5]);
        let is_crowded = one_in(2);
        let (connection, response) = *one_of(&[(2_000, 1_000), (500, 300), (100, 60)]);
        let usual = *one_of(&[1, 2, 3, 6]);
        let (with_places, with_records) = (one_in(3), one_in(4));
        let kinds = KINDS
            .iter()
            .filter(|kind| servers == 1 || !kind.is_numbered)
            .filter(|kind| match kind.family {
                Family::Whole => true,
                Family::Places => with_places,
                Family::Records => with_records,
            });
        // All kinds beside each other, or a few.
        let weight = |of_all| if of_all { 2 } else { between(0..=9) };
        let of_all = one_in(2);
        let mut kinds: Vec<_> = kinds.map(|kind| (kind, weight(of_all))).collect();
        kinds[0].1 += 1;
        // A key that is left behind for the longest of these is there when its process shuts down.
        let shortest_ttl = *one_of(&[50, 200, 1_000, OUTLASTS]);
        let longest_ttl = shortest_ttl * between(1..=5);
        Self {
            servers,
            places: between(1..=4),
            callers: if is_crowded {
                between(8..=40)
            } else {
                between(1..=8)
            },
            keys: if is_crowded {
                between(1..=60)
            } else {
                between(1..=4)
            },
            kinds,
            ttls: shortest_ttl..=longest_ttl,
            longest_body: *one_of(&[2, 5, 20, 60]),
            long_body_one_in: if shortest_ttl == OUTLASTS {
                u32::MAX
            } else {
                20
            },
            longest_pause: *one_of(&[0, 3, 20, 200]),
            longest_wait: *one_of(&[20, 500, 5_000]),
            is_patient: true,
            period: *one_of(&[1_000, 1_000, 1_500, 3_000]),
            clocks: Clocks { drift: one_in(2) },
            weather: Weather {
                usual,
                late_one_in: (is_troubled && one_in(2)).then(|| between(20..=500)),
                latest: usual + between(5..=80),
                user_timeout: connection + response,
            },
            connection_timeout: Duration::from_millis(connection),
            response_timeout: Duration::from_millis(response),
            server_timeout: Duration::from_millis(*one_of(&[30, 100])),
            faults: if is_troubled {
                Self::faults()
            } else {
                Vec::new()
            },
            calm: *one_of(&[between(30..=150), between(150..=2_000)]),
            length: between(3_000..=8_000),
        }
    }

    /// All beside each other, or a few: where hardly anything else goes wrong, more is promised.
    fn faults() -> Vec<(&'static Fault, u32)> {
        let few = one_in(2);
        let weight = || if few && !one_in(6) { 0 } else { between(0..=5) };
        let mut faults: Vec<_> = FAULTS.iter().map(|fault| (fault, weight())).collect();
        let some = between(0..=faults.len() - 1);
        faults[some].1 += 1;
        faults
    }

    pub(super) fn limits(&self) -> Limits {
        let parcel = match self.weather.late_one_in {
            Some(_) => self.weather.latest,
            None => self.weather.usual,
        };
        // Of a quorum, a server that is slow is given up sooner.
        let answer = if self.servers > 1 {
            self.response_timeout.min(self.server_timeout)
        } else {
            self.response_timeout
        };
        Limits {
            parcel,
            operation: self.weather.user_timeout,
            answer: u64::try_from(answer.as_millis()).expect("not that long"),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |(name, weight): (&str, u32)| format!("{name} {weight}");
        let kinds: Vec<_> = self
            .kinds
            .iter()
            .filter(|(_, weight)| *weight > 0)
            .map(|(kind, weight)| named((kind.name, *weight)))
            .collect();
        let faults: Vec<_> = self
            .faults
            .iter()
            .filter(|(_, weight)| *weight > 0)
            .map(|(fault, weight)| named((fault.name, *weight)))
            .collect();
        write!(
            f,
            "{} ms; {} servers, {} processes of {} callers, {} keys, ttls {:?} ms, bodies to {} ms, \
             pauses to {} ms, waits to {} ms; parcels take {} ms, one in {:?} to {} ms; timeouts {:?} \
             and {:?}; drift {}\n  kinds: {}\n  a fault each {} ms: {}",
            self.length,
            self.servers,
            self.places,
            self.callers,
            self.keys,
            self.ttls,
            self.longest_body,
            self.longest_pause,
            self.longest_wait,
            self.weather.usual,
            self.weather.late_one_in,
            self.weather.latest,
            self.connection_timeout,
            self.response_timeout,
            self.clocks.drift,
            kinds.join(", "),
            self.calm,
            faults.join(", "),
        )
    }
}
