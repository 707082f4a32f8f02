//! Optimistic concurrency: ten buyers, three seats, no lock.
//!
//! Each buyer reads what is sold, decides, and appends on the condition that nothing was sold in between. Whoever was
//! too slow gets a conflict, and has written nothing: read again, decide again.

use futures_util::future::join_all;
use ledger_core::{Condition, Filter, MemoryStore, Result, Stream};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct SeatSold {
    seat: u32,
    buyer: u32,
}

const SEATS: u32 = 3;

#[tokio::main]
async fn main() -> Result<()> {
    let sales = Stream::new(MemoryStore::new(), "sales");
    let buyers = (0..10).map(|buyer| {
        let sales = sales.clone();
        tokio::spawn(async move { buy(&sales, buyer).await })
    });
    for outcome in join_all(buyers).await {
        outcome.expect("no buyer panics")?;
    }

    let sold = sales.read().await?.into_entries()?;
    let seats: Vec<_> = sold.iter().map(|sale| sale.value.seat).collect();
    assert_eq!(seats, [1, 2, 3], "each seat is sold once");
    Ok(())
}

/// Buys the next free seat, and answers which one that is; none if all are sold.
async fn buy(sales: &Stream<u64, SeatSold>, buyer: u32) -> Result<Option<u32>> {
    loop {
        let newest = sales.read().descending().limit(1).await?.into_entries()?;
        let newest = newest.first();
        let seat = newest.map_or(1, |sale| sale.value.seat + 1);
        if seat > SEATS {
            return Ok(None);
        }
        let nothing_newer = Condition::none_after(Filter::new(), newest.map(|sale| sale.id));
        match sales
            .append(SeatSold { seat, buyer })
            .when(nothing_newer)
            .await
        {
            Ok(_) => return Ok(Some(seat)),
            Err(error) if error.is_conflict() => continue,
            Err(error) => return Err(error),
        }
    }
}
