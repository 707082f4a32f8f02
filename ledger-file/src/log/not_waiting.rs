//! What is read by those who must not wait: nothing that was not in the system's cache a moment ago, however it is mapped; and
//! nothing at all of what another process has written since.

use std::cell::Cell;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ledger_core::{Batch, Filter, NewEntry, Page, Payload, ReadOptions, StreamName, Timestamp};
use tempfile::TempDir;

use super::open::follower;
use super::{Log, Progress, RecordRef};
use crate::disk::{Access, Directory, Disk, DiskFile, FileMap, Lock, LockView, Patience, Stage};
use crate::options::{FileOptions, Housekeeping};

const ENTRIES: u64 = 3_000;

/// How often something is tried that a moment is enough for, if this thread is not kept from it for so long.
const TRIES: usize = 1_000;

/// A directory whose files are in the system's cache, or said not to be.
#[derive(Debug)]
struct Fickle {
    directory: Directory,
    mood: Arc<Mood>,
}

#[derive(Debug)]
struct FickleFile {
    file: Arc<dyn DiskFile>,
    mood: Arc<Mood>,
}

#[derive(Debug, Default)]
struct Mood {
    is_cold: AtomicBool,
}

thread_local! {
    /// How many calls this thread has made that a disk may be waited for in.
    static WAITS: Cell<u64> = const { Cell::new(0) };
}

fn wait() {
    WAITS.set(WAITS.get() + 1);
}

/// Does something, and sees to it that no disk can have been waited for on this thread.
pub(crate) fn without_waiting<T>(work: impl FnOnce() -> T) -> T {
    let before = WAITS.get();
    let done = work();
    assert_eq!(WAITS.get(), before);
    done
}

impl Fickle {
    fn at(path: &Path) -> Self {
        Self {
            directory: Directory::open(path).unwrap(),
            mood: Arc::default(),
        }
    }

    fn fickle(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        let mood = Arc::clone(&self.mood);
        Arc::new(FickleFile { file, mood })
    }
}

impl Disk for Fickle {
    fn list(&self) -> io::Result<Vec<String>> {
        wait();
        self.directory.list()
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        wait();
        Ok(self.fickle(self.directory.create(name)?))
    }
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        wait();
        Ok(self.fickle(self.directory.open(name, access)?))
    }
    fn len(&self, name: &str) -> io::Result<u64> {
        wait();
        self.directory.len(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.directory.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.directory.remove(name)
    }
    fn sync_directory(&self) -> io::Result<()> {
        self.directory.sync_directory()
    }
    fn lock(&self, name: &str) -> io::Result<Lock> {
        self.directory.lock(name)
    }
    fn look_at_lock(&self, name: &str) -> io::Result<Option<Box<dyn LockView>>> {
        wait();
        self.directory.look_at_lock(name)
    }
    fn map_stage(&self, name: &str, area_bytes: usize) -> io::Result<Box<dyn Stage>> {
        self.directory.map_stage(name, area_bytes)
    }
}

