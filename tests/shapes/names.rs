//! Names that a user may take without meeting ours.

use redis_locked::{LockError, Locker};

use super::{alone, held};

/// Every prelude name that an expansion could stumble over means something else here.
mod shadowed {
    #![allow(dead_code, non_camel_case_types, unused_imports, unused_macros)]

    pub(crate) struct Result;
    pub(crate) struct Option;
    pub(crate) struct Ok;
    pub(crate) struct Err;
    pub(crate) struct Some;
    pub(crate) struct None;
    pub(crate) struct String;
    pub(crate) struct Box;
    pub(crate) struct Duration;
    pub(crate) struct Key;
    pub(crate) trait Default {}
    pub(crate) trait From {}
    pub(crate) trait Future {}
    pub(crate) trait Display {}
    pub(crate) mod std {}
    pub(crate) mod core {}
    pub(crate) mod alloc {}
    pub(crate) mod redis_locked {}

    macro_rules! format_args {
        ($($any:tt)*) => {
            compile_error!("not the one of the language")
        };
    }
    pub(crate) use format_args;

    type Held = ::std::result::Result<::std::string::String, ::redis_locked::LockError>;

    #[::redis_locked::redis_locked(
        key = "{id}:{pair.0}",
        ttl = "1s",
        retries = 1,
        backoff = "1ms..2ms",
        min_hold = "1ms",
        on_lost = finish,
        bind = lease
    )]
    pub(crate) async fn results(id: u8, pair: (u8, u8)) -> Held {
        Held::Ok(::std::borrow::ToOwned::to_owned(lease.key()))
    }

    #[::redis_locked::redis_locked(key = "k", skip)]
    pub(crate) async fn skipped() -> ::std::option::Option<u8> {
        ::std::option::Option::Some(1)
    }

    #[::redis_locked::redis_locked(key = id, or_else = |_| 0)]
    pub(crate) async fn or_else(id: u8) -> u8 {
        id
    }
}

mod bare {
    #![no_implicit_prelude]

    type Held = ::std::result::Result<::std::string::String, ::redis_locked::LockError>;

    #[::redis_locked::redis_locked(key = "{id}:{pair.0}", ttl = "1s", renew, max_hold = "5s")]
    pub(crate) async fn results(id: u8, pair: (u8, u8)) -> Held {
        super::held()
    }

    #[::redis_locked::redis_locked(key = "k", skip, fenced)]
    pub(crate) async fn skipped() {}
}

/// Argument names that an expansion could use for its own variables.
#[redis_locked::redis_locked(key = "{request}:{body}:{fields}", bind = lease, or_else = |_| Ok(error))]
async fn ours(
    request: u8,
    body: u8,
    or_else: u8,
    value: u8,
    fields: u8,
    error: u8,
    __key: u8,
) -> Result<u8, LockError> {
    assert_eq!(lease.key(), format!("{request}:{body}:{fields}"));
    Ok(request + body + or_else + value + fields + error + __key)
}

mod reexported {
    pub(super) mod locks {
        pub(crate) use redis_locked::__private;
    }
    pub(super) use redis_locked::redis_locked as locked;
}

#[reexported::locked(crate = self::reexported::locks, key = "{id}:{pair.0}")]
async fn through_another_crate(id: u8, pair: (u8, u8)) -> Result<String, LockError> {
    held()
}

macro_rules! job {
    ($name:ident, $key:literal, $ttl:expr, $lease:ident, $argument:ident) => {
        #[redis_locked::redis_locked(key = $key, ttl = $ttl, backoff = $ttl, retries = 1, bind = $lease)]
        async fn $name($argument: u8) -> Result<String, LockError> {
            assert!($argument > 0);
            Ok($lease.key().to_owned())
        }
    };
}

job!(made, "made:{id}", "1s", lease, id);

macro_rules! fixed_job {
    ($name:ident) => {
        #[redis_locked::redis_locked(key = "{id}:{pair.1}", crate = redis_locked)]
        async fn $name(id: u8, pair: (u8, u8)) -> Result<String, LockError> {
            made(pair.0).await?;
            held()
        }
    };
}

fixed_job!(fixed);

macro_rules! block_job {
    ($name:ident, $ret:ty, $body:block) => {
        #[redis_locked::redis_locked(key = "block")]
        async fn $name() -> $ret $body
    };
}

block_job!(a_block, Result<String, LockError>, {
    if TTL.is_empty() {
        return held();
    }
    held()
});
block_job!(a_short_block, Result<String, LockError>, { held() });

const TTL: &str = "5s";

/// Puts a block behind a head that an attribute has not seen.
macro_rules! twice_removed {
    ($body:block) => {
        block_job!(a_block_of_a_block, Result<String, LockError>, $body);
    };
}

twice_removed!({ held() });

#[tokio::test]
async fn shadowed_names() {
    assert_eq!(alone(shadowed::results(1, (2, 3))).await, "1:2");
    let locker = Locker::in_memory();
    assert_eq!(locker.scope(shadowed::skipped()).await, Some(1));
    assert_eq!(locker.scope(shadowed::or_else(5)).await, 5);
    assert_eq!(alone(bare::results(1, (2, 3))).await, "1:2");
    locker.scope(bare::skipped()).await;
}

#[tokio::test]
async fn names_of_ours() {
    assert_eq!(alone(ours(1, 2, 3, 4, 5, 6, 7)).await, 28);
}

#[tokio::test]
async fn another_root() {
    assert_eq!(alone(through_another_crate(1, (2, 3))).await, "1:2");
}

#[tokio::test]
async fn made_by_macros() {
    assert_eq!(alone(made(1)).await, "made:1");
    assert_eq!(alone(a_block()).await, "block");
    assert_eq!(alone(a_short_block()).await, "block");
    assert_eq!(alone(a_block_of_a_block()).await, "block");
    assert_eq!(alone(fixed(1, (2, 3))).await, "1:3");
}
