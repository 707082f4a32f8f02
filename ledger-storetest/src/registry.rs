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
                c2_2_answers_are_in_the_order_of_the_batch
                c2_2_an_empty_batch_touches_nothing
                c2_3_the_receipt_tells_the_durability
                c2_5_a_cancelled_append_is_whole_or_absent
                c2_5_cancelled_appends_leave_other_writers_alone
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
                c3_1_a_key_belongs_to_its_stream
                c3_1_similar_keys_are_different
                c3_1_an_empty_key_is_kept_but_is_no_key
                c3_2_a_repeat_writes_nothing
                c3_2_a_repeat_is_not_followed
                c3_2_a_repeat_is_known_after_a_reopen
                c3_3_a_trim_forgets_its_keys_only
                c3_3_retention_forgets_its_keys
                c3_3_an_expired_key_can_be_used_again
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
