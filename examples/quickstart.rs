//! The program of the README: an order in a log of its own.

use ledger_core::{Result, Stream};
use ledger_file::FileStore;

#[derive(serde::Serialize, serde::Deserialize)]
enum OrderEvent {
    Placed { cents: u64 },
    Paid,
}

#[tokio::main]
async fn main() -> Result<()> {
    let orders = Stream::new(FileStore::open("target/orders").await?, "orders");
    let placed = OrderEvent::Placed { cents: 995 };
    for (key, event) in [("e-1", placed), ("e-2", OrderEvent::Paid)] {
        orders.append(event).order_key("o-1").dedup_key(key).await?;
    }
    let history = orders.read().order_key("o-1").await?.into_entries()?;
    assert!(matches!(history[1].value, OrderEvent::Paid));
    assert_eq!(history.len(), 2); // also the second time you run this: dedup keys see to that
    Ok(())
}
