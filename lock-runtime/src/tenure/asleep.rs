//! How long the machine has slept.
//!
//! Monotonic clocks stand still while a machine is suspended, and Redis counts on. Linux has a clock
//! that counts the sleep as well; what it has run ahead of the monotonic one is the sleep.

use std::time::Duration;

use tokio::time::Instant;

/// How exactly it has to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// As of this moment: a clock is read.
    Now,
    /// As of a millisecond ago, and what it has slept since then is told a millisecond later: bodies
    /// are polled so often that they would feel each look at a clock.
    Lately,
}

/// How long the machine has slept since this process first asked; `now` was read just before.
#[cfg(all(target_os = "linux", not(simulation)))]
pub(super) fn slept(now: Instant, look: Look) -> Duration {
    linux::slept(now, look)
}

#[cfg(not(all(target_os = "linux", not(simulation))))]
pub(super) fn slept(_now: Instant, _look: Look) -> Duration {
    Duration::ZERO
}

#[cfg(all(target_os = "linux", not(simulation)))]
mod linux {
    #[cfg(not(test))]
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use rustix::time::{ClockId, Timespec, clock_gettime};
    use tokio::time::Instant;

    use super::Look;

    /// A shorter sleep is none: the clocks are not read at once.
    const SHORTEST: u64 = 5_000_000;
    /// Between two looks at clocks, the process may stand still.
    const AT_ONCE: u64 = 500_000;
    /// What is lately.
    pub(super) const LATELY: u64 = 1_000_000;

    /// All in nanoseconds, which are enough for 500 years.
    pub(super) struct Sleep {
        began: Instant,
        /// What is lately.
        lately: u64,
        /// What the clocks said then, and the sleep before.
        clock: u64,
        before: u64,
        /// When somebody looked last, since then.
        looked: AtomicU64,
        /// What was found since then.
        slept: AtomicU64,
    }

    #[cfg(not(test))]
    static SLEEP: LazyLock<Sleep> = LazyLock::new(|| Sleep::begin(LATELY));

    #[cfg(test)]
    thread_local! {
        // In tests, no time passes.
        static SLEEP: Sleep = Sleep::begin(0);
    }

    pub(super) fn slept(now: Instant, look: Look) -> Duration {
        #[cfg(not(test))]
        let slept = SLEEP.until(now, look);
        #[cfg(test)]
        let slept = SLEEP.with(|sleep| sleep.until(now, look));
        Duration::from_nanos(slept)
    }

    impl Sleep {
        pub(super) fn begin(lately: u64) -> Self {
            Self {
                began: Instant::now(),
                lately,
                clock: with_sleep(),
                before: since_start(),
                looked: AtomicU64::new(0),
                slept: AtomicU64::new(0),
            }
        }

        pub(super) fn until(&self, now: Instant, look: Look) -> u64 {
            let awake = now.saturating_duration_since(self.began).as_nanos();
            let awake = u64::try_from(awake).unwrap_or(u64::MAX);
            let known = self.slept.load(Ordering::Relaxed);
            let looked = self.looked.load(Ordering::Relaxed);
            if look == Look::Lately && awake.abs_diff(looked) < self.lately {
                return known;
            }
            self.looked.store(awake, Ordering::Relaxed);
            let all = with_sleep().saturating_sub(self.clock);
            if all.saturating_sub(awake) < known + SHORTEST {
                return known;
            }
            // Or the process stood still since `now`, or tokio's clock is paused.
            let slept = since_start().saturating_sub(self.before);
            if slept < known + SHORTEST {
                return known;
            }
            self.slept.fetch_max(slept, Ordering::Relaxed).max(slept)
        }
    }

    /// How long the machine has slept since it was started.
    fn since_start() -> u64 {
        loop {
            let before = read(ClockId::Monotonic);
            let with_sleep = with_sleep();
            if read(ClockId::Monotonic).saturating_sub(before) < AT_ONCE {
                return with_sleep.saturating_sub(before);
            }
        }
    }

