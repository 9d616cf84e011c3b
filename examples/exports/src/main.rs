//! Web servers (`axum`) that export what their tenants have. Of each tenant, at most three exports run at a
//! time, over all servers: one that asks for many doesn't keep the others from theirs.
//!
//! ```sh
//! cargo run -p redis-locked-recipe-exports                           # with a Redis on this machine
//! ADDRESS=127.0.0.1:3001 cargo run -p redis-locked-recipe-exports    # a second server
//! for i in 1 2 3; do curl http://127.0.0.1:3000/exports/acme/500 & done    # 500 pages each: 10 s
//! curl http://127.0.0.1:3001/exports/acme                            # who exports now
//! curl -i http://127.0.0.1:3001/exports/acme/1                       # 429 after two seconds, Retry-After
//! curl -i http://127.0.0.1:3001/exports/other/1                      # meanwhile
//! ```

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header::RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::get};
use redis_locked::{LockError, Locker, redis_locked};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

const AT_A_TIME: u32 = 3;

/// Makes an export.
///
/// - `key` has the tenant, from the path: each has places of its own.
/// - `permits` is how many of a tenant's exports run at a time. During a deploy that changes it, each server
///   looks at its own number.
/// - `ttl` is how long a place stays taken when its server dies. An export may take longer, so `renew`;
///   `max_hold` ends those that hang.
/// - `wait` lets short bursts pass. Those who wait come in their order. The limit is shorter than a client's
///   patience, so that it gets an answer.
///
/// When the client goes away, axum drops this future, and the next one has its place.
#[redis_locked(
    key = "export:{tenant}",
    permits = AT_A_TIME,
    ttl = "5s",
    renew,
    max_hold = "10m",
    wait = "2s"
)]
async fn export(Path((tenant, pages)): Path<(String, u32)>) -> Result<String, Refused> {
    println!("export of {tenant} begun");
    let mut text = String::new();
    for page in 1..=pages {
        tokio::time::sleep(Duration::from_millis(20)).await; // the database is asked for a page
        let _ = writeln!(text, "{tenant}, page {page}");
    }
    Ok(text)
}

/// Who exports now, for a status page. This takes no place.
async fn running(
    State(locker): State<Locker>,
    Path(tenant): Path<String>,
) -> Result<String, Refused> {
    let holders = locker.holders(format!("export:{tenant}")).await?;
    let mut text = String::new();
    for holder in holders {
        let owner = holder.owner.as_deref().unwrap_or("another program");
        let _ = writeln!(text, "{owner}");
    }
    Ok(text)
}

/// Why there was no export, as the client sees it.
struct Refused(LockError);

impl From<LockError> for Refused {
    fn from(error: LockError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self(error) = self;
        if error.is_busy() {
            // In whole seconds: rounded up, for earlier is too early. If no server dies, a place may be free
            // before.
            let seconds = |left: Duration| left.as_secs() + u64::from(left.subsec_nanos() > 0);
            let header = |left| [(RETRY_AFTER, seconds(left).to_string())];
            let headers = error.retry_after().map(header);
            let text = "too many of your exports run already\n";
            return (StatusCode::TOO_MANY_REQUESTS, headers, text).into_response();
        }
        // Nothing was done, and it may work again soon; or the place was lost in the middle of the work.
        let status = if error.is_backend() {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        };
        eprintln!("{status}: {error}"); // for us; keys and hosts are none of the client's business
        status.into_response()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    let address = env::var("ADDRESS").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let locker = Locker::connect(&url).await?;
    locker.clone().install()?;

    let exports = Router::new()
        .route("/exports/{tenant}", get(running))
        .route("/exports/{tenant}/{pages}", get(export))
        .with_state(locker.clone());
    let listener = TcpListener::bind(address).await?;
    let mut terminate = signal(SignalKind::terminate())?; // before the first request
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, exports)
        .with_graceful_shutdown(async move {
            terminate.recv().await;
        })
        .await?;
    locker.shutdown().await; // the last request has been answered; its release may be under way
    Ok(())
}
