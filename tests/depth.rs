//! How many locked functions can call each other before rustc's limit for the depth of types is reached. What a
//! call adds to it is the future that waits for the lock and the body inside of it.

use redis_locked::{LockError, Locker, redis_locked};

macro_rules! chain {
    ($last:ident) => {
        #[redis_locked(key = "{depth}")]
        async fn $last(depth: u8) -> Result<u8, LockError> {
            tokio::task::yield_now().await;
            Ok(depth)
        }
    };
    ($first:ident $next:ident $($rest:ident)*) => {
        #[redis_locked(key = "{depth}")]
        async fn $first(depth: u8) -> Result<u8, LockError> {
            $next(depth + 1).await
        }

        chain!($next $($rest)*);
    };
}

// As many as the docs of the attribute say.
chain!(one two three four five six seven eight nine ten eleven twelve);

fn assert_send<T: Send>(future: T) -> T {
    future
}

#[tokio::test]
async fn twelve_locked_functions_call_each_other() {
    let called = assert_send(one(1));
    assert_eq!(Locker::in_memory().scope(called).await.unwrap(), 12);
}
