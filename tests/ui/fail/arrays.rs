//! Arrays of keys that can't be meant.

use redis_locked::{LockError, redis_locked};

#[redis_locked(key = [])]
async fn none() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = ["a", ["b", "c"], ["d"; 2]])]
async fn nested() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = ["account"; 2])]
async fn repeated() -> Result<(), LockError> {
    Ok(())
}

#[rustfmt::skip]
#[redis_locked(key = [
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17", "18", "19", "20", "21",
    "22", "23", "24", "25", "26", "27", "28", "29", "30", "31", "32", "33", "34", "35", "36", "37", "38", "39", "40", "41",
    "42", "43", "44", "45", "46", "47", "48", "49", "50", "51", "52", "53", "54", "55", "56", "57", "58", "59", "60", "61",
    "62", "63", "64",
])]
async fn too_many() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = ["a", "", "b:{c d}"])]
async fn odd_templates() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = ["a", "b"], fenced)]
async fn fenced() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = ["a", "b"], wait = "1s", coalesce)]
async fn coalesced() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(once_per = "1d", key = ["a", "b"])]
async fn once() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = ["a", "b"], record)]
async fn recorded() -> Result<(), LockError> {
    Ok(())
}

// One that duplicates leave a single key of is one, too.
#[redis_locked(key = ["a"], fenced)]
async fn single() -> Result<(), LockError> {
    Ok(())
}

fn main() {}
