//! Known mistakes, planted by the tests to prove that they would be found.
//!
//! Where the code must not make one of these mistakes, it asks [`is_planted`]. Outside of tests the answer is a constant
//! `false`, and nothing is left of the question. docs/RELIABILITY.md tells which test finds which.

/// A mistake that a log can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mistake {
    /// An answer is given before what it rests on was synced.
    AcknowledgedBeforeSync,
    /// A duplicate or conflict that rests on pending entries does not wait for them.
    DuplicateNotWaitedFor,
    /// Readers see what is not durable yet.
    VisibleBeforeDurable,
    /// A stream is remembered as it was before what was written while somebody looked it up.
    OldStateRemembered,
    /// Whoever verifies looks at the end of the log after each segment, and not before all of them.
    EndLookedAtLater,
    /// A stream that two look up at once is remembered twice.
    TwoSlots,
    /// Nobody wakes those who sleep until a group is over.
    WakeForgotten,
    /// A group is written while the one before it still is.
    GroupBeforeNotWaitedFor,
    /// A sync that failed is made again, and believed.
    SyncRetried,
    /// A short write is taken for a whole one.
    ShortWriteIgnored,
    /// What a full disk took of a frame stays where it is, and the next frame goes behind it.
    PartialWriteNotCut,
    /// The directory is not synced when a segment is made.
    SegmentNameNotSynced,
    /// A new segment's header is not synced before the manifest lists it.
    SegmentHeaderNotSynced,
    /// A full segment is listed as synced without having been synced.
    SealedNotSynced,
    /// The manifest is renamed into place without having been synced.
    ManifestNotSynced,
    /// The directory is not synced after the manifest was renamed into place.
    ManifestNameNotSynced,
    /// A dead segment is removed before the manifest stops listing it.
    RemovedBeforeManifest,
    /// The plain file of a segment is removed before the manifest lists the packed one.
    PlainRemovedBeforeManifest,
    /// A packed segment is not synced before the manifest lists it.
    PackedNotSynced,
    /// The directory is not synced when a packed segment is made.
    PackedNameNotSynced,
    /// What is alive in a dead segment is not carried forward.
    CarryForgotten,
    /// What is carried forward is not synced before its old place goes.
    CarryNotSynced,
    /// The stage's slot moves on before what it held is in the segment.
    StageSwitchedBeforeFlush,
    /// After a cut, the stage still holds what was cut.
    StageKeptAfterCut,
    /// What is staged is not replayed.
    StageNotReplayed,
    /// Recovery serves before what it read is synced.
    RecoveredNotSynced,
    /// Readers are not told that a sync has failed.
    FailedSyncNotTold,
    /// Readers are told the end that a killed writer had told while the log is opened again.
    EndNotHidden,
    /// A reader shows what a killed writer left before it is synced.
    LeftNotSynced,
    /// A reader believes what it read without a place to stop at, though somebody has begun to write meanwhile.
    NotLookedAgain,
    /// Who tidies up goes on in a log that was closed.
    TidiedWhenClosed,
    /// A log is let go while somebody still writes to it, because a sync has failed.
    FlushNotWaitedFor,
    /// A reader makes a sync that failed once more, and believes it.
    ReadersSyncRetried,
    /// Readers are not told that a sync of what is opened again has failed.
    FailedOpeningNotTold,
    /// Recovery syncs what it read without writing it again: a sync that had failed before leaves nothing to do.
    RecoveredNotWrittenAgain,
    /// A new set of dedup keys answers for what was appended before it began.
    OlderKeysForgotten,
    /// A set of dedup keys begins without those of the active index.
    ActiveKeysForgotten,
    /// There is room for the dedup keys of a batch before it is looked at, and not for the whole append.
    RoomForOneBatch,
    /// A sync of zeroes ahead of the writer fails, and nobody is told.
    ZeroesSyncPassedOver,
    /// A sync of a full segment that failed is made again, and believed.
    SealedSyncRetried,
    /// Recovery serves before its cut is synced.
    CutNotSynced,
    /// What lies behind the end stays there.
    TailNotCut,
    /// A bad frame ends the log whatever later frames claim.
    ClaimIgnored,
    /// Zeroes are written without regard to what is there already.
    ZeroesOverFrames,
    /// A read error ends the log.
    ReadErrorIsTheEnd,
    /// A segment that is missing is passed over.
    MissingSegmentPassedOver,
    /// A segment that is shorter than it was is taken as it is.
    ShortSegmentAccepted,
    /// The checksum of a frame is not looked at.
    ChecksumIgnored,
    /// The checksum does not cover where the frame lies.
    ChecksumWithoutPosition,
    /// The checksum does not cover the segment's generation.
    ChecksumWithoutGeneration,
    /// What an index answers is not checked against the log.
    IndexTrusted,
    /// The checksums of index files are not looked at.
    IndexChecksumIgnored,
    /// An index file of another generation or range is taken.
    IndexOriginIgnored,
    /// Dedup keys that were read again after a crash are not indexed.
    DedupNotRebuilt,
    /// The clock is believed when it steps back.
    ClockTrusted,
    /// A trim is undone by what is read again after it.
    RemovalsNotRebuilt,
    /// A stream is forgotten while its last commits are under way.
    UnderWayForgotten,
    /// What was remembered of streams is believed wherever the log ends.
    StaleStreamsBelieved,
}

/// Tells whether the calling thread's test has planted `mistake`.
#[cfg(not(test))]
#[inline(always)]
pub(crate) const fn is_planted(_: Mistake) -> bool {
    false
}

#[cfg(test)]
pub(crate) use planting::{is_planted, with};

#[cfg(test)]
mod planting {
    use std::cell::Cell;

    use super::Mistake;

    thread_local! {
        static PLANTED: Cell<Option<Mistake>> = const { Cell::new(None) };
    }

    /// Tells whether the calling thread's test has planted `mistake`.
    pub(crate) fn is_planted(mistake: Mistake) -> bool {
        PLANTED.get() == Some(mistake)
    }

    /// Runs `f` with `mistake` planted, in this thread only.
    pub(crate) fn with<T>(mistake: Mistake, f: impl FnOnce() -> T) -> T {
        let _clear = Clear;
        PLANTED.set(Some(mistake));
        f()
    }

    /// Takes the mistake out again, also if the test fails.
    struct Clear;

    impl Drop for Clear {
        fn drop(&mut self) {
            PLANTED.set(None);
        }
    }
}
