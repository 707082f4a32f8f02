//! What the waves of a question ask for of one file. What was seen of it before is not asked for again.

use std::ops::Range;

use smallvec::SmallVec;

use super::SealedIndex;
use super::blocks::{Blocks, Result};
use super::layout::{BLOCK_BYTES, block_offset};
use super::lists::Listed;
use super::sections::Section;
use crate::disk::DiskFile;
use crate::format::StreamNumber;
use crate::index::hash::{KeyHash, mix};
use crate::index::{Means, Window};

/// How many blocks of a section, or parts of what the directory says of it, are asked for because one of them will be needed,
/// and nobody knows which.
const GUESSED_MAX: usize = 4;

impl SealedIndex {
    /// Asks for what must be read before anything else: the header.
    pub(in crate::index) fn announce_contents(&self) {
        if self.contents.get().is_none() {
            self.file.announce(0, BLOCK_BYTES as u64);
        }
    }

    /// Asks for the parts of the directory that lead to a record about a name, or about a checkpoint.
    pub(in crate::index) fn announce_record(
        &self,
        KeyHash(tag): KeyHash,
        means: Means,
    ) -> Result<()> {
        let blocks = self.blocks(means)?;
        let mut places = Places::default();
        for section in [Section::NameRecords, Section::CheckpointRecords] {
            blocks.ask_for_parts(section, tag.into(), &mut places);
        }
        places.announce(&*self.file);
        Ok(())
    }

    /// Asks for the parts of the directory that lead to an order key and a stream, and further to where its entries lie.
    pub(in crate::index) fn announce_directory(
        &self,
        stream: StreamNumber,
        KeyHash(tag): KeyHash,
        means: Means,
    ) -> Result<()> {
        let blocks = self.blocks(means)?;
        let mut places = Places::default();
        for (section, fence) in blocks.searched(stream, tag) {
            blocks.ask_for_parts(section, fence, &mut places);
        }
        for section in [Section::Postings, Section::OldPostings, Section::Frames] {
            blocks.ask_for_all_parts(section, &mut places);
        }
        places.announce(&*self.file);
        Ok(())
    }

    /// Asks for the blocks that an order key and a stream are searched in. Tells whether any was not seen before.
    pub(in crate::index) fn announce_order_key(
        &self,
        stream: StreamNumber,
        KeyHash(tag): KeyHash,
        means: Means,
    ) -> Result<bool> {
        let blocks = self.blocks(means)?;
        let mut places = Places::default();
        for (section, fence) in blocks.searched(stream, tag) {
            let candidates = blocks.candidates(section, fence)?;
            let guessed = candidates.end.min(candidates.start + GUESSED_MAX);
            blocks.ask_for(candidates.start..guessed, &mut places);
        }
        let frames = blocks.contents.header.blocks(Section::Frames);
        if frames.len() <= GUESSED_MAX {
            blocks.ask_for(frames, &mut places);
        }
        Ok(places.announce(&*self.file))
    }

    /// Asks for the list of an order key's entries.
    pub(in crate::index) fn announce_list(
        &self,
        KeyHash(tag): KeyHash,
        means: Means,
    ) -> Result<()> {
        let mut blocks = self.blocks(means)?;
        let list = blocks.list_of(tag)?;
        if let Some((section, rows)) = list.and_then(|list| list.section()) {
            let mut places = Places::default();
            for block in blocks.blocks_of(section, rows).take(GUESSED_MAX) {
                blocks.ask_for_part_of(block, &mut places);
                blocks.ask_for(block..block + 1, &mut places);
            }
            places.announce(&*self.file);
        }
        Ok(())
    }

