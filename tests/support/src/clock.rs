//! A clock that all processes of the machine share and nobody sets.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC`; on Linux, that is also the clock of `std::time::Instant`.
#[must_use]
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    part(now.tv_sec) * 1_000_000_000 + part(now.tv_nsec)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::monotonic_ns;

    #[test]
    fn it_counts_nanoseconds() {
        let (start, instant) = (monotonic_ns(), Instant::now());
        std::thread::sleep(Duration::from_millis(20));
        let inner = instant.elapsed();
        let outer = Duration::from_nanos(monotonic_ns() - start);
        assert!(
            inner >= Duration::from_millis(20) && inner <= outer,
            "{inner:?} {outer:?}"
        );
        assert!(
            outer <= instant.elapsed() + Duration::from_millis(20),
            "{outer:?}"
        );
    }
}
