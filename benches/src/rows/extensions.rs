//! What it costs to keep very many leases renewed.

use std::fs;
use std::time::Duration;

use futures_util::future::join_all;
use redis_locked::{LockGuard, Locker};
use redis_locked_test_support::Server;
use tokio::time::{Instant, sleep};

use crate::table::{Line, Unit};
use crate::{Plan, TTL};

const LEASES: [usize; 2] = [10_000, 100_000];
const TOGETHER: usize = 1_000;

/// Each is extended each quarter of its ttl: this is four times.
const PERIOD: Duration = TTL;

pub(super) async fn measure(plan: &Plan, server: &Server) -> Vec<Line> {
    let mut lines = Vec::new();
    for leases in LEASES {
        let locker = Locker::connect(&server.url()).await.expect("connects");
        let guards = acquire(&locker, leases).await;
        let (began, before) = (Instant::now(), cpu_seconds());
        sleep(plan.time(PERIOD).max(TTL / 4)).await;
        let cores = (cpu_seconds() - before) / began.elapsed().as_secs_f64();
        assert!(guards.iter().all(|guard| guard.is_held()), "all are kept");
        let measured =
            format!("{leases} leases of 10 s, renewed: processor time of this process in a second");
        lines.push(Line::ours(measured, cores * 1e3, Unit::Millis));
        drop(guards);
        locker.shutdown().await;
    }
    lines
}

async fn acquire(locker: &Locker, leases: usize) -> Vec<LockGuard> {
    let mut guards = Vec::with_capacity(leases);
    while guards.len() < leases {
        let requests = (0..TOGETHER).map(|number| {
            let key = format!("leases:{}", guards.len() + number);
            locker.lock(key).ttl(TTL).renew().acquire()
        });
        guards.extend(
            join_all(requests)
                .await
                .into_iter()
                .map(|it| it.expect("free")),
        );
    }
    guards
}

/// The processor time that all threads of this process have had.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
    let mut fields = fields.split(' ').skip(11);
    let mut ticks = || fields.next().and_then(|field| field.parse::<u32>().ok());
    let ticks = ticks().zip(ticks()).map(|(user, system)| user + system);
    // Linux counts hundredths of a second here, whatever the kernel's own clock.
    f64::from(ticks.expect("the fields of proc(5)")) / 100.0
}