    /// Asks for where the entries with an order key in `window` lie, as far as their list does not say so, or else for what tells
    /// in which frames they lie, and tells how many those are.
    pub(in crate::index) fn announce_entries(
        &self,
        stream: StreamNumber,
        KeyHash(tag): KeyHash,
        window: &Window,
        means: Means,
    ) -> Result<usize> {
        let mut blocks = self.blocks(means)?;
        let Some(list) = blocks.list_of(tag)? else {
            return Ok(0);
        };
        let indices = blocks.listed_in(&list, stream, window)?;
        let listed = indices.take(window.limit);
        let listed = listed.map(|index| blocks.listed(&list, index));
        let listed: SmallVec<[Listed; 32]> = listed.collect::<Result<_>>()?;
        let bare = listed.iter().filter(|it| it.offset.is_none());
        self.announce_packed(&blocks, Section::Offsets, bare.map(|it| it.ordinal))?;
        let offsets = listed.iter().filter_map(|it| it.offset);
        self.announce_packed(&blocks, Section::Frames, offsets)?;
        Ok(listed.len())
    }

    /// Asks for the rows of a packed section that are searched by those numbers.
    fn announce_packed(
        &self,
        blocks: &Blocks<'_>,
        section: Section,
        sought: impl Iterator<Item = u32> + Clone,
    ) -> Result<()> {
        let (mut parts, mut places) = (Places::default(), Places::default());
        for sought in sought.clone() {
            blocks.ask_for_parts(section, sought.into(), &mut parts);
        }
        parts.announce(&*self.file);
        for sought in sought {
            if let Some(block) = blocks.last_candidate(section, sought.into())? {
                blocks.ask_for(block..block + 1, &mut places);
            }
        }
        places.announce(&*self.file);
        Ok(())
    }
}

impl Blocks<'_> {
    /// Where an order key and a stream are searched.
    fn searched(&self, stream: StreamNumber, tag: u32) -> [(Section, u64); 2] {
        [
            (self.order_keys(), tag.into()),
            (Section::Runs, mix(stream.0)),
        ]
    }

    /// Puts those of some blocks to `places` that were not seen before.
    fn ask_for(&self, blocks: Range<usize>, places: &mut Places) {
        let unseen = blocks.filter(|block| !self.contents.was_right(*block));
        places.0.extend(unseen.map(|block| {
            let start = block_offset(block as u64);
            start..start + BLOCK_BYTES as u64
        }));
    }

    /// Puts a part of the directory to `places`, unless it was read.
    fn ask_for_part(&self, part: usize, places: &mut Places) {
        let directory = &self.contents.directory;
        if directory.get(part).is_none() {
            places.0.push(directory.cut.bytes_of(part..part + 1));
        }
    }

    /// Does so with the part that tells of a block.
    fn ask_for_part_of(&self, block: usize, places: &mut Places) {
        self.ask_for_part(self.contents.directory.cut.part_of(block), places);
    }

    /// Does so with those that lead to a row with that fence.
    fn ask_for_parts(&self, section: Section, fence: u64, places: &mut Places) {
        let blocks = self.contents.header.blocks(section);
        let parts = self.contents.directory.parts_of(&blocks, fence);
        parts
            .take(GUESSED_MAX)
            .for_each(|part| self.ask_for_part(part, places));
    }

    /// Does so with all that tell of a section, if those are a few.
    fn ask_for_all_parts(&self, section: Section, places: &mut Places) {
        let blocks = self.contents.header.blocks(section);
        let parts = self.contents.directory.about(&blocks);
        if parts.len() <= GUESSED_MAX {
            parts.for_each(|part| self.ask_for_part(part, places));
        }
    }
}

/// Places in a file that are asked for together.
#[derive(Debug, Default)]
struct Places(SmallVec<[Range<u64>; 32]>);

