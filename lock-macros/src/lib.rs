//! The attribute of `redis-locked`. Use it through that crate, which has the guide and the runtime.

mod args;
mod expand;
mod key;

use proc_macro::TokenStream;

/// Runs an `async fn` only while it holds a lock in Redis.
///
/// ```
/// use redis_locked::{LockError, Locker, redis_locked};
///
/// #[redis_locked(key = "invoice:{order}", ttl = "5s", retries = 3)]
/// async fn bill(order: u32) -> Result<String, LockError> {
///     Ok(format!("receipt of {order}"))
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), LockError> {
/// Locker::in_memory().install()?; // or Locker::connect("redis://…").await?
/// assert_eq!(bill(42).await?, "receipt of 42");
/// # Ok(())
/// # }
/// ```
///
/// By hand, the function would be:
///
/// ```
/// # use redis_locked::{LockError, Locker};
/// # use std::time::Duration;
/// # struct App { locker: Locker }
/// # impl App {
/// async fn bill(&self, order: u32) -> Result<String, LockError> {
///     let request = self.locker.lock(format!("invoice:{order}"));
///     let body = async move { Ok(format!("receipt of {order}")) };
///     request.ttl(Duration::from_secs(5)).retries(3).run(body).await?
/// }
/// # }
/// ```
///
/// # Arguments
///
/// | argument | value | default | meaning |
/// | --- | --- | --- | --- |
/// | `key` | template, or expression | required | names what the lock protects; see [Keys](#keys) |
/// | `ttl` | duration | the locker's, 30 s | how long Redis keeps the lock if this process dies; without `renew`, also the longest that the body may run |
/// | `retries` | `u32` | `0` | further attempts after the first, while the lock is busy or on a connection error that may pass |
/// | `backoff` | duration, `"50ms..2s"`, or a `Backoff` | `"50ms..1s"` | the pause between attempts: fixed, or growing from one to the other, with jitter |
/// | `wait` | duration, or nothing | off | instead of `retries`: queues until the lock is free, at most this long, or without a limit |
/// | `skip` | | off | busy is no error: returns `()`, `None` or `Ok(Default::default())` without running the body |
/// | `or_else` | `FnOnce(LockError) -> R` | off | makes the return value from any lock error |
/// | `renew` | | off | extends the lock while the body runs |
/// | `max_hold` | duration | none | with `renew`: the longest that the body may run |
/// | `min_hold` | duration | none | keeps the key at least this long, so that a short job runs once per tick on all machines |
/// | `on_lost` | `cancel` or `finish` | `cancel` | what becomes of the body when the lock is lost |
/// | `fenced` | | off | draws a fencing token with the lock |
/// | `bind` | a name | none | a variable of type `Lease` that the body can use |
/// | `locker` | `Locker` or `&Locker` | see below | which locker; borrowed, never moved: `locker = self.locker` |
/// | `crate` | path | `::redis_locked` | for crates that re-export this one |
///
/// A duration is a literal such as `"500ms"`, `"5s"` or `"1m 30s"`, checked when compiling, or an
/// expression of type `Duration`. The other values are expressions too, and may use the arguments.
///
/// Without `locker`, the lock is asked of the innermost `Locker::scope`, else of the installed locker,
/// else of one made on first use from the environment's `REDIS_URL`.
///
/// # Keys
///
/// A template holds arguments, `self`, consts and const generics, followed by fields, tuple indexes or
/// methods without arguments, and may format them: `"{self.region}:{user.id()}:{pair.0}:{id:08x}"`.
/// `{{` and `}}` are braces. A field whose text is empty is `LockError::InvalidRequest`, for
/// `"report:{tenant}"` without a tenant would lock something else than was meant.
///
/// Anything else that is `Display` is taken as an expression:
///
/// ```
/// # use redis_locked::{LockError, Locker, redis_locked};
/// #[redis_locked(key = format!("transfer:{}:{}", from.min(to), from.max(to)), locker = locker)]
/// async fn transfer(locker: &Locker, from: u32, to: u32) -> Result<(), LockError> {
///     Ok(())
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() { transfer(&Locker::in_memory(), 1, 2).await.unwrap(); }
/// ```
///
/// # When the lock can't be had
///
/// The body does not run, and the function returns what its type allows:
///
/// - `Result<T, E>` with `E: From<LockError>`: the error. This is so for `anyhow::Result` and for your own
///   error with a variant such as `Lock(#[from] LockError)` of thiserror.
/// - With `skip`, for `()`, `Option<T>` and `Result<T: Default, E: From<LockError>>`: the empty value when the
///   lock is busy. Any other failure is the `Err`, or, where there is none, logged at `error`.
/// - With `or_else`, for any type: what the closure makes of the error.
///
/// ```
/// # use redis_locked::{Locker, redis_locked};
/// # #[derive(Debug, PartialEq)]
/// enum Outcome { Done, AlreadyRunning, Failed(String) }
///
/// #[redis_locked(key = "cleanup", or_else = |error| match error.is_busy() {
///     true => Outcome::AlreadyRunning,
///     false => Outcome::Failed(error.to_string()),
/// })]
/// async fn clean_up() -> Outcome {
///     Outcome::Done
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # assert_eq!(Locker::in_memory().scope(clean_up()).await, Outcome::Done);
/// # }
/// ```
///
/// The closure is made before the body takes the arguments: clone what it needs of one that moves.
///
/// # What is seen of it
///
/// Each call is a span `lock` of the crate `tracing`, at level `info`, with the body's spans inside of it.
/// `lock.name` is the template of the key, or the source of the expression that makes it; the metrics of the
/// cargo feature `metrics` are labelled by it. The fields and levels are listed at `LockRequest::run`.
///
/// # On which functions
///
/// On free functions, methods with any receiver, and methods of traits with a body, native or under
/// `#[async_trait]`, with any generics, patterns and `impl Trait`. The signature stays as it is. The future
/// is `Send` when the body is, and holds the body once.
///
/// - Put it above `#[tokio::main]` and `#[tokio::test]`, which make the function synchronous.
/// - Of two `#[redis_locked]` on one function, the lower one locks first.
/// - Arguments that the body doesn't use are dropped after the lock is released. That is so for `_` and
///   `_name` unless the body names the latter.
#[proc_macro_attribute]
pub fn redis_locked(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::expand(args.into(), &item.into()).into()
}
