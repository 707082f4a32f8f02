//! Readers in other processes: what they see between any two calls that the writer makes of the disk, or in the middle of one.
//!
//! What must hold: a reader sees the log as it was at one moment, not before the newest acknowledged one and not behind the newest one
//! begun; it never goes back; and what it sees of a log that is synced with each append survives a power cut. Who looks while something
//! is being moved may be told to look again, but not when a call has been answered.

use std::ops::RangeInclusive;
use std::sync::Arc;

use ledger_core::{Durability, ManualClock};

use super::inode::Survival;
use super::played::{Crash, Finding, Played};
use super::{DiskCall, LogSubject, Random, SimDisk, State, Step, Trouble};
use crate::format::{FileName, VISIBLE_WORD, Visible};

/// How often readers looked, and how often in vain.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Looks {
    pub(crate) all: usize,
    pub(crate) in_vain: usize,
}

/// Lets readers look at everything that the disk was while `played` was played, up to a step at which the writer is killed, and then
/// while another one opens the log: a reader that looks often, one that does now and then, and new ones.
pub(crate) fn follow(played: &Played, seed: u64) -> Result<Looks, Finding> {
    let mut random = Random::new(seed ^ 0xf0110);
    let mut following = Following {
        played,
        disk: SimDisk::default(),
        killed: random.index(played.journal.len() + 1),
        random,
        looks: Looks::default(),
        readers: vec![Reader::new(2), Reader::new(50)],
        has_failed: false,
    };
    following.disk.set_locked(true);
    let mut state = State::default();
    for (step, change) in played.journal[..following.killed].iter().enumerate() {
        following
            .look_before(step, &state, change)
            .map_err(|finding| format!("seed {seed}, step {step}, before {change:?}: {finding}"))?;
        state.apply(change);
    }
    let killed = following.killed;
    let survived = following.kill(state);
    survived.map_err(|finding| format!("seed {seed}, killed before step {killed}: {finding}"))?;
    drop(std::mem::take(&mut following.readers));
    let changes = following.disk.journal();
    match changes.iter().find(|change| !is_sync(change)) {
        None => Ok(following.looks),
        Some(change) => Err(format!(
            "seed {seed}: a reader has made a change: {change:?}"
        )),
    }
}

fn is_sync(step: &Step) -> bool {
    matches!(step, Step::DataSynced { .. } | Step::SyncFailed { .. })
}

/// A reader that looks once in so many steps.
#[derive(Default)]
struct Reader {
    one_in: u64,
    log: Option<(LogSubject, Arc<ManualClock>)>,
    /// The moment that it saw last.
    seen: usize,
}

impl Reader {
    fn new(one_in: u64) -> Self {
        Self {
            one_in,
            log: None,
            seen: 0,
        }
    }
}

struct Following<'a> {
    played: &'a Played,
    /// The disk as the readers see it.
    disk: SimDisk,
    /// Before which step the writer is killed.
    killed: usize,
    random: Random,
    looks: Looks,
    readers: Vec<Reader>,
    /// Whether a sync of the one that is left has failed.
    has_failed: bool,
}

// Beside the writer.
impl Following<'_> {
    /// Lets readers look before the step `step`, which is `change`, or in the middle of it.
    fn look_before(&mut self, step: usize, state: &State, change: &Step) -> Result<(), Finding> {
        let is_torn = self.random.one_in(2);
        self.disk.set_state(match is_torn {
            true => state.killed_during(change, &mut self.random),
            false => state.clone(),
        });
        let must = !is_torn && self.played.is_answered(step);
        self.look_all(step, must)?;
        match self.random.one_in(6) {
            true => self.look_anew(step),
            false => Ok(()),
        }
    }

    /// Lets those look whose turn it is, or all if they `must`.
    fn look_all(&mut self, step: usize, must: bool) -> Result<(), Finding> {
        let mut readers = std::mem::take(&mut self.readers);
        let mut looks = readers.iter_mut().filter_map(|reader| {
            let looks = must || self.random.one_in(reader.one_in);
            looks.then(|| self.look(reader, step, must))
        });
        let looked = looks.find(Result::is_err).unwrap_or(Ok(()));
        self.readers = readers;
        looked
    }

    /// Lets a new reader look, for which the writer may just have been killed.
    fn look_anew(&mut self, step: usize) -> Result<(), Finding> {
        self.disk.set_locked(self.random.one_in(2));
        let looked = self.look(&mut Reader::new(1), step, false);
        self.disk.set_locked(true);
        looked
    }
}

