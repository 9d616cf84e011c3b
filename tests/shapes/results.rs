//! What a function can return, and what it returns when it could not lock.

use std::convert::Infallible;
use std::fmt::{self, Debug, Display};

use redis_locked::{LockError, Locker, redis_locked};

use super::{alone, busy, held};

type Alias<T> = Result<T, Failure>;

#[derive(Debug)]
enum Failure {
    Lock(LockError),
    Number(std::num::ParseIntError),
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        Self::Lock(error)
    }
}

impl From<std::num::ParseIntError> for Failure {
    fn from(error: std::num::ParseIntError) -> Self {
        Self::Number(error)
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lock(error) => Display::fmt(error, f),
            Self::Number(error) => Display::fmt(error, f),
        }
    }
}

impl std::error::Error for Failure {}

#[redis_locked(key = "k")]
async fn alias(text: &str) -> Alias<u8> {
    let number = text.parse()?;
    if number == 0 {
        return Ok(1);
    }
    held()?;
    Ok(number)
}

#[redis_locked(key = "k")]
async fn boxed_error(text: &str) -> Result<u8, Box<dyn std::error::Error + Send + Sync>> {
    if text.is_empty() {
        return Err("nothing there".into());
    }
    Ok(text.parse()?)
}

#[redis_locked(key = "k")]
async fn coerced() -> Result<Box<dyn Debug>, LockError> {
    held()?;
    Ok(Box::new(5))
}

#[redis_locked(key = "k")]
async fn inferred() -> Result<Vec<u8>, LockError> {
    held()?;
    let list = Vec::new();
    Ok(list)
}

#[redis_locked(key = "k")]
async fn collected() -> Result<Vec<u8>, LockError> {
    Ok((1..4).collect())
}

#[redis_locked(key = "k")]
async fn impl_trait(count: u8) -> Result<impl Iterator<Item = impl Display> + Debug, LockError> {
    held()?;
    Ok(0..count)
}

#[redis_locked(key = "k", or_else = |_| 0..1)]
async fn bare_impl_trait(count: u8) -> impl Iterator<Item = u8> {
    0..count
}

#[redis_locked(key = "k")]
async fn never_ok() -> Result<Infallible, LockError> {
    Err(held().unwrap_err())
}

#[redis_locked(key = "k")]
async fn unit() -> Result<(), LockError> {
    held()?;
    Ok(())
}

#[redis_locked(key = "k", skip)]
async fn skipped_unit(ran: &mut bool) {
    *ran = true;
}

#[redis_locked(key = "k", skip)]
async fn skipped_explicit_unit(ran: &mut bool) -> () {
    *ran = true;
}

#[redis_locked(key = "k", skip)]
async fn skipped_option() -> Option<String> {
    let key = held().ok()?;
    Some(key)
}

#[redis_locked(key = "k", skip)]
async fn skipped_result() -> Result<Vec<u8>, Failure> {
    held()?;
    Ok(vec![1])
}

#[redis_locked(key = "k", skip)]
async fn skipped_alias() -> Alias<Option<u8>> {
    held()?;
    Ok(Some(1))
}

#[redis_locked(key = "k", or_else = |error| if error.is_busy() { 0 } else { 2 })]
async fn number() -> u8 {
    1
}

fn explain(error: impl std::borrow::Borrow<LockError>) -> String {
    error.borrow().key().unwrap_or("no key").to_owned()
}

#[redis_locked(key = "k", or_else = explain)]
async fn named_function(name: String) -> String {
    name
}

#[redis_locked(key = "k", or_else = {
    let name = name.clone();
    move |error: LockError| format!("{name}: {}", error.is_busy())
})]
async fn closure_that_owns(name: String) -> String {
    name
}

#[redis_locked(key = "k", or_else = |_| Err(format!("{id}: {name}")))]
async fn closure_that_borrows(id: u8, name: &str) -> Result<String, String> {
    Ok(format!("{id}{name}"))
}

#[redis_locked(key = "k", or_else = |_| "busy")]
async fn borrowed(name: &str) -> &str {
    name
}

#[redis_locked(key = "k", or_else = Err)]
async fn lock_error_itself() -> Result<u8, LockError> {
    Ok(1)
}

