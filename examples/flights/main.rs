//! A year of flights, or the first day of one, in a directory, in a SQLite file, in Postgres or in MongoDB.
//!
//! ```text
//! cargo run --release --example flights                                     # one day, in a store that is removed
//! cargo run --release --example flights -- year.jsonl.gz --store file:flights # a file of yours, in a store that stays
//! cargo run --release --example flights -- --store flights.db                     # the same in a SQLite file
//! cargo run --release --example flights -- --store postgres://me@localhost/events # or in a database
//! cargo run --release --example flights -- --store mongodb://localhost/events     # or in another one
//! ```
//!
//! Read `run` first, then the five things that it does, in their order. Each prints what it found and checks it: if a
//! figure is off, the program fails.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example talks to its reader"
)]

mod event;
mod input;
mod place;
mod report;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use futures_util::TryStreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use ledger_core::{Condition, Stream};

use crate::event::FlightEvent;
use crate::place::Place;
use crate::report::{Import, Tally, check, peak_memory_mb, rate, thousands};

/// A stream of flight events: its store gives out ids of type `u64`.
type Flights = Stream<u64, FlightEvent>;
type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

const FIRST_DAY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/flights-2013-01-01.jsonl");
const BATCH_ENTRIES: usize = 1_000;
const MEMORY_MB_MAX: u64 = 100;

