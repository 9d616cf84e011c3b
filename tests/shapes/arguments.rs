//! What a function can take: patterns, generics, lifetimes, and futures that can't be sent.

use std::cell::{Cell, OnceCell};
use std::fmt::{Debug, Display};
use std::rc::Rc;

use redis_locked::{Lease, LockError, redis_locked};

use super::{alone, held};

struct Point {
    x: u8,
    y: u8,
}

#[redis_locked(key = "{a}:{b}:{x}:{first}")]
async fn destructured(
    (a, (b, _)): (u8, (u8, u8)),
    Point { x, y: renamed }: Point,
    [first, ..]: [u8; 3],
    &borrowed: &u8,
    whole @ 0..=u8::MAX: u8,
) -> Result<String, LockError> {
    assert_eq!((renamed, borrowed, whole), (4, 8, 9));
    held()
}

#[redis_locked(key = "{count}:{list:?}")]
async fn mutable(
    mut count: u8,
    mut list: Vec<u8>,
    _: u8,
    _unused: u8,
) -> Result<String, LockError> {
    count += 1;
    list.push(count);
    assert_eq!(list, [1, 3]);
    held()
}

#[redis_locked(key = "{text}")]
async fn mutable_reference(text: &mut String) -> Result<String, LockError> {
    text.push('!');
    held()
}

#[redis_locked(key = "{name}:{id}")]
async fn impl_trait(
    name: impl AsRef<str> + Display,
    id: impl Display,
) -> Result<String, LockError> {
    assert_eq!(name.as_ref().len(), 1);
    drop(id);
    held()
}

#[redis_locked(key = "{id}:{values:?}:{N}")]
async fn generic<'a, T, const N: usize>(
    id: &'a T,
    values: [T; N],
) -> Result<(String, &'a T), LockError>
where
    T: Display + Debug + Sync,
    [T; N]: Sized,
{
    drop(values);
    Ok((held()?, id))
}

#[redis_locked(key = "{key}")]
async fn two_lifetimes<'a, 'b: 'a>(key: &'a str, other: &'b str) -> Result<&'a str, LockError> {
    assert_eq!(held()?, key);
    Ok(other)
}

#[redis_locked(key = "elided:{key}")]
async fn elided(key: &str) -> Result<&str, LockError> {
    held()?;
    Ok(&key[1..])
}

#[redis_locked(key = "rc")]
async fn not_send(shared: Rc<u8>) -> Result<Rc<u8>, LockError> {
    tokio::task::yield_now().await;
    held()?;
    Ok(shared)
}

#[redis_locked(key = "send:{id}")]
async fn send(id: Box<u8>) -> Result<Box<u8>, LockError> {
    tokio::task::yield_now().await;
    held()?;
    Ok(id)
}

#[redis_locked(key = "callback")]
async fn callback<F>(call: F) -> Result<usize, LockError>
where
    F: AsyncFnOnce(&str) -> usize,
{
    Ok(call(&held()?).await)
}

#[redis_locked(key = "depth:{depth}")]
async fn recursive(depth: u8) -> Result<Vec<String>, LockError> {
    let mut keys = vec![held()?];
    if depth > 0 {
        keys.extend(Box::pin(recursive(depth - 1)).await?);
    }
    Ok(keys)
}

#[redis_locked(key = "outer:{id}")]
async fn outer(id: u8) -> Result<(String, String), LockError> {
    #[redis_locked(key = "inner:{id}")]
    async fn inner(id: u8) -> Result<String, LockError> {
        held()
    }

    let inner = inner(id).await?;
    Ok((held()?, inner))
}

#[tokio::test]
async fn patterns() {
    let key = destructured((1, (2, 0)), Point { x: 3, y: 4 }, [5, 6, 7], &8, 9);
    assert_eq!(alone(key).await, "1:2:3:5");
    assert_eq!(alone(mutable(2, vec![1], 0, 0)).await, "2:[1]");
    let mut text = "x".to_owned();
    assert_eq!(alone(mutable_reference(&mut text)).await, "x");
    assert_eq!(text, "x!");
}

#[tokio::test]
async fn generics() {
    assert_eq!(alone(impl_trait("a", 1)).await, "a:1");
    assert_eq!(alone(generic(&1, [1, 2])).await.0, "1:[1, 2]:2");
    assert_eq!(alone(two_lifetimes("a", "b")).await, "b");
    assert_eq!(alone(elided("ab")).await, "b");
    assert_eq!(alone(callback(async |key: &str| key.len())).await, 8);
}

#[tokio::test]
async fn a_future_is_send_when_its_body_is() {
    fn assert_send<T: Send>(value: T) -> T {
        value
    }

    assert_eq!(*alone(assert_send(send(Box::new(1)))).await, 1);
    let keys = assert_send(recursive(1));
    assert_eq!(alone(keys).await, ["depth:1", "depth:0"]);
    let several_fields = assert_send(impl_trait("a", 1));
    assert_eq!(alone(several_fields).await, "a:1");
}

#[tokio::test]
async fn a_body_need_not_be_send() {
    assert_eq!(*alone(not_send(Rc::new(1))).await, 1);
}

/// Notes when it is dropped whether the lock is still held.
#[derive(Default)]
struct Watch {
    lease: Rc<OnceCell<Lease>>,
    held: Rc<Cell<Option<bool>>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.held.set(self.lease.get().map(Lease::is_held));
    }
}

#[redis_locked(key = "k", bind = lease)]
async fn watched(used: Watch, _unused: Watch, stop: bool) -> Result<(), LockError> {
    used.lease.get_or_init(|| lease);
    if stop {
        return Ok(());
    }
    tokio::task::yield_now().await;
    Ok(())
}

#[tokio::test]
async fn arguments_drop_under_the_lock_whether_used_or_marked_as_unused() {
    for stop in [true, false] {
        let used = Watch::default();
        let unused = Watch {
            lease: used.lease.clone(),
            held: Rc::default(),
        };
        let (inside, outside) = (used.held.clone(), unused.held.clone());
        alone(watched(used, unused, stop)).await;
        assert_eq!((inside.get(), outside.get()), (Some(true), Some(true)));
    }
}

#[tokio::test]
async fn functions_nest() {
    let keys = alone(outer(1)).await;
    assert_eq!(keys, ("outer:1".to_owned(), "inner:1".to_owned()));
}
