//! Workers of an `apalis` queue that send invoices. A queue delivers a message at least once: again
//! when it was pushed twice, or when its worker died or seemed to. Each invoice is sent once all the
//! same, and never by two workers at a time.
//!
//! ```sh
//! cargo run -p redis-locked-recipe-queue -- work           # in two terminals, with a Redis here
//! cargo run -p redis-locked-recipe-queue -- push 7 7 8 9   # in a third: order 7 comes twice
//! redis-cli LRANGE journal 0 -1                            # who did what
//! ```

use std::env;
use std::process;
use std::time::Duration;

use apalis::prelude::{BoxDynError, Data, Event, EventListenerExt, TaskSink, WorkerBuilder};
use apalis_redis::{Config, ConnectionManager, RedisStorage};
use redis::AsyncCommands;
use redis_locked::{Locker, redis_locked};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Serialize, Deserialize)]
struct Invoice {
    order: u64,
}

/// The handler.
///
/// - `key` is made of what the message is about, not of the message's id: copies have other ids.
/// - `ttl` is how long an order has to wait after its worker died. With `renew`, sending may take
///   longer, but with `max_hold` not for ever.
/// - No `retries` and no `wait`: the queue is better at that. It takes the error, busy or another, and
///   delivers the message again, a second later, then two and so on: 25 times in five minutes, far
///   longer than `max_hold`. What still fails then is kept in its set `invoices:dead`.
///
/// The lock keeps two workers from sending at the same time. That an invoice is sent already, perhaps
/// since yesterday, only a record can tell: look it up under the lock, and write it together with
/// the effect. To an effect outside of this database, a mail or a payment, pass the order's number as
/// an idempotency key, for a worker can die between the effect and the record.
#[redis_locked(key = "invoice:{invoice.order}", ttl = "5s", renew, max_hold = "1m")]
async fn send(invoice: Invoice, shop: Data<Shop>) -> Result<(), BoxDynError> {
    let mut redis = shop.redis.clone();
    let (order, me) = (invoice.order, process::id());
    if redis.sismember("sent", order).await? {
        return Ok(()); // a copy: the queue may forget it
    }
    let begun = format!("{me} begins {order}");
    let () = redis.rpush("journal", begun).await?;
    tokio::time::sleep(Duration::from_millis(400)).await; // the invoice is put together
    // The effect (here a line of the journal) and the record of it: both or none.
    let sent = format!("{me} sends {order}");
    let () = redis::pipe()
        .atomic()
        .rpush("journal", sent)
        .sadd("sent", order)
        .query_async(&mut redis)
        .await?;
    Ok(())
}

#[derive(Clone)]
struct Shop {
    redis: ConnectionManager,
}

#[tokio::main]
async fn main() -> Result<(), BoxDynError> {
    let url = env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    let redis = apalis_redis::connect(url.as_str()).await?;
    let config = Config::default()
        .queue("invoices")
        .batch_size(1) // the rest is left to other workers
        .heartbeat_interval(Duration::from_secs(1)) // an idle worker looks for messages as often
        .missed_heartbeats(5); // then its messages are delivered to others
    let mut queue = RedisStorage::new(redis.clone()).with_config(config);

    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.split_first() {
        Some((command, orders)) if command == "push" => {
            for order in orders {
                let order = order.parse()?;
                queue.push(Invoice { order }).await?;
            }
            Ok(())
        }
        Some((command, [])) if command == "work" => work(queue, Shop { redis }, &url).await,
        _ => Err("usage: work | push <order> …".into()),
    }
}

async fn work(queue: RedisStorage<Invoice>, shop: Shop, url: &str) -> Result<(), BoxDynError> {
    let locker = Locker::connect(url).await?;
    locker.install()?;
    let mut terminate = signal(SignalKind::terminate())?;
    WorkerBuilder::new(format!("worker-{}", process::id()))
        .backend(queue)
        .data(shop)
        .on_event(|_, event| {
            if let Event::Error(error) = event {
                println!("later: {error}");
            }
        })
        .build(send)
        .run_until(async move {
            terminate.recv().await;
            Ok::<_, std::io::Error>(())
        })
        .await?;
    locker.shutdown().await;
    Ok(())
}
