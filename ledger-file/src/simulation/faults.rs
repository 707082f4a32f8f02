//! Errors that the simulated disk reports when it is told to.

use std::io;

use rustix::io::Errno;

/// The kinds of calls that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum DiskCall {
    Read,
    Write,
    Reserve,
    Truncate,
    Sync,
    Create,
    Open,
    Rename,
    Remove,
    SyncDirectory,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The call fails with EIO; a sync that does marks everything clean.
    Io,
    /// The disk is full, and stays so until told otherwise.
    Full,
    /// No more files may be open.
    TooManyFiles,
    /// The call is interrupted once.
    Interrupted,
    /// Only part of it is transferred.
    Short,
}

/// What is to go wrong, and when.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    planned: Vec<Planned>,
    was_met: bool,
}

#[derive(Clone, Copy, Debug)]
struct Planned {
    call: DiskCall,
    countdown: u64,
    trouble: Trouble,
    repeats: bool,
    then: Option<DiskCall>,
}

impl Faults {
    /// Lets the `nth` call of this kind from now on (0 is the next) run into `trouble`.
    pub(crate) fn once(&mut self, call: DiskCall, nth: u64, trouble: Trouble) {
        self.plan(call, nth, trouble, false);
    }

    /// Lets the `nth` call of this kind from now on, and all behind it, run into `trouble`.
    pub(crate) fn from(&mut self, call: DiskCall, nth: u64, trouble: Trouble) {
        self.plan(call, nth, trouble, true);
    }

    /// Lets everything succeed from now on.
    pub(crate) fn clear(&mut self) {
        self.planned.clear();
    }

    fn plan(&mut self, call: DiskCall, countdown: u64, trouble: Trouble, repeats: bool) {
        self.planned.push(Planned {
            call,
            countdown,
            trouble,
            repeats,
            then: None,
        });
    }

    /// Lets the next call of the kind `then` fail as well, once the first thing goes wrong that is planned so far.
    pub(crate) fn and_then(&mut self, then: DiskCall) {
        self.planned
            .iter_mut()
            .for_each(|planned| planned.then = Some(then));
    }

    /// Whether anything went wrong.
    pub(crate) fn was_met(&self) -> bool {
        self.was_met
    }

    /// Counts a call, and tells what it runs into.
    pub(super) fn meet(&mut self, call: DiskCall) -> Option<Trouble> {
        let (mut met, mut then) = (None, None);
        self.planned.retain_mut(|planned| {
            if planned.call != call {
                return true;
            }
            if planned.countdown > 0 {
                planned.countdown -= 1;
                return true;
            }
            met = Some(planned.trouble);
            then = planned.then;
            planned.repeats
        });
        if let Some((trouble, then)) = met.zip(then) {
            self.once(then, 0, trouble);
        }
        self.was_met |= met.is_some();
        met
    }
}

impl Trouble {
    /// What the system says of it.
    pub(super) fn error(self) -> io::Error {
        match self {
            Self::Io => Errno::IO,
            Self::Full => Errno::NOSPC,
            Self::TooManyFiles => Errno::MFILE,
            Self::Interrupted | Self::Short => Errno::INTR,
        }
        .into()
    }
}
