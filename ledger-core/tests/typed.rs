//! Typed streams: what is encoded, decoded, upcast and refused above the bytes of a store.

use std::convert::Infallible;
use std::sync::Arc;

use futures_util::StreamExt;
use ledger_core::{
    Batch, BoxError, Bytes, Codec, ContentType, Entry, Error, FieldMapper, MemoryStore, NewEntry,
    Outcome, Payload, Result, Store, Stream, TreeCodec,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum OrderEvent {
    Placed { cents: u64, currency: String },
    Paid,
}

impl OrderEvent {
    fn kind(&self) -> &str {
        match self {
            Self::Placed { .. } => "Placed",
            Self::Paid => "Paid",
        }
    }
}

fn placed(cents: u64) -> OrderEvent {
    OrderEvent::Placed {
        cents,
        currency: "EUR".into(),
    }
}

/// Appends `json` as a program of schema `version` would have.
async fn append_raw(
    store: &MemoryStore,
    kind: &str,
    version: u32,
    json: &'static str,
) -> Result<()> {
    let entry = NewEntry::new(Payload::json(json))
        .kind(kind)
        .schema_version(version);
    store
        .append(Batch::new("orders", vec![entry]))
        .await
        .map(drop)
}

fn current(store: &MemoryStore) -> Stream<u64, OrderEvent> {
    Stream::builder(store.clone(), "orders")
        .schema_version(3)
        .upcast_kind(
            1,
            "Placed",
            FieldMapper::new().rename("/Placed/price", "/Placed/cents"),
        )
        .upcast(2, FieldMapper::new().default("/Placed/currency", "EUR"))
        .kind_of(OrderEvent::kind)
        .build()
        .expect("the chain is sound")
}

#[tokio::test]
async fn entries_of_every_older_version_are_read_as_the_newest() -> Result<()> {
    let store = MemoryStore::new();
    append_raw(
        &store,
        "Placed",
        1,
        r#"{"Placed":{"price":9007199254740993}}"#,
    )
    .await?;
    append_raw(
        &store,
        "Placed",
        2,
        r#"{"Placed":{"cents":18446744073709551615}}"#,
    )
    .await?;
    let orders = current(&store);
    orders.append(placed(3)).await?;
    let entries = orders.read().await?.into_entries()?;
    let values: Vec<_> = entries.iter().map(|entry| entry.value.clone()).collect();
    assert_eq!(
        values,
        [placed(9_007_199_254_740_993), placed(u64::MAX), placed(3)]
    );
    let versions: Vec<_> = entries.iter().map(|entry| entry.schema_version).collect();
    assert_eq!(
        versions,
        [1, 2, 3],
        "an entry keeps the version it was written in"
    );
    Ok(())
}

#[tokio::test]
async fn a_missing_step_is_found_when_the_stream_is_built() {
    let built = Stream::<u64, OrderEvent>::builder(MemoryStore::new(), "orders")
        .schema_version(3)
        .upcast(1, Ok::<Value, Infallible>)
        .build();
    let error = built.map(drop).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"the upcasters of stream "orders" are not sound: there is no step from version 2"#
    );
}

