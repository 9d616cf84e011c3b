//! All arguments, a row each, in the order of the table in the docs.

use super::takes::Takes;

pub(crate) struct Argument {
    pub(crate) name: &'static str,
    pub(super) takes: Takes,
    /// How it is written.
    pub(super) example: &'static str,
    /// What other libraries call it, with spaces between.
    pub(super) elsewhere: &'static str,
    pub(super) rules: &'static [Rule],
    /// Whether it becomes a call of the request's method of the same name.
    pub(crate) is_of_request: bool,
}

/// What an argument can't stand beside, or without; and what to do then.
pub(super) enum Rule {
    Excludes(&'static str, &'static str),
    Needs(&'static str, &'static str),
    /// It is of one key.
    OneKey(&'static str),
}

pub(super) const ARGUMENTS: &[Argument] = &[
    row("key", Takes::Key, "key = \"report:{tenant}\"").apart(),
    row(
        "permits",
        Takes::Number(
            "is how many may hold the key at a time, from 1, which is a plain lock, to 1000",
            1..=1000,
        ),
        "permits = 3",
    )
    .elsewhere("concurrency limit max_concurrency max_concurrent max_permits semaphore slots")
    .rules(&[Rule::Excludes(
        "shared",
        "`permits` and `shared` exclude each other: keep `permits` to let in so many at a time, or `shared` to let in all that are `shared`",
    )]),
    row("shared", Takes::Nothing, "shared").elsewhere("read read_lock reader readers rwlock"),
    row("fenced", Takes::Nothing, "fenced")
        .elsewhere("fence fencing fencing_token")
        .rules(&[Rule::OneKey(
            "a fencing token is of one key: remove `fenced`, or lock one key",
        )]),
    row("ttl", Takes::Time, "ttl = \"5s\"").elsewhere("expire expires expiry expiration lease lease_time lock_at_most_for lock_timeout timeout"),
    row("renew", Takes::Nothing, "renew").elsewhere("auto_extend auto_renew auto_renewal extend keep_alive watchdog"),
    row("max_hold", Takes::Time, "max_hold = \"10m\"").rules(&[Rule::Needs(
        "renew",
        "`max_hold` limits how long `renew` keeps extending: add `renew`, or set `ttl` instead, which limits the body without it",
    )]),
    row("max_idle", Takes::Time, "max_idle = \"5m\"")
        .elsewhere("hang idle idle_timeout stall")
        .rules(&[Rule::Needs(
            "renew",
            "`max_idle` ends the extensions of a body that hangs: add `renew`, or set `ttl` instead, which limits the body without it",
        )]),
    row("min_hold", Takes::Time, "min_hold = \"5s\"").elsewhere("lock_at_least_for"),
    row(
        "on_lost",
        Takes::Word("OnLost", &[("cancel", "Cancel"), ("finish", "Finish")]),
        "on_lost = finish",
    ),
    row(
        "retries",
        Takes::Number(
            "is how many attempts follow the first, from 0 up",
            0..=u32::MAX,
        ),
        "retries = 3",
    )
    .elsewhere("attempts max_attempts max_retries retry_count tries")
    .rules(&[Rule::Excludes(
        "wait",
        "`retries` and `wait` exclude each other: keep `retries` to try a few times, or `wait` to queue until the lock is free",
    )]),
    row("backoff", Takes::Pause, "backoff = \"50ms..2s\"")
        .elsewhere("delay retry_delay retry_interval sleep")
        .rules(&[
            Rule::Excludes(
                "wait",
                "`wait` is woken when the lock is released and pauses nowhere: remove `backoff`",
            ),
            Rule::Needs(
                "retries",
                "`backoff` is the pause between attempts: add `retries = 3`, or remove it",
            ),
        ]),
    row("wait", Takes::TimeOr("wait_forever"), "wait = \"10s\"")
        .elsewhere("acquire_timeout block blocking blocking_timeout max_wait wait_time wait_timeout"),
    row("coalesce", Takes::Nothing, "coalesce")
        .elsewhere("debounce dedup deduplicate merge single_flight singleflight")
        .rules(&[Rule::Needs(
            "wait",
            "`coalesce` leaves the work to one who waits already: add `wait`, or remove it",
        ), Rule::OneKey("`coalesce` asks who waits for one key: remove it, or lock one key")]),
    row("skip", Takes::Nothing, "skip").apart(),
    row("or_else", Takes::Closure, "or_else = |error| …")
        .elsewhere("fallback on_busy on_error")
        .rules(&[Rule::Excludes(
            "skip",
            "`skip` and `or_else` exclude each other, for both say what to return: keep one",
        )])
        .apart(),
    row("once_per", Takes::Time, "once_per = \"1d\"")
        .elsewhere("cron daily every interval once period schedule")
        .rules(ALONE),
    row("record", Takes::TimeOr("recorded"), "record = \"30days\"")
        .elsewhere("history keep_result log_run")
        .rules(ALONE),
    row("name", Takes::Text, "name = \"nightly\""),
    row("bind", Takes::Variable, "bind = lease").apart(),
    row("locker", Takes::Expr, "locker = self.locker")
        .elsewhere("client conn connection pool redis")
        .apart(),
    row("crate", Takes::Path, "crate = my_crate::redis_locked").apart(),
];

/// The rules of what is recorded.
const ALONE: &[Rule] = &[
    Rule::OneKey(
        "a record tells of one key's run: remove `once_per` and `record`, or lock one key",
    ),
    Rule::Excludes("permits", RECORDED_ALONE),
    Rule::Excludes("shared", RECORDED_ALONE),
];
const RECORDED_ALONE: &str = "a record tells of one run at a time: remove `once_per` and `record`, or remove `permits` and `shared`, which let in several";

const fn row(name: &'static str, takes: Takes, example: &'static str) -> Argument {
    Argument {
        name,
        takes,
        example,
        elsewhere: "",
        rules: &[],
        is_of_request: true,
    }
}

impl Argument {
    const fn apart(mut self) -> Self {
        self.is_of_request = false;
        self
    }

    const fn elsewhere(mut self, names: &'static str) -> Self {
        self.elsewhere = names;
        self
    }

    const fn rules(mut self, rules: &'static [Rule]) -> Self {
        self.rules = rules;
        self
    }
}
