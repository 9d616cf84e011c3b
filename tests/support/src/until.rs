//! Waiting for a condition.

use std::fmt::Display;
use std::panic::Location;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(2);

/// Waits until `condition` holds: `until(LIMIT, "the key is gone", async || …)`.
///
/// # Panics
/// With what was awaited, when `limit` has passed.
#[track_caller]
pub fn until<F>(limit: Duration, what: impl Display, mut condition: F) -> impl Future<Output = ()>
where
    F: AsyncFnMut() -> bool,
{
    until_some(limit, what, async move || condition().await.then_some(()))
}

/// Waits until `answer` has one.
///
/// # Panics
/// Like [`until`].
#[track_caller]
pub fn until_some<T, F>(
    limit: Duration,
    what: impl Display,
    mut answer: F,
) -> impl Future<Output = T>
where
    F: AsyncFnMut() -> Option<T>,
{
    let caller = Location::caller();
    async move {
        let start = Instant::now();
        loop {
            // A little more than the limit, so that the last look is never cut short.
            let left = limit.saturating_sub(start.elapsed()) + Duration::from_secs(1);
            if let Ok(Some(answer)) = tokio::time::timeout(left, answer()).await {
                return answer;
            }
            assert!(
                start.elapsed() < limit,
                "waited {limit:?} in vain until {what} ({caller})"
            );
            tokio::time::sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;
    use std::time::Duration;

    use super::{until, until_some};

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn it_asks_again_until_the_condition_holds() {
        let mut asked = 0;
        until(LONG, "asked three times", async || {
            asked += 1;
            asked == 3
        })
        .await;
        assert_eq!(asked, 3);
    }

    #[tokio::test]
    async fn it_hands_out_the_answer() {
        assert_eq!(until_some(LONG, "a number", async || Some(7)).await, 7);
    }

    #[test]
    fn it_panics_with_what_was_awaited() {
        let message = panic_of(|| block_on(until(SHORT, "pigs fly", async || false)));
        assert!(message.contains("until pigs fly"), "{message}");
        assert!(message.contains(file!()), "{message}");
    }

    #[test]
    fn a_condition_that_hangs_does_not_hang_the_test() {
        let hanging = until(SHORT, "an answer", async || std::future::pending().await);
        let message = panic_of(|| block_on(hanging));
        assert!(message.contains("until an answer"), "{message}");
    }

    fn block_on(future: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime")
            .block_on(future);
    }

    fn panic_of(action: impl FnOnce()) -> String {
        *std::panic::catch_unwind(AssertUnwindSafe(action))
            .expect_err("it must panic")
            .downcast::<String>()
            .expect("a message")
    }
}
