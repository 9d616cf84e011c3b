//! Mistakes of the user's own must look as they would without the attribute.

use std::error::Error;
use std::rc::Rc;

use redis_locked::{LockError, redis_locked};

#[redis_locked(key = "k")]
async fn wrong_value() -> Result<u8, LockError> {
    Ok("text")
}

#[redis_locked(key = "k")]
async fn no_value() -> Result<u8, LockError> {
    let number = 5;
}

#[redis_locked(key = "k")]
async fn wrong_return(early: bool) -> Result<u8, LockError> {
    if early {
        return 5;
    }
    Ok(5)
}

#[redis_locked(key = "k")]
async fn question_mark(text: &str) -> Result<u8, LockError> {
    Ok(text.parse::<u8>()?)
}

#[redis_locked(key = "k")]
async fn unknown_type() -> Result<Missing, LockError> {
    todo!()
}

#[redis_locked(key = "k")]
async fn not_send() -> Result<(), LockError> {
    let shared = Rc::new(5);
    std::future::ready(()).await;
    drop(shared);
    Ok(())
}

#[redis_locked(key = "k")]
async fn ours_are_hidden() -> Result<(), LockError> {
    drop(request);
    drop(value);
    Ok(())
}

#[redis_locked(key = "{name}")]
async fn not_mutable(name: String) -> Result<(), LockError> {
    name.push('!');
    Ok(())
}

#[redis_locked(key = "k")]
async fn result_is_not_send() -> Result<(), Box<dyn Error>> {
    Ok(())
}

impl From<LockError> for Parked {
    fn from(_: LockError) -> Self {
        Self(Rc::new(5))
    }
}

struct Parked(Rc<u8>);

#[redis_locked(key = "k")]
async fn error_is_not_send() -> Result<(), Parked> {
    Ok(())
}

#[redis_locked(key = "k", or_else = |_| |text: &str| text.len())]
async fn closure_without_a_type() -> impl Fn(&str) -> usize {
    |text| text.len()
}

fn assert_send(_: impl Send) {}

fn main() {
    assert_send(not_send());
    assert_send(result_is_not_send());
    assert_send(error_is_not_send());
}
