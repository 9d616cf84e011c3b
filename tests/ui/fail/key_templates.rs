//! Templates that name no value.

#![allow(unused_variables)]

use redis_locked::{LockError, redis_locked};

struct Order {
    id: u8,
}

impl Order {
    const TABLE: &'static str = "orders";
}

#[redis_locked(key = "report:{}")]
async fn no_name(id: u8) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "report:{0}")]
async fn by_position(id: u8) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "report:{Order::TABLE}")]
async fn path() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "report:{order.id(5)}")]
async fn call_with_arguments(order: Order) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "report:{id + 1}")]
async fn calculation(id: u8) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "report:{ id }")]
async fn blanks(id: u8) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "report:{ids[0]}")]
async fn index(ids: [u8; 1]) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "report:{id:>1$}")]
async fn width_by_position(id: u8) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "report:{id:.*}")]
async fn precision_by_position(id: u8) -> Result<(), LockError> {
    Ok(())
}

fn main() {}