// After a kill.
impl Following<'_> {
    /// Kills the writer, and opens the log again, at each step of which those who read it before must be able to.
    fn kill(&mut self, state: State) -> Result<(), Finding> {
        let left = match self.played.journal.get(self.killed) {
            Some(change) => state.killed_during(change, &mut self.random),
            None => state,
        };
        self.disk.set_state(left);
        self.disk.set_locked(false);
        match self.readers[0].log.is_some() && self.random.one_in(3) {
            true => self.fail_a_sync()?,
            false => self.look_all(self.killed, false)?,
        }
        self.disk.set_locked(true);
        let opened = SimDisk::new(self.disk.state());
        let clock = Arc::new(ManualClock::new(self.played.moments[0].now));
        let log = LogSubject::open(&opened, &self.played.setup, clock);
        let log = log.map_err(|error| format!("opening: {error:?}"))?;
        for (nth, change) in opened.journal().into_iter().enumerate() {
            self.look_meanwhile(nth)
                .map_err(|finding| format!("before {change:?} of the opening: {finding}"))?;
            self.disk.replay(&change);
        }
        self.look_all(self.killed, true)?;
        drop(log);
        Ok(())
    }

    /// Lets one reader look whose sync fails, and look again. All others are gone: they could not know.
    fn fail_a_sync(&mut self) -> Result<(), Finding> {
        let mut reader = self.readers.swap_remove(0);
        self.has_failed = true;
        self.disk
            .faults(|faults| faults.once(DiskCall::Sync, 0, Trouble::Io));
        self.look(&mut reader, self.killed, false)?;
        self.disk.faults(|faults| faults.clear());
        self.look(&mut reader, self.killed, false)?;
        let seen = reader.seen;
        self.readers = vec![reader];
        let newest = *self.played.possible(self.killed, Crash::Kill).end();
        match self.played.setup.durability {
            Durability::Sync => self.survives(seen..=newest),
            _ => Ok(()),
        }
    }

    /// Lets readers look before the `nth` step of the opening. Before the first one, which tells them not to believe the page, while that
    /// is being written, and while what is kept is being synced, they may do so in vain; and so may one whose own sync has failed.
    fn look_meanwhile(&mut self, nth: usize) -> Result<(), Finding> {
        let are_open = self.readers.iter().all(|reader| reader.log.is_some());
        let must = nth > 0 && are_open && !self.has_failed && self.is_told();
        self.look_all(self.killed, must)
    }

    /// Whether the stage's page tells readers where to look: two words, which are not written at once.
    fn is_told(&self) -> bool {
        let state = self.disk.state();
        let Some(stage) = state.find(&FileName::Stage.to_string()) else {
            return false;
        };
        let mut bytes = [0; 16];
        let read = state.file(stage).read(&mut bytes, VISIBLE_WORD as u64 * 8);
        let (words, _) = bytes.as_chunks();
        let words = [words[0], words[1]].map(u64::from_le_bytes);
        let told = Visible::decode(words).filter(|visible| *visible != Visible::Syncing);
        read == bytes.len() && told.is_some()
    }
}

// Looking.
impl Following<'_> {
    /// Lets a reader look, which it `must` be able to.
    fn look(&mut self, reader: &mut Reader, step: usize, must: bool) -> Result<(), Finding> {
        self.looks.all += 1;
        match self.refresh(reader) {
            Ok(()) => self.compare(reader, step),
            Err(finding) if must => Err(finding),
            Err(_) => {
                self.looks.in_vain += 1;
                Ok(())
            }
        }
    }

    /// Opens what is not open yet, and sees what is new.
    fn refresh(&self, reader: &mut Reader) -> Result<(), Finding> {
        if reader.log.is_none() {
            let clock = Arc::new(ManualClock::new(self.played.moments[0].now));
            let log = LogSubject::read_only(&self.disk, &self.played.setup, clock.clone());
            reader.log = Some((log.map_err(|error| format!("opening: {error:?}"))?, clock));
        }
        let refreshed = reader.log.iter().try_for_each(|(log, _)| log.refresh());
        refreshed.map_err(|error| format!("refreshing: {error:?}"))
    }

    fn compare(&mut self, reader: &mut Reader, step: usize) -> Result<(), Finding> {
        let Some((log, clock)) = &reader.log else {
            return Ok(());
        };
        let possible = self.played.possible(step, Crash::Kill);
        let possible = reader.seen.max(*possible.start())..=*possible.end();
        reader.seen = self.played.find(log, clock, possible.clone())?;
        match self.played.setup.durability == Durability::Sync && self.random.one_in(8) {
            true => self.survives(reader.seen..=*possible.end()),
            false => Ok(()),
        }
    }

    /// Cuts the power, and looks for one of the `possible` moments.
    fn survives(&mut self, possible: RangeInclusive<usize>) -> Result<(), Finding> {
        let state = self.disk.state();
        let left = SimDisk::new(state.after_power_cut(Survival::Oldest, &mut self.random));
        let clock = Arc::new(ManualClock::new(self.played.moments[*possible.end()].now));
        let log = LogSubject::open(&left, &self.played.setup, clock.clone());
        let log = log.map_err(|error| format!("opening after a power cut: {error:?}"))?;
        let found = self.played.find(&log, &clock, possible);
        found
            .map(drop)
            .map_err(|finding| format!("a power cut takes what was seen: {finding}"))
    }
}
