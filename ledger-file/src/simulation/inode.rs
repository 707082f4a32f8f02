//! What one file holds, and what it may hold after a power cut.
//!
//! Each sector, and the length, keeps every version since the last sync that succeeded: any of them may be what is
//! left, each sector choosing for itself, so writes are reordered and lost in every way; and a sector may be torn
//! between two of its versions. A sync that fails marks everything clean: the versions stay possible for ever after,
//! and a later sync that succeeds changes nothing about that, as on Linux.

use std::sync::Arc;

use super::Random;

pub(crate) const SECTOR_BYTES: usize = 512;

type Block = Arc<[u8; SECTOR_BYTES]>;

/// How much of what was not synced survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Survival {
    /// Nothing: everything is as it was when it was last synced.
    Oldest,
    /// Everything.
    Newest,
    /// Any part of it, torn and reordered.
    Any,
}

/// One file.
#[derive(Clone, Debug)]
pub(crate) struct Inode {
    sectors: Vec<Arc<Versions<Block>>>,
    len: Versions<u64>,
}

/// What something may be after a power cut, oldest first; the last is what it is now.
#[derive(Clone, Debug)]
struct Versions<T> {
    possible: Vec<T>,
    is_dirty: bool,
}

impl<T: Clone> Versions<T> {
    fn new(value: T) -> Self {
        Self {
            possible: vec![value],
            is_dirty: false,
        }
    }

    fn now(&self) -> &T {
        self.possible.last().expect("there is always a version")
    }

    fn set(&mut self, value: T) {
        self.possible.push(value);
        self.is_dirty = true;
    }

    fn synced(&mut self) {
        if self.is_dirty {
            self.possible.drain(..self.possible.len() - 1);
            self.is_dirty = false;
        }
    }

    fn sync_failed(&mut self) {
        self.is_dirty = false;
    }

    fn survivor(&self, survival: Survival, random: &mut Random) -> &T {
        match survival {
            Survival::Oldest => &self.possible[0],
            Survival::Newest => self.now(),
            Survival::Any => random.pick(&self.possible),
        }
    }
}

impl Inode {
    /// An empty file. That it is empty is as certain as that it exists.
    pub(crate) fn new() -> Self {
        Self {
            sectors: Vec::new(),
            len: Versions::new(0),
        }
    }

    pub(crate) fn len(&self) -> u64 {
        *self.len.now()
    }

    /// Reads from `offset` as much as there is, and answers how much.
    pub(crate) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let end = self.len().min(offset.saturating_add(buf.len() as u64));
        let mut at = offset;
        while at < end {
            let (index, within) = place(at);
            let count = (SECTOR_BYTES - within).min((end - at) as usize);
            let into = &mut buf[(at - offset) as usize..][..count];
            into.copy_from_slice(&self.sectors[index].now()[within..within + count]);
            at += count as u64;
        }
        end.saturating_sub(offset) as usize
    }

    pub(crate) fn write(&mut self, bytes: &[u8], offset: u64) {
        let end = offset + bytes.len() as u64;
        self.lengthen(end);
        let mut rest = bytes;
        let mut at = offset;
        while !rest.is_empty() {
            let (index, within) = place(at);
            let count = (SECTOR_BYTES - within).min(rest.len());
            self.change(index, |block| {
                block[within..within + count].copy_from_slice(&rest[..count]);
            });
            rest = &rest[count..];
            at += count as u64;
        }
    }

    /// Adds zeroes up to `len`, if it is shorter.
    pub(crate) fn lengthen(&mut self, len: u64) {
        if len > self.len() {
            self.len.set(len);
            self.add_sectors();
        }
    }

    /// Cuts or lengthens to `len`. What was cut is zeroes if it comes back.
    pub(crate) fn truncate(&mut self, len: u64) {
        if len == self.len() {
            return;
        }
        let (first, within) = place(len);
        for index in first..self.sectors.len() {
            let from = if index == first { within } else { 0 };
            if self.sectors[index].now()[from..]
                .iter()
                .any(|byte| *byte != 0)
            {
                self.change(index, |block| block[from..].fill(0));
            }
        }
        self.len.set(len);
        self.add_sectors();
    }

    /// A sync of the data has succeeded: what was written is there to stay, and a greater length; a cut may not be.
    pub(crate) fn data_synced(&mut self) {
        let now = self.len();
        let reached = (now as usize).div_ceil(SECTOR_BYTES);
        each_dirty(&mut self.sectors[..reached], Versions::synced);
        if self.len.is_dirty {
            self.len.possible.retain(|len| *len >= now);
        }
    }

    /// A sync of everything has succeeded.
    pub(crate) fn all_synced(&mut self) {
        each_dirty(&mut self.sectors, Versions::synced);
        self.len.synced();
    }

    /// A sync has failed: nobody will ever write again what was dirty.
    pub(crate) fn sync_failed(&mut self) {
        each_dirty(&mut self.sectors, Versions::sync_failed);
        self.len.sync_failed();
    }

    /// What is left of it after the power was cut.
    pub(crate) fn after_power_cut(&self, survival: Survival, random: &mut Random) -> Self {
        let len = *self.len.survivor(survival, random);
        let mut left = Self::new();
        left.sectors = self
            .sectors
            .iter()
            .map(|sector| surviving_sector(sector, survival, random))
            .collect();
        left.len = Versions::new(len);
        left.add_sectors();
        left.forget_behind(len);
        left
    }

    /// Flips one bit, wherever it is stored.
    pub(crate) fn flip(&mut self, bit: u64) {
        let (index, within) = place(bit / 8);
        self.change(index, |block| block[within] ^= 1 << (bit % 8));
        self.all_synced();
    }

    fn change(&mut self, index: usize, f: impl FnOnce(&mut [u8; SECTOR_BYTES])) {
        let sector = Arc::make_mut(&mut self.sectors[index]);
        let mut block = **sector.now();
        f(&mut block);
        sector.set(Arc::new(block));
    }

    fn add_sectors(&mut self) {
        let count = (self.len() as usize).div_ceil(SECTOR_BYTES);
        if count > self.sectors.len() {
            let zeroes = Arc::new(Versions::new(Arc::new([0; SECTOR_BYTES])));
            self.sectors.resize(count, zeroes);
        }
    }

    fn forget_behind(&mut self, len: u64) {
        self.sectors.truncate((len as usize).div_ceil(SECTOR_BYTES));
        let (last, within) = place(len);
        if let Some(sector) = self.sectors.get_mut(last) {
            let mut block = **sector.now();
            block[within..].fill(0);
            *sector = Arc::new(Versions::new(Arc::new(block)));
        }
    }
}

