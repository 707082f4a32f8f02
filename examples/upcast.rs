//! Changing the shape of an event: old entries are brought up to date as they are read.
//!
//! The log is never rewritten. A stream says which version its type is, and how to come from each older one.

use ledger_core::{BoxError, Error, FieldMapper, MemoryStore, Result, Stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the program of last year wrote.
#[derive(Serialize, Deserialize)]
struct OrderPlacedV1 {
    customer_name: String,
    /// In euros.
    price: u64,
}

/// What the program of today knows.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct OrderPlaced {
    customer: Customer,
    currency: String,
    cents: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Customer {
    name: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let store = MemoryStore::new();
    let last_year = Stream::new(store.clone(), "orders");
    let old = OrderPlacedV1 {
        customer_name: "Ann".into(),
        price: 9,
    };
    last_year.append(old).await?;

    let orders: Stream<u64, OrderPlaced> = Stream::builder(store.clone(), "orders")
        .schema_version(3)
        // Version 2 moved a field and added one.
        .upcast(
            1,
            FieldMapper::new()
                .rename("customer_name", "/customer/name")
                .default("currency", "EUR"),
        )
        // Version 3 counts in cents: a plain function.
        .upcast(2, euros_to_cents)
        .build()?;
    let page = orders.read().await?.into_entries()?;
    let expected = OrderPlaced {
        customer: Customer { name: "Ann".into() },
        currency: "EUR".into(),
        cents: 900,
    };
    assert_eq!(page[0].value, expected);
    assert_eq!(page[0].schema_version, 1, "the entry itself is as it was");

    // A step that is missing is found here, and not when the first old entry comes along.
    let gap = Stream::<u64, OrderPlaced>::builder(store, "orders")
        .schema_version(3)
        .upcast(2, euros_to_cents);
    assert!(matches!(gap.build(), Err(Error::UpcasterChain { .. })));

    // A program that was not updated yet refuses what it cannot know, and can go on behind it.
    orders.append(expected).await?;
    let page = last_year.read().await?;
    assert!(page.entries[0].is_ok());
    assert!(matches!(
        page.entries[1],
        Err(Error::SchemaTooNew {
            found: 3,
            supported: 1,
            ..
        })
    ));
    Ok(())
}

fn euros_to_cents(mut order: Value) -> Result<Value, BoxError> {
    let fields = order.as_object_mut().ok_or("an order is an object")?;
    let euros = fields
        .remove("price")
        .and_then(|price| price.as_u64())
        .ok_or("an order has a price")?;
    fields.insert("cents".into(), (euros * 100).into());
    Ok(order)
}
