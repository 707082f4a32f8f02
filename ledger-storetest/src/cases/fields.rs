//! Fields (C5.4): everything comes back exactly as it was written.

use ledger_core::{ContentType, Entry, Filter, NewEntry, Payload, Timestamp};

use crate::fixture::{Log, at, clock, entry, everything, keyed, texts};
use crate::harness::Setup;
use crate::hostile;
use crate::place::Place;

/// An entry with something in each of its fields.
fn full() -> NewEntry {
    NewEntry::new(Payload::json(r#"{"b": 1, "a": [2.0, null]}"#))
        .kind("Placed")
        .order_key("o-1")
        .dedup_key("evt-1")
        .schema_version(7)
        .metadata("user", "ann")
        .metadata("trace", "")
        .tag("urgent")
        .tag("b")
        .expires_at(at(1_000_001))
}

/// C5.4: every field comes back, from this opening and from a later one.
pub(crate) async fn c5_4_every_field_comes_back(place: Place) {
    let setup = || Setup::default().with_clock(clock());
    let log = place.log_with(setup(), "orders").await;
    let id = log.append_one(full()).await;
    let expected = Entry::recorded(id, "orders".into(), at(0), full());
    assert_eq!(log.get(id).await, expected);
    log.close().await;
    assert_eq!(
        place.log_with(setup(), "orders").await.entries().await,
        [expected]
    );
}

/// C5.4: an absent field is absent, an empty one empty.
pub(crate) async fn c5_4_empty_is_told_from_absent(place: Place) {
    let log = place.log("orders").await;
    let empty = NewEntry::new(Payload::octets(""))
        .kind("")
        .order_key("")
        .dedup_key("")
        .tag("")
        .metadata("", "");
    let bare = NewEntry::new(Payload::octets(""));
    log.append([empty.clone(), bare.clone()]).await;
    assert_written(&log, &[empty, bare]).await;
}

/// C5.4: payloads of every byte value, and of none.
pub(crate) async fn c5_4_payloads_come_back_byte_for_byte(place: Place) {
    let all_bytes: Vec<u8> = (0..=255).collect();
    let payloads = [
        Vec::new(),
        vec![0],
        all_bytes.clone(),
        all_bytes.repeat(1_000),
        vec![0xff; 3],
    ];
    let log = place.log("orders").await;
    let written = payloads.map(|bytes| NewEntry::new(Payload::octets(bytes)));
    log.append(written.clone()).await;
    assert_written(&log, &written).await;
}

/// C5.4: JSON comes back byte for byte, however unusual, and also if it is none.
pub(crate) async fn c5_4_json_comes_back_byte_for_byte(place: Place) {
    let log = place.log("orders").await;
    let written: Vec<_> = UNUSUAL_JSON
        .iter()
        .map(|text| NewEntry::new(Payload::json(*text)))
        .collect();
    log.append(written.clone()).await;
    assert_written(&log, &written).await;
}

const UNUSUAL_JSON: &[&[u8]] = &[
    b"{\"b\":1,\"a\":2}",
    b" { \"a\" :\t1 ,\r\n\"b\" : [ ] } \n",
    br#"{"a":1,"a":2}"#,
    b"123456789012345678901234567890",
    b"1.0",
    b"1.00e+2",
    b"-0",
    b"0.1000000000000000055511151231257827",
    b"1e400",
    b"null",
    b"\"\"",
    br#""\u0000\u00e9\ud83e\udd80\/""#,
    br#""\ud800""#,
    br#"{"":{"$a.b":0}}"#,
    b"[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]",
    b"",
    b"{",
    b"not json",
    b"\"\xff\xfe\"",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf{}",
    b"\0",
];

/// C5.4: content types come back as they were, known or not.
pub(crate) async fn c5_4_content_types_come_back(place: Place) {
    let log = place.log("orders").await;
    let names = [
        "application/json",
        "application/octet-stream",
        "APPLICATION/JSON",
        "x",
        "",
        "text/plain; charset=\"\u{e9}\"",
    ];
    let written =
        names.map(|name| NewEntry::new(Payload::new("{}", ContentType::from(name.to_owned()))));
    log.append(written.clone()).await;
    assert_written(&log, &written).await;
}

/// C5.4: numbers and times come back from the ends of their range.
pub(crate) async fn c5_4_extreme_versions_and_times_come_back(place: Place) {
    let log = place
        .log_with(Setup::default().with_clock(clock()), "orders")
        .await;
    let written = [
        entry("a").schema_version(u32::MAX),
        entry("b").schema_version(1 << 31),
        entry("c").expires_at(Timestamp::from_micros(i64::MAX)),
        entry("d").expires_at(at(1)),
    ];
    log.append(written.clone()).await;
    assert_written(&log, &written).await;
}

/// C5.4: a clock before 1970 is a clock.
pub(crate) async fn c5_4_times_before_the_epoch_come_back(place: Place) {
    let clock = clock();
    clock.set(Timestamp::from_micros(-1));
    let log = place
        .log_with(Setup::default().with_clock(clock), "orders")
        .await;
    log.append_one(entry("a").expires_at(Timestamp::from_micros(0)))
        .await;
    let found = log.entries().await;
    assert_eq!(found[0].recorded_at.as_micros(), -1);
    assert_eq!(found[0].expires_at, Some(Timestamp::from_micros(0)));
}

/// C5.4: hostile text comes back from every field.
pub(crate) async fn c5_4_hostile_text_comes_back(place: Place) {
    let log = place.log("orders").await;
    let written: Vec<_> = hostile::texts()
        .iter()
        .map(|text| hostile_entry(text))
        .collect();
    log.append(written.clone()).await;
    assert_written(&log, &written).await;
}

/// C5.4: and is found again by filter, itself and nothing else.
pub(crate) async fn c5_4_hostile_text_is_found_by_filter(place: Place) {
    let log = place.log("orders").await;
    log.append(hostile::texts().iter().map(|text| hostile_entry(text)))
        .await;
    for text in &hostile::texts() {
        let filters = [
            Filter::new().order_key(text),
            Filter::new().kind(text),
            Filter::new().tag(text),
            Filter::new().metadata(text, text),
        ];
        for filter in filters {
            let found = log.read(everything().filter(filter.clone())).await.entries;
            assert_eq!(texts(&found), [text.as_str()], "{filter:?}");
        }
    }
}

fn hostile_entry(text: &str) -> NewEntry {
    keyed(text)
        .kind(text)
        .order_key(text)
        .tag(text)
        .metadata(text, text)
}

/// C5.4: many tags and many pairs come back, all of them.
pub(crate) async fn c5_4_many_tags_and_pairs_come_back(place: Place) {
    let log = place.log("orders").await;
    let mut new = entry("a");
    for n in 0..200 {
        new = new
            .tag(format!("tag {n}"))
            .metadata(format!("key {n}"), format!("value {n}"));
    }
    log.append([new.clone()]).await;
    assert_written(&log, &[new]).await;
}

/// The stream holds what was written, field by field.
async fn assert_written(log: &Log, written: &[NewEntry]) {
    let found = log.entries().await;
    assert_eq!(found.len(), written.len());
    for (found, written) in found.into_iter().zip(written) {
        let bytes = found.value.bytes.clone();
        assert_eq!(bytes, written.value.bytes, "the bytes of a payload changed");
        let expected = Entry::recorded(
            found.id,
            log.name.clone(),
            found.recorded_at,
            written.clone(),
        );
        assert_eq!(found, expected);
    }
}
