//! The pause between two attempts.

use std::time::Duration;

use backon::BackoffBuilder as _;

use crate::random::random;

/// The pause between two attempts to acquire: fixed, or exponential with full jitter.
///
/// With full jitter each pause is drawn evenly from zero to a bound that starts at `from` and
/// doubles up to `cap`, so that callers who collided do not collide again (Marc Brooker,
/// "Exponential Backoff and Jitter", AWS Architecture Blog, 2015). The default is
/// `exponential(50ms, 1s)`.
///
/// ```
/// # use redis_locked_runtime as redis_locked;
/// use std::time::Duration;
/// use redis_locked::Backoff;
///
/// const POLITE: Backoff = Backoff::exponential(Duration::from_millis(50), Duration::from_secs(2));
/// let steady: Backoff = Duration::from_millis(100).into();
/// # let _ = (POLITE, steady);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    from: Duration,
    cap: Duration,
    jitter: bool,
}

impl Backoff {
    /// The same pause each time.
    #[must_use]
    pub const fn fixed(pause: Duration) -> Self {
        Self {
            from: pause,
            cap: pause,
            jitter: false,
        }
    }

    /// A random pause below a bound that starts at `from` and doubles up to `cap`.
    #[must_use]
    pub const fn exponential(from: Duration, cap: Duration) -> Self {
        Self {
            from,
            cap,
            jitter: true,
        }
    }

    /// The pauses of one request, without end.
    pub(crate) fn pauses(self) -> impl Iterator<Item = Duration> + Send {
        backon::ExponentialBuilder::new()
            .with_min_delay(self.from)
            .with_max_delay(self.cap.max(self.from))
            .without_max_times()
            .build()
            .map(move |bound| {
                if self.jitter {
                    bound.mul_f64(random())
                } else {
                    bound
                }
            })
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::exponential(Duration::from_millis(50), Duration::from_secs(1))
    }
}

impl From<Duration> for Backoff {
    fn from(pause: Duration) -> Self {
        Self::fixed(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_pause_stays_the_same() {
        let pauses: Vec<_> = Backoff::fixed(Duration::from_millis(7))
            .pauses()
            .take(100)
            .collect();
        assert_eq!(pauses, [Duration::from_millis(7); 100]);
    }

    #[test]
    fn exponential_pauses_are_spread_below_a_doubling_bound_up_to_the_cap() {
        let backoff = Backoff::exponential(Duration::from_millis(100), Duration::from_millis(350));
        let runs: Vec<Vec<_>> = (0..400)
            .map(|_| backoff.pauses().take(5).collect())
            .collect();
        for (step, bound) in [100, 200, 350, 350, 350].into_iter().enumerate() {
            let bound = Duration::from_millis(bound);
            let column: Vec<_> = runs.iter().map(|run| run[step]).collect();
            assert!(column.iter().all(|pause| *pause <= bound));
            assert!(column.iter().any(|pause| *pause < bound / 4));
            assert!(column.iter().any(|pause| *pause > bound * 3 / 4));
        }
    }

    #[test]
    fn a_cap_below_the_start_and_a_zero_pause_do_no_harm() {
        let odd = Backoff::exponential(Duration::from_secs(2), Duration::from_secs(1));
        assert!(
            odd.pauses()
                .take(50)
                .all(|pause| pause <= Duration::from_secs(2))
        );
        let none = Backoff::exponential(Duration::ZERO, Duration::ZERO);
        assert!(none.pauses().take(50).all(|pause| pause.is_zero()));
    }
}
