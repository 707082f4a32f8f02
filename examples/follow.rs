//! Following a stream: history first, then live, and going on at the same place after a restart.

use futures_util::TryStreamExt;
use ledger_core::{MemoryStore, Result, Stream};

type Readings = Stream<u64, f64>;

#[tokio::main]
async fn main() -> Result<()> {
    let readings: Readings = Stream::new(MemoryStore::new(), "readings");
    readings.append_all([20.5, 20.7]).await?;

    // Three entries: two that are there, and one that is still to come.
    let follower = tokio::spawn(sum_up(readings.clone(), 3));
    readings.append(21.0).await?;
    assert_eq!(
        follower.await.expect("the follower does not panic")?,
        20.5 + 20.7 + 21.0
    );

    // It has kept its place; the next one goes on behind it.
    readings.append(19.5).await?;
    assert_eq!(sum_up(readings, 1).await?, 19.5);
    Ok(())
}

/// Adds up the next `count` readings, wherever the last call stopped.
async fn sum_up(readings: Readings, count: usize) -> Result<f64> {
    let checkpoint = readings.load_checkpoint("summed-up").await?;
    let revision = checkpoint.as_ref().map(|place| place.revision);
    let place = checkpoint.map(|place| u64_from(&place.value));

    let mut sum = 0.0;
    let mut last = place;
    let mut entries = readings.follow().after(place);
    for _ in 0..count {
        let Some(entry) = entries.try_next().await? else {
            break;
        };
        sum += entry.value;
        last = Some(entry.id);
    }
    if let Some(id) = last {
        // Saved only if nobody else did meanwhile: two of these at once would count everything twice.
        readings
            .save_checkpoint("summed-up", id.to_le_bytes().to_vec(), revision)
            .await?;
    }
    Ok(sum)
}

fn u64_from(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("the checkpoint holds an id"))
}
