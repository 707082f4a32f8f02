//! The state of the whole disk: files, names, and what of it a power cut leaves.
//!
//! A [`Step`] is one change. A journal of steps, applied again one by one, gives every state that the disk was ever in,
//! so that a history is played once and cut everywhere.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::Random;
use super::inode::{Inode, Survival};

/// The number of a file, whatever its name.
pub(crate) type Number = usize;

/// One change of the disk.
#[derive(Clone)]
pub(crate) enum Step {
    Create {
        name: String,
    },
    Rename {
        from: String,
        to: String,
    },
    Remove {
        name: String,
    },
    DirectorySynced,
    Write {
        file: Number,
        offset: u64,
        bytes: Arc<[u8]>,
    },
    Lengthen {
        file: Number,
        len: u64,
    },
    Truncate {
        file: Number,
        len: u64,
    },
    DataSynced {
        file: Number,
    },
    AllSynced {
        file: Number,
    },
    SyncFailed {
        file: Number,
    },
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { name } => write!(f, "create {name}"),
            Self::Rename { from, to } => write!(f, "rename {from} to {to}"),
            Self::Remove { name } => write!(f, "remove {name}"),
            Self::DirectorySynced => write!(f, "sync the directory"),
            Self::Write {
                file,
                offset,
                bytes,
            } => {
                write!(f, "write {} bytes at {offset} of {file}", bytes.len())
            }
            Self::Lengthen { file, len } => write!(f, "lengthen {file} to {len}"),
            Self::Truncate { file, len } => write!(f, "cut {file} to {len}"),
            Self::DataSynced { file } => write!(f, "sync the data of {file}"),
            Self::AllSynced { file } => write!(f, "sync {file}"),
            Self::SyncFailed { file } => write!(f, "fail to sync {file}"),
        }
    }
}

/// Files and their names, as they are now and as they may be after a power cut.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    files: Vec<Arc<Inode>>,
    names: BTreeMap<String, Number>,
    synced_names: BTreeMap<String, Number>,
    unsynced: Vec<NameChange>,
}

/// A change of names that a power cut may undo.
#[derive(Clone, Debug)]
enum NameChange {
    Create(String, Number),
    Rename(String, String),
    Remove(String),
}

impl State {
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.names.keys()
    }

    pub(crate) fn find(&self, name: &str) -> Option<Number> {
        self.names.get(name).copied()
    }

    pub(crate) fn file(&self, number: Number) -> &Inode {
        &self.files[number]
    }

    /// For tests that damage what is stored.
    pub(crate) fn file_mut(&mut self, number: Number) -> &mut Inode {
        Arc::make_mut(&mut self.files[number])
    }

    pub(crate) fn apply(&mut self, step: &Step) {
        match step {
            Step::Create { name } => {
                let number = self.files.len();
                self.files.push(Arc::new(Inode::new()));
                self.change_names(NameChange::Create(name.clone(), number));
            }
            Step::Rename { from, to } => {
                self.change_names(NameChange::Rename(from.clone(), to.clone()));
            }
            Step::Remove { name } => self.change_names(NameChange::Remove(name.clone())),
            Step::DirectorySynced => {
                self.synced_names = self.names.clone();
                self.unsynced.clear();
            }
            Step::Write {
                file,
                offset,
                bytes,
            } => self.file_mut(*file).write(bytes, *offset),
            Step::Lengthen { file, len } => self.file_mut(*file).lengthen(*len),
            Step::Truncate { file, len } => self.file_mut(*file).truncate(*len),
            Step::DataSynced { file } => self.file_mut(*file).data_synced(),
            Step::AllSynced { file } => self.file_mut(*file).all_synced(),
            Step::SyncFailed { file } => self.file_mut(*file).sync_failed(),
        }
    }

    /// What a process that is killed in the middle of `step` leaves: all that was written, and any part of a write.
    pub(crate) fn killed_during(&self, step: &Step, random: &mut Random) -> Self {
        let mut left = self.clone();
        if let Step::Write {
            file,
            offset,
            bytes,
        } = step
        {
            let part = random.index(bytes.len().max(1));
            left.file_mut(*file).write(&bytes[..part], *offset);
        }
        left
    }

    /// What a power cut leaves: for each file and each change of names that was not synced, one way or the other.
    pub(crate) fn after_power_cut(&self, survival: Survival, random: &mut Random) -> Self {
        let names = self.surviving_names(survival, random);
        let files = self
            .files
            .iter()
            .map(|file| Arc::new(file.after_power_cut(survival, random)))
            .collect();
        Self {
            files,
            synced_names: names.clone(),
            names,
            unsynced: Vec::new(),
        }
    }

    /// All of it, with every name, length and byte, to be compared.
    pub(crate) fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let read = |number: &Number| {
            let file = self.file(*number);
            let mut bytes = vec![0; file.len() as usize];
            file.read(&mut bytes, 0);
            bytes
        };
        self.names
            .iter()
            .map(|(name, number)| (name.clone(), read(number)))
            .collect()
    }

    fn change_names(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced.push(change);
    }

    fn surviving_names(&self, survival: Survival, random: &mut Random) -> BTreeMap<String, Number> {
        let mut names = self.synced_names.clone();
        let in_order = random.one_in(2);
        let reached = random.index(self.unsynced.len() + 1);
        for (index, change) in self.unsynced.iter().enumerate() {
            let survives = match survival {
                Survival::Oldest => false,
                Survival::Newest => true,
                Survival::Any if in_order => index < reached,
                Survival::Any => random.one_in(2),
            };
            if survives {
                change.apply(&mut names);
            }
        }
        names
    }
}

impl NameChange {
    /// Makes the change, if what it changes is there: another change that was lost may be in the way.
    fn apply(&self, names: &mut BTreeMap<String, Number>) {
        match self {
            Self::Create(name, number) => {
                names.insert(name.clone(), *number);
            }
            Self::Rename(from, to) => {
                if let Some(number) = names.remove(from) {
                    names.insert(to.clone(), number);
                }
            }
            Self::Remove(name) => {
                names.remove(name);
            }
        }
    }
}
