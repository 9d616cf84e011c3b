//! Ten thousand renewed leases in one process.
//!
//! `cargo test --release --test scale -- --nocapture` measures what is promised; without
//! optimisation, fewer leases are renewed, and only what they are is checked.

use std::fs;
use std::time::Duration;

use redis_locked::{LockGuard, Locker};
use redis_locked_test_support::{Pace, Server, until};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

const OPTIMISED: bool = !cfg!(debug_assertions);
const LEASES: usize = if OPTIMISED { 10_000 } else { 1_000 };
const PERIOD: Duration = Duration::from_secs(if OPTIMISED { 10 } else { 6 });
const TTL: Duration = Duration::from_secs(if OPTIMISED { 3 } else { 5 });
const LIMIT: Duration = Duration::from_secs(30);
/// Callers that acquire at the same time.
const CALLERS: usize = 8;

#[tokio::test]
async fn many_leases_are_renewed_by_one_task() {
    let server = Server::start().await;
    let locker = Locker::builder()
        .connection_timeout(LIMIT)
        .response_timeout(LIMIT)
        .connect(&server.url())
        .await
        .expect("connected");
    // Opens the connection, starts the keeper, and makes the script known.
    let first = locker
        .lock("first")
        .ttl(TTL)
        .renew()
        .acquire()
        .await
        .expect("free");
    first.extend(TTL).await.expect("held");
    // Has those gather who ask at the same time, and opens the second connection, over which renewals go: it
    // is open when one was sent there. The last that was sent on the first is a release.
    drop(acquire(&locker, "warm", 4).await);
    until(LIMIT, "it was renewed", async || {
        server.connections_that_sent("evalsha").await == 2
    })
    .await;
    let with_one = alive_tasks();

    let pace = Pace::start();
    let memory = memory();
    let guards = acquire(&locker, "order", LEASES / CALLERS).await;
    let bytes = memory
        .zip(self::memory())
        .map(|(before, after)| (after - before) / LEASES);
    let tasks = alive_tasks();
    let (cpu, began) = (cpu_seconds(), Instant::now());
    sleep(PERIOD).await;
    let cores = cpu
        .zip(cpu_seconds())
        .map(|(before, after)| (after - before) / began.elapsed().as_secs_f64());
    let lost = guards.iter().filter(|guard| !guard.is_held()).count();
    println!(
        "{LEASES} leases, {PERIOD:?}: {lost} lost, {} keeper, {bytes:?} bytes each, {cores:?} cores",
        tasks + 1 - with_one
    );
    let slow = pace.worst() > TTL / 12;
    assert!(lost == 0 || slow, "{lost} lost");
    assert_eq!(tasks, with_one, "tasks for {LEASES} leases, and for one");
    assert_eq!(alive_tasks(), with_one);
    if OPTIMISED {
        assert!(
            bytes.is_none_or(|bytes| bytes < 768),
            "{bytes:?} bytes per lease"
        );
        assert!(cores.is_none_or(|cores| cores < 0.2), "{cores:?} cores");
    }

    drop(guards);
    drop(first);
    until(LIMIT, "the keeper has gone", async || {
        alive_tasks() == with_one - 1
    })
    .await;
    assert_eq!(server.keys().await.len(), 0, "all are released");
}

async fn acquire(locker: &Locker, name: &'static str, each: usize) -> Vec<LockGuard> {
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let locker = locker.clone();
            tokio::spawn(async move {
                let mut guards = Vec::with_capacity(each);
                for number in 0..each {
                    let request = locker.lock(format!("{name}:{caller}:{number}"));
                    guards.push(request.ttl(TTL).renew().acquire().await.expect("free"));
                }
                guards
            })
        })
        .collect();
    let mut guards = Vec::with_capacity(each * CALLERS);
    for caller in callers {
        guards.extend(caller.await.expect("no panic"));
    }
    guards
}

fn alive_tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// The bytes that this process has in memory, where the system tells.
fn memory() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: usize = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// The processor time that all threads of this process have had, where the system tells.
fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks = |field: &str| field.parse::<u32>().ok();
    let mut fields = fields.split(' ').skip(11);
    let (user, system) = (ticks(fields.next()?)?, ticks(fields.next()?)?);
    // Linux counts hundredths of a second here, whatever the kernel's own clock.
    Some(f64::from(user + system) / 100.0)
}
