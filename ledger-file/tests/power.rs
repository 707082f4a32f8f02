//! Power cuts on real file systems: a small image is mounted, and shut down without a flush while a log is written.
//!
//! The simulated disk is meaner and sees more; this proves that it is not mistaken about real ones.

#![expect(clippy::unwrap_used, reason = "what helps tests is a test")]
#![cfg(target_os = "linux")]

mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use ledger_core::Durability;
use ledger_file::Log;
use support::diary;
use support::image::{Image, can_mount_images};

/// How often the power of each file system is cut, unless `LEDGER_POWER_CUTS` says otherwise.
const CUTS: u64 = 150;

/// Cuts the power once a keeper of the diary at `path` has acknowledged `commits`; answers the last number that it
/// acknowledged before.
fn cut_after(commits: u64, test: &str, path: &Path, image: &Image) -> u64 {
    let mut child = support::play(test, "keep", path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = lines.map_while(Result::ok).filter_map(|line| {
        let number = line.strip_prefix(diary::SAID)?;
        Some(number.parse::<u64>().unwrap())
    });
    let mut last = 0;
    for number in said.by_ref().take(commits as usize) {
        last = number;
    }
    image.cut_power();
    // What it says now may have been acknowledged by a sync that ran while the file system went down.
    said.for_each(drop);
    child.wait().unwrap();
    last
}

fn survives_power_cuts(test: &str, make: &[&str], bytes: u64) {
    if let Some((_, path)) = support::part() {
        let stopped = diary::keep(&path, diary::options(Durability::Sync));
        stopped.expect_err("only the power cut stops it");
        return;
    }
    if !can_mount_images() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("image");
    std::fs::File::create(&file)
        .unwrap()
        .set_len(bytes)
        .unwrap();
    let image = Image::new(file, place.path().join("mount"), make);
    let path = image.mount.join("log");
    let mut acknowledged = 0;
    for round in 0..cuts() {
        acknowledged = cut_after(round * round % 40, test, &path, &image).max(acknowledged);
        image.unmount();
        image.mount();
        let log = Log::open(&path, diary::options(Durability::Sync)).unwrap();
        acknowledged = diary::check(&log, acknowledged);
    }
    assert!(acknowledged > cuts(), "the keepers did keep a diary");
}

fn cuts() -> u64 {
    let wanted = std::env::var("LEDGER_POWER_CUTS").ok();
    wanted.map_or(CUTS, |cuts| cuts.parse().expect("a number of cuts"))
}

#[test]
fn ext4_loses_nothing_acknowledged() {
    let make = ["mkfs.ext4", "-q", "-F"];
    survives_power_cuts("ext4_loses_nothing_acknowledged", &make, 64 << 20);
}

#[test]
fn xfs_loses_nothing_acknowledged() {
    let make = ["mkfs.xfs", "-q", "-f"];
    survives_power_cuts("xfs_loses_nothing_acknowledged", &make, 320 << 20);
}
