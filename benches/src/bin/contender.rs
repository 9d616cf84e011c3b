//! One of several processes that compete for a lock; started by the benchmarks.

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    redis_locked_benches::contend::main(&arguments).await;
}
