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
/// What is odd in it keeps the function as it was: the same types, and no lint in your crate. Beyond this, the
/// attribute sees to it that no field in the key is empty.
///
/// # Arguments
///
/// | argument | value | default | meaning |
/// | --- | --- | --- | --- |
/// | `key` | template, or expression | required | names what the lock protects; see [Keys](#keys) |
/// | `fenced` | | off | draws a fencing token with the lock |
/// | `ttl` | duration | the locker's, 30 s | how long Redis keeps the lock if this process dies; without `renew`, also the longest that the body may run |
/// | `renew` | | off | extends the lock while the body runs |
/// | `max_hold` | duration | none | with `renew`: the longest that the body may run |
/// | `min_hold` | duration | none | keeps the key at least this long, so that a short job runs once per tick on all machines |
/// | `on_lost` | `cancel` or `finish` | `cancel` | what becomes of the body when the lock is lost |
/// | `retries` | `u32` | `0` | further attempts after the first, while the lock is busy or on an error that may pass |
/// | `backoff` | duration, `"50ms..2s"`, or a `Backoff` | `"50ms..1s"` | the pause between attempts: fixed, or growing from one to the other, with jitter |
/// | `wait` | duration, or nothing | off | instead of `retries`: queues until the lock is free, at most this long, or without a limit |
/// | `coalesce` | | off | with `wait`: `Busy` at once if somebody waits already, on whatever machine, for one run after the present one is enough |
/// | `skip` | | off | busy is no error: returns `()`, `None` or `Ok(Default::default())` without running the body |
/// | `or_else` | `FnOnce(LockError) -> R` | off | makes the return value from any lock error |
/// | `bind` | a name | none | a variable of type `Lease` that the body can use |
/// | `locker` | `Locker`, `&Locker`, `Arc<Locker>` | see below | which locker; borrowed, never moved: `locker = self.locker` |
/// | `crate` | path | `::redis_locked` | for crates that re-export this one |
///
/// A duration is a literal such as `"500ms"`, `"5s"` or `"1m 30s"`, checked when compiling, or an
/// expression of type `Duration`. It is above zero, a ttl at least 10 ms, and nothing is over ten years. A literal
/// counts in weeks at most, since months and years differ in length. The other values are expressions too, and
/// may use the function's arguments.
///
/// Without `locker`, the lock is asked of the innermost `Locker::scope`, else of the installed locker,
/// else of one made on first use from the environment's `REDIS_URL`.
///
/// # Keys
///
/// A template holds arguments, `self`, consts and const generics, followed by fields, tuple indexes or
/// methods without arguments, and may format them: `"{self.region}:{user.id()}:{pair.0}:{id:08x}"`.
/// `{{` and `}}` are braces. A field whose text is empty or blank is `LockError::InvalidRequest`, for
/// `"report:{tenant}"` without a tenant would lock something else than was meant.
///
/// Different fields can make one key: `"{owner}:{name}"` is `a:b:c` for `a:b` and `c`, and for `a` and
/// `b:c`, which then exclude each other. Where a text can have the separator in it, have it quoted:
/// `"{owner:?}:{name:?}"` is `"a:b":"c"` and `"a":"b:c"`.
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
/// The closure is made before the body takes the arguments, and the body takes each as a whole. A closure that
/// borrows `order.id` does not compile where the body uses `order.lines` of an `order` that moves. Clone before:
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
/// # What is seen of it
///
/// Each call is a span `lock` of the crate `tracing`, at level `info`, with the body's spans inside of it.
/// `lock.name` is the template of the key, or the source of the expression that makes it; the metrics of the
/// cargo feature `metrics` are labelled by it. The fields and levels are listed at `LockRequest::run`.
///
/// # On which functions
///
/// On free functions, methods with any receiver, and methods of traits with a body, native or under
/// `#[async_trait]`, with any generics, patterns and `impl Trait`. The signature stays as it is.
///
/// - Put it above `#[tokio::main]`, `#[tokio::test]`, rstest's `#[rstest]` and rmcp's `#[tool]`, which make
///   functions of their own of it.
/// - Put it below what makes a route of it: `#[get(…)]` and the like of actix-web and Rocket.
/// - `#[tracing::instrument]`, axum's `#[debug_handler]` and `#[cached]` work above and below. The upper one runs
///   first: below `#[cached]`, a value that is there is returned without a lock.
/// - Of two `#[redis_locked]` on one function, the lower one locks first.
///
/// # What differs from the plain function
///
/// Nothing but this:
///
/// - **`Send`**: the future is `Send` when the body and its result are, for the result waits until the lock is
///   released. `Result<T, Box<dyn Error>>` is not: return `Result<T, Box<dyn Error + Send + Sync>>`,
///   `anyhow::Result<T>`, or an error type of your own. Instead of a `MutexGuard`, return what it guards. A type
///   parameter that is returned needs `T: Send`. Where the future need not be `Send`, any result will do. The
///   future is never `Sync` nor `UnwindSafe`.
/// - **Drops**: the body's variables and the arguments are dropped before the lock is released, in the order of
///   a plain function: the last argument first. This is so for arguments that the body or the attribute names,
///   and for those with a name that begins with `_`. Dropped after the release are those that nothing names, or
///   only `or_else` does; what a pattern leaves behind (`_`, and the rest of a struct); and what `ref` borrows from.
/// - **`impl Trait`** in the return type does not tell the body what a closure takes. In a function that returns
///   `impl Fn(&str) -> usize`, write the type: `|text: &str| text.len()`.
/// - **Size**: the future is at most 512 bytes larger, but for some arguments. One that is declared `mut`, and those
///   that follow it, are stored once more; so is one without a destructor that is not used after the first pause.
/// - **Depth**: twelve locked functions can call each other where forty plain ones can, before rustc's limit for the
///   depth of types is reached. Then it asks for `#![recursion_limit = "256"]`.
/// - **`mut self`** is called `__self` in rustc's messages about the body.
/// - **Lints** that look at the body of an `async fn` don't see it: clippy's `unused_async`, `needless_return`,
///   `infinite_loop`, and a few that are off by default. With `or_else`, and where an argument begins with `_`, the
///   attribute's own code has an `#[allow]`, of which rustc warns under `#![forbid(clippy::all, clippy::pedantic)]`
///   (`forbidden_lint_groups`).
#[proc_macro_attribute]
pub fn redis_locked(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::expand(args.into(), &item.into()).into()
}
