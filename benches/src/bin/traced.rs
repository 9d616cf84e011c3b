//! Runs of an annotated function under one subscriber; started by the benchmarks.

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    redis_locked_benches::traced::main(&arguments).await;
}
