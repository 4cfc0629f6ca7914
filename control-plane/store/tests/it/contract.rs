//! What every store promises. Each sentence runs on every backend; a further backend is a further line below.

use super::fixture::Fixture;

mod archive;
mod audit;
mod compaction;
mod guards;
mod model;
mod moments;
mod reads;
mod replicas;
mod watches;
mod writes;

/// Makes a test of each sentence for one backend.
macro_rules! holds_for {
    ($backend:ident: $($module:ident { $($sentence:ident,)* })*) => {
        mod $backend {
            $(mod $module {
                use crate::it::{contract, fixture::Fixture};
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $sentence() {
                    contract::$module::$sentence(Fixture::$backend().await).await;
                })*
            })*
        }
    };
}

macro_rules! contract {
    ($($backend:ident)*) => { $(
        holds_for! { $backend:
            writes {
                every_write_gets_a_higher_revision_than_all_before,
                an_object_is_created_once,
                an_object_changes_only_at_the_revision_that_the_writer_saw,
                a_deleted_object_is_gone_and_its_name_is_free,
                of_two_hundred_rivals_for_one_revision_one_wins,
                concurrent_writers_lose_nothing,
                a_huge_body_is_written_whole,
                every_change_is_kept_with_who_made_it,
                a_closed_store_refuses_writes_and_has_answered_those_before,
                what_was_written_is_there_after_reopening,
            }
            guards {
                a_guard_on_existence_and_uid_holds_only_for_that_object,
                a_guard_compares_the_value_at_a_pointer,
                a_guard_on_an_absent_value_compares_as_null,
                a_guard_looks_past_whatever_else_is_in_the_body,
                a_refused_guard_is_named_and_nothing_is_written,
                a_guard_sees_a_write_that_was_handed_over_before_it,
                of_two_leaders_only_the_one_in_the_lease_binds,
            }
            reads {
                a_list_is_ordered_by_namespace_and_name,
                a_list_keeps_to_its_scope,
                a_page_tells_how_many_follow,
                pages_of_one_walk_are_all_at_one_revision_while_writes_go_on,
                every_past_state_can_be_listed_and_read,
                every_past_state_can_be_listed_and_read_when_memory_has_forgotten_it,
                a_write_is_seen_by_every_read_after_its_answer,
                a_read_waits_for_a_revision_that_is_under_way,
                a_revision_that_never_comes_is_in_the_future,
            }
            watches {
                a_watch_sees_each_change_once_and_in_order,
                a_watch_sees_what_changed_and_what_was_before,
                a_watch_keeps_to_its_scope,
                a_watch_from_any_revision_joins_log_and_memory_without_gap_or_double,
                a_slow_watcher_s_stream_ends_and_resumes_without_a_gap,
                a_watcher_who_sleeps_keeps_no_memory_and_resumes_without_a_gap,
                a_thousand_watchers_all_see_everything,
                a_bookmark_never_runs_ahead_of_an_event,
                a_bookmark_follows_changes_out_of_scope,
                a_watch_from_the_future_is_refused,
                watches_end_when_the_store_closes,
            }
            compaction {
                old_history_goes_and_the_present_stays,
                below_the_floor_is_expired_and_above_is_whole,
                each_resource_ages_at_its_own_pace,
                a_watch_that_still_reads_old_history_is_told_that_it_is_gone,
                floors_survive_reopening,
                of_more_history_than_fits_the_oldest_goes,
                history_waits_for_a_reader_who_is_behind,
                the_log_is_read_on_in_order,
            }
            archive {
                what_is_archived_is_gone_and_its_last_state_can_be_found,
                an_archived_name_can_be_used_again_and_both_are_found,
                a_refused_archiving_leaves_nothing_in_the_archive,
                the_archive_is_read_newest_first_and_in_pages,
            }
            audit {
                what_leaves_history_is_told_with_what_was_before_it,
                what_is_written_every_few_seconds_is_not_kept,
                the_audit_forgets_after_its_time_what_has_ended,
                changes_are_found_by_object_actor_namespace_and_time,
                a_long_search_comes_in_pieces_and_misses_nothing,
                requests_are_noted_and_found_and_forgotten,
            }
            moments {
                each_moment_has_the_state_it_had,
                a_quiet_time_after_the_floor_can_be_told,
                a_moment_that_is_gone_is_told_with_the_oldest_that_is_there,
                what_was_removed_for_its_size_is_not_told_wrongly,
            }
            model {
                random_use_agrees_with_a_simple_model,
            }
        }
    )* };
}

contract! { memory sqlite postgres }

// What holds between the processes that share one log.
holds_for! { shared_postgres:
    replicas {
        what_one_has_acknowledged_every_other_reads,
        an_object_is_created_once_whoever_asks,
        of_many_rivals_on_all_replicas_one_wins,
        a_guard_holds_against_what_another_has_written,
        a_watch_sees_what_all_write_in_one_order,
        a_watch_resumes_on_another_replica_without_gap_or_double,
        a_list_is_continued_on_another_replica,
        history_that_one_has_removed_is_gone_for_all,
        two_compact_at_the_same_time,
        a_bookmark_follows_what_others_write,
    }
}

/// Lets the suite name `Fixture` without each module importing it from two levels up.
pub(crate) type On = Fixture;