impl Places {
    /// Asks for them: for those that lie side by side as for one, because to a disk they are. Tells whether there are any.
    fn announce(mut self, file: &dyn DiskFile) -> bool {
        self.0.sort_unstable_by_key(|place| place.start);
        let mut joined: SmallVec<[Range<u64>; 32]> = SmallVec::new();
        for place in self.0 {
            match joined.last_mut() {
                Some(last) if place.start <= last.end => last.end = last.end.max(place.end),
                _ => joined.push(place),
            }
        }
        { joined.iter() }.for_each(|place| file.announce(place.start, place.end - place.start));
        !joined.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::{fs, io};

    use ledger_core::{Batch, Direction, Durability, Filter, NewEntry, Payload, ReadOptions};

    use super::super::layout::{Header, block_offset};
    use super::super::sections::Section;
    use crate::disk::{Access, Directory, Disk, DiskFile, FileMap, Patience};
    use crate::format::StreamNumber;
    use crate::index::hash::KeyHash;
    use crate::index::{Means, Origin, SealedIndex, Window};
    use crate::log::Log;
    use crate::options::{FileOptions, Housekeeping};

    /// What was asked for of a file, and what was read.
    #[derive(Debug)]
    struct Told {
        file: Arc<dyn DiskFile>,
        announced: Mutex<Vec<(u64, u64)>>,
        read: Mutex<Vec<(u64, u64)>>,
    }

    impl DiskFile for Told {
        fn len(&self) -> io::Result<u64> {
            self.file.len()
        }
        fn read_at(&self, buf: &mut [u8], offset: u64, patience: Patience) -> io::Result<usize> {
            let mut read = self.read.lock().unwrap();
            read.push((offset, buf.len() as u64));
            self.file.read_at(buf, offset, patience)
        }
        fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
            unreachable!()
        }
        fn sync_data(&self) -> io::Result<()> {
            unreachable!()
        }
        fn sync_all(&self) -> io::Result<()> {
            unreachable!()
        }
        fn reserve(&self, _: u64) -> io::Result<()> {
            unreachable!()
        }
        fn truncate(&self, _: u64) -> io::Result<()> {
            unreachable!()
        }
        fn announce(&self, offset: u64, len: u64) {
            self.announced.lock().unwrap().push((offset, len));
        }
        fn evict(&self, _: u64, _: u64) {}

        fn map(&self, _: u64) -> io::Result<Option<FileMap>> {
            Ok(None)
        }
    }

    /// An index file of a log, with what tells its origin in its header.
    fn index_file(entries: usize) -> (Arc<dyn DiskFile>, Origin, u32) {
        let place = tempfile::tempdir().unwrap();
        let options = FileOptions::default()
            .with_durability(Durability::Process)
            .with_housekeeping(Housekeeping::Inline);
        let log = Log::open(place.path(), options).unwrap();
        for number in 0..entries {
            let payload = Payload::octets(vec![7; number * number % 101]);
            let entry = NewEntry::new(payload).order_key(format!("k-{}", number % 700));
            log.append(Batch::new("s", vec![entry])).unwrap();
        }
        log.close().unwrap();
        let mut names = fs::read_dir(place.path())
            .unwrap()
            .map(|it| it.unwrap().file_name());
        let name = names.find(|name| name.to_str().unwrap().ends_with(".index"));
        let directory = Directory::open(place.path()).unwrap();
        let file = directory
            .open(name.unwrap().to_str().unwrap(), Access::Read)
            .unwrap();
        let mut header = vec![0; 4096];
        file.read_at(&mut header, 0, Patience::Wait).unwrap();
        let (header, _) = Header::decode(&header).unwrap();
        (file, header.origin, header.to)
    }

    /// The index as a file that tells what is done with it.
    fn told_index(entries: usize) -> (Arc<Told>, SealedIndex) {
        let (file, origin, to) = index_file(entries);
        let told = Arc::new(Told {
            file,
            announced: Mutex::default(),
            read: Mutex::default(),
        });
        let index = SealedIndex::open(Arc::clone(&told) as Arc<dyn DiskFile>, origin, to);
        (told, index)
    }

    const ALL: Window = Window {
        ids: 0..u64::MAX,
        direction: Direction::Ascending,
        limit: 100,
    };

    /// An order key of the index, of which nothing is read for that.
    fn some_key(told: &Told, index: &SealedIndex) -> KeyHash {
        let other = SealedIndex::of(Arc::clone(&told.file), index.span().clone());
        let list = other.blocks(Means::WAIT).unwrap().list_at(300).unwrap();
        KeyHash(list.unwrap().tag)
    }

    impl Told {
        /// What was asked for, and what was read, since the last time.
        fn take(&self) -> [Vec<(u64, u64)>; 2] {
            [&self.announced, &self.read].map(|list| std::mem::take(&mut *list.lock().unwrap()))
        }
    }

