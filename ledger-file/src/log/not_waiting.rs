//! What is read by those who must not wait: nothing that was not in the system's cache a moment ago, however it is mapped.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ledger_core::{Batch, Filter, NewEntry, Page, Payload, ReadOptions, StreamName};
use tempfile::TempDir;

use super::Log;
use crate::disk::{Access, Directory, Disk, DiskFile, FileMap, Lock, Patience, Stage};
use crate::options::{FileOptions, Housekeeping};

const ENTRIES: u64 = 3_000;

/// How often something is tried that a moment is enough for, if this thread is not kept from it for so long.
const TRIES: usize = 1_000;

/// A directory whose files are in the system's cache, or said not to be.
#[derive(Debug)]
struct Fickle {
    directory: Directory,
    is_cold: Arc<AtomicBool>,
}

#[derive(Debug)]
struct FickleFile {
    file: Arc<dyn DiskFile>,
    is_cold: Arc<AtomicBool>,
}

impl Fickle {
    fn fickle(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        let is_cold = Arc::clone(&self.is_cold);
        Arc::new(FickleFile { file, is_cold })
    }
}

impl Disk for Fickle {
    fn list(&self) -> io::Result<Vec<String>> {
        self.directory.list()
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.fickle(self.directory.create(name)?))
    }
    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.fickle(self.directory.open(name, access)?))
    }
    fn len(&self, name: &str) -> io::Result<u64> {
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
    fn is_locked(&self, name: &str) -> io::Result<bool> {
        self.directory.is_locked(name)
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
            Patience::Now if self.is_cold.load(Ordering::Relaxed) => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            _ => self.file.read_at(buf, offset, patience),
        }
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

/// A log of several segments, and whether its files are said not to be cached.
struct Site {
    log: Log,
    is_cold: Arc<AtomicBool>,
    _place: TempDir,
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
    let is_cold = Arc::new(AtomicBool::new(false));
    let disk = Fickle {
        directory: Directory::open(&path).unwrap(),
        is_cold: Arc::clone(&is_cold),
    };
    let log = Log::open_on(Arc::new(disk), "log".into(), options(mapped_reads)).unwrap();
    Site {
        log,
        is_cold,
        _place: place,
    }
}

impl Site {
    fn read(&self, options: &ReadOptions<u64>, patience: Patience) -> Option<Page<u64>> {
        let stream = StreamName::from("s");
        let read = || self.log.read_with(&stream, options, patience);
        self.log.ask_now(read).unwrap()
    }

    fn read_cold(&self, options: &ReadOptions<u64>) -> Option<Page<u64>> {
        self.is_cold.store(true, Ordering::Relaxed);
        let page = self.read(options, Patience::Now);
        self.is_cold.store(false, Ordering::Relaxed);
        page
    }

    /// What is answered when nothing is said to be cached, by the best of many tries behind one when everything was.
    fn read_again_cold(&self, options: &ReadOptions<u64>) -> Option<Page<u64>> {
        (0..TRIES).find_map(|_| {
            // Files are opened, and some of what leads to entries is read, by those who may wait.
            self.read(options, Patience::Wait).unwrap();
            self.read(options, Patience::Now)?;
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
