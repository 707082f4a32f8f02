//! Group commit as a chain: the first to join a group leads it, waits for the group before, writes all of its own with one call, syncs
//! once, and wakes its members with one futex call.
//!
//! Three variants: the file grows; its blocks were written before, which makes a sync cheaper; and the leader waits a
//! moment for as many as have lately been in a group.

use std::fs::File;
use std::hint;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use ledger_lap::{Engine, Promise, Result};

use super::{file, frame};

/// As much as durable laps write.
const WRITTEN_BYTES: usize = 160 << 20;

/// How long a leader waits for others.
const SHORT_WAIT: Duration = Duration::from_micros(60);

/// The file grows with every group.
pub(crate) type Growing = Chain<false, false>;
/// The file was filled with zeroes beforehand.
pub(crate) type Written = Chain<true, false>;
/// And the leader waits a moment.
pub(crate) type Gathering = Chain<true, true>;

/// A handle of one thread.
pub(crate) struct Chain<const WRITTEN: bool, const WAITS: bool> {
    path: PathBuf,
    shared: Arc<Shared>,
    frame: Vec<u8>,
}

struct Shared {
    file: File,
    open: Mutex<Group>,
    /// How many have joined the open group: a hint for its leader.
    joined: AtomicU32,
    /// For groups of even and of odd numbers, the last one that is done: so that who waits for the one is not woken for the
    /// other.
    done: [AtomicU32; 2],
    failed: AtomicBool,
}

/// The group that can be joined.
#[derive(Default)]
struct Group {
    number: u32,
    bytes: Vec<u8>,
    /// Where the bytes go.
    place: u64,
    /// How many were in the group before.
    lately: u32,
    spare: Vec<u8>,
}

impl Shared {
    fn open(path: &Path, written: bool) -> io::Result<Self> {
        let mut options = File::options();
        let file = options
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)?;
        if written && file.metadata()?.len() == 0 {
            let zeroes = vec![0; 1 << 20];
            for place in (0..WRITTEN_BYTES).step_by(zeroes.len()) {
                file.write_all_at(&zeroes, place as u64)?;
            }
            file.sync_all()?;
        }
        let open = Group {
            number: 1,
            ..Group::default()
        };
        Ok(Self {
            file,
            open: Mutex::new(open),
            joined: AtomicU32::new(0),
            done: [AtomicU32::new(0), AtomicU32::new(0)],
            failed: AtomicBool::new(false),
        })
    }

    fn group(&self) -> MutexGuard<'_, Group> {
        self.open.lock().expect("no append panics")
    }

    /// Appends a frame; returns when it is durable.
    fn append(&self, frame: &[u8], waits: bool) -> Result<()> {
        let mut group = self.group();
        group.bytes.extend_from_slice(frame);
        let (number, lately) = (group.number, group.lately);
        let leads = self.joined.fetch_add(1, Ordering::Relaxed) == 0;
        drop(group);
        match leads {
            true => self.lead(number, lately, waits)?,
            false => self.wait_for(number),
        }
        match self.failed.load(Ordering::Acquire) {
            true => Err("a group before was not written".into()),
            false => Ok(()),
        }
    }

    fn lead(&self, number: u32, lately: u32, waits: bool) -> Result<()> {
        self.wait_for(number - 1);
        if waits {
            self.gather(lately);
        }
        let (bytes, place) = self.close_group();
        let written = self.write(&bytes, place);
        self.failed.fetch_or(written.is_err(), Ordering::Release);
        self.group().spare = bytes;
        self.done[number as usize % 2].store(number, Ordering::Release);
        atomic_wait::wake_all(&self.done[number as usize % 2]);
        Ok(written?)
    }

    /// Waits a moment, until as many have joined as lately did.
    fn gather(&self, lately: u32) {
        let start = Instant::now();
        while self.joined.load(Ordering::Relaxed) < lately && start.elapsed() < SHORT_WAIT {
            thread::yield_now();
            hint::spin_loop();
        }
    }

    /// Takes what is in the open group, and opens the next.
    fn close_group(&self) -> (Vec<u8>, u64) {
        let mut group = self.group();
        let mut empty = std::mem::take(&mut group.spare);
        empty.clear();
        let bytes = std::mem::replace(&mut group.bytes, empty);
        let place = group.place;
        group.place += bytes.len() as u64;
        group.number += 1;
        group.lately = self.joined.swap(0, Ordering::Relaxed);
        (bytes, place)
    }

    fn write(&self, bytes: &[u8], place: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, place)?;
        self.file.sync_data()
    }

    fn wait_for(&self, number: u32) {
        let done = &self.done[number as usize % 2];
        loop {
            let last = done.load(Ordering::Acquire);
            if last >= number {
                return;
            }
            atomic_wait::wait(done, last);
        }
    }
}

impl<const WRITTEN: bool, const WAITS: bool> Engine for Chain<WRITTEN, WAITS> {
    const PROMISES: &'static [Promise] = &[Promise::Disk];

    fn open(dir: &Path, _promise: Promise) -> Result<Self> {
        let path = dir.join("log");
        let shared = Arc::new(Shared::open(&path, WRITTEN)?);
        Ok(Self {
            path,
            shared,
            frame: Vec::new(),
        })
    }

    fn fork(&self) -> Result<Self> {
        Ok(Self {
            path: self.path.clone(),
            shared: Arc::clone(&self.shared),
            frame: Vec::new(),
        })
    }

    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.append_batch(&[record])
    }

    fn append_batch(&mut self, records: &[&[u8]]) -> Result<()> {
        self.frame.clear();
        frame::encode(records, &mut self.frame);
        self.shared.append(&self.frame, WAITS)
    }

    fn scan(&mut self, visit: impl FnMut(&[u8])) -> Result<()> {
        file::scan(&self.path, visit)
    }
}