impl DiskFile for FickleFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read_at(&self, buf: &mut [u8], offset: u64, patience: Patience) -> io::Result<usize> {
        match patience {
            Patience::Now if self.mood.is_cold.load(Ordering::Relaxed) => {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Patience::Now => {}
            Patience::Wait => wait(),
        }
        self.file.read_at(buf, offset, patience)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.file.write_at(bytes, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }
    fn reserve(&self, len: u64) -> io::Result<()> {
        self.file.reserve(len)
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.truncate(len)
    }
    fn announce(&self, offset: u64, len: u64) {
        self.file.announce(offset, len);
    }
    fn evict(&self, offset: u64, len: u64) {
        self.file.evict(offset, len);
    }
    fn map(&self, len: u64) -> io::Result<Option<FileMap>> {
        self.file.map(len)
    }
}

/// A log of several segments, on a disk that is fickle.
struct Site {
    log: Log,
    mood: Arc<Mood>,
    place: TempDir,
}

/// A log of so many entries of the stream `s`, on a disk of whose files nothing is said to be cached, and its place. Nothing
/// is mapped, so that whatever is read is counted.
pub(crate) fn cold_log() -> (Log, TempDir, u64) {
    let site = site(100, false);
    site.mood.is_cold.store(true, Ordering::Relaxed);
    (site.log, site.place, ENTRIES)
}

fn key(id: u64) -> String {
    format!("o-{}", id % 50)
}

fn options(mapped_reads: bool) -> FileOptions {
    FileOptions::default()
        .with_segment_bytes_max(64 << 10)
        .with_housekeeping(Housekeeping::Inline)
        .with_mapped_reads(mapped_reads)
}

/// Entries of 100 bytes, `batch` in each frame, in a log that was closed and opened again.
fn site(batch: u64, mapped_reads: bool) -> Site {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("log");
    let log = Log::open(&path, options(mapped_reads)).unwrap();
    for first in (1..=ENTRIES).step_by(batch as usize) {
        let entry = |id: u64| {
            NewEntry::new(Payload::octets(vec![id as u8; 100]))
                .order_key(key(id))
                .dedup_key(id.to_string())
        };
        let entries = (first..first + batch).map(entry).collect();
        log.append(Batch::new("s", entries)).unwrap();
    }
    log.close().unwrap();
    let disk = Fickle::at(&path);
    let mood = Arc::clone(&disk.mood);
    let log = Log::open_on(Arc::new(disk), "log".into(), options(mapped_reads)).unwrap();
    Site { log, mood, place }
}

impl Site {
    /// The same log as another process reads it.
    fn reader(self) -> (Log, Self) {
        let disk = Fickle::at(&self.place.path().join("log"));
        let mood = Arc::clone(&disk.mood);
        let log = Log::read_only_on(Arc::new(disk), "log".into(), options(true)).unwrap();
        let place = self.place;
        (self.log, Self { log, mood, place })
    }

    /// Returns when the clock of the file system has gone on since `file` was changed.
    fn wait_for_the_clock(&self, file: &Path) {
        let clock = self.place.path().join("clock");
        let changed = |path: &Path| {
            let metadata = fs::metadata(path).unwrap();
            (metadata.ctime(), metadata.ctime_nsec())
        };
        while {
            fs::write(&clock, "tick").unwrap();
            changed(&clock) == changed(file)
        } {}
    }

    /// As [`read`](Self::read), and sees to it that no disk can have been waited for.
    fn read_now(&self, options: &ReadOptions<u64>) -> Option<Page<u64>> {
        without_waiting(|| self.read(options, Patience::Now))
    }

    fn read(&self, options: &ReadOptions<u64>, patience: Patience) -> Option<Page<u64>> {
        let stream = StreamName::from("s");
        let read = || self.log.read_with(&stream, options, patience);
        self.log.ask_now(read).unwrap()
    }

