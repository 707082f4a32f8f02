//! The list of all cases, in one place: the registry and the tests of every backend are made from it.

use futures_util::future::LocalBoxFuture;

use crate::harness::Harness;

/// Begins a case at a fresh place.
pub(crate) type Start = fn() -> LocalBoxFuture<'static, ()>;

/// One claim of the contract, to be checked against the stores of one harness.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The clause and the claim.
    pub name: &'static str,
    pub(crate) start: Start,
}

/// Every case, for the stores of `H`.
pub fn cases<H: Harness>() -> Vec<Case> {
    crate::each_case!(registry H)
}

/// Makes one named `#[test]` of every case, for the stores of a [`Harness`].
#[macro_export]
macro_rules! suite {
    ($harness:ty) => {
        $crate::each_case!(tests $harness);
    };
}

/// The list: the cases by clause.
#[doc(hidden)]
#[macro_export]
macro_rules! each_case {
    ($what:ident $harness:ty) => {
        $crate::expand_cases! { $what $harness;
            model {
                every_clause_random_histories_agree_with_the_model
            }
            order {
                c1_1_ids_increase_in_the_order_of_appends
                c1_2_a_tailing_reader_misses_nothing_of_many_writers
                c1_2_a_tailing_reader_misses_nothing_of_two_openings
                c1_2_a_stalled_append_does_not_arrive_late
                c1_2_an_aborted_append_leaves_neither_entry_nor_gap
                c1_3_ids_are_dense_from_one
                c1_3_each_stream_counts_for_itself
                c1_3_ids_stay_dense_under_many_writers
                c1_3_duplicates_use_up_no_id
                c1_3_failed_appends_use_up_no_id
                c1_4_a_trimmed_id_is_never_given_out_again
                c1_4_a_trimmed_id_is_not_given_out_after_a_reopen
                c1_4_an_id_lost_to_retention_is_never_given_out_again
            }
            append {
                c2_1_a_batch_is_adjacent_under_many_writers
                c2_1_a_racing_reader_sees_whole_batches
                c2_1_streams_appended_as_one_are_seen_as_one
                c2_1_append_many_answers_each_batch
                c2_1_one_conflict_fails_all_streams
                c2_1_append_many_checks_each_condition
                c2_1_append_many_refuses_a_stream_named_twice
                c2_1_append_many_passes_over_empty_batches
                c2_1_append_many_does_not_deadlock
                c2_1_append_many_of_two_openings_does_not_deadlock
                c2_2_answers_are_in_the_order_of_the_batch
                c2_2_an_empty_batch_touches_nothing
                c2_3_the_receipt_tells_the_durability
                c2_5_a_cancelled_append_is_whole_or_absent
                c2_5_cancelled_appends_leave_other_writers_alone
                c2_5_a_cancelled_append_many_is_whole_or_absent
                c2_5_a_cancelled_change_is_whole_or_absent
                c2_6_a_store_is_usable_after_refusals
                c2_a_store_works_as_an_object
            }
            dedup {
                c3_1_a_key_is_stored_once
                c3_1_a_key_is_stored_once_within_a_batch
                c3_1_a_mixed_batch_is_answered_entry_by_entry
                c3_1_racing_equal_keys_are_stored_once
                c3_1_racing_equal_keys_of_two_openings_are_stored_once
                c3_1_keys_in_opposite_orders_do_not_deadlock
                c3_1_keys_in_opposite_orders_of_two_openings_do_not_deadlock
                c3_1_a_key_belongs_to_its_stream
                c3_1_similar_keys_are_different
                c3_1_an_empty_key_is_kept_but_is_no_key
                c3_2_a_repeat_writes_nothing
                c3_2_a_repeat_is_not_followed
                c3_2_a_repeat_is_known_after_a_reopen
                c3_3_a_trim_forgets_its_keys_only
                c3_3_retention_forgets_its_keys
                c3_3_an_expired_key_can_be_used_again
                c3_3_taking_over_an_expired_key_harms_no_neighbour
                c3_3_a_purged_key_can_be_used_again
            }
            conditions {
                c4_1_a_newer_match_is_in_the_way
                c4_1_a_cursor_beyond_the_head_holds
                c4_1_without_a_cursor_any_match_is_in_the_way
                c4_1_a_condition_takes_every_filter
                c4_1_an_empty_stream_is_new_or_trimmed
                c4_1_the_head_is_exact
                c4_1_the_last_of_an_order_key_is_exact
                c4_1_an_order_key_may_be_expected_absent
                c4_1_a_trimmed_anchor_is_believed
                c4_1_expired_entries_are_in_nobodys_way
                c4_1_conditions_see_changed_tags
                c4_1_one_racer_wins_each_round
                c4_1_one_racer_of_two_openings_wins_each_round
                c4_2_a_conflict_writes_nothing
                c4_2_a_conflict_creates_no_stream
                c4_2_a_conflict_names_the_newest_in_the_way
                c4_2_a_conflict_leaves_its_neighbours_alone
                c4_3_a_retry_succeeds_whatever_its_condition
                c4_3_a_partly_new_batch_is_held_to_its_condition
                c4_3_a_repeated_batch_among_several_passes
            }
            read {
                c5_1_a_page_begins_behind_its_cursor
                c5_1_a_page_ends_before_its_cursor
                c5_1_descending_begins_at_the_newest
                c5_1_cursors_that_cross_choose_nothing
                c5_1_extreme_cursors_are_ordinary
                c5_1_a_page_keeps_to_its_limit
                c5_1_a_page_holds_a_hundred_by_default
                c5_1_a_zero_limit_is_refused
                c5_1_filters_choose_ascending
                c5_1_filters_choose_descending
                c5_1_filters_tell_empty_from_absent
                c5_1_since_chooses_by_time
                c5_1_all_options_hold_together
                c5_1_pages_continue_without_gap_or_repeat
                c5_1_reading_creates_no_stream
                c5_2_a_page_tells_the_head
                c5_2_a_trimmed_stream_keeps_its_head
                c5_2_a_page_is_of_one_state
                c5_3_entries_are_stamped_by_the_stores_clock
                c5_3_a_clock_set_back_is_not_followed
                c5_3_time_does_not_step_back_over_a_reopen_or_a_trim
            }
            fields {
                c5_4_every_field_comes_back
                c5_4_empty_is_told_from_absent
                c5_4_payloads_come_back_byte_for_byte
                c5_4_json_comes_back_byte_for_byte
                c5_4_content_types_come_back
                c5_4_extreme_versions_and_times_come_back
                c5_4_times_before_the_epoch_come_back
                c5_4_hostile_text_comes_back
                c5_4_hostile_text_is_found_by_filter
                c5_4_many_tags_and_pairs_come_back
            }
            expiry {
                c5_5_an_expired_entry_is_not_returned
                c5_5_an_expired_entry_keeps_its_id
                c5_5_an_entry_may_be_born_expired
                c5_5_expired_entries_do_not_fill_a_page
                c5_5_tombstones_account_for_every_id
                c5_5_tombstones_are_chosen_by_cursor_only
                c5_5_tombstones_are_chosen_by_time
                c5_5_a_purge_erases_what_has_expired
                c5_5_what_was_purged_does_not_come_back
                c5_5_purging_creates_no_stream
            }
            trim {
                c6_1_a_trim_removes_through_its_id
                c6_1_a_trim_may_be_repeated
                c6_1_a_trim_beyond_the_head_keeps_the_head
                c6_1_a_trim_before_the_first_removes_nothing
                c6_1_a_trim_concerns_its_stream_only
                c6_1_a_trim_survives_a_reopen
                c6_1_stat_counts
                c6_1_stat_counts_what_has_expired
                c6_2_retention_by_count_keeps_the_newest
                c6_2_retention_by_age_keeps_the_young
                c6_2_retention_by_bytes_removes_the_oldest
                c6_2_every_bound_of_a_retention_counts
                c6_2_a_retention_without_a_bound_is_refused
                c6_2_retention_creates_no_stream
            }
            marks {
                c7_tags_are_replaced
                c7_filters_see_changed_tags
                c7_annotations_are_merged
                c7_marks_stamp_updated_at
                c7_marks_change_nothing_else
                c7_marks_need_an_entry
                c7_expired_entries_cannot_be_marked
                c7_an_append_only_store_refuses_marks
                c7_marks_survive_a_reopen
                c7_hostile_marks_come_back
                c7_racing_annotations_all_remain
            }
            streams {
                c8_streams_are_listed_in_byte_order
                c8_lists_are_paged
                c8_a_trimmed_stream_is_not_listed
                c8_a_renamed_stream_keeps_everything
                c8_the_old_name_is_fresh
                c8_a_rename_survives_a_reopen
                c8_a_name_in_use_is_refused
                c8_a_trimmed_streams_name_is_in_use
                c8_a_name_with_checkpoints_is_in_use
                c8_an_unknown_stream_cannot_be_renamed
                c8_a_trimmed_stream_can_be_renamed
                c8_a_stream_may_be_renamed_to_itself
                c8_other_openings_see_a_rename
                c8_one_racing_rename_wins
                c8_a_rename_loses_no_racing_append
                c8_hostile_names_are_names
                c8_hostile_names_can_be_worked_with
            }
            follow {
                c9_history_is_followed_by_what_is_appended
                c9_there_is_no_seam_under_many_writers
                c9_writers_of_another_opening_are_followed
                c9_a_filter_chooses_what_is_followed
                c9_a_stream_may_be_followed_before_it_exists
                c9_dropped_followers_are_forgotten
                c9_a_wait_for_the_past_returns
                c9_a_wait_ends_with_an_append
                c9_a_wait_ends_with_an_append_of_another_opening
                c9_all_waits_end
                c9_reads_that_nobody_polls_hold_up_nobody
                c9_walks_may_append_as_they_go
            }
            checkpoints {
                c10_a_checkpoint_is_loaded_as_saved
                c10_a_stale_save_is_refused
                c10_a_save_of_the_absent_is_refused
                c10_revisions_grow
                c10_one_racing_save_wins_each_round
                c10_one_racing_save_of_two_openings_wins
                c10_a_stale_deletion_is_refused
                c10_a_revision_is_never_used_again
                c10_checkpoints_survive_a_reopen
                c10_checkpoints_survive_a_trim
                c10_a_checkpoint_needs_no_stream
                c10_a_checkpoint_belongs_to_its_stream
                c10_checkpoints_are_listed
                c10_hostile_names_are_names
            }
            life {
                c11_a_reopened_store_holds_everything
                c11_a_store_may_be_dropped_without_a_close
                c11_a_store_may_be_reopened_often
                c11_a_closed_store_says_so
                c11_capabilities_are_told_after_a_close
                c11_a_close_wakes_who_waits
                c11_a_close_settles_what_was_begun
                c11_two_openings_hold_one_store
                c11_two_openings_agree_on_time
                c11_a_close_leaves_other_openings_open
                c11_health_touches_nothing
            }
            limits {
                c2_4_payloads_have_a_limit
                c2_4_kinds_have_a_limit
                c2_4_order_keys_have_a_limit
                c2_4_dedup_keys_have_a_limit
                c2_4_content_types_have_a_limit
                c2_4_a_tag_has_a_limit
                c2_4_tags_together_have_a_limit
                c2_4_metadata_has_a_limit
                c2_4_limits_count_bytes
                c2_4_batches_have_a_most_of_entries
                c2_4_batches_have_a_most_of_bytes
                c2_4_filters_have_limits
                c2_4_marks_have_limits
                c2_4_merged_annotations_have_a_limit
                c2_4_checkpoints_have_a_limit
                c2_4_names_have_limits
                c2_4_schema_version_zero_is_refused
                c2_4_limits_come_first
                c2_4_the_default_limits_are_real
                c2_4_the_largest_batch_is_taken
                c2_4_a_batch_of_too_many_bytes_is_refused
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! expand_cases {
    (tests $harness:ty; $($room:ident { $($case:ident)* })*) => {
        $($(
            #[test]
            fn $case() {
                $crate::run::<$harness>(stringify!($case));
            }
        )*)*
    };
    (registry $harness:ty; $($room:ident { $($case:ident)* })*) => {
        vec![$($(
            $crate::Case {
                name: stringify!($case),
                start: || Box::pin(async {
                    $crate::cases::$room::$case($crate::place::Place::fresh::<$harness>().await).await;
                }),
            },
        )*)*]
    };
}