#[tokio::test]
async fn an_entry_of_a_newer_schema_is_refused_and_the_reader_goes_on() -> Result<()> {
    let store = MemoryStore::new();
    append_raw(&store, "Paid", 4, r#""Paid""#).await?;
    append_raw(&store, "Paid", 3, r#""Paid""#).await?;
    let entries: Vec<_> = current(&store).read().walk().collect().await;
    assert!(
        matches!(&entries[0], Err(Error::SchemaTooNew { found: 4, supported: 3, id, .. }) if id == "1")
    );
    assert!(matches!(
        &entries[1],
        Ok(Entry {
            value: OrderEvent::Paid,
            id: 2,
            ..
        })
    ));
    Ok(())
}

#[tokio::test]
async fn a_payload_that_does_not_decode_fails_with_its_id_and_reason_and_the_reader_goes_on()
-> Result<()> {
    let store = MemoryStore::new();
    append_raw(&store, "Paid", 3, r#""Paid""#).await?;
    append_raw(&store, "Paid", 3, r#"{"Refunded":{}}"#).await?;
    append_raw(&store, "Paid", 3, r#""Paid""#).await?;
    let orders = current(&store);
    let walked: Vec<_> = orders.read().walk().collect().await;
    let followed: Vec<_> = orders.follow().take(3).collect().await;
    for entries in [walked, followed, orders.read().await?.entries] {
        assert!(entries[0].is_ok() && entries[2].is_ok());
        let Err(Error::Decode { id, source, .. }) = &entries[1] else {
            panic!("{:?}", entries[1])
        };
        assert_eq!(id, "2");
        assert!(source.to_string().contains("Refunded"), "{source}");
    }
    Ok(())
}

#[tokio::test]
async fn a_failing_upcaster_names_entry_version_and_reason() -> Result<()> {
    let store = MemoryStore::new();
    append_raw(&store, "Paid", 1, r#""Paid""#).await?;
    let orders: Stream<u64, OrderEvent> = Stream::builder(store, "orders")
        .schema_version(2)
        .upcast(1, |_: Value| Err::<Value, _>("of no use"))
        .build()?;
    let page = orders.read().await?;
    let Err(Error::Upcast {
        id,
        from: 1,
        source,
        ..
    }) = &page.entries[0]
    else {
        panic!("{page:?}")
    };
    assert_eq!(
        (id.as_str(), source.to_string().as_str()),
        ("1", "of no use")
    );
    Ok(())
}

#[tokio::test]
async fn an_entry_of_another_codec_is_refused() -> Result<()> {
    let store = MemoryStore::new();
    store
        .append(Batch::new(
            "orders",
            vec![NewEntry::new(Payload::octets(&b"\"Paid\""[..]))],
        ))
        .await?;
    let page = current(&store).read().await?;
    let error = page.into_entries().unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"entry 1 of stream "orders" is application/octet-stream, not application/json"#
    );
    Ok(())
}

#[tokio::test]
async fn kinds_come_from_the_value_unless_the_entry_has_one() -> Result<()> {
    let orders = current(&MemoryStore::new());
    orders.append(OrderEvent::Paid).await?;
    orders.append(OrderEvent::Paid).kind("Settled").await?;
    orders.append_all([placed(1)]).await?;
    let entries = orders.read().await?.into_entries()?;
    let kinds: Vec<_> = entries.iter().map(|entry| entry.kind.as_deref()).collect();
    assert_eq!(kinds, [Some("Paid"), Some("Settled"), Some("Placed")]);
    assert_eq!(orders.read().kind("Paid").await?.entries.len(), 1);
    Ok(())
}

/// Decimal digits: a codec of somebody else's, without trees.
#[derive(Clone)]
struct Digits;

impl Codec<u64> for Digits {
    fn content_type(&self) -> ContentType {
        ContentType::from_static("text/x-digits")
    }
    fn encode(&self, value: &u64, buffer: &mut Vec<u8>) -> Result<(), BoxError> {
        if *value == 13 {
            return Err("superstition".into());
        }
        buffer.extend_from_slice(value.to_string().as_bytes());
        Ok(())
    }
    fn decode(&self, bytes: &[u8]) -> Result<u64, BoxError> {
        Ok(std::str::from_utf8(bytes)?.parse()?)
    }
    fn tree(&self) -> Option<&dyn TreeCodec> {
        None
    }
}

#[tokio::test]
async fn another_codec_can_be_brought_along_and_upcasts_bytes() -> Result<()> {
    let store = MemoryStore::new();
    let old = Stream::<u64, u64>::builder(store.clone(), "n")
        .codec(Digits)
        .build()?;
    old.append(7).await?;
    let new = Stream::<u64, u64>::builder(store, "n")
        .codec(Digits)
        .schema_version(2)
        .upcast_bytes(1, |digits: Bytes| {
            Ok::<_, Infallible>([&digits[..], b"00"].concat().into())
        })
        .build()?;
    new.append(8).await?;
    let values: Vec<_> = new
        .read()
        .await?
        .into_entries()?
        .into_iter()
        .map(|entry| entry.value)
        .collect();
    assert_eq!(values, [700, 8]);
    Ok(())
}

#[tokio::test]
async fn a_value_that_does_not_encode_appends_nothing_of_its_batch() -> Result<()> {
    let numbers = Stream::<u64, u64>::builder(MemoryStore::new(), "n")
        .codec(Digits)
        .build()?;
    let error = numbers.append_all([12, 13, 14]).await.unwrap_err();
    assert!(matches!(error, Error::Encode { .. }));
    assert_eq!(numbers.head().await?, None);
    Ok(())
}

#[tokio::test]
async fn streams_of_different_types_are_appended_to_as_one() -> Result<()> {
    let store: Arc<dyn Store<Id = u64>> = Arc::new(MemoryStore::new());
    let orders: Stream<u64, OrderEvent> = Stream::new(Arc::clone(&store), "orders");
    let totals: Stream<u64, u64> = Stream::new(Arc::clone(&store), "totals");
    let receipts = store
        .append_many(vec![
            orders
                .append_all([placed(1), OrderEvent::Paid])
                .into_batch()?,
            totals.append(1).dedup_key("t").into_batch()?,
        ])
        .await?;
    assert_eq!(
        receipts[0].outcomes,
        [Outcome::Appended(1), Outcome::Appended(2)]
    );
    assert_eq!(receipts[1].outcomes, [Outcome::Appended(1)]);
    Ok(())
}

#[tokio::test]
async fn a_walk_reads_page_by_page_in_both_directions() -> Result<()> {
    let numbers: Stream<u64, u64> = Stream::new(MemoryStore::new(), "n");
    numbers.append_all(0..25_u64).await?;
    for limit in [1, 7, 25, 26] {
        let up: Vec<u64> = numbers
            .read()
            .limit(limit)
            .walk()
            .map(|entry| entry.unwrap().id)
            .collect()
            .await;
        assert_eq!(up, (1..=25).collect::<Vec<_>>());
        let down = numbers.read().descending().before(21).after(3).limit(limit);
        let down: Vec<u64> = down.walk().map(|entry| entry.unwrap().id).collect().await;
        assert_eq!(down, (4..=20).rev().collect::<Vec<_>>());
    }
    Ok(())
}

#[tokio::test]
async fn a_walk_ends_after_an_error_of_the_store() -> Result<()> {
    let numbers: Stream<u64, u64> = Stream::new(MemoryStore::new(), "n");
    numbers.append_all(0..5_u64).await?;
    let mut walk = numbers.read().limit(2).walk();
    assert!(walk.next().await.is_some_and(|entry| entry.is_ok()));
    numbers.store().close().await?;
    let rest: Vec<_> = walk.collect().await;
    assert!(matches!(rest[..], [Ok(_), Err(Error::Closed)]), "{rest:?}");
    Ok(())
}

#[tokio::test]
async fn a_follower_of_a_filter_gets_history_then_live_without_a_seam() -> Result<()> {
    let numbers: Stream<u64, u64> = Stream::new(MemoryStore::new(), "n");
    let append = |n: u64| {
        numbers
            .append(n)
            .order_key(if n.is_multiple_of(2) { "even" } else { "odd" })
    };
    for n in 0..10 {
        append(n).await?;
    }
    let live = numbers.follow().order_key("even").limit(2);
    let follower = tokio::spawn(
        live.take(50)
            .map(|entry| entry.unwrap().value)
            .collect::<Vec<_>>(),
    );
    for n in 10..100 {
        append(n).await?;
        tokio::task::yield_now().await;
    }
    let evens: Vec<u64> = (0..100).step_by(2).collect();
    assert_eq!(follower.await.unwrap(), evens);
    Ok(())
}

#[tokio::test]
async fn renaming_takes_the_handle_along() -> Result<()> {
    let mut numbers: Stream<u64, u64> = Stream::new(MemoryStore::new(), "n");
    let old = numbers.clone();
    numbers.append(1).await?;
    numbers.rename("m").await?;
    assert_eq!((numbers.name().as_str(), numbers.count().await?), ("m", 1));
    assert_eq!(old.count().await?, 0);
    Ok(())
}
