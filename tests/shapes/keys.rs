//! Templates, expressions, and what they may hold.

use std::fmt::{self, Display};

use redis_locked::{LockError, redis_locked};

use super::{alone, held};

const TABLE: &str = "orders";
const SHARD: u8 = 3;
const NOTHING: &str = "";
static REGION: &str = "eu";

struct Customer {
    name: String,
}

struct Order {
    id: u32,
    r#type: &'static str,
    customer: Customer,
    position: (u8, (u8, &'static str)),
}

impl Order {
    fn id(&self) -> String {
        format!("no-{}", self.id)
    }

    fn customer(&self) -> &Customer {
        &self.customer
    }
}

fn order() -> Order {
    Order {
        id: 255,
        r#type: "bulk",
        customer: Customer { name: "ann".into() },
        position: (1, (2, "x")),
    }
}

#[redis_locked(key = "nightly")]
async fn fixed() -> Result<String, LockError> {
    held()
}

#[redis_locked(key = "a}}b{{c}}")]
async fn braces() -> Result<String, LockError> {
    held()
}

#[redis_locked(key = "{{{id}}}:🔒 \n\u{e9}")]
async fn braces_around(id: u8) -> Result<String, LockError> {
    held()
}

#[redis_locked(key = r#"raw:"{name}"\"#)]
async fn raw(name: &str) -> Result<String, LockError> {
    held()
}

#[redis_locked(key = "{id}/{id}/{name}")]
async fn twice(id: u8, name: String) -> Result<String, LockError> {
    held().map(|key| key + &name)
}

#[redis_locked(key = "{TABLE}:{SHARD}:{REGION}:{N}:{id}")]
async fn constants<const N: usize>(id: u8) -> Result<String, LockError> {
    held()
}

#[redis_locked(key = "{id:08x}|{id:#b}|{name:>width$}|{name:-<5.1}|{name:?}|{ratio:.digits$}")]
async fn specs(
    id: u8,
    name: &str,
    width: usize,
    ratio: f32,
    digits: usize,
) -> Result<String, LockError> {
    held()
}

#[redis_locked(key = "{a}{TABLE}:{a}{b}")]
async fn beside_a_constant(a: &str, b: u8) -> Result<String, LockError> {
    assert_eq!((a.len(), b), (1, 2), "they are what they were");
    held()
}

#[redis_locked(key = "{name}:{name.len()}:{name:?}")]
async fn whole_and_by_a_method(name: &str) -> Result<String, LockError> {
    held()
}

#[redis_locked(key = "{width}:{name:>width$}")]
async fn width_is_a_field(name: &str, width: usize) -> Result<String, LockError> {
    held()
}

#[redis_locked(key = "{order.id:04x}:{order.id()}:{order.customer.name}:{order.customer().name}")]
async fn paths(order: Order) -> Result<String, LockError> {
    drop(order);
    held()
}

#[redis_locked(key = "{order.position.0}:{order.position.1.1}:{order.type}:{pair.1}:{plain}")]
async fn indexes(order: &Order, pair: (u8, char), plain: &str) -> Result<String, LockError> {
    held()
}

#[redis_locked(key = "{type}:{r}")]
async fn raw_names(r#type: u8, r: u8) -> Result<String, LockError> {
    held()
}

#[redis_locked(key = "{id }:{order.id:x }")]
async fn spaces(id: u8, order: &Order) -> Result<String, LockError> {
    held()
}

#[redis_locked(key = concat!("concat:", "{id}"))]
async fn made_by_a_macro(id: u8) -> Result<String, LockError> {
    assert_eq!(id, 7);
    held()
}

#[redis_locked(key = format!("{}:{}", order.customer.name, TABLE.len()))]
async fn formatted(order: Order) -> Result<String, LockError> {
    drop(order);
    held()
}

#[redis_locked(key = name)]
async fn expression(name: String) -> Result<String, LockError> {
    held().map(|key| key + &name)
}

#[redis_locked(key = if id > 5 { "high" } else { "low" })]
async fn condition(id: u8) -> Result<String, LockError> {
    held()
}

#[redis_locked(key = id + 1)]
async fn sum(id: u8) -> Result<String, LockError> {
    held()
}

#[redis_locked(key = "{key}")]
async fn unsized_display(key: &(dyn Display + Sync)) -> Result<String, LockError> {
    held()
}

#[redis_locked(key = "a:{one}:{two}")]
async fn strings(one: &str, two: &str) -> Result<String, LockError> {
    held()
}

#[redis_locked(key = "a:{order.customer.name}:{two}:{order.id}")]
async fn mixed(order: Order, two: &str) -> Result<String, LockError> {
    held()
}

#[redis_locked(key = "{NOTHING}:{TABLE}:{SHARD}")]
async fn empty_constant() -> Result<String, LockError> {
    held()
}

#[tokio::test]
async fn templates_become_keys() {
    assert_eq!(alone(fixed()).await, "nightly");
    assert_eq!(alone(braces()).await, "a}b{c}");
    assert_eq!(alone(braces_around(1)).await, "{1}:🔒 \né");
    assert_eq!(alone(raw("x")).await, r#"raw:"x"\"#);
    assert_eq!(alone(twice(1, "x".into())).await, "1/1/xx");
    assert_eq!(alone(constants::<9>(1)).await, "orders:3:eu:9:1");
    let key = alone(specs(9, "ab", 4, 0.25, 1)).await;
    assert_eq!(key, "00000009|0b1001|  ab|a----|\"ab\"|0.2");
    assert_eq!(alone(width_is_a_field("x", 3)).await, "3:  x");
    assert_eq!(alone(beside_a_constant("x", 2)).await, "xorders:x2");
    assert_eq!(alone(whole_and_by_a_method("x")).await, "x:1:\"x\"");
    assert_eq!(alone(paths(order())).await, "00ff:no-255:ann:ann");
    assert_eq!(
        alone(indexes(&order(), (0, 'z'), "p")).await,
        "1:x:bulk:z:p"
    );
    assert_eq!(alone(raw_names(1, 2)).await, "1:2");
    assert_eq!(alone(spaces(1, &order())).await, "1:ff");
}

#[tokio::test]
async fn expressions_become_keys() {
    assert_eq!(alone(made_by_a_macro(7)).await, "concat:{id}");
    assert_eq!(alone(formatted(order())).await, "ann:6");
    assert_eq!(alone(expression("k".into())).await, "kk");
    assert_eq!(alone(condition(6)).await, "high");
    assert_eq!(alone(sum(6)).await, "7");
    assert_eq!(alone(unsized_display(&"x")).await, "x");
}

#[tokio::test]
async fn an_empty_field_is_refused_and_named() {
    let named = |result: Result<String, LockError>, field: &str| {
        let error = result.expect_err("a field is empty");
        assert!(matches!(error, LockError::InvalidRequest { .. }), "{error}");
        assert!(error.to_string().contains(field), "{error}");
    };
    let locker = redis_locked::Locker::in_memory();
    let run = |future| locker.scope(future);
    named(run(Box::pin(strings("", "b"))).await, "one");
    named(locker.scope(strings("a", "")).await, "two");
    named(locker.scope(raw("")).await, "name");
    named(locker.scope(expression(String::new())).await, "empty");
    named(locker.scope(empty_constant()).await, "NOTHING");
    named(locker.scope(width_is_a_field("", 0)).await, "name");
    let mut nameless = order();
    nameless.customer.name.clear();
    named(
        locker.scope(mixed(nameless, "b")).await,
        "order.customer.name",
    );
    named(locker.scope(mixed(order(), "")).await, "two");
    assert!(locker.scope(strings(":", ":")).await.is_ok());
}

struct Panics;

impl Display for Panics {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("no text")
    }
}

#[redis_locked(key = "a:{value}")]
async fn panics(value: Panics) -> Result<String, LockError> {
    held()
}

#[tokio::test]
async fn a_panic_in_a_key_goes_through_and_takes_no_lock() {
    let locker = redis_locked::Locker::in_memory();
    let scoped = locker.clone();
    let task = tokio::spawn(async move { scoped.scope(panics(Panics)).await });
    assert!(task.await.expect_err("the key panics").is_panic());
    locker.shutdown().await;
    assert!(locker.lock("a:").acquire().await.is_ok());
}
