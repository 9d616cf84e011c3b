//! Random key templates: each means what `format!` makes of the same fields.
//!
//! `TEMPLATES_SEED=2 cargo test -p redis-locked-templates` tries others; `build.rs` makes them.
#![cfg(test)]

use redis_locked::{LockError, Locker, redis_locked};

const LIMIT: u16 = 500;

struct Customer {
    name: String,
}

struct Order {
    id: i64,
    region: &'static str,
    r#type: &'static str,
    customer: Customer,
}

impl Order {
    fn id(&self) -> String {
        format!("no{}", self.id)
    }

    fn customer(&self) -> &Customer {
        &self.customer
    }
}

fn order() -> Order {
    Order {
        id: -255,
        region: "eu {west}",
        r#type: "bulk",
        customer: Customer {
            name: "Änne \"A\"".to_owned(),
        },
    }
}

type Values = (
    &'static str,
    u32,
    f64,
    char,
    (u8, (f32, &'static str)),
    usize,
    usize,
);

fn values() -> Values {
    ("acme", 48_879, 0.1875, '\'', (7, (-2.5, "x y")), 9, 1)
}

#[track_caller]
fn check(number: usize, key: Result<String, LockError>, expected: &str) {
    match key {
        Ok(key) => assert_eq!(key, expected, "function {number}"),
        // Fields have something in them, whatever the spec, and nobody else locks here.
        Err(error) => panic!("function {number}: {error}, instead of {expected:?}"),
    }
}

#[allow(clippy::all, clippy::pedantic, reason = "nobody wrote it")]
mod made {
    use super::{LIMIT, LockError, Order, check, order, redis_locked, values};

    include!(concat!(env!("OUT_DIR"), "/templates.rs"));
}

#[tokio::test]
async fn templates_mean_what_format_makes_of_them() {
    Locker::in_memory().scope(made::check_all()).await;
}
