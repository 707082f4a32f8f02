//! Stores that read past what was asked for, or tell another moment's head (C5.1 to C5.3).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ledger_core::{
    Batch, Clock, Direction, Filter, MemoryStore, Page, ReadOptions, Receipt, Result, Store,
    StreamName, SystemClock, Timestamp, async_trait,
};
use ledger_storetest::Setup;

use crate::caught::assert_caught;
use crate::faulty::{Fault, lock};
use crate::moment::Moment;

/// The entry at the cursor is read once more.
#[derive(Default)]
pub(crate) struct AfterIsInclusive;

impl Fault for AfterIsInclusive {
    fn options(&self, mut options: ReadOptions<u64>) -> ReadOptions<u64> {
        options.after = options.after.map(|id| id.saturating_sub(1));
        options
    }
}

#[test]
fn an_inclusive_after_is_caught() {
    assert_caught::<AfterIsInclusive>("c5_1_a_page_begins_behind_its_cursor");
}

/// The entry at the upper cursor is read too.
#[derive(Default)]
pub(crate) struct BeforeIsInclusive;

impl Fault for BeforeIsInclusive {
    fn options(&self, mut options: ReadOptions<u64>) -> ReadOptions<u64> {
        options.before = options.before.map(|id| id.saturating_add(1));
        options
    }
}

#[test]
fn an_inclusive_before_is_caught() {
    assert_caught::<BeforeIsInclusive>("c5_1_a_page_ends_before_its_cursor");
}

/// Cursors are taken for numbers with a sign.
#[derive(Default)]
pub(crate) struct CursorsHaveASign;

impl Fault for CursorsHaveASign {
    fn options(&self, mut options: ReadOptions<u64>) -> ReadOptions<u64> {
        options.before = options
            .before
            .map(|id| id.cast_signed().max(0).cast_unsigned());
        options
    }
}

#[test]
fn cursors_cut_to_another_type_are_caught() {
    assert_caught::<CursorsHaveASign>("c5_1_extreme_cursors_are_ordinary");
}

/// A page holds whatever there is.
#[derive(Default)]
pub(crate) struct LimitIgnored;

impl Fault for LimitIgnored {
    fn options(&self, mut options: ReadOptions<u64>) -> ReadOptions<u64> {
        if options.limit > 0 {
            options.limit = usize::MAX;
        }
        options
    }
}

#[test]
fn a_limit_that_is_ignored_is_caught() {
    assert_caught::<LimitIgnored>("c5_1_a_page_keeps_to_its_limit");
}

/// A limit of zero is a page of one.
#[derive(Default)]
pub(crate) struct ZeroLimitAccepted;

impl Fault for ZeroLimitAccepted {
    fn options(&self, mut options: ReadOptions<u64>) -> ReadOptions<u64> {
        options.limit = options.limit.max(1);
        options
    }
}

#[test]
fn a_zero_limit_that_is_accepted_is_caught() {
    assert_caught::<ZeroLimitAccepted>("c5_1_a_zero_limit_is_refused");
}

/// The filter counts on the way up only.
#[derive(Default)]
pub(crate) struct FilterIgnoredDescending;

impl Fault for FilterIgnoredDescending {
    fn options(&self, mut options: ReadOptions<u64>) -> ReadOptions<u64> {
        if options.direction == Direction::Descending {
            options.filter = Filter::new();
        }
        options
    }
}

#[test]
fn a_filter_ignored_when_descending_is_caught() {
    assert_caught::<FilterIgnoredDescending>("c5_1_filters_choose_descending");
}

/// The page is cut first, and filtered then.
#[derive(Default)]
pub(crate) struct FilterAfterLimit;

#[async_trait]
impl Fault for FilterAfterLimit {
    async fn read(
        &self,
        store: &MemoryStore,
        stream: &StreamName,
        options: &ReadOptions<u64>,
    ) -> Result<Page<u64>> {
        let mut page = store
            .read(stream, &options.clone().filter(Filter::new()))
            .await?;
        page.entries.retain(|entry| options.filter.matches(entry));
        Ok(page)
    }
}

#[test]
fn a_page_cut_before_it_is_filtered_is_caught() {
    assert_caught::<FilterAfterLimit>("c5_1_all_options_hold_together");
}