#[redis_locked(key = "k")]
async fn never_returns() -> Result<u8, LockError> {
    loop {
        tokio::task::yield_now().await;
    }
}

#[redis_locked(key = "k")]
async fn early(stop: bool) -> Result<u8, LockError> {
    'outer: for one in 1..4 {
        for other in 1..4 {
            if stop {
                break 'outer;
            }
            if one * other == 6 {
                return Ok(one);
            }
        }
    }
    Ok(0)
}

#[tokio::test]
async fn results_of_the_body_come_through() {
    assert_eq!(alone(async { Ok(alias("7").await) }).await.unwrap(), 7);
    assert_eq!(alone(async { Ok(alias("0").await) }).await.unwrap(), 1);
    let wrong = alone(async { Ok(alias("x").await) }).await;
    assert!(matches!(wrong, Err(Failure::Number(_))));
    assert_eq!(format!("{:?}", alone(coerced()).await), "5");
    assert!(alone(inferred()).await.is_empty());
    assert_eq!(alone(collected()).await, [1, 2, 3]);
    assert_eq!(alone(impl_trait(3)).await.count(), 3);
    alone(unit()).await;
    assert_eq!(alone(early(true)).await, 0);
    assert_eq!(alone(early(false)).await, 2);
    let locker = Locker::in_memory();
    assert_eq!(locker.scope(bare_impl_trait(3)).await.count(), 3);
    assert_eq!(locker.scope(boxed_error("5")).await.unwrap(), 5);
    assert!(locker.scope(boxed_error("")).await.is_err());
    assert_eq!(locker.scope(skipped_option()).await.unwrap(), "k");
    assert_eq!(locker.scope(skipped_result()).await.unwrap(), [1]);
    assert_eq!(locker.scope(skipped_alias()).await.unwrap(), Some(1));
    assert_eq!(locker.scope(number()).await, 1);
    assert_eq!(locker.scope(borrowed("me")).await, "me");
    assert_eq!(locker.scope(closure_that_owns("me".into())).await, "me");
    let (mut ran, mut ran_too) = (false, false);
    locker.scope(skipped_unit(&mut ran)).await;
    locker.scope(skipped_explicit_unit(&mut ran_too)).await;
    assert!(ran && ran_too);
}

#[tokio::test]
async fn busy_becomes_what_the_function_can_return() {
    assert!(matches!(busy("k", alias("7")).await, Err(Failure::Lock(_))));
    assert!(busy("k", boxed_error("7")).await.is_err());
    assert!(busy("k", coerced()).await.unwrap_err().is_busy());
    assert!(busy("k", impl_trait(1)).await.is_err());
    assert!(busy("k", never_ok()).await.unwrap_err().is_busy());
    assert!(busy("k", never_returns()).await.unwrap_err().is_busy());
    assert!(busy("k", lock_error_itself()).await.unwrap_err().is_busy());
    assert_eq!(busy("k", bare_impl_trait(3)).await.count(), 1);
    assert_eq!(busy("k", skipped_option()).await, None);
    assert!(busy("k", skipped_result()).await.unwrap().is_empty());
    assert_eq!(busy("k", skipped_alias()).await.unwrap(), None);
    assert_eq!(busy("k", number()).await, 0);
    assert_eq!(busy("k", named_function("me".into())).await, "k");
    assert_eq!(busy("k", closure_that_owns("me".into())).await, "me: true");
    let borrows = busy("k", closure_that_borrows(1, "me")).await;
    assert_eq!(borrows.unwrap_err(), "1: me");
    assert_eq!(busy("k", borrowed("me")).await, "busy");
    let (mut ran, mut ran_too) = (false, false);
    busy("k", skipped_unit(&mut ran)).await;
    busy("k", skipped_explicit_unit(&mut ran_too)).await;
    assert!(!ran && !ran_too);
}

#[tokio::test]
async fn skip_hides_nothing_but_busy() {
    #[redis_locked(key = "{name}", skip)]
    async fn skipped(name: &str) -> Result<u8, LockError> {
        unreachable!("{name} is no key")
    }

    let error = Locker::in_memory().scope(skipped("")).await.unwrap_err();
    assert!(matches!(error, LockError::InvalidRequest { .. }));
}
