//! The simulated disk: the traits of [`crate::disk`] over a [`State`].

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::state::Number;
use super::{DiskCall, Faults, State, Step, Trouble};
use crate::disk::{
    Access, Changed, Disk, DiskFile, FileMap, FileNumber, Lock, LockGuard, LockView, Patience,
    STAGE_PAGE_BYTES, STAGE_PAGE_WORDS, Stage, StagePage,
};
use crate::sync::pause;

/// A disk in memory. Its clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimDisk(Arc<Mutex<World>>);

#[derive(Debug, Default)]
struct World {
    state: State,
    journal: Vec<Step>,
    faults: Faults,
    is_locked: bool,
    /// How often something was read by who must not wait.
    hurried_reads: u64,
}

/// Of so many reads by who must not wait the first would have to.
const HURRIED_READS: u64 = 3;

impl SimDisk {
    /// A disk that holds what a crash left.
    pub(crate) fn new(state: State) -> Self {
        let disk = Self::default();
        disk.world().state = state;
        disk
    }

    /// What it holds now.
    pub(crate) fn state(&self) -> State {
        self.world().state.clone()
    }

    /// Becomes what it was at another moment.
    pub(crate) fn set_state(&self, state: State) {
        self.world().state = state;
    }

    /// Changes as another disk did.
    pub(crate) fn replay(&self, step: &Step) {
        self.world().state.apply(step);
    }

    /// Says whether a process writes to the log that lies on it.
    pub(crate) fn set_locked(&self, is_locked: bool) {
        self.world().is_locked = is_locked;
    }

    /// How many changes were made to it.
    pub(crate) fn steps(&self) -> usize {
        self.world().journal.len()
    }

    /// All changes that were made to it since it was made.
    pub(crate) fn journal(&self) -> Vec<Step> {
        self.world().journal.clone()
    }

    /// Changes what goes wrong, or looks at the calls so far.
    pub(crate) fn faults<T>(&self, f: impl FnOnce(&mut Faults) -> T) -> T {
        f(&mut self.world().faults)
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().expect("the simulation does not panic")
    }

    fn file(&self, number: Number, access: Access) -> Arc<dyn DiskFile> {
        Arc::new(SimFile {
            disk: self.clone(),
            number,
            access,
        })
    }

    fn number(&self, name: &str) -> io::Result<Number> {
        let found = self.world().state.find(name);
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn open_or_create(&self, name: &str) -> io::Result<Number> {
        match self.number(name) {
            Err(_) => {
                self.create(name)?;
                self.number(name)
            }
            found => found,
        }
    }
}

impl World {
    fn apply(&mut self, step: Step) {
        self.state.apply(&step);
        self.journal.push(step);
    }

    /// Whether the next read would have to wait.
    fn is_cold(&mut self) -> bool {
        self.hurried_reads += 1;
        self.hurried_reads % HURRIED_READS == 1
    }

    /// Makes a change, unless it is to fail.
    fn attempt(&mut self, call: DiskCall, step: Step) -> io::Result<()> {
        match self.faults.meet(call) {
            // A real directory makes calls again that were interrupted.
            None | Some(Trouble::Interrupted | Trouble::Short) => {
                self.apply(step);
                Ok(())
            }
            Some(trouble) => Err(trouble.error()),
        }
    }

