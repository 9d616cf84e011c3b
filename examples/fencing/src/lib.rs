//! A table that refuses the writes of those who have lost their lock.
//!
//! The statements are in `sql/`, and explained in the guide's page on fencing, which shows the same:
//! the tests compare them.

use std::path::Path;
use std::time::Duration;

use redis_locked::{FencingToken, LockError, Locker, redis_locked};
use rusqlite::{
    Connection, OptionalExtension as _, Transaction, TransactionBehavior, named_params,
};

/// How long Redis keeps the lock of an account whose holder has died.
pub const TTL: Duration = Duration::from_secs(1);

const SCHEMA: &str = include_str!("../sql/schema.sql");
const READ: &str = include_str!("../sql/read.sql");
const WRITE: &str = include_str!("../sql/write.sql");
const INSERT: &str = include_str!("../sql/insert.sql");
const FENCE: &str = include_str!("../sql/fence.sql");
const RAISE: &str = include_str!("../sql/raise.sql");

/// Why an account was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The lock could not be had, or was lost.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A later holder of the lock was here. Nothing was changed.
    #[error(
        "{what:?} was not changed: there is none, or a later holder of its lock was here; start again"
    )]
    Refused {
        /// What was to be changed.
        what: String,
    },
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] rusqlite::Error),
}

/// Opens the database, and makes its tables if they are missing.
///
/// # Errors
///
/// When the file cannot be opened or written.
pub fn open(path: &Path) -> Result<Connection, ChangeError> {
    let mut database = Connection::open(path)?;
    database.busy_timeout(Duration::from_secs(10))?;
    let transaction = begin(&mut database)?;
    if !transaction.table_exists(None, "account")? {
        transaction.execute_batch(SCHEMA)?;
        transaction.execute_batch(FENCE)?;
    }
    transaction.commit()?;
    Ok(database)
}

/// Reads the balance, makes another of it, and writes that. One at a time for each account; who
/// comes too late is refused.
///
/// # Errors
///
/// When the lock cannot be had, a later holder was here, or the database fails.
#[redis_locked(key = "account:{id}", ttl = TTL, wait = "20s", fenced, bind = lease, locker = locker)]
pub async fn change(
    locker: &Locker,
    database: &Connection,
    id: &str,
    how: impl FnOnce(i64) -> i64,
) -> Result<i64, ChangeError> {
    let fence = number(lease.fencing_token());
    let balance = how(read(database, id, fence)?);
    write(database, id, balance, fence)?;
    Ok(balance)
}

/// Sets the balance of an account that need not exist.
///
/// # Errors
///
/// Like [`change`].
#[redis_locked(key = "account:{id}", ttl = TTL, wait = "20s", fenced, bind = lease, locker = locker)]
pub async fn set(
    locker: &Locker,
    database: &Connection,
    id: &str,
    balance: i64,
) -> Result<(), ChangeError> {
    let fence = number(lease.fencing_token());
    insert(database, id, balance, fence)
}

/// The number as SQL has it: 61 bits, so it is never negative.
fn number(fence: Option<FencingToken>) -> i64 {
    let fence = fence.expect("the function is `fenced`");
    i64::try_from(u64::from(fence)).expect("61 bits")
}

/// The balance. From now on, all with lower numbers are refused.
///
/// # Errors
///
/// When a later holder was here, there is no such account, or the database fails.
pub fn read(database: &Connection, id: &str, fence: i64) -> Result<i64, ChangeError> {
    let parameters = named_params! {":id": id, ":fence": fence};
    let balance = database.query_row(READ, parameters, |row| row.get(0));
    balance.optional()?.ok_or_else(|| refused(id))
}

/// Sets the balance.
///
/// # Errors
///
/// When a later holder was here, there is no such account, or the database fails.
pub fn write(database: &Connection, id: &str, balance: i64, fence: i64) -> Result<(), ChangeError> {
    let parameters = named_params! {":id": id, ":balance": balance, ":fence": fence};
    one_row(database.execute(WRITE, parameters)?, id)
}

/// Sets the balance of an account that need not exist.
///
/// # Errors
///
/// When a later holder was here, or the database fails.
pub fn insert(
    database: &Connection,
    id: &str,
    balance: i64,
    fence: i64,
) -> Result<(), ChangeError> {
    let parameters = named_params! {":id": id, ":balance": balance, ":fence": fence};
    one_row(database.execute(INSERT, parameters)?, id)
}

/// Begins a transaction that may change whatever the key protects, in any number of rows and tables.
/// From now on, all with lower numbers are refused.
///
/// # Errors
///
/// When a later holder was here, or the database fails.
pub fn begin_fenced<'a>(
    database: &'a mut Connection,
    key: &str,
    fence: i64,
) -> Result<Transaction<'a>, ChangeError> {
    let transaction = begin(database)?;
    let raised = transaction.execute(RAISE, named_params! {":key": key, ":fence": fence})?;
    one_row(raised, key)?; // else the transaction is dropped, which rolls it back
    Ok(transaction)
}

fn begin(database: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    database.transaction_with_behavior(TransactionBehavior::Immediate)
}

/// A statement that found no row was refused, or there was nothing to change.
fn one_row(changed: usize, what: &str) -> Result<(), ChangeError> {
    match changed {
        0 => Err(refused(what)),
        _ => Ok(()),
    }
}

fn refused(what: &str) -> ChangeError {
    ChangeError::Refused {
        what: what.to_owned(),
    }
}
