//! The memory store answers what the scripts answer, whatever it is asked.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use redis_locked_simulation::simulation::alike::{
    Ask, Ground, KEYS, Owned, Step, Time, VALUES, WAITING, compare,
};
use redis_locked_test_support as support;

fn owned() -> impl Strategy<Value = Owned> {
    // Mostly one of two, who meet at one key.
    let key = prop_oneof![3 => Just(0), 1 => 0..KEYS];
    let value = prop_oneof![3 => 0..2_usize, 1 => 0..VALUES];
    (key, value).prop_map(|(key, value)| Owned { key, value })
}

fn time() -> impl Strategy<Value = Time> {
    (0..6_u32, any::<bool>()).prop_map(|(units, odd)| Time { units, odd })
}

fn asking() -> impl Strategy<Value = Ask> {
    prop::sample::select(vec![Ask::Plain, Ask::WhoHolds, Ask::Again, Ask::Watching])
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (owned(), asking(), any::<bool>(), time()).prop_map(
            |(owned, asking, numbered, time)| Step::Acquire {
                owned,
                asking,
                numbered,
                time,
            }
        ),
        3 => (owned(), prop::option::of(time()))
            .prop_map(|(owned, keep)| Step::Release { owned, keep }),
        2 => prop::collection::vec((owned(), time()), 1..4).prop_map(Step::Extend),
        1 => (1..4_u32).prop_map(Step::Pass),
    ]
}

/// One who waits: each has a value of its own.
fn in_line() -> impl Strategy<Value = Owned> {
    let key = prop_oneof![5 => Just(0), 1 => 0..KEYS];
    (key, VALUES..VALUES + WAITING).prop_map(|(key, value)| Owned { key, value })
}

/// What befalls a line: those in it look, leave and release, and others come by.
fn step_in_line() -> impl Strategy<Value = Step> {
    let look = (in_line(), any::<bool>(), time(), 0..4_u8, any::<bool>());
    let long = (10..60_u32).prop_map(Step::Pass);
    prop_oneof![
        8 => look.prop_map(|(owned, numbered, time, one_in_four, again)| Step::Look {
            owned,
            numbered,
            time,
            coalesce: one_in_four == 0,
            again,
        }),
        6 => (in_line(), prop::option::weighted(0.1, time()))
            .prop_map(|(owned, keep)| Step::Release { owned, keep }),
        2 => prop::collection::vec((in_line(), time()), 1..2).prop_map(Step::Extend),
        3 => step(),
        2 => (in_line(), any::<bool>(), any::<bool>(), time()).prop_map(
            |(owned, again, numbered, time)| Step::Acquire {
                owned,
                asking: if again { Ask::Again } else { Ask::WhoHolds },
                numbered,
                time,
            }
        ),
        1 => long,
    ]
}

/// How many cases there are: `ALIKE_CASES` says so for a long run.
fn run(cases: u32, steps: impl Strategy<Value = Step>, ground: &Ground) {
    let wanted = std::env::var("ALIKE_CASES").ok();
    let wanted = wanted.map(|wanted| wanted.parse().expect("ALIKE_CASES is a number"));
    let config = Config {
        cases: wanted.unwrap_or(cases),
        failure_persistence: None,
        ..Config::default()
    };
    let steps = prop::collection::vec(steps, 1..40);
    let outcome = TestRunner::new(config).run(&steps, |steps| {
        compare(&steps, ground).map_err(TestCaseError::fail)
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

#[test]
fn memory_answers_what_the_scripts_answer_on_the_simulated_server() {
    run(1000, step(), &Ground::Simulated);
}

#[test]
fn memory_has_the_line_that_the_scripts_have_on_the_simulated_server() {
    run(500, step_in_line(), &Ground::Simulated);
}

const SHORT: Time = Time {
    units: 0,
    odd: false,
};

fn wants(value: usize) -> Owned {
    Owned { key: 0, value }
}

fn acquire(value: usize) -> Step {
    Step::Acquire {
        owned: wants(value),
        asking: Ask::WhoHolds,
        numbered: false,
        time: SHORT,
    }
}

fn look(value: usize) -> Step {
    Step::Look {
        owned: wants(value),
        numbered: false,
        time: SHORT,
        coalesce: false,
        again: false,
    }
}

fn release(value: usize, keep: Option<Time>) -> Step {
    Step::Release {
        owned: wants(value),
        keep,
    }
}

/// Found by chance: the place that stays hid the one that is held.
#[test]
fn a_place_beside_one_that_stays_is_given_back() {
    let (writer, reader) = (VALUES, VALUES + WAITING - 1);
    let steps = [
        acquire(reader),
        release(reader, Some(SHORT)),
        acquire(reader),
        release(reader, None),
        look(writer),
    ];
    compare(&steps, &Ground::Simulated).expect("they are alike");
}

/// Found by chance: one who had been there for too long, and left, was not the first any more.
#[test]
fn the_next_is_told_when_the_first_leaves_after_its_time() {
    let (holder, writer, permit) = (VALUES, VALUES + 1, VALUES + 4);
    let steps = [
        acquire(holder),
        look(permit),
        Step::Pass(14),
        acquire(holder),
        look(writer),
        Step::Pass(48),
        acquire(holder),
        release(permit, None),
    ];
    compare(&steps, &Ground::Simulated).expect("they are alike");
}

#[tokio::test]
async fn memory_answers_what_the_scripts_answer_on_a_real_server() {
    let server = support::Server::start().await;
    let ground = Ground::Real(server.url());
    let running = tokio::task::spawn_blocking(move || run(20, step(), &ground));
    running.await.expect("they are alike");
}