/// A time to begin at is behind what it names.
#[derive(Default)]
pub(crate) struct SinceIsExclusive;

impl Fault for SinceIsExclusive {
    fn options(&self, mut options: ReadOptions<u64>) -> ReadOptions<u64> {
        options.since = options
            .since
            .map(|time| Timestamp::from_micros(time.as_micros() + 1));
        options
    }
}

#[test]
fn an_exclusive_since_is_caught() {
    assert_caught::<SinceIsExclusive>("c5_1_since_chooses_by_time");
}

/// A full page does not say where to go on.
#[derive(Default)]
pub(crate) struct PagesEndTooEarly;

impl Fault for PagesEndTooEarly {
    fn page(&self, mut page: Page<u64>) -> Page<u64> {
        page.next = None;
        page
    }
}

#[test]
fn a_walk_that_ends_too_early_is_caught() {
    assert_caught::<PagesEndTooEarly>("c5_1_pages_continue_without_gap_or_repeat");
}

/// The head is asked for in a second step.
#[derive(Default)]
pub(crate) struct HeadOfAnotherMoment(Moment);

#[async_trait]
impl Fault for HeadOfAnotherMoment {
    async fn append(&self, store: &MemoryStore, batch: Batch<u64>) -> Result<Receipt<u64>> {
        let receipt = store.append(batch).await;
        // The two writers of the case must not let each other through before the reader comes.
        self.0.linger(self.0.pass() + 1).await;
        receipt
    }

    async fn read(
        &self,
        store: &MemoryStore,
        stream: &StreamName,
        options: &ReadOptions<u64>,
    ) -> Result<Page<u64>> {
        let passes = self.0.pass();
        let mut page = store.read(stream, options).await?;
        self.0.linger(passes).await;
        page.head = store.stat(stream).await?.head;
        Ok(page)
    }
}

#[test]
fn a_head_of_another_moment_is_caught() {
    assert_caught::<HeadOfAnotherMoment>("c5_2_a_page_is_of_one_state");
}

/// The head is the last entry found.
#[derive(Default)]
pub(crate) struct HeadIsTheLastFound;

impl Fault for HeadIsTheLastFound {
    fn page(&self, mut page: Page<u64>) -> Page<u64> {
        page.head = page.entries.iter().map(|entry| entry.id).max();
        page
    }
}

#[test]
fn a_page_that_forgets_its_head_is_caught() {
    assert_caught::<HeadIsTheLastFound>("c5_2_a_page_tells_the_head");
}

#[test]
fn a_trimmed_stream_that_forgets_its_head_is_caught() {
    assert_caught::<HeadIsTheLastFound>("c5_2_a_trimmed_stream_keeps_its_head");
}

/// Entries are stamped with whatever the clock shows.
pub(crate) struct TimeGoesBack {
    clock: Mutex<Arc<dyn Clock>>,
    stamps: Mutex<BTreeMap<(StreamName, u64), Timestamp>>,
}

impl Default for TimeGoesBack {
    fn default() -> Self {
        Self {
            clock: Mutex::new(Arc::new(SystemClock)),
            stamps: Mutex::default(),
        }
    }
}

#[async_trait]
impl Fault for TimeGoesBack {
    fn setup(&self, setup: Setup) -> Setup {
        *lock(&self.clock) = Arc::clone(&setup.clock);
        setup
    }

    async fn append(&self, store: &MemoryStore, batch: Batch<u64>) -> Result<Receipt<u64>> {
        let stream = batch.stream.clone();
        let now = lock(&self.clock).now();
        let receipt = store.append(batch).await?;
        lock(&self.stamps).extend(receipt.ids().map(|id| ((stream.clone(), id), now)));
        Ok(receipt)
    }

    fn page(&self, mut page: Page<u64>) -> Page<u64> {
        let stamps = lock(&self.stamps);
        for entry in &mut page.entries {
            entry.recorded_at = *stamps
                .get(&(entry.stream.clone(), entry.id))
                .unwrap_or(&entry.recorded_at);
        }
        page
    }
}

#[test]
fn a_clock_that_is_followed_back_is_caught() {
    assert_caught::<TimeGoesBack>("c5_3_a_clock_set_back_is_not_followed");
}
