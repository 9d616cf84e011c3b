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

#[redis_locked(key = ["a:{id}", "b:{id}", "c"], wait)]
async fn locked_by_three(id: u64) -> Result<(), LockError> {
    Ok(())
}

/// Two functions, the second of them locked.
macro_rules! twins {
    ($plain:ident, $locked:ident, ($($parameter:tt)*), $body:block) => {
        async fn $plain($($parameter)*) -> Result<u8, LockError> $body

        #[redis_locked(key = "k")]
        async fn $locked($($parameter)*) -> Result<u8, LockError> $body
    };
}

async fn touch(bytes: &mut [u8]) -> u8 {
    tokio::task::yield_now().await;
    bytes[0] += 1;
    bytes[0]
}

async fn read(bytes: &[u8]) -> u8 {
    tokio::task::yield_now().await;
    bytes[0] + 1
}

twins!(plain_large, locked_large, (argument: [u8; 4096], other: [u8; 4096]), {
    let mut local = [0; 1024];
    let sum = read(&argument).await + touch(&mut local).await;
    Ok(sum + local[1] + other[0])
});

twins!(plain_mutable, locked_mutable, (before: [u8; 4096], mut argument: [u8; 4096]), {
    Ok(read(&before).await + touch(&mut argument).await)
});

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
    assert_close("three keys", &plain_empty(), &locked_by_three(1));
    assert_close("all arguments", &plain_empty(), &locked_with_all(1));
}

#[test]
fn large_arguments_are_held_as_often_as_without() {
    let (plain, locked) = (
        plain_large([0; 4096], [0; 4096]),
        locked_large([0; 4096], [0; 4096]),
    );
    assert_close("8 KiB of arguments", &plain, &locked);
}

/// So that the body owns it as that of an `async fn` does, it is a variable of the body as well.
#[test]
fn an_argument_that_is_mutable_is_held_once_more() {
    let plain = size_of_val(&plain_mutable([0; 4096], [0; 4096]));
    let locked = size_of_val(&locked_mutable([0; 4096], [0; 4096]));
    println!("4 KiB and 4 KiB that are mutable: {plain} bytes plain, {locked} locked");
    assert!(locked <= plain + 4096 + LIMIT);
}

/// While the lock is released, the future has to keep what the body returned, where the body was.
#[test]
fn a_large_output_takes_the_place_of_the_body() {
    let (plain, locked) = (size_of_val(&plain_output()), size_of_val(&locked_output()));
    println!("4 KiB of output: {plain} bytes plain, {locked} locked");
    assert!(locked <= plain.max(size_of::<Result<[u8; 4096], LockError>>()) + LIMIT);
}

#[tokio::test]
#[expect(clippy::large_futures, reason = "they are what is measured")]
async fn the_large_ones_run() {
    let locker = redis_locked::Locker::in_memory();
    let large = ([1; 4096], [1; 4096]);
    assert_eq!(
        locker.scope(locked_large(large.0, large.1)).await.unwrap(),
        4
    );
    assert_eq!(plain_large(large.0, large.1).await.unwrap(), 4);
    assert_eq!(
        locker
            .scope(locked_mutable(large.0, large.1))
            .await
            .unwrap(),
        4
    );
    assert_eq!(plain_mutable(large.0, large.1).await.unwrap(), 4);
    assert_eq!(locker.scope(locked_with_all(1)).await, Ok(()));
    let output = locker.scope(locked_output()).await.unwrap();
    assert_eq!(output, plain_output().await.unwrap());
    plain_empty().await.unwrap();
    locker.scope(locked_empty()).await.unwrap();
    locker.scope(locked_by_three(1)).await.unwrap();
}
