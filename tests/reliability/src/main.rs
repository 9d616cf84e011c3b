//! What failing servers cost those who lock: how long until locks are granted again, which errors
//! callers see meanwhile, and whether two ever held one lock at a time.
//!
//! `cargo run --release -p redis-locked-reliability` starts servers of its own, and several
//! processes that lock, breaks the servers, and prints the table of `docs/reliability.md`. Names of
//! families as arguments run only those: `-- cluster sentinel`. `ROUNDS=20` repeats each fault so
//! often; the default is 5.

mod cluster;
mod line;
mod load;
mod quorum;
mod replicas;
mod row;
mod sentinel;
mod worker;

use row::Row;

#[tokio::main]
async fn main() {
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    if chosen.first().is_some_and(|name| name == "worker") {
        return worker::run().await;
    }
    let rounds = std::env::var("ROUNDS").ok();
    let rounds = rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(5);
    let known = [
        "line",
        "cluster",
        "cluster-line",
        "sentinel",
        "quorum",
        "replicas",
    ];
    for name in &chosen {
        assert!(
            known.contains(&name.as_str()),
            "{name:?} is none of {known:?}"
        );
    }
    let wanted = |name: &str| chosen.is_empty() || chosen.iter().any(|chosen| chosen == name);
    print!("{}", include_str!("prose.md"));
    println!("{}", Row::HEAD);
    if wanted("line") {
        line::run(rounds).await;
    }
    if wanted("cluster") {
        cluster::run(rounds).await;
    }
    if wanted("cluster-line") {
        cluster::run_in_line(rounds).await;
    }
    if wanted("sentinel") {
        sentinel::run(rounds).await;
    }
    if wanted("quorum") {
        quorum::run(rounds).await;
    }
    if wanted("replicas") {
        replicas::run(rounds).await;
    }
}
