//! A body whose result does not tell whether its run succeeded.

use std::time::Duration;

use redis_locked::Locker;

struct Summary;

async fn by_hand(locker: &Locker) {
    let hour = Duration::from_secs(3600);
    let _ = locker.lock("k").once_per(hour).run(async { Summary }).await;
    let _ = locker.lock("k").recorded().run(async { false }).await;
    // These tell.
    let _ = locker.lock("k").recorded().run(async { Ok::<_, Summary>(Summary) }).await;
    let _ = locker.lock("k").recorded().run(async { Some(vec![(1, "a")]) }).await;
    let _ = locker.lock("k").run(async { Summary }).await;
}

fn main() {}
