// What `tests/lints.rs` checks, once as it is and once without the lines that begin with `#[redis_locked`.
// On one line where people and macros write so; rustfmt does not come here.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::{Debug, Display};
use std::future::{ready, Future, Ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[allow(unused_imports)]
use redis_locked::{redis_locked, LockError, Locker};

pub struct Guard { on: bool, name: String }

impl Drop for Guard { fn drop(&mut self) { if self.on { self.name.clear(); } } }

pub struct Order { pub id: u32, pub customer: Customer, pub pair: (u8, u8) }
pub struct Customer { pub name: String }

impl Order { pub const fn number(&self) -> u32 { self.id } }

type Held<T> = Result<T, LockError>;

async fn pause() {}

// One line, many, and nothing.

#[redis_locked(key = "k")]
pub async fn one_line() -> Result<u8, LockError> { Ok(1) }

#[redis_locked(key = "k", skip)]
pub async fn nothing() {}

#[redis_locked(key = "k", skip)]
pub async fn explicit_nothing() -> () { }

#[redis_locked(key = "k", skip)]
pub async fn a_statement() { pause().await; }

#[redis_locked(key = "k", skip)]
pub async fn a_tail() { pause().await }

#[redis_locked(key = "{id}")]
pub async fn a_condition(id: u8) -> Held<u8> { if id > 5 { Ok(1) } else { Ok(id) } }

#[redis_locked(key = "{id}")]
pub async fn a_match(id: u8) -> Held<u8> { match id { 0 => Ok(1), other => Ok(other) } }

#[redis_locked(key = "k")]
pub async fn a_block() -> Held<u8> { { Ok(1) } }

#[redis_locked(key = "k")]
pub async fn an_early_return(id: u8) -> Held<u8> { if id > 5 { return Ok(1); } pause().await; Ok(id) }

#[redis_locked(key = "k")]
pub async fn only_a_return(id: u8) -> Held<u8> { return Ok(id); }

#[redis_locked(key = "k")]
pub async fn a_loop() -> Held<u8> { loop { pause().await; } }

#[redis_locked(key = "k")]
pub async fn a_panic() -> Held<u8> { panic!("never") }

#[redis_locked(key = "k", or_else = |_| 0)]
pub async fn a_panic_behind_a_statement() -> u8 { pause().await; unreachable!() }

#[redis_locked(key = "k")]
pub async fn question_mark(text: &str) -> Result<u8, Box<dyn std::error::Error + Send + Sync>> {
    let number = text.parse::<u8>()?;
    pause().await;
    Ok(number)
}

#[redis_locked(key = "k")]
pub async fn coerced() -> Held<Box<dyn Debug>> { Ok(Box::new(5)) }

#[redis_locked(key = "k")]
pub async fn a_long_type() -> Result<HashMap<String, Vec<(u8, Box<dyn Fn(u8) -> u8 + Send>)>>, LockError> { Ok(HashMap::new()) }

#[redis_locked(key = "k")]
pub async fn impl_trait(count: u8) -> Held<impl Iterator<Item = u8> + Debug> { Ok(0..count) }

// What is returned is a future.

#[redis_locked(key = "k", or_else = |_| ready(0))]
pub async fn returns_a_future() -> Ready<u8> { ready(1) }

#[redis_locked(key = "k", or_else = |_| Box::pin(ready(0)))]
pub async fn returns_a_boxed_future(id: u8) -> Pin<Box<dyn Future<Output = u8> + Send>> { pause().await; Box::pin(ready(id)) }

#[redis_locked(key = "k", or_else = |_| ready(0))]
pub async fn returns_an_impl_future() -> impl Future<Output = u8> { ready(1) }

#[redis_locked(key = "k", or_else = |_| tokio::spawn(pause()))]
pub async fn returns_a_task() -> tokio::task::JoinHandle<()> { tokio::spawn(pause()) }

// Arguments: named or not, `mut` or not, whole or in pieces, assigned last.

#[redis_locked(key = "k", skip)]
pub async fn assigned_last(mut guard: Guard) { pause().await; guard.on = false; }

#[redis_locked(key = "{name}", skip)]
pub async fn assigned_before_another(mut guard: Guard, name: String, other: Guard) { guard.on = name.is_empty(); drop(other); pause().await; guard.on = false; }

#[redis_locked(key = "{count}:{list:?}", skip)]
pub async fn mutable(mut count: u8, mut list: Vec<u8>) -> Option<u8> { count += 1; list.push(count); pause().await; list.pop() }

#[redis_locked(key = "k", skip)]
pub async fn read_in_pieces(order: Order) -> Option<u32> { pause().await; drop(order.customer.name); Some(order.id) }

#[redis_locked(key = "k", skip)]
pub async fn unnamed(_: Guard, _guard: Guard, __other: &str) { pause().await }

#[redis_locked(key = "k", skip)]
pub async fn unnamed_behind_mutable(mut guard: Guard, _guard: Guard, mut _other: Guard, _count: u8) { guard.on = false; pause().await }

#[redis_locked(key = "{id}:{name}", skip)]
pub async fn only_in_the_key(id: u8, name: String) { pause().await }

#[redis_locked(key = "k", skip)]
pub async fn destructured((a, (mut b, _)): (u8, (Vec<u8>, u8)), Customer { name }: Customer, [first, ..]: [u8; 2], ref kept: Guard, all @ 0..=255: u8) -> Option<u8> { b.push(a); pause().await; b.push(first); b.push(all); b.push(u8::from(kept.on)); b.extend(name.bytes()); b.pop() }

#[redis_locked(key = "k")]
pub async fn generic<'a, T: Display + Send + Sync, const N: usize>(text: &'a str, values: [T; N], other: impl AsRef<str> + Send) -> Held<(&'a str, String)> { pause().await; Ok((text, format!("{}{}", values[0], other.as_ref()))) }

#[redis_locked(key = "k")]
pub async fn by_format(name: &str, width: usize) -> Held<String> { Ok(format!("{name:>width$}")) }

#[redis_locked(key = "k")]
pub async fn shadowed(name: String) -> Held<String> { let name = name + "!"; pause().await; Ok(name) }

// Methods.

impl Guard {
    #[redis_locked(key = "{self.name}", skip)]
    pub async fn close(mut self) { pause().await; self.on = false; }

    #[redis_locked(key = "{self.name}", skip)]
    pub async fn close_by_reference(&mut self) { pause().await; self.on = false; }

    #[redis_locked(key = "k")]
    pub async fn read(&self) -> Held<bool> { pause().await; Ok(self.on) }

    #[redis_locked(key = "k")]
    pub async fn whole(self) -> Held<Self> { Ok(self) }

    #[redis_locked(key = "k")]
    pub async fn counted(self: Arc<Self>, by: u8) -> Held<bool> { Ok(self.on && by > 5) }

    #[redis_locked(key = "k", skip)]
    pub async fn unused_self(self) { pause().await }

    #[redis_locked(key = "k", skip)]
    pub async fn replaced(mut self, other: Self) { pause().await; self = other; drop(self); }
}

pub trait Job { fn run(self, id: u8) -> impl Future<Output = Held<u8>>; }

impl Job for u8 {
    #[redis_locked(key = "{id}")]
    async fn run(mut self, id: u8) -> Held<u8> { self += id; Ok(self) }
}

#[async_trait::async_trait]
pub trait Boxed { async fn run(mut self, mut guard: Guard, (a, _): (u8, u8), _: Guard, _unused: u8) -> Held<u8>; async fn count(&mut self); }

#[async_trait::async_trait]
impl Boxed for Guard {
    #[redis_locked(key = "{self.name}:{a}")]
    async fn run(mut self, mut guard: Guard, (a, _): (u8, u8), _: Guard, _unused: u8) -> Held<u8> { pause().await; guard.on = false; self.on = false; Ok(a) }

    #[redis_locked(key = "k", skip)]
    async fn count(&mut self) { self.on = !self.on; }
}

// Temporaries at the end of the body.

#[redis_locked(key = "k", or_else = |_| 0)]
pub async fn a_lock_in_the_tail(shared: Arc<Mutex<Vec<u8>>>) -> usize { pause().await; shared.lock().unwrap().len() }

#[redis_locked(key = "k", or_else = |_| None)]
pub async fn a_borrow_in_the_tail(cell: RefCell<Vec<u8>>) -> Option<u8> { cell.borrow().first().copied() }

#[redis_locked(key = "k", or_else = |_| None)]
pub async fn a_match_in_the_tail(shared: &Mutex<Vec<u8>>) -> Option<u8> { match shared.lock().unwrap().first() { Some(first) => Some(*first), None => None } }

// Arguments of the attribute.

#[redis_locked(key = "{order.id:08x}:{order.number()}:{order.customer.name}:{order.pair.0}:{name:>width$}:{width}")]
pub async fn a_long_key(order: &Order, name: &str, width: usize) -> Held<u8> { pause().await; Ok(order.pair.1) }

#[redis_locked(key = "a{{b}}:{MOST}")]
pub async fn a_constant_in_the_key() -> Held<u8> { pause().await; Ok(1) }

#[redis_locked(key = format!("{}:{id}", name.len()), ttl = Duration::from_secs(u64::from(id)), retries = u32::from(id), backoff = "50ms..2s")]
pub async fn expressions(id: u8, name: &str) -> Held<Duration> { pause().await; Ok(Duration::ZERO) }

#[redis_locked(key = "k", ttl = "5s", renew, max_hold = "5m", min_hold = "1s", wait, fenced, on_lost = finish, locker = locker)]
pub async fn all_the_rest(locker: Locker) -> Held<u8> { pause().await; Ok(1) }

#[redis_locked(key = "{id}", or_else = |error| if error.is_busy() { Ok(id) } else { Err(error.to_string()) })]
pub async fn a_closure(id: u8) -> Result<u8, String> { pause().await; Ok(1) }

#[redis_locked(key = "k", or_else = Err)]
pub async fn a_path_for_a_closure(id: u8) -> Result<u8, LockError> { pause().await; Ok(id) }

#[redis_locked(key = "k", or_else = |error| Err(Failure::Lock(error)))]
pub async fn a_large_error(id: u8) -> Result<u8, Failure> { pause().await; Ok(id) }

const MOST: u8 = 5;

#[derive(Debug)]
pub enum Failure { Lock(LockError), Other([u64; 32]) }

impl From<LockError> for Failure { fn from(error: LockError) -> Self { Self::Lock(error) } }

#[redis_locked(key = "k")]
pub async fn a_large_error_without(id: u8) -> Result<u8, Failure> { pause().await; Ok(id) }

// From macros.

macro_rules! job {
    ($name:ident, $ret:ty, $argument:ident, $key:literal, $body:block) => {
        #[redis_locked(key = $key)]
        pub async fn $name($argument: u8) -> $ret $body
    };
}

job!(a_block_of_a_macro, Held<u8>, id, "{id}", { Ok(id) });
job!(a_long_block_of_a_macro, Held<u8>, id, "k", { pause().await; let id = id + 1; Ok(id) });

macro_rules! whole_job {
    ($name:ident) => {
        #[redis_locked(key = "{guard.name}")]
        pub async fn $name(mut guard: Guard, id: u8) -> Held<u8> { pause().await; guard.on = false; Ok(id) }
    };
}

whole_job!(made_by_a_macro);
