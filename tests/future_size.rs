//! An annotated function's future holds the body once, and little else.

use redis_locked::{LockError, redis_locked};

const LIMIT: usize = 512;

#[expect(clippy::unused_async, reason = "the empty body is what is measured")]
async fn plain_empty() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k")]
async fn locked_empty() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(
    key = "{id}",
    ttl = "1s",
    renew,
    max_hold = "5s",
    min_hold = "1ms",
    fenced,
    bind = lease,
    or_else = |_| Err(())
)]
async fn locked_with_all(id: u64) -> Result<(), ()> {
    drop(lease);
    Ok(())
}

async fn touch(bytes: &mut [u8]) -> u8 {
    tokio::task::yield_now().await;
    bytes[0] += 1;
    bytes[0]
}

#[expect(clippy::large_types_passed_by_value, reason = "it is what is measured")]
async fn plain_large(mut argument: [u8; 4096]) -> Result<u8, LockError> {
    let mut local = [0; 1024];
    let sum = touch(&mut argument).await + touch(&mut local).await;
    Ok(sum + local[1])
}

#[redis_locked(key = "k")]
#[expect(clippy::large_types_passed_by_value, reason = "it is what is measured")]
async fn locked_large(mut argument: [u8; 4096]) -> Result<u8, LockError> {
    let mut local = [0; 1024];
    let sum = touch(&mut argument).await + touch(&mut local).await;
    Ok(sum + local[1])
}

async fn plain_output() -> Result<[u8; 4096], LockError> {
    tokio::task::yield_now().await;
    Ok([0; 4096])
}

#[redis_locked(key = "k")]
async fn locked_output() -> Result<[u8; 4096], LockError> {
    tokio::task::yield_now().await;
    Ok([0; 4096])
}

#[track_caller]
fn assert_close<P, L>(shape: &str, plain: &P, locked: &L) {
    let (plain, locked) = (size_of_val(plain), size_of_val(locked));
    println!("{shape}: {plain} bytes plain, {locked} locked");
    assert!(
        locked <= plain + LIMIT,
        "{shape}: {locked} bytes are more than {LIMIT} over {plain}"
    );
}

#[test]
fn an_empty_body() {
    assert_close("empty body", &plain_empty(), &locked_empty());
    assert_close("all arguments", &plain_empty(), &locked_with_all(1));
}

#[test]
fn large_arguments_are_held_as_often_as_without() {
    let (plain, locked) = (plain_large([0; 4096]), locked_large([0; 4096]));
    assert_close("4 KiB of arguments", &plain, &locked);
}

/// While the lock is released, the future has to keep what the body returned, where the body was.
#[test]
fn a_large_output_takes_the_place_of_the_body() {
    let (plain, locked) = (size_of_val(&plain_output()), size_of_val(&locked_output()));
    println!("4 KiB of output: {plain} bytes plain, {locked} locked");
    assert!(locked <= plain.max(size_of::<Result<[u8; 4096], LockError>>()) + LIMIT);
}

#[tokio::test]
async fn the_large_one_runs() {
    let locker = redis_locked::Locker::in_memory();
    assert_eq!(locker.scope(locked_large([1; 4096])).await.unwrap(), 3);
    assert_eq!(locker.scope(locked_with_all(1)).await, Ok(()));
    let output = locker.scope(locked_output()).await.unwrap();
    assert_eq!(output, plain_output().await.unwrap());
    assert_eq!(plain_large([1; 4096]).await.unwrap(), 3);
    plain_empty().await.unwrap();
    locker.scope(locked_empty()).await.unwrap();
}