    fn with_sleep() -> u64 {
        let read = read(ClockId::Boottime);
        #[cfg(test)]
        let read = read + super::tests::asleep();
        read
    }

    pub(super) fn read(clock: ClockId) -> u64 {
        let Timespec { tv_sec, tv_nsec } = clock_gettime(clock);
        tv_sec.unsigned_abs() * 1_000_000_000 + tv_nsec.unsigned_abs()
    }
}

#[cfg(all(test, target_os = "linux"))]
pub(crate) mod tests {
    use std::cell::Cell;
    use std::thread::sleep;

    use rustix::time::{ClockId, Timespec, clock_gettime};

    use super::*;

    thread_local! {
        static SLEPT: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    /// Has the machine sleep, as far as this thread can see.
    pub(crate) fn fall_asleep(time: Duration) {
        SLEPT.set(SLEPT.get() + time);
    }

    pub(super) fn asleep() -> u64 {
        u64::try_from(SLEPT.get().as_nanos()).expect("no test sleeps for so long")
    }

    fn now() -> Duration {
        slept(Instant::now(), Look::Now)
    }

    #[test]
    fn a_sleep_is_told_once() {
        let first = now();
        assert_eq!(now(), first);
        fall_asleep(Duration::from_secs(3600));
        let second = now();
        let told = second
            .saturating_sub(first)
            .abs_diff(Duration::from_secs(3600));
        assert!(told < Duration::from_millis(2), "{told:?}");
        assert_eq!(now(), second);
    }

    #[test]
    fn a_process_that_stood_still_has_not_slept() {
        let known = now();
        let before = Instant::now();
        sleep(Duration::from_millis(50));
        assert_eq!(slept(before, Look::Now), known);
        assert_eq!(now(), known);
        // Nor has it where it slept for less than the clocks can tell apart.
        fall_asleep(Duration::from_millis(1));
        assert_eq!(slept(before, Look::Now), known);
        assert_eq!(now(), known);
    }

    #[test]
    fn who_looked_lately_hears_of_a_sleep_a_moment_later() {
        let (lately, hour) = (
            Duration::from_nanos(linux::LATELY),
            Duration::from_secs(3600),
        );
        let sleep = linux::Sleep::begin(linux::LATELY);
        let now = Instant::now();
        let known = sleep.until(now, Look::Now);
        fall_asleep(hour);
        let moment = Duration::from_nanos(1);
        for soon in [now, now + lately - moment] {
            assert_eq!(sleep.until(soon, Look::Lately), known);
        }
        let tells = |at, look, slept: Duration| {
            let told = Duration::from_nanos(sleep.until(at, look) - known);
            assert!(told.abs_diff(slept) < Duration::from_millis(2), "{told:?}");
        };
        tells(now + lately, Look::Lately, hour);
        fall_asleep(hour);
        tells(now + lately, Look::Now, 2 * hour);
    }

    #[test]
    fn a_clock_is_read_in_nanoseconds() {
        let clock = ClockId::Monotonic;
        let exact = || {
            let Timespec { tv_sec, tv_nsec } = clock_gettime(clock);
            let (seconds, nanoseconds) = (u64::try_from(tv_sec), u32::try_from(tv_nsec));
            Duration::new(
                seconds.expect("not before its beginning"),
                nanoseconds.expect("less than a second"),
            )
        };
        let (before, read, after) = (exact(), Duration::from_nanos(linux::read(clock)), exact());
        assert!(
            before <= read && read <= after,
            "{before:?}, {read:?}, {after:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_paused_clock_is_no_sleep() {
        let known = now();
        sleep(Duration::from_millis(50));
        assert_eq!(now(), known);
        fall_asleep(Duration::from_secs(50));
        assert!(now() > known + Duration::from_secs(49));
    }
}
