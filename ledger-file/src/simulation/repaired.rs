//! Logs that were damaged, and repaired.
//!
//! What must hold: a repaired log opens, has no gap, and hands out nothing that was never there; of what was there, only
//! that is missing which the repair says is lost, or which nothing that is left speaks of; no byte is lost; the log goes
//! on; and a repair that is cut short has either happened, or can be made again, with the same result.

use std::sync::Arc;

use ledger_core::{Batch, Error, ManualClock, NewEntry, Payload};

use super::call::Call;
use super::damage::AtRest;
use super::inode::Survival;
use super::log_subject::options;
use super::observed::Observed;
use super::played::{Finding, Played, Setup};
use super::subject::{Care, Subject};
use super::{DiskCall, LogSubject, Random, SimDisk, State, Trouble};
use crate::format::FileName;
use crate::log::{Log, Repair};

/// No more entries than this are appended by one call of a history.
const APPEND_MAX: u64 = 16;

/// How much may be missing of each stream that nobody says is lost.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Extent {
    /// What is in one frame.
    Frame,
    /// Anything, also names.
    Anything,
}

impl AtRest {
    /// A log without renamings, of which it can be told which entries must be left.
    pub(crate) fn unrenamed(setup: Setup, seed: u64, is_closed: bool) -> Result<Self, Finding> {
        let mut histories = (seed..).map(|seed| Played::new(setup, seed));
        let is_wanted = |played: &Result<Played, Finding>| match played {
            Ok(played) => !played
                .calls
                .iter()
                .any(|call| matches!(call, Call::Rename(..))),
            Err(_) => true,
        };
        let played = histories
            .find(is_wanted)
            .expect("there is always another seed")?;
        Self::new(played, is_closed)
    }

    fn repair(&self, disk: &SimDisk) -> Result<Repair, Error> {
        let moments = &self.played.moments;
        let newest = moments.last().expect("there is one from the start");
        let clock = Arc::new(ManualClock::new(newest.now));
        Log::repair_on(disk, "sim", &options(&self.played.setup, clock))
    }

    /// Repairs the log on a damaged state, and checks what is left. Answers what was repaired.
    pub(crate) fn check_repair(&self, damaged: &State, extent: Extent) -> Result<Repair, Finding> {
        let disk = SimDisk::new(damaged.clone());
        let foreseen = Log::examine_on(&disk, "sim").map_err(called("examining"))?;
        let repair = self.repair(&disk).map_err(called("repairing"))?;
        if foreseen.lost != repair.lost || foreseen.damage != repair.damage {
            return Err(format!("it said {foreseen:?}, and did {repair:?}"));
        }
        check_set_aside(&repair, damaged, &disk.state())?;
        let again = self.repair(&disk).map_err(called("repairing again"))?;
        if !again.is_sound() {
            return Err(format!("repaired {repair:?}, and then {again:?}"));
        }
        let log = self.open(&disk).map_err(called("opening"))?;
        let seen = Observed::of(&log).map_err(called("looking"))?;
        self.check_left(&seen, &repair, extent)?;
        seen.check_indexes(&log)?;
        log.verify()?;
        goes_on(&log, &seen)?;
        Ok(repair)
    }

    fn check_left(&self, seen: &Observed, repair: &Repair, extent: Extent) -> Result<(), Finding> {
        let moments = self.played.moments.iter();
        let moments: Vec<_> = moments.map(|moment| Arc::clone(&moment.observed)).collect();
        seen.check_left_of(&moments)?;
        if !repair.renamed.is_empty() {
            return Ok(());
        }
        let lost = |name: &str, id: u64| {
            let mut lost = repair.lost.iter();
            lost.any(|lost| lost.stream.as_str() == name && lost.ids.contains(&id))
        };
        let newest = moments.last().expect("there is one from the start");
        match extent {
            Extent::Frame => seen.check_rest_of(newest, lost, APPEND_MAX),
            Extent::Anything => Ok(()),
        }
    }

    /// Ends the world before each step of a repair, and checks that it is either done or can be done.
    pub(crate) fn crash_repair(&self, damaged: &State, seed: u64) -> Result<usize, Finding> {
        let expected = self.left_by_repair(damaged)?;
        let disk = SimDisk::new(damaged.clone());
        self.repair(&disk).map_err(called("repairing"))?;
        let (mut state, mut random) = (damaged.clone(), Random::new(seed));
        let journal = disk.journal();
        for (nth, step) in journal.iter().enumerate() {
            let killed = state.killed_during(step, &mut random);
            let cuts = [Survival::Oldest, Survival::Any, Survival::Any];
            let cuts = cuts.map(|survival| state.after_power_cut(survival, &mut random));
            for left in [killed].into_iter().chain(cuts) {
                self.check_crashed(left, &expected)
                    .map_err(|finding| format!("crashed before {nth}, {step:?}: {finding}"))?;
            }
            state.apply(step);
        }
        let left = state.after_power_cut(Survival::Oldest, &mut random);
        let log = self.open(&SimDisk::new(left));
        let log = log.map_err(called("opening what a power cut left of it"))?;
        let seen = Observed::of(&log).map_err(called("looking"))?;
        same(&seen, &expected).map(|()| journal.len())
    }

