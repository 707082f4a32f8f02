//! What random histories find by themselves, without a case for it.

use std::time::Duration;

use crate::caught::verdict;
use crate::faulty::{Fault, Faultless};
use crate::{
    append, checkpoints, conditions, dedup, expiry, fields, life, marks, order, read, streams, trim,
};

const CASE: &str = "every_clause_random_histories_agree_with_the_model";

/// Time to find a fault, and to cut the history down.
const LIMIT: Duration = Duration::from_secs(100);

/// Tells whether random histories find a certain fault.
type Finds = fn() -> bool;

/// Each fault with its name, and whether random histories find it.
macro_rules! faults {
    ($($fault:path),* $(,)?) => {
        [$((stringify!($fault), finds::<$fault> as Finds)),*]
    };
}

fn finds<F: Fault + Default>() -> bool {
    verdict::<F>(CASE, LIMIT).is_err()
}

/// Every fault but those of a race, and those that keep a caller waiting: a history makes one call after another.
const FAULTS: &[(&str, Finds)] = &faults![
    append::ConditionsOfManyIgnored,
    append::OneConditionForAll,
    append::OutcomesOutOfOrder,
    append::EmptyBatchesRefused,
    append::LimitsCheckedTooLate,
    append::VersionsMadeUp,
    append::OtherLimits,
    checkpoints::LastWriterWins,
    checkpoints::RevisionsStartAgain,
    checkpoints::TrimForgetsCheckpoints,
    conditions::ConditionsBeforeDedup,
    conditions::OneDuplicateIsEnough,
    conditions::ConflictsNameTheOldest,
    conditions::ConditionsNeverExact,
    conditions::AnchorsMustBeThere,
    conditions::ConditionsByOrderKeyOnly,
    dedup::RepeatsStored,
    dedup::RepeatsAnsweredWithTheHead,
    dedup::KeysNeverForgotten,
    dedup::EmptyKeysAreKeys,
    dedup::KeysWithoutCase,
    dedup::RepeatsTouchTheirEntry,
    expiry::NothingExpires,
    expiry::NoTombstones,
    expiry::PurgeDoesNothing,
    fields::NewlineAdded,
    fields::PayloadsAreText,
    fields::JsonIsTidied,
    fields::EmptyIsAbsent,
    fields::AbsentIsEmpty,
    fields::TextEndsAtNul,
    life::ClosedStillAnswers,
    marks::AnnotationsReplaced,
    marks::DeletedKeysAreEmptied,
    marks::TagsAreAdded,
    marks::MissingEntriesMarked,
    marks::MarksUnstamped,
    marks::AppendOnlyIgnored,
    order::LateArrivals,
    order::TrimRestartsIds,
    order::RetentionRestartsIds,
    order::ReopenRestartsIds,
    order::DuplicatesUseUpIds,
    order::ConflictsUseUpIds,
    read::AfterIsInclusive,
    read::BeforeIsInclusive,
    read::CursorsHaveASign,
    read::LimitIgnored,
    read::ZeroLimitAccepted,
    read::FilterIgnoredDescending,
    read::FilterAfterLimit,
    read::SinceIsExclusive,
    read::PagesEndTooEarly,
    read::HeadIsTheLastFound,
    read::TimeGoesBack,
    streams::ListedByAge,
    streams::ListedOnceMore,
    streams::TrimmedAreListed,
    streams::RenameOverwrites,
    streams::RenameLosesCheckpoints,
    trim::TrimsOneTooMany,
    trim::TrimsAreMiscounted,
    trim::HeadGoesWithTheEntries,
    trim::StatForgetsTheExpired,
    trim::RetainsOneTooFew,
    trim::OneBoundCounts,
    trim::RetentionWithoutBounds,
];

#[test]
fn random_histories_accept_a_store_that_is_right() {
    assert_eq!(verdict::<Faultless>(CASE, LIMIT), Ok(()));
}

/// The share leaves room for rare faults, which not every run meets.
#[test]
fn random_histories_find_three_faults_in_four() {
    let missed: Vec<_> = FAULTS
        .iter()
        .filter(|(_, finds)| !finds())
        .map(|(name, _)| name)
        .collect();
    assert!(
        missed.len() * 4 <= FAULTS.len(),
        "{} of {} faults were missed: {missed:?}",
        missed.len(),
        FAULTS.len()
    );
}