    /// Shows `each` what is cached of the rest of a scan; none if that is not all it wants, or there is.
    fn scan_now(
        &self,
        progress: &mut Progress,
        each: impl FnMut(RecordRef<'_>) -> ControlFlow<()>,
    ) -> Option<ControlFlow<()>> {
        let stream = StreamName::from("s");
        let scan = || self.log.scan_with(&stream, progress, Patience::Now, each);
        without_waiting(|| self.log.ask_now(scan).unwrap())
    }

    fn read_cold(&self, options: &ReadOptions<u64>) -> Option<Page<u64>> {
        self.mood.is_cold.store(true, Ordering::Relaxed);
        let page = self.read(options, Patience::Now);
        self.mood.is_cold.store(false, Ordering::Relaxed);
        page
    }

    /// What is answered when nothing is said to be cached, by the best of many tries behind one when everything was.
    fn read_again_cold(&self, options: &ReadOptions<u64>) -> Option<Page<u64>> {
        (0..TRIES).find_map(|_| {
            // Files are opened, and some of what leads to entries is read, by those who may wait.
            self.read(options, Patience::Wait).unwrap();
            self.read_now(options)?;
            self.read_cold(options)
        })
    }
}

fn questions() -> Vec<ReadOptions<u64>> {
    let all = ReadOptions::new().limit(ENTRIES as usize);
    let of_key = all.clone().filter(Filter::new().order_key(key(7)));
    let last_of_key = of_key.clone().descending().limit(1);
    let range = |after, limit| ReadOptions::new().after(after).limit(limit);
    let some = [range(0, 1), range(1_000, 1), range(1_234, 100)];
    some.into_iter()
        .chain([of_key, last_of_key, range(500, 1).descending()])
        .collect()
}

#[test]
fn nothing_is_looked_at_in_a_map_that_is_not_known_to_be_cached() {
    for batch in [1, 1_000] {
        let site = site(batch, true);
        for options in questions() {
            let waited_for = site.read(&options, Patience::Wait).unwrap();
            assert!(!waited_for.entries.is_empty());
            assert_eq!(site.read_cold(&options), None, "{options:?}");
        }
    }
}

#[test]
fn what_was_read_a_moment_ago_is_looked_at_in_the_map_and_is_the_same() {
    for batch in [1, 1_000] {
        let site = site(batch, true);
        for options in questions() {
            let waited_for = site.read(&options, Patience::Wait);
            assert_eq!(site.read_again_cold(&options), waited_for, "{options:?}");
        }
    }
}

#[test]
fn who_wants_no_maps_is_asked_for_each_byte() {
    let site = site(1_000, false);
    let options = ReadOptions::new().after(1_000).limit(1);
    site.read(&options, Patience::Wait).unwrap();
    site.read(&options, Patience::Now).unwrap();
    assert_eq!(site.read_cold(&options), None);
}

#[test]
fn a_reading_process_answers_at_once_while_there_is_nothing_new_and_reads_no_news_without_waiting()
{
    let (writer, reader) = site(1, true).reader();
    let after = |id: u64| ReadOptions::new().after(id);
    assert_eq!(
        reader
            .read(&after(ENTRIES), Patience::Wait)
            .unwrap()
            .entries,
        []
    );
    for id in ENTRIES + 1..ENTRIES + 5 {
        assert!(reader.read_now(&after(id - 1)).unwrap().entries.is_empty());
        let entry = NewEntry::new(Payload::octets(vec![7; 100]));
        writer.append(Batch::new("s", vec![entry])).unwrap();
        assert_eq!(reader.read_now(&after(id - 1)), None, "there is news");
        let page = reader.read(&after(id - 1), Patience::Wait).unwrap();
        assert_eq!(page.entries[0].id, id);
        assert_eq!(reader.read_now(&after(id - 1)), Some(page));
    }
    writer.close().unwrap();
    assert_eq!(reader.read_now(&after(0)), None, "who knows what it left");
}

#[test]
fn a_log_that_nobody_writes_is_read_without_waiting_until_somebody_does() {
    let (writer, reader) = site(1, true).reader();
    writer.close().unwrap();
    let path = reader.place.path().join("log");
    for id in ENTRIES + 1..ENTRIES + 4 {
        let before = ReadOptions::new().after(id - 2);
        reader.wait_for_the_clock(&path.join("LOCK"));
        let settled = (0..TRIES).find_map(|_| {
            let page = reader.read(&before, Patience::Wait).unwrap();
            follower::lock(reader.log.shared.follower.as_ref()?).settle();
            assert_eq!(page.entries.len(), 1);
            reader.read_now(&before)
        });
        assert_eq!(settled.unwrap().entries[0].id, id - 1);
        let writer = Log::open(&path, options(true)).unwrap();
        let entry = NewEntry::new(Payload::octets(vec![7; 100]));
        writer.append(Batch::new("s", vec![entry])).unwrap();
        writer.close().unwrap();
        assert_eq!(reader.read_now(&before), None, "somebody wrote");
        let page = reader.read(&before, Patience::Wait).unwrap();
        assert_eq!(page.entries.last().unwrap().id, id);
    }
}

fn shown(record: RecordRef<'_>) -> (u64, Vec<u8>, Option<String>) {
    let payload = record.payload().unwrap().into_owned();
    (record.id(), payload, record.order_key().map(str::to_owned))
}

#[test]
fn a_scan_shows_what_is_cached_and_the_rest_as_another_thread_has_fetched_it() {
    for batch in [1, 100] {
        let site = site(batch, true);
        let stream = StreamName::from("s");
        let (mut all, mut seen) = (Vec::new(), Vec::new());
        let keep_all = |record: RecordRef<'_>| {
            all.push(shown(record));
            ControlFlow::Continue(())
        };
        assert_eq!(site.log.scan(&stream, 7, keep_all).unwrap(), Some(ENTRIES));
        let (mut progress, mut fetches) = (Progress::behind(7), 0);
        for part in 1.. {
            // A few at a time; of every other part nothing is said to be cached.
            let mut left = 100 + part;
            let mut few = |record: RecordRef<'_>| {
                seen.push(shown(record));
                left -= 1;
                match left {
                    0 => ControlFlow::Break(()),
                    _ => ControlFlow::Continue(()),
                }
            };
            site.mood.is_cold.store(part % 2 == 0, Ordering::Relaxed);
            let flow = site.scan_now(&mut progress, &mut few).unwrap_or_else(|| {
                fetches += 1;
                let fetched = site.log.fetch(&stream, progress).unwrap();
                fetched.show(&mut progress, &mut few).unwrap()
            });
            if flow.is_continue() {
                break;
            }
        }
        assert_eq!(progress.last(), Some(ENTRIES));
        assert!(fetches > 0);
        assert_eq!(seen, all);
    }
}

