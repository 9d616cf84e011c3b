//! Web servers (`axum`) that store documents in one directory. Uploads to one document exclude each
//! other, on all servers; those to different documents go on side by side.
//!
//! ```sh
//! cargo run -p redis-locked-recipe-web                           # with a Redis on this machine
//! ADDRESS=127.0.0.1:3001 cargo run -p redis-locked-recipe-web    # a second server
//! (echo slowly; sleep 20) | curl -i -T - http://127.0.0.1:3000/documents/7
//! curl -i -T /etc/hosts http://127.0.0.1:3001/documents/7        # meanwhile: 409, Retry-After
//! ```

use std::env;
use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header::RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::put};
use futures_util::TryStreamExt;
use redis_locked::{LockError, Locker, redis_locked};
use tempfile::NamedTempFile;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Stores the body of a request. The client may be slow, so the lock is taken before the body is
/// read.
///
/// - `key` has the document's id, from the path.
/// - `ttl` is how long a document stays locked when its server dies. An upload may take longer, so
///   `renew`; `max_hold` ends those of clients that hang.
/// - No `retries` and no `wait`: the client learns at once that it is busy, and when to come again.
///
/// Cut off, or left by its client, it has not touched the document: only the last step does. It
/// writes with `std::fs`, piece by piece, since what `tokio::fs` has begun goes on after the cut.
/// Each upload has a file of its own (`.tmp…`, removed unless it becomes the document), for a server
/// that stands still may go on when another has the lock. Its last step, if late, can still put an
/// old document over a newer one: where that does harm, see `fencing`.
#[redis_locked(key = "document:{id}", ttl = "10s", renew, max_hold = "10m")]
async fn store(
    Path(id): Path<u64>,
    State(directory): State<PathBuf>,
    body: Body,
) -> Result<String, Failure> {
    println!("document {id} begun");
    let mut file = NamedTempFile::new_in(&directory)?;
    let (mut body, mut length) = (body.into_data_stream(), 0);
    while let Some(piece) = body.try_next().await? {
        file.write_all(&piece)?;
        length += piece.len();
    }
    let document = directory.join(id.to_string());
    file.persist(document).map_err(|refused| refused.error)?;
    Ok(format!("stored {length} bytes\n"))
}

/// Why a request failed, as the client sees it.
enum Failure {
    Lock(LockError),
    /// The client went away in the middle.
    Body(axum::Error),
    Disk(std::io::Error),
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Lock(error) if error.is_busy() => {
                // In whole seconds: rounded up, for earlier is too early.
                let seconds = |left: Duration| left.as_secs() + u64::from(left.subsec_nanos() > 0);
                let header = |left| [(RETRY_AFTER, seconds(left).to_string())];
                let headers = error.retry_after().map(header);
                (StatusCode::CONFLICT, headers, "someone else writes to it\n").into_response()
            }
            // Nothing was done, and it may work again soon: clients and proxies may repeat a 503.
            Self::Lock(error) if error.is_backend() => {
                report(&error, StatusCode::SERVICE_UNAVAILABLE)
            }
            // Lost in the middle of the work: what was begun may be half done, so nobody should
            // repeat it without a thought. The others are mistakes in this program.
            Self::Lock(error) => report(&error, StatusCode::INTERNAL_SERVER_ERROR),
            Self::Body(error) => report(&error, StatusCode::BAD_REQUEST),
            Self::Disk(error) => report(&error, StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

fn report(error: &dyn Error, status: StatusCode) -> Response {
    eprintln!("{status}: {error}"); // for us; keys and hosts are none of the client's business
    status.into_response()
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        Self::Lock(error)
    }
}

impl From<axum::Error> for Failure {
    fn from(error: axum::Error) -> Self {
        Self::Body(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Disk(error)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    let address = env::var("ADDRESS").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let directory = env::var_os("DOCUMENTS").unwrap_or_else(|| "documents".into());
    let directory = PathBuf::from(directory);
    fs::create_dir_all(&directory)?;
    let locker = Locker::connect(&url).await?;
    locker.install()?;

    let documents = Router::new().route("/documents/{id}", put(store));
    let listener = TcpListener::bind(address).await?;
    let mut terminate = signal(SignalKind::terminate())?; // before the first request
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, documents.with_state(directory))
        .with_graceful_shutdown(async move {
            terminate.recv().await;
            println!("ending when the last request has ended");
        })
        .await?;
    locker.shutdown().await; // the last request has been answered; its release may be under way
    Ok(())
}