/// Appends flight events to a ledger, reads them back, and checks that nothing was lost or doubled.
#[derive(Parser)]
struct Args {
    /// Events as JSON, one a line, plain or gzip [default: the first day of 2013].
    input: Option<PathBuf>,
    /// Where to keep them: a directory, as file:PATH, a SQLite file, as PATH, or a database, as postgres://.. or
    /// mongodb://.. [default: a temporary directory].
    #[arg(long, value_name = "URL-OR-PATH")]
    store: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let causes = std::iter::successors(error.source(), |&cause| cause.source());
            causes.for_each(|cause| eprintln!("  because: {cause}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let temporary_log = format!("file:{}", temporary.path().join("flights").display());
    let place = args.store.as_deref().unwrap_or(&temporary_log);
    let input = args.input.as_deref().unwrap_or(Path::new(FIRST_DAY));

    let place = Place::new(place);
    let store = place.open().await?;
    println!(
        "{} -> {}, {}\n",
        input.display(),
        store.health().await?.engine,
        place.shown()
    );
    // A stream costs nothing to name; it comes into being with its first entry.
    let flights = Stream::builder(store, "flights")
        .kind_of(FlightEvent::kind)
        .build()?;

    append_twice(&flights, input).await?;
    let tally = walk(&flights).await?;
    if args.input.is_none() && args.store.is_none() {
        check_first_day(&tally)?;
    }
    if let Some((aircraft, entries)) = tally.busiest() {
        tell_life(&flights, aircraft, entries).await?;
        lose_a_race(&flights, aircraft).await?;
    }
    flights.store().close().await?;
    check_memory()
}

/// Appends the same input twice: the second time every event is known by its dedup key, and nothing is written.
async fn append_twice(flights: &Flights, input: &Path) -> Result<()> {
    let before = flights.count().await?;
    let first = append(flights, input).await?;
    println!("append    {first}");
    check(
        "entries after the first run",
        flights.count().await?,
        before + first.appended,
    )?;

    let head = flights.head().await?;
    let again = append(flights, input).await?;
    println!("again     {again}");
    check("entries written by the second run", again.appended, 0)?;
    check(
        "duplicates in the second run",
        again.duplicates,
        first.appended + first.duplicates,
    )?;
    check("head after the second run", flights.head().await?, head)
}

/// Appends all events of a file in batches, each of which is written wholly or not at all.
///
/// If this fails half-way, for whatever reason, the cure is to run it again: dedup keys make a repetition harmless.
async fn append(flights: &Flights, input: &Path) -> Result<Import> {
    let progress = ProgressBar::no_length().with_style(ProgressStyle::with_template(PROGRESS)?);
    let mut events = input::Events::open(input, &progress)?;
    let mut import = Import::default();
    let begun = Instant::now();
    loop {
        let batch = events
            .by_ref()
            .take(BATCH_ENTRIES)
            .collect::<Result<Vec<_>, _>>()?;
        if batch.is_empty() {
            break;
        }
        let receipt = flights.append_all(batch).await?;
        import.add(&receipt);
    }
    import.took = begun.elapsed();
    progress.finish_and_clear();
    Ok(import)
}

const PROGRESS: &str = "{bar:40} {bytes} of {total_bytes}, {eta} left";

/// Walks through the whole stream, which holds one page in memory, and proves that no entry is missing.
async fn walk(flights: &Flights) -> Result<Tally> {
    let begun = Instant::now();
    let mut tally = Tally::default();
    let mut entries = flights.read().walk();
    let mut expected = None;
    while let Some(entry) = entries.try_next().await? {
        // Ids are dense: a gap would be an entry that we were not shown.
        check("next id", entry.id, expected.unwrap_or(entry.id))?;
        expected = Some(entry.id + 1);
        tally.add(entry);
    }
    println!(
        "walk      {} entries without a gap, {}",
        thousands(tally.entries),
        rate(tally.entries, begun.elapsed())
    );
    println!("          {tally}");
    check(
        "entries walked through",
        tally.entries,
        flights.count().await?,
    )?;
    Ok(tally)
}

/// Reads one aircraft's events only: its tail number is their order key.
async fn tell_life(flights: &Flights, aircraft: &str, entries: u64) -> Result<()> {
    let life: Vec<_> = flights
        .read()
        .order_key(aircraft)
        .walk()
        .try_collect()
        .await?;
    println!("\n{aircraft}    {} entries", thousands(life.len() as u64));
    for entry in life.iter().take(6) {
        let occurred_at = entry.metadata.get("occurred_at").map_or("", String::as_str);
        println!("{:>9} {occurred_at}  {}", entry.id, entry.value);
    }
    check(
        "entries of the busiest aircraft",
        life.len() as u64,
        entries,
    )
}

/// Loses a race, as every program will that decides on what it has read while others write.
///
/// A dispatcher reads what an aircraft did, and decides to cancel its next flight. Before that is written, one more
/// entry arrives. The append says what it was based on, so it is refused instead of contradicting that entry.
async fn lose_a_race(flights: &Flights, aircraft: &str) -> Result<()> {
    let newest = flights
        .read()
        .order_key(aircraft)
        .descending()
        .limit(2)
        .await?
        .into_entries()?;
    // What the dispatcher saw: all but the newest entry.
    let seen = newest.get(1).map(|entry| entry.id);
    let head = flights.head().await?;
    let cancelled = flights
        .append(cancelled_flight())
        .order_key(aircraft)
        .when(Condition::last_of(aircraft, seen));
    match cancelled.await {
        Err(conflict) if conflict.is_conflict() => println!("\nconflict  {conflict}"),
        other => {
            return Err(format!("an append on stale knowledge was not refused: {other:?}").into());
        }
    }
    check(
        "head after an append that lost",
        flights.head().await?,
        head,
    )?;

    // What to do then: read what came in between, and decide again with that in mind.
    let missed = flights
        .read()
        .order_key(aircraft)
        .after(seen)
        .await?
        .into_entries()?;
    for entry in &missed {
        println!("missed    {}: {}", entry.id, entry.value);
    }
    check("entries in between", missed.len(), 1)
}

fn cancelled_flight() -> FlightEvent {
    FlightEvent::Cancelled {
        flight: "UA1".into(),
        origin: "EWR".into(),
        dest: "SFO".into(),
        scheduled: "2013-01-02T00:00:00Z".into(),
        distance_mi: 2_565,
    }
}

fn check_first_day(tally: &Tally) -> Result<()> {
    let kinds: Vec<_> = tally
        .kinds
        .iter()
        .map(|(kind, entries)| (kind.as_str(), *entries))
        .collect();
    check(
        "kinds",
        kinds,
        vec![
            ("Arrived", 522),
            ("Cancelled", 3),
            ("Departed", 694),
            ("Diverted", 4),
        ],
    )?;
    check("aircraft", tally.aircraft.len(), 573)?;
    check("entries without an aircraft", tally.without_aircraft, 0)
}

fn check_memory() -> Result<()> {
    let Some(peak_mb) = peak_memory_mb() else {
        return Ok(());
    };
    println!("\nmemory    {peak_mb} MB at the most");
    check(
        "MB above the limit",
        peak_mb.saturating_sub(MEMORY_MB_MAX),
        0,
    )
}

#[cfg(test)]
mod tests {
    use ledger_testservers::{Mongo, Postgres};

    use super::*;

    #[tokio::test]
    async fn a_day_of_flights_is_the_same_in_postgres() {
        let Some(server) = Postgres::private() else {
            return;
        };
        check_a_day_at(server.url()).await;
    }

    #[tokio::test]
    async fn a_day_of_flights_is_the_same_in_mongodb() {
        let Some(set) = Mongo::private() else { return };
        check_a_day_at(set.url()).await;
    }

    async fn check_a_day_at(url: &str) {
        let store = Some(url.to_owned());
        run(Args { input: None, store }).await.unwrap();
        let store = Place::new(url).open().await.unwrap();
        let tally = walk(&Stream::new(store, "flights")).await.unwrap();
        check_first_day(&tally).unwrap();
    }
}