    fn sync(&mut self, file: Number, step: Step) -> io::Result<()> {
        match self.faults.meet(DiskCall::Sync) {
            Some(Trouble::Io | Trouble::Full) => {
                self.apply(Step::SyncFailed { file });
                Err(Trouble::Io.error())
            }
            // std's syncs are made again by themselves.
            _ => {
                self.apply(step);
                Ok(())
            }
        }
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        pause();
        Ok(self.world().state.names().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        if self.number(name).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let name_owned = name.to_owned();
        self.world()
            .attempt(DiskCall::Create, Step::Create { name: name_owned })?;
        Ok(self.file(self.number(name)?, Access::Write))
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        pause();
        if let Some(trouble) = self.world().faults.meet(DiskCall::Open) {
            return Err(trouble.error());
        }
        Ok(self.file(self.number(name)?, access))
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        if let Some(trouble) = self.world().faults.meet(DiskCall::Open) {
            return Err(trouble.error());
        }
        let number = self.number(name)?;
        Ok(self.world().state.file(number).len())
    }

    fn file_number(&self, name: &str) -> io::Result<Option<FileNumber>> {
        pause();
        Ok(Some(FileNumber(self.number(name)? as u64)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        pause();
        self.number(from)?;
        let (from, to) = (from.to_owned(), to.to_owned());
        self.world()
            .attempt(DiskCall::Rename, Step::Rename { from, to })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        pause();
        self.number(name)?;
        let name = name.to_owned();
        self.world()
            .attempt(DiskCall::Remove, Step::Remove { name })
    }

    fn sync_directory(&self) -> io::Result<()> {
        pause();
        self.world()
            .attempt(DiskCall::SyncDirectory, Step::DirectorySynced)
    }

    fn lock(&self, name: &str) -> io::Result<Lock> {
        pause();
        self.open_or_create(name)?;
        if std::mem::replace(&mut self.world().is_locked, true) {
            return Ok(Lock::Taken { holder: Some(1) });
        }
        Ok(Lock::Held(Box::new(SimGuard(self.clone()))))
    }

    fn look_at_lock(&self, _: &str) -> io::Result<Option<Box<dyn LockView>>> {
        Ok(Some(Box::new(self.clone())))
    }

    fn map_stage(&self, name: &str, area_bytes: usize) -> io::Result<Box<dyn Stage>> {
        let number = self.open_or_create(name)?;
        let mut world = self.world();
        let len = (STAGE_PAGE_BYTES + area_bytes) as u64;
        if world.state.file(number).len() < len {
            world.attempt(DiskCall::Reserve, Step::Lengthen { file: number, len })?;
            world.sync(number, Step::AllSynced { file: number })?;
        }
        let file = world.state.file(number);
        let mut area = vec![0; file.len() as usize - STAGE_PAGE_BYTES];
        file.read(&mut area, STAGE_PAGE_BYTES as u64);
        let disk = self.clone();
        let access = Access::Write;
        let file = SimFile {
            disk,
            number,
            access,
        };
        Ok(Box::new(SimStage { file, area }))
    }
}

impl LockView for SimDisk {
    fn is_held(&self) -> io::Result<bool> {
        pause();
        Ok(self.world().is_locked)
    }

    fn changed(&self) -> Option<Changed> {
        None
    }
}

#[derive(Debug)]
struct SimGuard(SimDisk);

impl LockGuard for SimGuard {}

impl Drop for SimGuard {
    fn drop(&mut self) {
        self.0.world().is_locked = false;
    }
}

#[derive(Clone, Debug)]
struct SimFile {
    disk: SimDisk,
    number: Number,
    access: Access,
}

impl SimFile {
    /// As the system refuses to write to a file that was opened to be read.
    fn check_writes(&self) -> io::Result<()> {
        match self.access {
            Access::Write => Ok(()),
            Access::Read => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.world().state.file(self.number).len())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, patience: Patience) -> io::Result<usize> {
        pause();
        let mut world = self.disk.world();
        if patience == Patience::Now && world.is_cold() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = match world.faults.meet(DiskCall::Read) {
            None => buf.len(),
            Some(Trouble::Short) => buf.len().div_ceil(2),
            Some(trouble) => return Err(trouble.error()),
        };
        Ok(world
            .state
            .file(self.number)
            .read(&mut buf[..count], offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        pause();
        self.check_writes()?;
        let mut world = self.disk.world();
        let trouble = world.faults.meet(DiskCall::Write);
        let count = match trouble {
            None => bytes.len(),
            // A disk may have taken some of it before it was full.
            Some(Trouble::Short | Trouble::Full) => bytes.len() / 2,
            Some(trouble) => return Err(trouble.error()),
        };
        world.apply(Step::Write {
            file: self.number,
            offset,
            bytes: bytes[..count].into(),
        });
        match trouble {
            Some(Trouble::Full) => Err(Trouble::Full.error()),
            _ => Ok(count),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        pause();
        let file = self.number;
        self.disk.world().sync(file, Step::DataSynced { file })
    }

    fn sync_all(&self) -> io::Result<()> {
        pause();
        let file = self.number;
        self.disk.world().sync(file, Step::AllSynced { file })
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        self.check_writes()?;
        let file = self.number;
        let step = Step::Lengthen { file, len };
        self.disk.world().attempt(DiskCall::Reserve, step)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        pause();
        self.check_writes()?;
        let file = self.number;
        let step = Step::Truncate { file, len };
        self.disk.world().attempt(DiskCall::Truncate, step)
    }

    fn announce(&self, _: u64, _: u64) {}

    fn evict(&self, _: u64, _: u64) {}

    fn file_number(&self) -> io::Result<Option<FileNumber>> {
        Ok(Some(FileNumber(self.number as u64)))
    }

    /// Never: so every look at a file is a call that can fail.
    fn map(&self, _: u64) -> io::Result<Option<FileMap>> {
        Ok(None)
    }
}

/// A mapped file has no calls that could fail; but every write to it is a moment at which the process may end.
#[derive(Debug)]
struct SimStage {
    file: SimFile,
    area: Vec<u8>,
}

impl SimFile {
    fn write_mapped(&self, offset: usize, bytes: &[u8]) {
        pause();
        self.disk.world().apply(Step::Write {
            file: self.number,
            offset: offset as u64,
            bytes: bytes.into(),
        });
    }
}

impl Stage for SimStage {
    fn area(&self) -> &[u8] {
        &self.area
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.area[offset..offset + bytes.len()].copy_from_slice(bytes);
        self.file.write_mapped(STAGE_PAGE_BYTES + offset, bytes);
    }

    fn page(&self) -> Arc<dyn StagePage> {
        Arc::new(self.file.clone())
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

impl StagePage for SimFile {
    fn load(&self, index: usize) -> u64 {
        pause();
        assert!(index < STAGE_PAGE_WORDS, "the word is in the page");
        let mut bytes = [0; size_of::<u64>()];
        let offset = (index * size_of::<u64>()) as u64;
        let world = self.disk.world();
        world.state.file(self.number).read(&mut bytes, offset);
        u64::from_le_bytes(bytes)
    }

    fn store(&self, index: usize, value: u64) {
        assert!(index < STAGE_PAGE_WORDS, "the word is in the page");
        self.write_mapped(index * size_of::<u64>(), &value.to_le_bytes());
    }
}