#[test]
fn a_scan_goes_on_in_the_stream_that_it_began_in_as_far_as_that_went_then() {
    let site = site(100, true);
    let stream = StreamName::from("s");
    let mut progress = Progress::behind(0);
    let first = |_: RecordRef<'_>| ControlFlow::Break(());
    while site.scan_now(&mut progress, first).is_none() {
        site.log.fetch(&stream, progress).unwrap();
    }
    assert_eq!(progress.last(), Some(1));
    let entry = || vec![NewEntry::new(Payload::octets("another"))];
    site.log.append(Batch::new("s", entry())).unwrap();
    site.log.trim(&stream, 1_000).unwrap();
    site.log.rename(&stream, &"t".into()).unwrap();
    site.log.append(Batch::new("s", entry())).unwrap();
    let mut ids = Vec::new();
    let fetched = site.log.fetch(&stream, progress).unwrap();
    let flow = fetched.show(&mut progress, |record| {
        ids.push(record.id());
        ControlFlow::Continue(())
    });
    assert_eq!(flow.unwrap(), ControlFlow::Continue(()));
    assert!(ids.into_iter().eq(1_001..=ENTRIES));
}

#[test]
fn a_scan_comes_to_its_end_behind_many_entries_that_have_expired_and_were_fetched() {
    let site = site(100, true);
    let gone = || NewEntry::new(Payload::octets("x")).expires_at(Timestamp::from_micros(1));
    for _ in 0..70 {
        let entries = (0..1_000).map(|_| gone()).collect();
        site.log.append(Batch::new("s", entries)).unwrap();
    }
    let mut progress = Progress::behind(ENTRIES);
    let flows: Vec<_> = std::iter::repeat_with(|| {
        let fetched = site.log.fetch(&"s".into(), progress).unwrap();
        let shown = fetched.show(&mut progress, |record| panic!("{} is over", record.id()));
        shown.unwrap()
    })
    .take(10)
    .take_while(ControlFlow::is_break)
    .collect();
    assert!((1..10).contains(&flows.len()), "{}", flows.len());
    assert_eq!(progress.last(), None);
}
