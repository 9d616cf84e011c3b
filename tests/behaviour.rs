//! One list of cases, run against the memory store, against Redis and against a cluster: all behave the same.

#[path = "behaviour/arrays.rs"]
mod arrays;
mod common;
#[path = "behaviour/ends.rs"]
mod ends;
#[path = "behaviour/holding.rs"]
mod holding;
#[path = "behaviour/kinds.rs"]
mod kinds;
#[path = "behaviour/places.rs"]
mod places;
#[path = "behaviour/refusals.rs"]
mod refusals;
#[path = "common/several.rs"]
mod several;
#[path = "behaviour/turns.rs"]
mod turns;

use redis_locked::Locker;
use redis_locked_test_support::Cluster;

/// A locker for this case. A cluster takes seconds to start, so that the cases of a subject share one. Their prefixes
/// keep them apart.
async fn on_cluster(cluster: &Cluster, case: &str) -> Locker {
    println!("{case}");
    let builder = Locker::builder()
        .prefix(format!("{case}:"))
        .connection_timeout(common::LIMIT / 2)
        .response_timeout(common::LIMIT / 2);
    let connecting = builder.connect_cluster(cluster.urls());
    connecting.await.expect("the cluster answers")
}

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

        mod cluster {
            $(#[tokio::test]
            async fn $subject() {
                let cluster = redis_locked_test_support::Cluster::start().await;
                $(
                    let locker = crate::on_cluster(&cluster, stringify!($case)).await;
                    crate::$subject::$case(locker).await;
                )*
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
    places:
        so_many_at_a_time_and_no_more
        each_looks_at_its_own_number_and_a_holder_counts_for_all
        kinds_keep_each_other_out
        busy_names_the_holders_and_when_there_is_room
        nobody_is_let_past_one_who_waits_for_the_whole_key
        who_waits_behind_one_that_gives_up_comes_in
        readers_come_in_together
        a_permit_goes_round_in_a_process
        requests_that_cannot_be_meant
        the_attribute_has_both;
    arrays:
        all_are_had_and_released_together
        none_is_kept_where_one_is_busy
        one_limit_is_for_all
        retries_get_all_that_is_released
        waiting_keeps_what_is_there_and_comes_in_order
        what_is_held_meanwhile_is_extended_and_all_begin_together
        renew_keeps_all
        an_extension_lengthens_all
        a_body_is_cut_off_at_the_earliest_deadline
        max_hold_and_min_hold_count_from_the_last
        who_leaves_gives_back_all
        a_lock_inside_itself
        opposite_orders_do_not_wait_for_each_other
        each_key_has_places_of_its_own
        the_attribute_takes_an_array
        requests_that_cannot_be_meant;
    refusals:
        requests_that_cannot_be_meant
        a_lock_inside_itself
        nothing_runs_without_the_lock
        skip_and_or_else;
}

/// Each case is run for each kind, too.
macro_rules! of_each_kind {
    ($($case:ident)*) => {
        of_each_kind!(exclusive Exclusive: $($case)*);
        of_each_kind!(permits Permits: $($case)*);
        of_each_kind!(shared Shared: $($case)*);
    };
    ($module:ident $kind:ident: $($case:ident)*) => {
        mod $module {
            use crate::kinds::{self, Kind};

            mod memory {
                use super::{Kind, kinds};

                $(#[tokio::test]
                async fn $case() {
                    kinds::$case(redis_locked::Locker::in_memory(), Kind::$kind).await;
                })*
            }

            mod redis {
                use super::{Kind, kinds};

                $(#[tokio::test]
                async fn $case() {
                    let (_server, locker) = crate::common::redis().await;
                    kinds::$case(locker, Kind::$kind).await;
                })*
            }

            #[tokio::test]
            async fn cluster() {
                let cluster = redis_locked_test_support::Cluster::start().await;
                $(
                    let locker = crate::on_cluster(&cluster, stringify!($case)).await;
                    kinds::$case(locker, Kind::$kind).await;
                )*
            }
        }
    };
}

of_each_kind! {
    what_is_full_is_busy_until_one_is_released
    a_dropped_guard_gives_it_back
    a_body_runs_under_it
    it_is_extended_and_never_shortened
    renew_keeps_it
    what_ended_is_lost_and_harms_nobody
    min_hold_keeps_its_room
    numbers_grow_past_who_is_kept_out
    retries_get_what_is_released
    waiting_gets_what_is_released
    waiting_gets_what_expires
    waiting_runs_out
    who_waits_comes_in_order
    a_lock_inside_itself
}
