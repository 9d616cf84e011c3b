//! When the command must end: SIGTERM early enough, SIGKILL before the key can expire.

use std::time::Duration;

use tokio::time::Instant;

/// How long before the deadline the command gets SIGTERM, and what of it is left at SIGKILL.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    grace: Duration,
}

impl Plan {
    pub(crate) fn new(grace: Duration) -> Self {
        Self { grace }
    }

    /// When the command is told to end, if its lock does not last longer by then.
    pub(crate) fn term_at(self, deadline: Instant) -> Instant {
        deadline.checked_sub(self.grace).unwrap_or(deadline)
    }

    /// When the command is killed that was told to end just now.
    ///
    /// A fifth of the grace is left for the kernel to carry it out. The deadline lies before the
    /// key's own end on the server's clock.
    pub(crate) fn kill_at(self, now: Instant, deadline: Instant) -> Instant {
        let end = deadline.min(now + self.grace);
        end.checked_sub(self.grace / 5).unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_lease_that_is_not_extended_leaves_the_command_four_fifths_of_the_grace() {
        let plan = Plan::new(10 * SECOND);
        let deadline = Instant::now() + 60 * SECOND;
        let term = plan.term_at(deadline);
        assert_eq!(deadline - term, 10 * SECOND);
        assert_eq!(deadline - plan.kill_at(term, deadline), 2 * SECOND);
    }

    #[test]
    fn a_key_that_was_deleted_early_leaves_no_more() {
        let plan = Plan::new(10 * SECOND);
        let now = Instant::now();
        let kill = plan.kill_at(now, now + 50 * SECOND);
        assert_eq!(kill - now, 8 * SECOND);
    }

    #[test]
    fn whoever_wakes_after_the_deadline_kills_at_once() {
        let plan = Plan::new(SECOND);
        let now = Instant::now() + 10 * SECOND;
        assert!(plan.kill_at(now, now - SECOND) <= now);
    }
}