    /// Repairs while the nth call of a kind fails, for every n that is reached, and once more without trouble if need be:
    /// it has happened then, or can be made again. Answers how many there were.
    pub(crate) fn fail_repair(&self, damaged: &State, call: DiskCall) -> Result<usize, Finding> {
        let expected = self.left_by_repair(damaged)?;
        let is_met = |nth: usize| {
            let met = self.repair_in_trouble(damaged, call, nth as u64, &expected);
            met.map_err(|finding| format!("{call:?} {nth} fails: {finding}"))
        };
        let mut nth = 0;
        while is_met(nth)? {
            nth += 1;
        }
        Ok(nth)
    }

    fn repair_in_trouble(
        &self,
        damaged: &State,
        call: DiskCall,
        nth: u64,
        expected: &Observed,
    ) -> Result<bool, Finding> {
        let disk = SimDisk::new(damaged.clone());
        disk.faults(|faults| faults.once(call, nth, Trouble::Io));
        if self.repair(&disk).is_err() {
            disk.faults(|faults| faults.clear());
            self.repair(&disk).map_err(called("repairing again"))?;
        }
        let (now, random) = (disk.state(), &mut Random::new(nth));
        let cuts = [Survival::Oldest, Survival::Any, Survival::Any];
        let cuts = cuts.map(|survival| now.after_power_cut(survival, random));
        for left in [now].into_iter().chain(cuts) {
            self.check_crashed(left, expected)?;
        }
        Ok(disk.faults(|faults| faults.was_met()))
    }

    /// What is there after a repair to which nothing happens.
    fn left_by_repair(&self, damaged: &State) -> Result<Observed, Finding> {
        let disk = SimDisk::new(damaged.clone());
        self.repair(&disk).map_err(called("repairing"))?;
        let log = self.open(&disk).map_err(called("opening"))?;
        Observed::of(&log).map_err(called("looking"))
    }

    fn check_crashed(&self, left: State, expected: &Observed) -> Result<(), Finding> {
        let disk = SimDisk::new(left);
        let log = match self.open(&disk) {
            Ok(log) => log,
            Err(Error::Corrupt { .. } | Error::NotAStore { .. } | Error::FormatTooNew { .. }) => {
                self.repair(&disk).map_err(called("repairing again"))?;
                self.open(&disk).map_err(called("opening"))?
            }
            Err(error) => return Err(called("opening before the repair")(error)),
        };
        same(&Observed::of(&log).map_err(called("looking"))?, expected)
    }
}

fn called(doing: &str) -> impl Fn(Error) -> Finding + '_ {
    move |error| format!("{doing}: {error:?}")
}

fn same(seen: &Observed, expected: &Observed) -> Result<(), Finding> {
    match seen == expected {
        true => Ok(()),
        false => Err(seen.difference(expected)),
    }
}

/// Every segment and manifest that was found is there still, byte for byte, or was not damaged.
fn check_set_aside(repair: &Repair, found: &State, left: &State) -> Result<(), Finding> {
    let left = left.contents();
    for (name, bytes) in found.contents() {
        let is_kept = matches!(
            FileName::parse(&name),
            Some(FileName::Segment { .. } | FileName::Packed { .. } | FileName::Manifest)
        );
        let is_damaged = repair.damage.iter().any(|damage| damage.file == name);
        let mut aside = repair.set_aside.iter().filter_map(|name| left.get(name));
        if is_kept && is_damaged && !aside.any(|kept| *kept == bytes) {
            return Err(format!("{name} is gone: {repair:?}"));
        }
    }
    Ok(())
}

/// Each stream takes its next id, and nothing else changes.
fn goes_on(log: &LogSubject, seen: &Observed) -> Result<(), Finding> {
    for (name, head) in seen.heads() {
        let entry = NewEntry::new(Payload::octets(&b"behind"[..]));
        let answers = log.append_together(&[Batch::new(name, vec![entry])]);
        let receipts = answers.into_iter().collect::<Result<Vec<_>, _>>();
        let receipts = receipts.map_err(called("appending"))?;
        let id = receipts[0].outcomes[0].id();
        if id != head + 1 {
            return Err(format!("{name:?} goes on with {id} behind {head}"));
        }
    }
    let before = Observed::of(log).map_err(called("looking"))?;
    log.maintain(Care::Compact).map_err(called("compacting"))?;
    log.maintain(Care::Reopen).map_err(called("reopening"))?;
    same(&Observed::of(log).map_err(called("looking"))?, &before)?;
    log.verify()
}
