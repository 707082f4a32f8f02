//! What the machine may run out of: space, file size, descriptors, memory, permissions. A typed error, nothing lost, and
//! the log works again when there is more.

#![expect(clippy::unwrap_used, reason = "what helps tests is a test")]
#![cfg(target_os = "linux")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ledger_core::{Action, Durability, Error};
use ledger_file::{FileOptions, Log};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{Unmount, diary, run};
use tempfile::TempDir;

const DURABILITIES: [Durability; 2] = [Durability::Sync, Durability::Process];

fn place() -> (TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("log");
    (place, path)
}

/// Plays this test in a process of its own, whose limits are nobody else's.
fn play_alone(preparation: &str, test: &str) {
    let (place, _) = place();
    for durability in DURABILITIES {
        let path = place.path().join(format!("{durability:?}"));
        let mut command = support::play_after(preparation, test, part_of(durability), &path);
        support::assert_played(&command.output().unwrap());
    }
}

fn part_of(durability: Durability) -> &'static str {
    match durability {
        Durability::Sync => "sync",
        _ => "process",
    }
}

fn durability_of(part: &str) -> Durability {
    match part {
        "sync" => Durability::Sync,
        _ => Durability::Process,
    }
}

/// Goes on with the diary until something is in the way; answers the last number acknowledged, and what it was.
fn commit_until_refused(log: &Log) -> (u64, Error) {
    let mut last = 0;
    for _ in 0..1_000_000 {
        match diary::commit(log) {
            Ok(number) => last = number,
            Err(error) => return (last, error),
        }
    }
    panic!("nothing was in the way of {last} numbers");
}

/// The log refuses when it is constrained, has lost nothing, and goes on when it is relieved.
fn goes_on_when_relieved(
    path: &Path,
    options: FileOptions,
    constrain: impl Fn(),
    relieve: impl Fn(),
) {
    let log = Log::open(path, options.clone()).unwrap();
    let first = diary::commit(&log).unwrap();
    constrain();
    let (last, error) = commit_until_refused(&log);
    assert!(matches!(error, Error::Full { .. }), "{error:?}");
    let (again, error) = commit_until_refused(&log);
    assert!(matches!(error, Error::Full { .. }), "{error:?}");
    let last = first.max(last).max(again);
    relieve();
    diary::check(&log, last);
    let newer = diary::commit(&log).unwrap();
    assert!(newer > last);
    log.close().unwrap();
    diary::check(&Log::open(path, options).unwrap(), newer);
}

#[test]
fn a_file_size_limit_is_a_full_disk() {
    if let Some((part, path)) = support::part() {
        let unlimited = getrlimit(Resource::Fsize);
        // Less than a segment has, so that a frame is cut short.
        let current = Some(10_000);
        let constrain = || {
            setrlimit(
                Resource::Fsize,
                Rlimit {
                    current,
                    ..unlimited
                },
            )
            .unwrap()
        };
        let relieve = || setrlimit(Resource::Fsize, unlimited).unwrap();
        let options = diary::options(durability_of(&part));
        return goes_on_when_relieved(&path, options, constrain, relieve);
    }
    // The signal that comes with the error would end the process; what a shell ignores, its programs do too.
    play_alone("trap '' XFSZ", "a_file_size_limit_is_a_full_disk");
}

#[test]
fn a_full_file_system_is_left_when_there_is_space_again() {
    for durability in DURABILITIES {
        let Some(small) = SmallFileSystem::mount("size=1400k") else {
            return;
        };
        let filler = small.path.join("filler");
        let constrain = || std::fs::write(&filler, vec![0; 1000 << 10]).unwrap();
        let relieve = || std::fs::remove_file(&filler).unwrap();
        let log = small.path.join("log");
        goes_on_when_relieved(&log, keep_all(durability), constrain, relieve);
    }
}

/// Segments that are larger than what a small file system has left.
fn keep_all(durability: Durability) -> FileOptions {
    diary::options(durability).with_segment_bytes_max(128 << 10)
}

#[test]
fn a_read_only_file_system_is_told_as_such() {
    let Some(small) = SmallFileSystem::mount("size=4m") else {
        return;
    };
    let path = small.path.join("log");
    let log = Log::open(&path, diary::options(Durability::Sync)).unwrap();
    let last = diary::commit(&log).unwrap();
    log.close().unwrap();
    drop(log);
    small.remount("ro");
    let refused = Log::open(&path, diary::options(Durability::Sync)).unwrap_err();
    assert!(matches!(refused, Error::ReadOnly { .. }), "{refused:?}");
    small.remount("rw");
    let log = Log::open(&path, diary::options(Durability::Sync)).unwrap();
    diary::check(&log, last);
}

/// A file system in memory, mounted as long as it is there.
struct SmallFileSystem {
    path: PathBuf,
    _unmount: Unmount,
    _place: TempDir,
}

