//! The conformance suite: each case runs against each backend.

mod journal;
mod kv;
mod lease;
mod watch;

use crate::backend;

macro_rules! suite {
    ($($area:ident::$case:ident,)+) => {
        suite!(memory: $($area::$case,)+);
        suite!(embedded: $($area::$case,)+);
        suite!(etcd: $($area::$case,)+);
    };
    ($backend:ident: $($area:ident::$case:ident,)+) => {
        mod $backend {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                if let Some(backend) = super::backend::$backend().await {
                    super::$area::$case(backend).await;
                }
            })+
        }
    };
}

suite! {
    kv::get_shows_value_and_revisions,
    kv::range_is_ordered_and_bounded,
    kv::range_gives_pages,
    kv::compares_decide,
    kv::first_failing_compare_is_named,
    kv::a_conflict_writes_nothing,
    kv::several_keys_change_at_one_revision,
    kv::a_transaction_without_change_has_no_revision_of_its_own,
    kv::a_deleted_key_starts_anew,
    kv::no_update_is_lost,
    kv::limits_are_refused,
    kv::the_largest_transaction_fits,
    kv::an_append_is_named_by_its_revision,
    kv::a_log_of_many_writers_is_in_order,
    journal::tells_what_was_committed_in_order,
    journal::a_conflict_tells_nothing,
    journal::knows_the_records_at_a_time,
    journal::forgets_without_losing_what_lives,
    journal::is_no_part_of_the_view,
    watch::gives_batches_in_order,
    watch::starts_in_the_past,
    watch::starts_in_the_future,
    watch::shows_only_its_prefix_and_how_far_it_is,
    watch::compaction_ends_it,
    watch::a_slow_watcher_is_told,
    watch::a_dropped_store_ends_it,
    watch::concurrent_commits_are_all_shown_once,
    lease::an_expired_lease_removes_its_keys,
    lease::a_revoked_lease_removes_its_keys_at_once,
    lease::a_put_without_lease_detaches,
    lease::an_unknown_lease_is_refused,
    lease::times_to_live_have_limits,
    lease::one_process_leads,
    lease::a_late_leader_is_fenced,
    lease::leadership_passes_on_expiry,
}
