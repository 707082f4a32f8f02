//! Stores that give back something else than they were given (C5.4).

use ledger_core::{Batch, Bytes, NewEntry, Page};

use crate::caught::assert_caught;
use crate::faulty::Fault;

fn change(mut batch: Batch<u64>, change: impl FnMut(&mut NewEntry)) -> Batch<u64> {
    batch.entries.iter_mut().for_each(change);
    batch
}

/// Payloads are kept as lines.
#[derive(Default)]
pub(crate) struct NewlineAdded;

impl Fault for NewlineAdded {
    fn batch(&self, batch: Batch<u64>) -> Batch<u64> {
        change(batch, |new| {
            new.value.bytes = [new.value.bytes.as_ref(), b"\n"].concat().into()
        })
    }
}

#[test]
fn a_payload_with_a_newline_added_is_caught() {
    assert_caught::<NewlineAdded>("c5_4_payloads_come_back_byte_for_byte");
}

/// Payloads are kept as text.
#[derive(Default)]
pub(crate) struct PayloadsAreText;

impl Fault for PayloadsAreText {
    fn batch(&self, batch: Batch<u64>) -> Batch<u64> {
        change(batch, |new| {
            new.value.bytes = Bytes::from(String::from_utf8_lossy(&new.value.bytes).into_owned());
        })
    }
}

#[test]
fn a_payload_turned_into_text_is_caught() {
    assert_caught::<PayloadsAreText>("c5_4_payloads_come_back_byte_for_byte");
}

/// JSON is written as the database likes it.
#[derive(Default)]
pub(crate) struct JsonIsTidied;

impl Fault for JsonIsTidied {
    fn batch(&self, batch: Batch<u64>) -> Batch<u64> {
        change(batch, |new| {
            let tidy = new
                .value
                .bytes
                .iter()
                .copied()
                .filter(|byte| !byte.is_ascii_whitespace());
            new.value.bytes = tidy.collect();
        })
    }
}

#[test]
fn json_that_is_tidied_is_caught() {
    assert_caught::<JsonIsTidied>("c5_4_json_comes_back_byte_for_byte");
}

/// What is empty is not stored.
#[derive(Default)]
pub(crate) struct EmptyIsAbsent;

impl Fault for EmptyIsAbsent {
    fn batch(&self, batch: Batch<u64>) -> Batch<u64> {
        change(batch, |new| {
            for key in [&mut new.kind, &mut new.order_key, &mut new.dedup_key] {
                *key = key.take().filter(|key| !key.is_empty());
            }
        })
    }
}

#[test]
fn empty_taken_for_absent_is_caught() {
    assert_caught::<EmptyIsAbsent>("c5_4_empty_is_told_from_absent");
}

/// What is absent comes back as empty.
#[derive(Default)]
pub(crate) struct AbsentIsEmpty;

impl Fault for AbsentIsEmpty {
    fn page(&self, mut page: Page<u64>) -> Page<u64> {
        for entry in &mut page.entries {
            entry.kind.get_or_insert_default();
        }
        page
    }
}

#[test]
fn absent_taken_for_empty_is_caught() {
    assert_caught::<AbsentIsEmpty>("c5_4_empty_is_told_from_absent");
}

/// Text ends at its first NUL, as in C.
#[derive(Default)]
pub(crate) struct TextEndsAtNul;

impl Fault for TextEndsAtNul {
    fn batch(&self, batch: Batch<u64>) -> Batch<u64> {
        change(batch, |new| {
            for key in [&mut new.kind, &mut new.order_key].into_iter().flatten() {
                key.truncate(key.find('\0').unwrap_or(key.len()));
            }
        })
    }
}

#[test]
fn text_cut_at_a_nul_is_caught() {
    assert_caught::<TextEndsAtNul>("c5_4_hostile_text_comes_back");
}