impl SmallFileSystem {
    /// Mounts one, if this process may.
    fn mount(options: &str) -> Option<Self> {
        if !support::can_mount() {
            return None;
        }
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("small");
        std::fs::create_dir(&path).unwrap();
        let target = path.to_str().unwrap();
        run("mount", &["-t", "tmpfs", "-o", options, "tmpfs", target]);
        Some(Self {
            _unmount: Unmount(path.clone()),
            path,
            _place: place,
        })
    }

    fn remount(&self, mode: &str) {
        let options = format!("remount,{mode}");
        run("mount", &["-o", &options, self.path.to_str().unwrap()]);
    }
}

#[test]
fn no_more_descriptors_is_an_error_that_passes() {
    if let Some((part, path)) = support::part() {
        return run_out_of_descriptors(&path, diary::options(durability_of(&part)));
    }
    play_alone("true", "no_more_descriptors_is_an_error_that_passes");
}

fn run_out_of_descriptors(path: &Path, options: FileOptions) {
    let before = getrlimit(Resource::Nofile);
    let limit_to = |current| {
        let limit = Rlimit {
            current: Some(current),
            ..before
        };
        setrlimit(Resource::Nofile, limit).unwrap();
    };
    let log = Log::open(path, options.clone()).unwrap();
    let last = diary::commit(&log).unwrap();
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
    limit_to(open - 1);
    let (newer, error) = commit_until_refused(&log);
    assert_eq!(error.action(), Action::Retry, "{error:?}");
    assert!(Log::open(path, options.clone()).is_err());
    setrlimit(Resource::Nofile, before).unwrap();
    diary::check(&log, last.max(newer));
    diary::commit(&log).unwrap();
    log.close().unwrap();
    drop(log);
    limit_to(open - 1);
    let opened = Log::open(path, options.clone());
    setrlimit(Resource::Nofile, before).unwrap();
    drop(opened);
    diary::check(&Log::open(path, options).unwrap(), last.max(newer));
}

#[test]
fn no_more_memory_loses_nothing() {
    if let Some((part, path)) = support::part() {
        let durability = durability_of(part.trim_end_matches("-starving"));
        let log = Log::open(&path, diary::options(durability)).unwrap();
        if !part.ends_with("-starving") {
            diary::commit_often(&log, 100);
            return;
        }
        let limit = Rlimit {
            current: Some(memory_in_use()),
            maximum: None,
        };
        setrlimit(Resource::As, limit).unwrap();
        // It is refused something, or the allocator ends the process: both are allowed, losing anything is not.
        drop(Log::open(path.join("other"), diary::options(durability)));
        (0..300).for_each(|_| drop(diary::commit(&log)));
        return;
    }
    let (place, _) = place();
    for durability in DURABILITIES {
        let path = place.path().join(part_of(durability));
        let test = "no_more_memory_loses_nothing";
        let kept = support::play(test, part_of(durability), &path).output();
        support::assert_played(&kept.unwrap());
        let starving = format!("{}-starving", part_of(durability));
        support::play(test, starving, &path).output().unwrap();
        let log = Log::open(&path, diary::options(durability)).unwrap();
        assert!(diary::check(&log, 100) >= 100);
    }
}

/// How many bytes of addresses this process has taken.
fn memory_in_use() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let kilobytes = size.and_then(|size| size.trim().strip_suffix(" kB"));
    kilobytes.unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn files_are_for_their_owner_alone_under_any_umask() {
    if let Some((_, path)) = support::part() {
        let log = Log::open(&path, diary::options(Durability::Sync)).unwrap();
        diary::commit_often(&log, 200);
        log.close().unwrap();
        return;
    }
    let (place, _) = place();
    for umask in ["000", "022", "777"] {
        let path = place.path().join(umask);
        let test = "files_are_for_their_owner_alone_under_any_umask";
        let mut command = support::play_after(&format!("umask {umask}"), test, "", &path);
        support::assert_played(&command.output().unwrap());
        assert_eq!(mode(&path), 0o700, "under {umask}");
        for file in std::fs::read_dir(&path).unwrap() {
            let file = file.unwrap().path();
            assert_eq!(mode(&file), 0o600, "{} under {umask}", file.display());
        }
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_second_writer_learns_who_the_first_is() {
    if let Some((holder, path)) = support::part() {
        let refused = Log::open(&path, diary::options(Durability::Sync)).unwrap_err();
        let causes =
            std::iter::successors(Some(&refused as &dyn std::error::Error), |e| e.source());
        let text: Vec<_> = causes.map(ToString::to_string).collect();
        assert!(text.iter().any(|text| text.contains(&holder)), "{text:?}");
        return;
    }
    let (_place, path) = place();
    let log = Log::open(&path, diary::options(Durability::Sync)).unwrap();
    let me = std::process::id().to_string();
    assert!(
        Log::open(&path, diary::options(Durability::Sync)).is_err(),
        "the same process"
    );
    let test = "a_second_writer_learns_who_the_first_is";
    support::assert_played(&support::play(test, me, &path).output().unwrap());
    diary::commit(&log).unwrap();
    drop(log);
    Log::open(&path, diary::options(Durability::Sync)).unwrap();
}
