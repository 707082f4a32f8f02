//! Opening, what is seen to as long as a log is open, and closing.

use std::path::Path;
use std::sync::Arc;

use ledger_core::Result;

use crate::disk::{Directory, Disk, Patience, ReadOnlyDisk};
use crate::log::open::{opening, reading};
use crate::log::{Log, LogStats, Repair, Verified, repair};
use crate::options::FileOptions;

impl Log {
    /// Opens the log in the directory at `path`, making it if it is not there.
    ///
    /// # Errors
    /// [`Busy`](ledger_core::Error::Busy): another process writes to it, and is named.
    /// [`Corrupt`](ledger_core::Error::Corrupt): it is damaged; nothing was touched.
    /// [`NotAStore`](ledger_core::Error::NotAStore), [`FormatTooNew`](ledger_core::Error::FormatTooNew), [`Open`](ledger_core::Error::Open),
    /// [`ReadOnly`](ledger_core::Error::ReadOnly): it was left as it is.
    /// [`InvalidInput`](ledger_core::Error::InvalidInput): the options make no sense.
    pub fn open(path: impl AsRef<Path>, options: FileOptions) -> Result<Self> {
        options.check_intervals()?;
        let path = path.as_ref();
        let place = path.display().to_string();
        let directory =
            Directory::create(path).map_err(|error| crate::disk::failure(&*place, error))?;
        Self::open_on(Arc::new(directory), place, options)
    }

    /// Opens the log in the directory at `path` for reading, while another process may write it: every question is
    /// answered by what that shows at the moment. Nothing is locked, and nothing written. If nobody writes, what the last one left and had
    /// not told to be durable is synced before it is shown, so that no loss of power takes back what was read.
    ///
    /// # Errors
    /// As [`open`](Log::open). Every change answers [`ReadOnly`](ledger_core::Error::ReadOnly). Here, and to every question:
    /// [`Busy`](ledger_core::Error::Busy), if a process that opens the log has been syncing what the last one left for ten seconds: ask again.
    /// [`Poisoned`](ledger_core::Error::Poisoned), if such a sync has failed: nobody knows what is durable before the log was opened for writing.
    /// [`Corrupt`](ledger_core::Error::Corrupt), also if a backup, or another log, was put in the place of this one: open it again.
    pub fn open_read_only(path: impl AsRef<Path>, options: FileOptions) -> Result<Self> {
        let path = path.as_ref();
        let place = path.display().to_string();
        let directory =
            Directory::open(path).map_err(|error| crate::disk::failure(&*place, error))?;
        Self::read_only_on(Arc::new(directory), place, options)
    }

    /// Opens the log in the directory that `disk` is for reading.
    pub(crate) fn read_only_on(
        disk: Arc<dyn Disk>,
        place: String,
        options: FileOptions,
    ) -> Result<Self> {
        options.validate()?;
        let disk = Arc::new(ReadOnlyDisk(disk));
        let opened = reading::open_read_only(disk, place.clone(), options);
        let shared = opened.map_err(|failure| failure.into_error(&place))?;
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Sees what the process that writes shows by now. Reading does so by itself; in that process it does nothing.
    ///
    /// # Errors
    /// Those of the files.
    pub fn refresh(&self) -> Result<()> {
        self.answer(self.shared.check_open())?;
        self.ask(|| self.shared.refresh(Patience::Wait))
    }

    /// Opens the log in the directory that `disk` is, and that messages call `place`.
    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        place: String,
        options: FileOptions,
    ) -> Result<Self> {
        options.validate()?;
        let opened = opening::open(disk, place.clone(), options);
        let shared = Arc::new(opened.map_err(|failure| failure.into_error(&place))?);
        shared.begin_intervals();
        Ok(Self { shared })
    }

    /// Tells what is damaged in the log in the directory at `path`, and what [`repair`](Log::repair) would make of it.
    ///
    /// Nobody may have it open for writing. Nothing of it is changed.
    ///
    /// # Errors
    /// As [`repair`](Log::repair).
    pub fn examine(path: impl AsRef<Path>) -> Result<Repair> {
        let (directory, place) = Self::find(path.as_ref())?;
        Self::examine_on(&directory, &place)
    }

