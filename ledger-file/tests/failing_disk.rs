//! Syncs that fail on real file systems: a disk that refuses to write some of what it is told, under ext4 and XFS.
//!
//! The disk is a file in memory, which this process serves through FUSE. The file system on it keeps what could not be
//! written in its cache, takes it for written, and tells so once: what the simulated disk says of failed syncs is what
//! happens here. It needs root, FUSE, loop devices and python3.

#![expect(clippy::unwrap_used, reason = "what helps tests is a test")]
#![cfg(target_os = "linux")]

mod support;

use std::ffi::OsStr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Errno, FileAttr, FileHandle, FileType, Filesystem, Generation, INodeNo,
    LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyWrite, Request,
    WriteFlags,
};
use ledger_core::{Batch, Durability, Error, NewEntry, Payload, ReadOptions};
use ledger_file::Log;
use support::diary;
use support::image::{Image, can_mount_images};
use tempfile::TempDir;

const STREAM: &str = "s";

/// What the disk refuses to write. Payloads have it several times: one may be in two writes.
const REFUSED: &[u8] = b"this is not written";

/// How often each kind of sync fails on each file system.
const FAILURES: u64 = 10;

/// The one file of the disk's file system.
const FILE: INodeNo = INodeNo(2);

/// A disk in memory.
#[derive(Debug)]
struct Disk {
    bytes: Mutex<Vec<u8>>,
    fails: AtomicBool,
}

impl Disk {
    fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes: Mutex::new(vec![0; bytes]),
            fails: AtomicBool::new(false),
        })
    }

    /// Serves it as the file `disk` in the new directory `place`.
    fn serve(self: &Arc<Self>, place: &Path) -> BackgroundSession {
        std::fs::create_dir(place).unwrap();
        fuser::spawn_mount(Served(Arc::clone(self)), place, &fuser::Config::default()).unwrap()
    }

    fn set_failing(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    fn refuses(&self, bytes: &[u8]) -> bool {
        let is_refused = |window: &[u8]| window == REFUSED;
        self.fails.load(Ordering::SeqCst) && bytes.windows(REFUSED.len()).any(is_refused)
    }

    fn attributes(&self, inode: INodeNo) -> FileAttr {
        let (kind, size) = match inode {
            FILE => (FileType::RegularFile, self.bytes.lock().unwrap().len()),
            _ => (FileType::Directory, 0),
        };
        FileAttr {
            ino: inode,
            size: size as u64,
            blocks: size as u64 / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm: 0o700,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            flags: 0,
            blksize: 4096,
        }
    }
}

/// As a file system of one file.
struct Served(Arc<Disk>);

/// How long the kernel need not ask again what does not change.
const FOR_LONG: Duration = Duration::from_hours(1);

impl Filesystem for Served {
    fn lookup(&self, _: &Request, _parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match name.to_str() {
            Some("disk") => reply.entry(&FOR_LONG, &self.0.attributes(FILE), Generation(0)),
            _ => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&FOR_LONG, &self.0.attributes(inode));
    }

    fn read(
        &self,
        _: &Request,
        _inode: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let bytes = self.0.bytes.lock().unwrap();
        let start = bytes.len().min(offset as usize);
        let end = bytes.len().min(start + size as usize);
        reply.data(&bytes[start..end]);
    }

    fn write(
        &self,
        _: &Request,
        _inode: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        if self.0.refuses(data) {
            return reply.error(Errno::EIO);
        }
        let mut bytes = self.0.bytes.lock().unwrap();
        match bytes.get_mut(offset as usize..offset as usize + data.len()) {
            Some(place) => {
                place.copy_from_slice(data);
                reply.written(data.len() as u32);
            }
            None => reply.error(Errno::ENOSPC),
        }
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        reply.ok();
    }
}

fn append(log: &Log, payload: &[u8]) -> Result<(), Error> {
    let entry = NewEntry::new(Payload::octets(payload.to_vec()));
    log.append(Batch::new(STREAM, vec![entry])).map(drop)
}

fn payloads(log: &Log) -> Vec<Vec<u8>> {
    let page = log.read(&STREAM.into(), &ReadOptions::new().limit(10_000));
    let entries = page.unwrap().entries.into_iter();
    entries.map(|entry| entry.value.bytes.to_vec()).collect()
}

