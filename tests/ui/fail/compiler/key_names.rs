//! Names in templates that don't exist, or are no text.

use redis_locked::{LockError, redis_locked};

struct Customer {
    name: String,
}

struct Order {
    id: u8,
    customer: Customer,
}

impl Order {
    fn number(&self) -> u8 {
        self.id
    }

    #[redis_locked(key = "order:{self.di}")]
    async fn misspelt_field_of_self(&self) -> Result<(), LockError> {
        Ok(())
    }

    #[redis_locked(key = "order:{self}")]
    async fn self_is_no_text(&self) -> Result<(), LockError> {
        Ok(())
    }
}

#[redis_locked(key = "report:{tenat}")]
async fn misspelt(tenant: &str) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "report:{tenant}:{tenat}:{id}")]
async fn one_of_three(tenant: &str, id: u8) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "report:{order.id}:{tenat}")]
async fn beside_a_path(order: Order, tenant: &str) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "order:{order.customer.nam}")]
async fn misspelt_field(order: Order) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "order:{order.numbre()}")]
async fn misspelt_method(order: Order) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "order:{order}")]
async fn no_text(order: Order) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "order:{id}:{order}")]
async fn second_is_no_text(id: u8, order: Order) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "order:{order.customer}:{id}")]
async fn field_is_no_text(id: u8, order: Order) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "order:{id}")]
async fn an_option(id: Option<u8>) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "order:{order.customer.0}")]
async fn no_such_index(order: Order) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "order:{order.buyer}")]
async fn unknown_field(order: Order) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = order)]
async fn expression_is_no_text(order: Order) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "order:{self.id}")]
async fn no_self(order: Order) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "report:{id")]
async fn left_open(id: u8) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "report:id}")]
async fn left_closed(id: u8) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "report:{id:zz}")]
async fn unknown_spec(id: u8) -> Result<(), LockError> {
    Ok(())
}

fn main() {}
