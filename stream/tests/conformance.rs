//! What every log must do: one suite, run on the embedded log and on a real Kafka broker.
#![allow(clippy::unwrap_used)]

#[path = "conformance/appending.rs"]
mod appending;
#[path = "conformance/following.rs"]
mod following;
mod support;

use appending::*;
use following::*;
use support::Place;

macro_rules! suite {
    ($($test:ident),* $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(super::Place::embedded()).await;
            })*
        }
        mod kafka {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(super::Place::kafka()).await;
            })*
        }
    };
}

suite!(
    offsets_are_dense_and_in_order,
    records_survive_reopening,
    many_appenders_at_once,
    traces_travel_with_their_records,
    a_consumer_starts_in_the_middle,
    polls_keep_to_their_limits,
    a_waiting_consumer_wakes_at_once,
    a_group_shares_and_hands_over_without_loss,
    groups_do_not_disturb_each_other,
    large_and_empty_records,
    bounds_and_random_access,
    only_what_is_released_is_dropped,
    a_wrong_partition_is_refused,
    another_partition_count_is_refused,
    a_closed_log_says_so,
);