/// Held by the one test that runs: what another one forks has its files open for a moment, too, and nothing is unmounted then.
static ALONE: Mutex<()> = Mutex::new(());

/// A file system on a disk that can fail, with a log on it.
struct Machine {
    // Dropped first: it is on what comes behind it.
    image: Image,
    served: BackgroundSession,
    disk: Arc<Disk>,
    _place: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Machine {
    /// With a file system that `make` makes in so many bytes; none if this machine cannot have it.
    fn new(make: &[&str], bytes: usize) -> Option<Self> {
        if !can_mount_images() {
            return None;
        }
        if !Path::new("/dev/fuse").exists() {
            support::leave_out("this machine has no FUSE");
            return None;
        }
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let place = tempfile::tempdir().unwrap();
        let disk = Disk::new(bytes);
        let served = disk.serve(&place.path().join("served"));
        let file = place.path().join("served/disk");
        Some(Self {
            image: Image::new(file, place.path().join("mount"), make),
            served,
            disk,
            _place: place,
            _alone: alone,
        })
    }

    fn open(&self, durability: Durability) -> Log {
        Log::open(self.image.mount.join("log"), diary::options(durability)).unwrap()
    }

    /// Cuts the power while `log` is open.
    fn cut_power(&self, log: Log) {
        self.image.cut_power();
        drop(log);
        self.image.unmount();
        self.image.mount();
    }

    /// An append whose sync fails: what is there once the log is open again is there for good.
    fn fail_a_sync(&self, before: u64) {
        let log = self.open(Durability::Sync);
        for nth in 0..before {
            append(&log, nth.to_string().as_bytes()).unwrap();
        }
        let acknowledged = payloads(&log);
        self.disk.set_failing(true);
        for _ in 0..2 {
            let refused = append(&log, &REFUSED.repeat(10));
            assert!(
                matches!(refused, Err(Error::Poisoned { .. })),
                "{refused:?}"
            );
        }
        assert_eq!(
            payloads(&log),
            acknowledged,
            "readers stop where it is durable"
        );
        drop(log);
        self.disk.set_failing(false);
        let log = self.open(Durability::Sync);
        assert!(payloads(&log).starts_with(&acknowledged));
        append(&log, b"behind it").unwrap();
        self.stays(log, Durability::Sync);
    }

    /// A full segment whose sync fails when nobody waits for it: what is said to be synced afterwards is.
    fn fail_a_sync_in_the_background(&self) {
        let log = self.open(Durability::Process);
        self.disk.set_failing(true);
        append(&log, &REFUSED.repeat(10)).unwrap();
        for nth in 0..300 {
            // Those behind the failure are refused.
            let _may_fail = append(&log, &[nth as u8; 100]);
        }
        let _is_put_off = log.tidy();
        self.disk.set_failing(false);
        let log = match log.sync() {
            Ok(()) => log,
            Err(Error::Poisoned { .. }) => {
                drop(log);
                self.open(Durability::Process)
            }
            Err(error) => panic!("{error}"),
        };
        log.sync().unwrap();
        self.stays(log, Durability::Process);
    }

    /// All that `log` shows survives a power cut.
    fn stays(&self, log: Log, durability: Durability) {
        let expected = payloads(&log);
        self.cut_power(log);
        let log = self.open(durability);
        assert_eq!(payloads(&log), expected);
        log.verify().unwrap();
    }

    fn end(self) {
        drop(self.image);
        self.served.umount_and_join().unwrap();
    }
}

fn survives_failed_syncs(make: &[&str], bytes: usize) {
    let Some(machine) = Machine::new(make, bytes) else {
        return;
    };
    for round in 0..FAILURES {
        machine.fail_a_sync(round * round % 37);
        machine.fail_a_sync_in_the_background();
    }
    machine.end();
}

#[test]
fn syncs_that_fail_on_ext4_lose_nothing() {
    survives_failed_syncs(&["mkfs.ext4", "-q", "-F"], 64 << 20);
}

#[test]
fn syncs_that_fail_on_xfs_lose_nothing() {
    survives_failed_syncs(&["mkfs.xfs", "-q", "-f"], 320 << 20);
}
