//! How the log grows: ten million entries with keys, a million streams, a million order keys.
//!
//! Each measurement is made by a process of its own, so that its memory is its own too. Targets stand beside the figures.

mod lap;
mod site;
mod task;

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ledger_lap::Measured;

pub(crate) use self::lap::run as run_lap;
use self::task::{End, Entries, Found, Shape, Task, Warmth};
use crate::Result;
use crate::arena::Arena;
use crate::file::process;

/// What memory may hold whatever the log holds, and beside that for each entry.
const MEMORY_BASE_BYTES: u64 = 64 << 20;
const MEMORY_BYTES_PER_ENTRY: u64 = 2;

/// How many entries are appended at once.
const BATCH: u64 = 1_000;

const OPEN_MAX: Duration = Duration::from_millis(200);
const OPEN_KILLED_MAX: Duration = Duration::from_millis(1_200);
const MANY_STREAMS_RATIO_MAX: f64 = 3.0;
const ONE_KEY_COLD_MAX: Duration = Duration::from_millis(5);
const ONE_KEY_WARM_MAX: Duration = Duration::from_millis(1);

/// Runs all of it.
///
/// # Errors
/// Those of the log, and whatever is not read as it was appended.
pub(crate) fn run(arena: &Arena) -> Result<Vec<String>> {
    let all = 10 * arena.file_records();
    let scale = Scale {
        arena,
        program: env::current_exe()?,
    };
    let growth = [all / 10, all / 4, all / 2, all];
    let mut lines = Vec::new();
    for entries in growth.into_iter().chain(arena.field.largest) {
        lines.extend(scale.of_shape(Shape::Keys, entries)?);
    }
    lines.extend(scale.one_a_call(all / 4)?);
    lines.extend(scale.of_shape(Shape::Streams, all)?);
    lines.extend(scale.streams_beside_one(all)?);
    Ok(vec![format!(
        "### Scale, 100 B an entry, dedup keys without a pattern\n\n| what | measured | target |\n| --- | ---: | --- |\n{}",
        lines.concat()
    )])
}

struct Scale<'a> {
    arena: &'a Arena,
    program: PathBuf,
}