    #[test]
    fn what_is_asked_for_of_a_file_first_is_what_is_read_first() {
        let (told, index) = told_index(2_100);
        index.announce_contents();
        index.contents(Means::WAIT).unwrap();
        let [announced, read] = told.take();
        assert_eq!(announced, read);
        assert_eq!(announced.len(), 1);
        index.announce_contents();
        assert_eq!(told.take()[0], [], "it is known by now");
    }

    /// Each entry has a frame of its own; of so many, what tells where frames begin takes several blocks.
    #[test]
    fn all_that_an_order_key_takes_is_asked_for_before_it_is_read_and_once() {
        for entries in [2_100, 14_000] {
            let (told, index) = told_index(entries);
            let (stream, hash) = (StreamNumber(1), some_key(&told, &index));
            let means = Means::WAIT;
            index.announce_contents();
            index.announce_directory(stream, hash, means).unwrap();
            assert!(index.announce_order_key(stream, hash, means).unwrap());
            index.announce_list(hash, means).unwrap();
            index.announce_entries(stream, hash, &ALL, means).unwrap();
            let mut found = Vec::new();
            index
                .order_key(stream, hash, &ALL, means, &mut found)
                .unwrap();
            assert_eq!(found.len(), entries / 700);
            for spot in found {
                index.frame_and_end(spot.position, means).unwrap().unwrap();
            }
            let [announced, read] = told.take();
            let is_announced = |(start, len): &(u64, u64)| {
                let end = start + len;
                { announced.iter() }.any(|(from, len)| from <= start && end <= from + len)
            };
            assert!(read.iter().all(is_announced), "{read:?} of {announced:?}");
            let bytes = |places: &[(u64, u64)]| places.iter().map(|(_, len)| len).sum::<u64>();
            assert!(bytes(&announced) <= bytes(&read) + 4 * 4_096);
            index.announce_directory(stream, hash, means).unwrap();
            assert_eq!(told.take()[0], [], "it is known by now");
        }
    }

    #[test]
    fn entries_of_an_order_key_are_found_without_what_tells_where_every_entry_begins() {
        let (told, index) = told_index(2_100);
        let (hash, mut found) = (some_key(&told, &index), Vec::new());
        index
            .order_key(StreamNumber(1), hash, &ALL, Means::WAIT, &mut found)
            .unwrap();
        assert_eq!(found.len(), 3);
        let [_, read] = told.take();
        let blocks = index.blocks(Means::WAIT).unwrap();
        let offsets = blocks.contents.header.blocks(Section::Offsets);
        let offsets = block_offset(offsets.start as u64)..block_offset(offsets.end as u64);
        assert!(!offsets.is_empty());
        assert!(!read.iter().any(|(start, _)| offsets.contains(start)));
    }

    #[test]
    fn a_key_of_many_segments_is_found_when_nothing_of_their_indexes_was_seen() {
        let place = tempfile::tempdir().unwrap();
        let options = FileOptions::default()
            .with_segment_bytes_max(4 << 10)
            .with_housekeeping(Housekeeping::Inline);
        let log = Log::open(place.path(), options.clone()).unwrap();
        for number in 0..600 {
            let entry =
                NewEntry::new(Payload::octets(vec![7; 10])).order_key(format!("k-{}", number % 7));
            log.append(Batch::new("s", vec![entry])).unwrap();
        }
        log.close().unwrap();
        for descending in [false, true] {
            for (limit, after) in [(1_000, 0), (32, 0), (50, 300)] {
                let log = Log::open(place.path(), options.clone()).unwrap();
                let filter = Filter::new().order_key("k-3");
                let read = ReadOptions::new().filter(filter).limit(limit).after(after);
                let read = match descending {
                    true => read.descending(),
                    false => read,
                };
                let page = log.read(&"s".into(), &read).unwrap();
                let mut expected: Vec<u64> = (after + 1..=600).filter(|id| id % 7 == 4).collect();
                if descending {
                    expected.reverse();
                }
                expected.truncate(limit);
                let ids: Vec<u64> = page.entries.iter().map(|entry| entry.id).collect();
                assert_eq!(ids, expected);
            }
        }
    }
}
