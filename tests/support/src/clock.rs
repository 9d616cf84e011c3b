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
        let outer = Instant::now();
        let start = monotonic_ns();
        let inner = Instant::now();
        std::thread::sleep(Duration::from_millis(20));
        let inner = inner.elapsed();
        let counted = Duration::from_nanos(monotonic_ns() - start);
        let outer = outer.elapsed();
        assert!(
            inner <= counted && counted <= outer,
            "{inner:?} {counted:?} {outer:?}"
        );
    }
}
