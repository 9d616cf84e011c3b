//! One list of cases, run against the memory store and against Redis: both behave the same.

mod common;
#[path = "behaviour/ends.rs"]
mod ends;
#[path = "behaviour/holding.rs"]
mod holding;
#[path = "behaviour/refusals.rs"]
mod refusals;
#[path = "behaviour/turns.rs"]
mod turns;

/// Each case is a function that takes a fresh `Locker`.
macro_rules! cases {
    ($($subject:ident: $($case:ident)*;)*) => {
        mod memory {
            $(mod $subject {
                $(#[tokio::test]
                async fn $case() {
                    crate::$subject::$case(redis_locked::Locker::in_memory()).await;
                })*
            })*
        }

        mod redis {
            $(mod $subject {
                $(#[tokio::test]
                async fn $case() {
                    let (_server, locker) = crate::common::redis().await;
                    crate::$subject::$case(locker).await;
                })*
            })*
        }
    };
}

cases! {
    holding:
        a_held_lock_is_busy_for_others
        keys_are_independent
        busy_tells_who_holds_it_and_for_how_long
        a_token_names_each_tenure
        remaining_is_a_little_less_than_the_ttl
        an_extension_lengthens_and_never_shortens
        renew_outlives_the_ttl
        what_expired_is_lost_and_free
        who_was_late_harms_nobody
        fencing_tokens_grow
        a_body_sees_its_lease
        many_keys_at_once;
    ends:
        the_result_passes_and_the_lock_is_free
        a_dropped_guard_frees_the_lock
        a_cancelled_body_frees_the_lock
        a_panic_frees_the_lock
        a_body_is_cut_off_at_its_deadline
        on_lost_finish_lets_it_end
        max_hold_ends_a_renewed_body
        min_hold_keeps_the_key
        after_the_release_the_lease_is_over;
    turns:
        one_at_a_time
        retries_get_what_is_released
        retries_run_out
        waiting_gets_what_is_released
        waiting_gets_what_expires
        waiting_runs_out
        who_waits_comes_in_order
        who_leaves_the_line_is_skipped;
    refusals:
        requests_that_cannot_be_meant
        a_lock_inside_itself
        nothing_runs_without_the_lock
        skip_and_or_else;
}