impl Scale<'_> {
    fn ask(&self, dir: &Path, task: &Task) -> Result<Measured> {
        Ok(self.find(dir, task)?.measured)
    }

    fn find(&self, dir: &Path, task: &Task) -> Result<Found> {
        let task_text = serde_json::to_string(task)?;
        let arguments = ["scale".as_ref(), dir.as_os_str(), task_text.as_ref()];
        let answer: Option<Result<Found, String>> = process::answer_of(&self.program, arguments)?;
        let found = answer.unwrap_or_else(|| Err("ended without an answer".into()));
        found.map_err(|error| format!("{task:?}: {error}").into())
    }

    /// Filling, opening and memory of a log of one shape.
    fn of_shape(&self, shape: Shape, count: u64) -> Result<Vec<String>> {
        let dir = self.arena.fresh_dir()?;
        let entries = Entries { shape, count };
        let name = format!("{count} entries, {}", shape.in_words());
        let fill = self.find(dir.path(), &Task::fill(entries, BATCH, End::Killed))?;
        let killed = self.ask(dir.path(), &Task::Open)?;
        let open = self.ask(dir.path(), &Task::Open)?;
        let work = self.find(dir.path(), &Task::AppendOne(entries))?;
        let mut lines = vec![
            format!(
                "| {name}: append batches of 1,000 | {:.0}/s | |\n",
                rate(&fill.measured)
            ),
            memory_line(&format!("{name}: memory while appending"), &fill, count),
            memory_line(
                &format!("{name}: memory after opening, at work"),
                &work,
                count,
            ),
            time_line(
                &format!("{name}: open after kill -9"),
                killed.time,
                OPEN_KILLED_MAX,
            ),
            time_line(&format!("{name}: open"), open.time, OPEN_MAX),
        ];
        if shape == Shape::Keys {
            lines.extend(self.one_key(&name, dir.path(), entries)?);
        }
        Ok(lines)
    }

    /// One key in a log each entry of which was appended by a call of its own.
    fn one_a_call(&self, count: u64) -> Result<Vec<String>> {
        let dir = self.arena.fresh_dir()?;
        let shape = Shape::Keys;
        let entries = Entries { shape, count };
        self.ask(dir.path(), &Task::fill(entries, 1, End::Closed))?;
        let name = format!("{count} entries, appended one a call");
        self.one_key(&name, dir.path(), entries)
    }

    fn one_key(&self, name: &str, dir: &Path, entries: Entries) -> Result<Vec<String>> {
        let task = |warmth| Task::OneKey { entries, warmth };
        let time = |warmth| self.ask(dir, &task(warmth)).map(|measured| each(&measured));
        let cold = time(Warmth::Cold)?;
        let cold_indexes = time(Warmth::ColdIndexes)?;
        let warm = time(Warmth::Warm)?;
        let of = format!("{name}: the 100 entries of one key");
        Ok(vec![
            format!("| {of}, nothing in memory | {cold:.2?} | |\n"),
            time_line(
                &format!("{of}, cold indexes"),
                cold_indexes,
                ONE_KEY_COLD_MAX,
            ),
            time_line(&format!("{of}, warm"), warm, ONE_KEY_WARM_MAX),
        ])
    }

    /// One append and one read, in a log of many streams beside a log of one: in turns. Each lap is that of a process that
    /// has just opened the log, and goes to other streams than those before.
    fn streams_beside_one(&self, count: u64) -> Result<Vec<String>> {
        let filled = |shape| {
            let dir = self.arena.fresh_dir()?;
            let entries = Entries { shape, count };
            self.ask(dir.path(), &Task::fill(entries, BATCH, End::Closed))?;
            Ok::<_, crate::BoxError>((dir, entries))
        };
        let (many_dir, many) = filled(Shape::Streams)?;
        let (one_dir, one) = filled(Shape::One)?;
        let race = |task: fn(Entries) -> Task, are_known: bool| {
            let (mut of_many, mut of_one) = (Vec::new(), Vec::new());
            for _ in 0..self.arena.rounds {
                if !are_known {
                    site::forget_streams(many_dir.path())?;
                }
                of_many.push(each(&self.ask(many_dir.path(), &task(many))?));
                of_one.push(each(&self.ask(one_dir.path(), &task(one))?));
            }
            Ok::<_, crate::BoxError>((median(of_many), median(of_one)))
        };
        let of = format!("1 of {} streams beside 1 of 1", many.streams());
        let known = race(Task::AppendOne, true)?;
        let read = race(Task::ReadTen, true)?;
        let looked_up = race(Task::AppendOne, false)?;
        Ok(vec![
            ratio_line(
                &format!("append one, {of}, the log was closed before"),
                known,
            ),
            ratio_line(
                &format!("append one, {of}, it was not, and knows no stream"),
                looked_up,
            ),
            ratio_line(&format!("read ten, {of}"), read),
        ])
    }
}

fn ratio_line(what: &str, (of_many, of_one): (Duration, Duration)) -> String {
    let ratio = of_many.as_secs_f64() / of_one.as_secs_f64();
    format!(
        "| {what}: {of_many:.1?} and {of_one:.1?} | {ratio:.2} | at most {MANY_STREAMS_RATIO_MAX}: {} |\n",
        verdict(ratio <= MANY_STREAMS_RATIO_MAX)
    )
}

fn rate(measured: &Measured) -> f64 {
    1e9 / measured.ns_per_record()
}

/// How long one of the records of a lap took.
fn each(measured: &Measured) -> Duration {
    Duration::from_nanos(measured.ns_per_record() as u64)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Judged by the memory of the process itself: what it has mapped of files the system can take back.
fn memory_line(what: &str, found: &Found, entries: u64) -> String {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let (own, all) = (found.own_kib << 10, found.measured.memory_peak_kib << 10);
    let most = MEMORY_BASE_BYTES + MEMORY_BYTES_PER_ENTRY * entries;
    format!(
        "| {what} | {:.1} MiB, with mapped files {:.1} MiB | at most {:.1} MiB: {} |\n",
        mib(own),
        mib(all),
        mib(most),
        verdict(own <= most)
    )
}

fn time_line(what: &str, time: Duration, most: Duration) -> String {
    let verdict = verdict(time <= most);
    format!("| {what} | {time:.2?} | at most {most:?}: {verdict} |\n")
}

fn verdict(met: bool) -> &'static str {
    match met {
        true => "met",
        false => "missed",
    }
}
