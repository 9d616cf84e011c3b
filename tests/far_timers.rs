//! Leases that last for years, beside one that is renewed every half second.

mod common;

use std::time::Duration;

use common::{LIMIT, redis};
use redis_locked::{LockGuard, Locker};
use redis_locked_test_support::Server;
use tokio::time::timeout;

const TTL: Duration = Duration::from_secs(2);

const fn years(count: u64) -> Duration {
    Duration::from_secs(count * 365 * 24 * 60 * 60)
}

struct Beside {
    server: Server,
    locker: Locker,
    renewed: LockGuard,
}

impl Beside {
    async fn new() -> Self {
        let (server, locker) = redis().await;
        let renewed = locker.lock("renewed").ttl(TTL).renew().acquire().await;
        Self {
            renewed: renewed.expect("free"),
            server,
            locker,
        }
    }

    /// The far lease goes on, and so do all others.
    async fn all_go_on(self, far: LockGuard, lasts: Duration) {
        let lost = timeout(TTL * 2, self.renewed.lost()).await;
        assert_eq!(lost.ok(), None, "the lease beside it was extended no more");
        assert!(self.renewed.is_held());
        assert!(far.is_held() && far.remaining() > lasts / 10 * 9);
        let left = self.server.pttl("far").await;
        let left = Duration::from_millis(left.try_into().unwrap_or(0));
        assert!(left > lasts / 10 * 9, "{left:?} left");
        far.release().await.expect("ours");
        self.renewed.release().await.expect("ours");
        let ended = timeout(LIMIT, self.locker.shutdown()).await;
        ended.expect("nothing is pending");
    }
}

#[tokio::test]
async fn a_lock_for_nine_years_ends_the_renewal_of_all_others() {
    let beside = Beside::new().await;
    let request = beside.locker.lock("far").ttl(years(9)).renew();
    let far = request.acquire().await.expect("free");
    beside.all_go_on(far, years(9)).await;
}

#[tokio::test]
async fn an_extension_by_three_years_ends_the_renewal_of_all_others() {
    let beside = Beside::new().await;
    let request = beside.locker.lock("far").ttl(TTL).renew();
    let far = request.acquire().await.expect("free");
    far.extend(years(3)).await.expect("ours");
    beside.all_go_on(far, years(3)).await;
}
