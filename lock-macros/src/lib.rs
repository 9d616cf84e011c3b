//! The attribute of `redis-locked`. Use it through that crate, which has the guide and the runtime.

mod args;
mod expand;
mod key;
mod scope;
mod value;

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
///     let request = self.locker.lock(format!("invoice:{order}"))
///         .name("invoice:{order}")
///         .ttl(Duration::new(5, 0))
///         .retries(3);
///     let body = async move {
///         // Never taken, it tells each `return` and `?` its type, as the signature does.
///         if let Some(value) = None::<Result<String, LockError>> {
///             return value;
///         }
///         // The body owns the arguments whole. It would own no more than the fields that it names.
///         let _ = &order;
///         let value: Result<String, LockError> = match None {
///             None => {
///                 Ok(format!("receipt of {order}"))
///             },
///             Some(value) => value,
///         };
///         return value;
///     };
///     let outcome = request.run(body).await;
///     return match outcome {
///         Ok(value) => value,
///         Err(error) => Err(error.into()),
///     };
/// }
/// # }
/// ```
///
/// The odd lines keep the function as it was: it has the same types, and your crate gets no lint. In addition,
/// the attribute makes sure that no field in the key is empty.
///
/// Without `ttl` or `renew`, a body is cut off after the locker's `default_ttl`, which is 30 s. The lock ends when
/// the function returns: a handle, a stream or a response that it returns is used without the lock.
///
/// # Arguments
///
/// | argument | value | default | meaning |
/// | --- | --- | --- | --- |
/// | `key` | template, expression, or array of these | required | names what the lock protects; see [Keys](#keys). An array holds all of its keys or none |
/// | `permits` | `u32` | 1 | how many may hold the key at a time, over all machines: from 1, which is a plain lock, to 1,000 |
/// | `shared` | | off | holds the key together with all that are `shared`; keeps out and is kept out by those that are not |
/// | `fenced` | | off | draws a fencing token with the lock |
/// | `ttl` | duration | the locker's, 30 s | how long Redis keeps the lock if this process dies. Without `renew`, it is also the longest that the body may run |
/// | `renew` | | off | extends the lock while the body runs |
/// | `max_hold` | duration | none | with `renew`: the longest that the body may run |
/// | `max_idle` | duration | none | with `renew`: a body that nothing has woken for so long hangs; it is extended no more, and lost as `Idle` |
/// | `min_hold` | duration | none | keeps the key at least this long, so that a short job runs once per tick on all machines |
/// | `on_lost` | `cancel` or `finish` | `cancel` | if the lock is lost: drop the body where it awaits, or let it run to its end |
/// | `retries` | `u32` | `0` | how many attempts follow the first, while the lock is busy or after an error that may pass |
/// | `backoff` | duration, `"50ms..2s"`, or a `Backoff` | `"50ms..1s"` | the pause between attempts: fixed, or growing from the first to the second, with jitter |
/// | `wait` | duration, or nothing | off | instead of `retries`: queues until the lock is free, at most this long, or without a limit |
/// | `coalesce` | | off | with `wait`: if somebody waits already, on whatever machine, the call is `Busy` at once, since one run after the present one is enough |
/// | `skip` | | off | if the lock is busy, or its period done, returns `()`, `None` or `Ok(Default::default())` instead of an error; the body does not run |
/// | `or_else` | `FnOnce(LockError) -> R` | off | turns any lock error, including `Lost`, into the return value |
/// | `once_per` | duration | off | at most one run that succeeds in each period of the server's clock, from 1 s to 366 days: `"1h"` is from full hour to full hour, in UTC. Later in the period, the call is `AlreadyDone`. A run that fails, panics, is cut off or dies leaves the period open |
/// | `record` | duration, or nothing | off; 30 days with `once_per` | how long to keep a record of the last run, for `Locker::last_run`: who, from when to when, with what outcome; alone, 30 days |
/// | `name` | string literal | the template of the key | what spans and metrics call the lock |
/// | `bind` | a name | none | a variable of type `Lease` that the body can use |
/// | `locker` | `Locker`, `&Locker`, `Arc<Locker>`, `LazyLock<Locker>` | see below | the locker to use, which is borrowed and never moved: `locker = self.locker`, or a static: `locker = LOCKER` |
/// | `crate` | path | `::redis_locked` | for crates that re-export this one |
///
/// A duration is a literal such as `"500ms"`, `"5s"` or `"1m 30s"`, which is checked when compiling, or an
/// expression of type `Duration`. It is longer than zero and at most ten years; a ttl is at least 10 ms. A literal
/// counts in weeks at most, since months and years differ in length. The values of `permits`, `retries`, `backoff`,
/// `or_else` and `locker` are expressions, too. All expressions may use the function's arguments.
///
/// Without `locker`, the function uses the locker of the innermost `Locker::scope`. Outside of any scope it uses the
/// installed locker. If none is installed, it makes one from the environment variable `REDIS_URL` on first use. A
/// spawned task does not see the scope that it was spawned in.
///
/// # Keys
///
/// A template holds arguments, `self`, consts and const generics, followed by fields, tuple indexes or
/// methods without arguments, and may format them: `"{self.region}:{user.id()}:{pair.0}:{id:08x}"`.
/// `{{` and `}}` are braces. If the text of a field is empty or blank, the call fails with
/// `LockError::InvalidRequest`, since `"report:{tenant}"` without a tenant would lock something else than was meant.
///
/// Different fields can make the same key: `"{owner}:{name}"` is `a:b:c` for `a:b` and `c`, and also for `a` and
/// `b:c`. These calls then exclude each other. If a text can contain the separator, quote it:
/// `"{owner:?}:{name:?}"` is `"a:b":"c"` and `"a":"b:c"`.
///
/// Anything else that is `Display` is taken as an expression, such as `key = self.key_of(order)`.
///
/// An array of templates and expressions, from 1 to 64, holds all of these keys or none. It is sorted, so that two
/// calls that have keys in common never wait for each other, in whatever order their keys are written:
///
/// ```
/// # use redis_locked::{LockError, Locker, redis_locked};
/// #[redis_locked(key = ["account:{from}", "account:{to}"], wait = "10s", locker = locker)]
/// async fn transfer(locker: &Locker, from: u32, to: u32) -> Result<(), LockError> {
///     Ok(())
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let locker = Locker::in_memory();
/// let (one, other) = tokio::join!(transfer(&locker, 1, 2), transfer(&locker, 2, 1));
/// # one.unwrap(); other.unwrap();
/// # }
/// ```
///
/// `Locker::lock_all` tells how they are had. `fenced`, `coalesce`, `once_per` and `record` are of one key, and
/// refused with an array.
///
/// # When the lock can't be had
///
/// The body does not run, and the function returns what its type allows:
///
/// - A function that returns `Result<T, E>` with `E: From<LockError>` returns the error. `anyhow::Result` is such a
///   type, and so is your own error with a variant such as `Lock(#[from] LockError)` of thiserror.
/// - With `skip`, a function that returns `()`, `Option<T>` or `Result<T: Default, E: From<LockError>>` returns the
///   empty value if the lock is busy, or its period of `once_per` done. Any other failure is the `Err`. If the type has no `Err`, it is logged at `error`.
/// - With `or_else`, a function of any type returns what the closure makes of the error.
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
/// The closure is made before the body runs, and the body takes each argument as a whole: clone any argument that
/// both use. A closure that borrows `order.id` does not compile if the body moves `order.lines`. Clone before:
///
/// ```
/// # use redis_locked::{LockError, Locker, redis_locked};
/// # struct Order { id: String, lines: Vec<u8> }
/// #[redis_locked(key = "{order.id}", or_else = {
///     let id = order.id.clone();
///     move |error| Err(format!("{id}: {error}"))
/// })]
/// async fn pack(order: Order) -> Result<Vec<u8>, String> {
///     Ok(order.lines)
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// # let order = Order { id: "5".into(), lines: vec![1] };
/// # assert_eq!(Locker::in_memory().scope(pack(order)).await, Ok(vec![1]));
/// # }
/// ```
///
/// # Once per period
///
/// Of all calls on all machines, one runs:
///
/// ```
/// # use redis_locked::{LockError, Locker, redis_locked};
/// #[redis_locked(key = "nightly", once_per = "1d", ttl = "30s", renew, skip)]
/// async fn nightly() -> Result<bool, LockError> {
///     Ok(true)
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), LockError> {
/// # let noon = std::time::UNIX_EPOCH + std::time::Duration::from_secs(43_200);
/// # let locker = Locker::builder().in_memory_at(noon);
/// # assert_eq!(locker.scope(nightly()).await?, true);
/// # assert_eq!(locker.scope(nightly()).await?, false);
/// # Ok(())
/// # }
/// ```
///
/// The run succeeded unless it returned an `Err` of a `Result`, also of an alias such as `anyhow::Result`. If the
/// return type is a type parameter, what it returns counts as a success. `LockRequest::once_per` says what a period
/// is, and what is not promised.
///
/// # What is seen of it
///
/// Each call is a span `lock` of the crate `tracing`, at level `info`, with the body's spans inside of it.
/// `lock.name` is what `name` says. By default it is the template of the key, or the source of the expression that
/// makes the key. The metrics of the cargo feature `metrics` are labelled by it, so it is a literal and has no fields.
/// `LockRequest::run` lists the other fields, and the levels.
///
/// # On which functions
///
/// On free functions, methods with any receiver, and methods of traits with a body, native or under
/// `#[async_trait]`, with any generics, patterns and `impl Trait`. The signature stays as it is.
///
/// - Put it above `#[tokio::main]`, `#[tokio::test]`, rstest's `#[rstest]` and rmcp's `#[tool]`, as these turn the
///   function into another one.
/// - Put it below an attribute that turns the function into a route: `#[get(…)]` and the like of actix-web and Rocket.
/// - `#[tracing::instrument]`, axum's `#[debug_handler]` and `#[cached]` work above and below. The upper attribute
///   runs first: if `#[cached]` stands above, a value in the cache is returned without a lock.
/// - Of two `#[redis_locked]` on one function, the lower one locks first.
///
/// # What differs from the plain function
///
/// The locked function differs in these points only:
///
/// - **`Send`**: the future is `Send` if the body and its result are, since the result waits until the lock is
///   released. `Result<T, Box<dyn Error>>` is not `Send`: return `Result<T, Box<dyn Error + Send + Sync>>`,
///   `anyhow::Result<T>`, or an error type of your own. Instead of a `MutexGuard`, return what it guards. A type
///   parameter that is returned needs `T: Send`. If the future need not be `Send`, any result will do. The
///   future is never `Sync` nor `UnwindSafe`.
/// - **Drops**: the body's variables and the arguments are dropped before the lock is released, in the order of
///   a plain function: the last argument first. That holds for arguments that the body or the attribute names,
///   and for arguments whose name begins with `_`. Other arguments are dropped after the release: those that nothing
///   names, or that only `or_else` names; what a pattern leaves behind (`_`, and the rest of a struct); and what `ref`
///   borrows from.
/// - **`impl Trait`** in the return type does not tell the body what a closure takes. In a function that returns
///   `impl Fn(&str) -> usize`, write the type: `|text: &str| text.len()`.
/// - **Size**: the future is at most 512 bytes larger, not counting some arguments. An argument that is declared `mut`,
///   and those that follow it, are stored once more. So is an argument without a destructor that is not used after the
///   first pause.
/// - **Depth**: rustc limits the depth of types. It lets forty plain functions call each other, but only twelve locked
///   ones. Beyond that, it asks for `#![recursion_limit = "256"]`.
/// - **`mut self`** is called `__self` in rustc's messages about the body.
/// - **Lints**: some lints about the body of an `async fn` don't see it: clippy's `unused_async`, `needless_return`,
///   `infinite_loop`, and a few that are off by default. With `or_else`, and with arguments that begin with `_`, the
///   attribute's own code has an `#[allow]`. rustc warns of that under `#![forbid(clippy::all, clippy::pedantic)]`
///   (`forbidden_lint_groups`).
#[proc_macro_attribute]
pub fn redis_locked(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::expand(args.into(), &item.into()).into()
}