fn each_dirty(sectors: &mut [Arc<Versions<Block>>], f: impl Fn(&mut Versions<Block>)) {
    for sector in sectors {
        if sector.is_dirty {
            f(Arc::make_mut(sector));
        }
    }
}

fn surviving_sector(
    sector: &Arc<Versions<Block>>,
    survival: Survival,
    random: &mut Random,
) -> Arc<Versions<Block>> {
    if sector.possible.len() == 1 {
        return Arc::clone(sector);
    }
    let left = sector.survivor(survival, random);
    if survival != Survival::Any || !random.one_in(4) {
        return Arc::new(Versions::new(Arc::clone(left)));
    }
    let mut torn = **left;
    let from = random.index(SECTOR_BYTES);
    torn[from..].copy_from_slice(&random.pick(&sector.possible)[from..]);
    Arc::new(Versions::new(Arc::new(torn)))
}

fn place(offset: u64) -> (usize, usize) {
    let sector = SECTOR_BYTES as u64;
    ((offset / sector) as usize, (offset % sector) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(inode: &Inode) -> Vec<u8> {
        let mut bytes = vec![0; inode.len() as usize];
        assert_eq!(inode.read(&mut bytes, 0), bytes.len());
        bytes
    }

    fn left(inode: &Inode, survival: Survival) -> Vec<u8> {
        contents(&inode.after_power_cut(survival, &mut Random::new(1)))
    }

    #[test]
    fn what_was_written_is_read_and_what_was_not_synced_may_be_lost() {
        let mut inode = Inode::new();
        inode.write(b"one", 0);
        inode.data_synced();
        inode.write(b"two!", 0);
        assert_eq!(contents(&inode), b"two!");
        assert_eq!(left(&inode, Survival::Oldest), b"one");
        assert_eq!(left(&inode, Survival::Newest), b"two!");
        inode.data_synced();
        assert_eq!(left(&inode, Survival::Oldest), b"two!");
    }

    #[test]
    fn sectors_survive_each_for_itself() {
        let mut inode = Inode::new();
        inode.lengthen(2048);
        inode.all_synced();
        inode.write(&[1; 2048], 0);
        let mut seen = std::collections::BTreeSet::new();
        let mut random = Random::new(7);
        for _ in 0..2000 {
            let bytes = contents(&inode.after_power_cut(Survival::Any, &mut random));
            seen.insert([bytes[0], bytes[512], bytes[1024], bytes[1536]]);
        }
        assert_eq!(seen.len(), 16, "every order of four writes");
    }

    #[test]
    fn a_sector_may_be_torn() {
        let mut inode = Inode::new();
        inode.lengthen(512);
        inode.all_synced();
        inode.write(&[1; 512], 0);
        let mut random = Random::new(7);
        let torn = (0..100).any(|_| {
            let bytes = contents(&inode.after_power_cut(Survival::Any, &mut random));
            bytes[0] != bytes[511]
        });
        assert!(torn);
    }

    #[test]
    fn a_sync_after_a_failed_one_proves_nothing() {
        let mut inode = Inode::new();
        inode.write(b"old", 0);
        inode.all_synced();
        inode.write(b"new", 0);
        inode.sync_failed();
        inode.all_synced();
        assert_eq!(contents(&inode), b"new", "the page cache still has it");
        assert_eq!(left(&inode, Survival::Oldest), b"old");
        inode.write(b"newer", 0);
        inode.all_synced();
        assert_eq!(left(&inode, Survival::Oldest), b"newer");
    }

    #[test]
    fn a_cut_needs_more_than_a_sync_of_the_data() {
        let mut inode = Inode::new();
        inode.write(&[9; 1000], 0);
        inode.all_synced();
        inode.truncate(100);
        assert_eq!(inode.len(), 100);
        inode.data_synced();
        assert_eq!(left(&inode, Survival::Oldest).len(), 1000);
        inode.all_synced();
        assert_eq!(left(&inode, Survival::Oldest).len(), 100);
    }

    #[test]
    fn what_was_cut_comes_back_as_zeroes() {
        let mut inode = Inode::new();
        inode.write(&[9; 1500], 0);
        inode.truncate(100);
        inode.lengthen(1500);
        let bytes = contents(&inode);
        assert!(bytes[..100].iter().all(|byte| *byte == 9));
        assert!(bytes[100..].iter().all(|byte| *byte == 0));
    }
}
