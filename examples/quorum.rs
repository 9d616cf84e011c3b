//! Three mailers share one list: each customer gets one statement, whichever mailer comes first.
//! The locks are granted by a majority of five Redis servers; one of them is killed meanwhile, and
//! the mailers go on as if nothing had happened.
//!
//! ```sh
//! cargo run --example quorum    # starts five servers of its own, for some seconds
//! REDIS_URLS="redis://10.0.0.1:6379 redis://10.0.0.2:6379 redis://10.0.0.3:6379" \
//!     cargo run --example quorum
//! ```
//!
//! The first needs `redis-server` on the path, or in `REDIS_SERVER`.

use std::collections::BTreeMap;
use std::env;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use redis_locked::{LockError, Locker, redis_locked};
use redis_locked_test_support::Server;
use tokio::task::JoinSet;

const CUSTOMERS: u32 = 40;
const MAILERS: u32 = 3;

/// What was sent to whom, as the mail server sees it: it does not mind sending twice.
#[derive(Default)]
struct Outbox(Mutex<BTreeMap<u32, Vec<u32>>>);

impl Outbox {
    fn sent(&self) -> BTreeMap<u32, Vec<u32>> {
        let sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sent.clone()
    }

    fn has(&self, customer: u32) -> bool {
        self.sent().contains_key(&customer)
    }

    fn add(&self, customer: u32, mailer: u32) {
        let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sent.entry(customer).or_default().push(mailer);
    }
}

/// Looks whether the statement was sent, and sends it: the lock keeps others from looking in
/// between. With `skip`, one that another mailer is at is left to it.
///
/// A quorum has no fencing tokens, so the work itself should bear to be done twice in the rare case
/// that its mailer is held up beyond the ttl just after the last look at the lock.
#[redis_locked(key = "statement:{customer}", ttl = "5s", skip, locker = locker)]
async fn send(
    locker: &Locker,
    customer: u32,
    mailer: u32,
    outbox: &Outbox,
) -> Result<(), LockError> {
    if !outbox.has(customer) {
        tokio::time::sleep(Duration::from_millis(40)).await; // it is printed and put into a mail
        outbox.add(customer, mailer);
    }
    Ok(())
}

/// One mailer, with connections of its own as a process has them: how long its longest call took.
async fn mailer(number: u32, urls: Vec<String>, outbox: Arc<Outbox>) -> anyhow::Result<Duration> {
    let locker = Locker::builder()
        .owner(format!("mailer {number}"))
        .server_timeout(Duration::from_millis(100))
        .connect_quorum(&urls)
        .await?;
    let mut longest = Duration::ZERO;
    for customer in 0..CUSTOMERS {
        // Each begins elsewhere, so that they meet now and then.
        let customer = (customer + number * CUSTOMERS / MAILERS) % CUSTOMERS;
        let start = Instant::now();
        send(&locker, customer, number, &outbox).await?;
        longest = longest.max(start.elapsed());
    }
    locker.shutdown().await;
    Ok(longest)
}

const NO_REDIS: &str = "\
this needs Redis servers: REDIS_URLS is not set, and there is no redis-server on the PATH.

  Debian, Ubuntu   sudo apt install redis-server
  macOS            brew install redis
  elsewhere        REDIS_URLS=\"redis://a:6379 redis://b:6379 redis://c:6379\" cargo run --example quorum";

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let (mut servers, mut urls) = (Vec::new(), Vec::new());
    if let Ok(given) = env::var("REDIS_URLS") {
        urls.extend(given.split_whitespace().map(str::to_owned));
    } else {
        let program = env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into());
        let mut version = Command::new(program);
        if version
            .arg("--version")
            .stdout(Stdio::null())
            .status()
            .is_err()
        {
            eprintln!("{NO_REDIS}");
            return Ok(ExitCode::FAILURE);
        }
        for _ in 0..5 {
            servers.push(Server::start().await);
        }
        urls.extend(servers.iter().map(Server::url));
    }
    println!(
        "{MAILERS} mailers, {CUSTOMERS} statements, locks by a majority of {} servers.",
        urls.len()
    );

    let outbox = Arc::new(Outbox::default());
    let mut mailers = JoinSet::new();
    for number in 0..MAILERS {
        mailers.spawn(mailer(number, urls.clone(), Arc::clone(&outbox)));
    }
    if let Some(server) = servers.first() {
        while outbox.sent().len() < CUSTOMERS as usize / 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.kill();
        println!(
            "{} statements are sent: a server is killed.",
            outbox.sent().len()
        );
    }
    let mut longest = Duration::ZERO;
    while let Some(mailer) = mailers.join_next().await {
        longest = longest.max(mailer.context("a mailer panicked")??);
    }

    let sent = outbox.sent();
    let twice = sent.values().filter(|mailers| mailers.len() > 1).count();
    for number in 0..MAILERS {
        let by_it = sent.values().flatten().filter(|mailer| **mailer == number);
        println!("Mailer {number} sent {}.", by_it.count());
    }
    println!(
        "{} customers have their statement, {twice} of them more than one. The slowest call took {} ms.",
        sent.len(),
        longest.as_millis()
    );
    let all_well = twice == 0 && sent.len() == CUSTOMERS as usize;
    Ok(if all_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
