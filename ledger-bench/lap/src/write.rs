//! Appending, against the clock and otherwise.

use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::answer::Measured;
use crate::engine::{Engine, InTasks, NotOffered};
use crate::records::Records;
use crate::task::{Volume, Write};
use crate::{Result, memory};

/// How many records are appended between two looks at the clock: few enough for the slowest engine.
const LOOK_EVERY: u64 = 64;

/// The batches that logs are filled in.
const FILL_BATCH: usize = 1_000;

/// Appends to an empty log, against the clock. The log is not closed: the caller is killed.
pub(crate) fn write<E: Engine>(dir: &Path, task: Write) -> Result<Measured> {
    let engines = handles::<E>(dir, task)?;
    memory::forget_peak();
    let barrier = &Barrier::new(task.threads);
    let laps = thread::scope(|scope| {
        let threads: Vec<_> = (0..)
            .zip(engines)
            .map(|(thread, engine)| scope.spawn(move || one_thread(engine, thread, task, barrier)))
            .collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().expect("no panic");
        threads.into_iter().map(join).collect::<Result<Vec<_>>>()
    })?;
    measured(&laps)
}

/// As [`write`], by as many tasks as there would be threads.
pub(crate) fn write_in_tasks<E: InTasks>(dir: &Path, task: Write) -> Result<Measured> {
    if task.batch > 1 {
        return Err(NotOffered.into());
    }
    let engines = handles::<E>(dir, task)?;
    memory::forget_peak();
    let tasks = (0..)
        .zip(engines)
        .map(|(number, engine)| one_task(engine, number, task));
    let laps: Result<Vec<_>> = E::run(tasks.collect())?.into_iter().collect();
    measured(&laps?)
}

fn measured(laps: &[ThreadLap]) -> Result<Measured> {
    let first = laps.iter().map(|lap| lap.start).min();
    let last = laps.iter().map(|lap| lap.end).max();
    let time = last.zip(first).map(|(last, first)| last - first);
    Ok(Measured {
        records: laps.iter().map(|lap| lap.records).collect(),
        time: time.ok_or("there is no thread to append")?,
        memory_peak_kib: memory::peak_kib()?,
    })
}

/// Opens the log, with a handle for each thread.
fn handles<E: Engine>(dir: &Path, task: Write) -> Result<Vec<E>> {
    if !E::PROMISES.contains(&task.promise) {
        return Err(NotOffered.into());
    }
    let engine = E::open(dir, task.promise)?;
    let mut handles = Vec::with_capacity(task.threads);
    for _ in 1..task.threads {
        handles.push(engine.fork()?);
    }
    handles.push(engine);
    Ok(handles)
}

struct ThreadLap {
    start: Instant,
    end: Instant,
    records: u64,
}

/// How long a thread, or a task, goes on.
struct Clock {
    start: Instant,
    deadline: Instant,
    /// How many records it has to append.
    share: u64,
}

fn share(task: Write) -> u64 {
    task.records_max / task.threads as u64
}

impl Clock {
    fn start(task: Write) -> Self {
        let start = Instant::now();
        Self {
            start,
            deadline: start + Duration::from_millis(task.millis_max),
            share: share(task),
        }
    }

    fn goes_on(&self, appended: u64) -> bool {
        appended < self.share && Instant::now() < self.deadline
    }

    fn stop(&self, records: u64) -> ThreadLap {
        ThreadLap {
            start: self.start,
            end: Instant::now(),
            records,
        }
    }
}

fn one_thread<E: Engine>(
    mut engine: E,
    thread: usize,
    task: Write,
    barrier: &Barrier,
) -> Result<ThreadLap> {
    let mut records = Records::new(task.record_bytes, thread);
    engine.prepare(thread, share(task));
    barrier.wait();
    let (clock, mut appended) = (Clock::start(task), 0);
    while clock.goes_on(appended) {
        let until = clock
            .share
            .min(appended + LOOK_EVERY.max(task.batch as u64));
        appended = append(&mut engine, &mut records, appended..until, task.batch)?;
    }
    let lap = clock.stop(appended);
    // Not dropped: no engine shall get the time to save what it has promised already.
    std::mem::forget(engine);
    Ok(lap)
}

async fn one_task<E: InTasks>(mut engine: E, number: usize, task: Write) -> Result<ThreadLap> {
    let mut records = Records::new(task.record_bytes, number);
    let (clock, mut appended) = (Clock::start(task), 0);
    while clock.goes_on(appended) {
        for _ in 0..LOOK_EVERY.min(clock.share - appended) {
            engine.append_in_task(records.one(appended)).await?;
            appended += 1;
        }
    }
    let lap = clock.stop(appended);
    std::mem::forget(engine);
    Ok(lap)
}

/// Appends records, by batches of `batch` or one by one, and answers which one comes next.
fn append<E: Engine>(
    engine: &mut E,
    records: &mut Records,
    numbers: std::ops::Range<u64>,
    batch: usize,
) -> Result<u64> {
    let mut next = numbers.start;
    while next < numbers.end {
        let count = batch.min((numbers.end - next) as usize);
        match batch {
            1 => engine.append(records.one(next))?,
            _ => engine.append_batch(&records.batch(next, count))?,
        }
        next += count as u64;
    }
    Ok(next)
}

/// Fills an empty log in batches and closes it.
pub(crate) fn fill<E: Engine>(dir: &Path, volume: Volume) -> Result<Measured> {
    let mut engine = E::open(dir, E::PROMISES[0])?;
    let mut records = Records::new(volume.record_bytes, 0);
    engine.prepare(0, volume.records);
    memory::forget_peak();
    let start = Instant::now();
    let appended = append(&mut engine, &mut records, 0..volume.records, FILL_BATCH)?;
    engine.close()?;
    Ok(Measured {
        records: vec![appended],
        time: start.elapsed(),
        memory_peak_kib: memory::peak_kib()?,
    })
}