    /// Repairs the log in the directory at `path`, if it is damaged: what cannot be read is left out of it, and
    /// everything else stays. Afterwards it can be opened.
    ///
    /// Entries that are lost leave tombstones; no id is used twice, as far as it can be told. Every file that is damaged
    /// is kept beside the log as it was found, and durable there. A repair that is cut short has either happened or not,
    /// and is made again by calling it again.
    ///
    /// It reads all of the log, one segment at a time, and writes those that are damaged once more.
    ///
    /// # Errors
    /// [`Busy`](ledger_core::Error::Busy): another process writes to it, and is named.
    /// [`NotAStore`](ledger_core::Error::NotAStore), [`FormatTooNew`](ledger_core::Error::FormatTooNew): it was left as it is.
    /// [`Corrupt`](ledger_core::Error::Corrupt): its files contradict each other, and it was left as it is.
    /// Those of the files: a file that cannot be read is not taken for a damaged one. Copy it to a disk that can.
    pub fn repair(path: impl AsRef<Path>, options: FileOptions) -> Result<Repair> {
        let (directory, place) = Self::find(path.as_ref())?;
        Self::repair_on(&directory, &place, &options)
    }

    fn find(path: &Path) -> Result<(Directory, String)> {
        let place = path.display().to_string();
        match Directory::open(path) {
            Ok(directory) => Ok((directory, place)),
            Err(error) => Err(crate::disk::failure(place, error)),
        }
    }

    pub(crate) fn examine_on(disk: &dyn Disk, place: &str) -> Result<Repair> {
        repair::examine(disk, place).map_err(|failure| failure.into_error(place))
    }

    pub(crate) fn repair_on(disk: &dyn Disk, place: &str, options: &FileOptions) -> Result<Repair> {
        options.validate()?;
        repair::repair(disk, place, options).map_err(|failure| failure.into_error(place))
    }
}

impl Log {
    /// Makes everything that was appended so far survive the loss of power, whatever the durability is.
    ///
    /// # Errors
    /// [`Poisoned`](ledger_core::Error::Poisoned): it is not known what did survive; open the log again.
    /// [`ReadOnly`](ledger_core::Error::ReadOnly): it was opened for reading.
    pub fn sync(&self) -> Result<()> {
        self.answer(self.shared.check_open())?;
        self.answer(self.shared.sync())
    }

    /// Does what a log does when there is time: lists full segments, indexes them, makes the next.
    ///
    /// A log with a thread for it does so by itself.
    ///
    /// # Errors
    /// Those of the files; what was not done is done the next time, unless that is [`Poisoned`](ledger_core::Error::Poisoned):
    /// then a sync failed, and the log has to be opened again. [`ReadOnly`](ledger_core::Error::ReadOnly): it was opened for reading.
    pub fn tidy(&self) -> Result<()> {
        self.answer(self.shared.check_open())?;
        self.answer(self.shared.tidy())
    }

    /// Rewrites full segments of which little is alive, so that their space comes back, and what was purged is gone from
    /// the disk.
    ///
    /// # Errors
    /// As [`tidy`](Log::tidy); every segment is either as it was or rewritten.
    pub fn compact(&self) -> Result<()> {
        self.answer(self.shared.check_open())?;
        self.ask(|| self.shared.compact())
    }

    /// Reads everything that is in the files, and checks it: every byte by its checksum, and that in each stream every entry
    /// follows the one before it, so that nothing is missing but what was trimmed.
    ///
    /// An index that is damaged is made anew from the log. Takes some 20 bytes of memory for each stream.
    ///
    /// # Errors
    /// [`Corrupt`](ledger_core::Error::Corrupt): what is damaged, and where.
    pub fn verify(&self) -> Result<Verified> {
        self.answer(self.shared.check_open())?;
        self.ask(|| self.shared.verify())
    }

    /// Tells how much there is.
    ///
    /// # Errors
    /// [`Closed`](ledger_core::Error::Closed), and those of the files.
    pub fn stats(&self) -> Result<LogStats> {
        self.answer(self.shared.check_open())?;
        self.ask(|| self.shared.stats())
    }

    /// Finishes what was begun, and closes. Every later call answers [`Closed`](ledger_core::Error::Closed), and so does one
    /// that was begun by another thread and is not done yet, unless it comes to its end before.
    ///
    /// # Errors
    /// Those of the files; the log is closed all the same.
    pub fn close(&self) -> Result<()> {
        self.answer(self.shared.close())
    }
}
