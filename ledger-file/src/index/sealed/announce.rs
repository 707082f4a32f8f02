//! What the waves of a question ask for of one file. What was seen of it before is not asked for again.

use super::SealedIndex;
use super::blocks::{Blocks, Result};
use super::layout::{BLOCK_BYTES, Guard, Section, block_offset};
use super::rows::OrderKeyList;
use crate::format::StreamNumber;
use crate::index::hash::{KeyHash, mix};
use crate::index::{Means, Window};

/// How many blocks of a section are asked for because one of them will be needed, and nobody knows which.
const GUESSED_BLOCKS_MAX: usize = 4;

impl SealedIndex {
    /// Asks for what must be read before anything else: the header, and the directory, which ends the file.
    pub(in crate::index) fn announce_contents(&self) {
        if self.contents.get().is_some() {
            return;
        }
        // Who reads it next is told what is wrong with it.
        if let Ok(len) = self.file.len() {
            let blocks = len / (BLOCK_BYTES + Guard::BYTES) as u64;
            let directory = block_offset(blocks).min(len);
            self.file.announce(0, BLOCK_BYTES as u64);
            self.file.announce(directory, len - directory);
        }
    }

    /// Asks for the blocks that an order key and a stream are searched in. Tells whether any was not seen before.
    pub(in crate::index) fn announce_order_key(
        &self,
        stream: StreamNumber,
        KeyHash(tag): KeyHash,
        means: Means,
    ) -> Result<bool> {
        let blocks = self.blocks(means)?;
        let mut is_any = false;
        for (section, fence) in [
            (Section::OrderKeys, tag.into()),
            (Section::Runs, mix(stream.0)),
        ] {
            for block in blocks.candidates(section, fence) {
                is_any |= blocks.announce(block);
            }
        }
        let frames = blocks.contents.header.blocks(Section::Frames);
        if frames.len() <= GUESSED_BLOCKS_MAX {
            frames.for_each(|block| is_any |= blocks.announce(block));
        }
        Ok(is_any)
    }

    /// Asks for the list of an order key's entries.
    pub(in crate::index) fn announce_list(
        &self,
        KeyHash(tag): KeyHash,
        means: Means,
    ) -> Result<()> {
        let mut blocks = self.blocks(means)?;
        if let Some(OrderKeyList::Rows(rows)) = blocks.order_key(tag)? {
            let list = blocks.blocks_of(Section::Postings, rows);
            list.take(GUESSED_BLOCKS_MAX).for_each(|block| {
                blocks.announce(block);
            });
        }
        Ok(())
    }

    /// Asks for where the entries with an order key in `window` lie, and tells how many those are.
    pub(in crate::index) fn announce_entries(
        &self,
        stream: StreamNumber,
        KeyHash(tag): KeyHash,
        window: &Window,
        means: Means,
    ) -> Result<usize> {
        let mut blocks = self.blocks(means)?;
        let places = blocks.entries_with(stream, tag, window)?;
        let mut announced = 0;
        for place in places.into_iter().flatten().take(window.limit) {
            let ordinal = place.get(&mut blocks)?;
            if let Some(block) = blocks.last_candidate(Section::Offsets, ordinal.into()) {
                blocks.announce(block);
            }
            announced += 1;
        }
        Ok(announced)
    }
}

impl Blocks<'_> {
    /// Asks for a block, unless it was seen before. Tells whether it was not.
    fn announce(&self, index: usize) -> bool {
        let is_unseen = !self.contents.was_right(index);
        if is_unseen {
            let start = block_offset(index as u64);
            self.file.announce(start, BLOCK_BYTES as u64);
        }
        is_unseen
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::{fs, io};

    use ledger_core::{Batch, Filter, NewEntry, Payload, ReadOptions};

    use super::super::layout::Header;
    use crate::disk::{Access, Directory, Disk, DiskFile, FileMap, Patience};
    use crate::index::{Means, Origin, SealedIndex};
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
        fn map(&self, _: u64) -> io::Result<Option<FileMap>> {
            Ok(None)
        }
    }

    /// An index file of a log, with what tells its origin in its header.
    fn index_file() -> (Arc<dyn DiskFile>, Origin, u32) {
        let place = tempfile::tempdir().unwrap();
        let options = FileOptions::default().with_housekeeping(Housekeeping::Inline);
        let log = Log::open(place.path(), options).unwrap();
        for key in 0..2_000 {
            let entry =
                NewEntry::new(Payload::octets(vec![7; 10])).order_key(format!("k-{}", key % 700));
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
        let header = Header::decode(&header).unwrap();
        (file, header.origin, header.to)
    }

    #[test]
    fn what_is_asked_for_of_a_file_first_is_what_is_read_first() {
        let (file, origin, to) = index_file();
        let told = Arc::new(Told {
            file,
            announced: Mutex::default(),
            read: Mutex::default(),
        });
        let index = SealedIndex::open(Arc::clone(&told) as Arc<dyn DiskFile>, origin, to);
        index.announce_contents();
        index.contents(Means::WAIT).unwrap();
        let announced = told.announced.lock().unwrap().clone();
        assert_eq!(announced, *told.read.lock().unwrap());
        assert_eq!(announced.len(), 2);
        index.announce_contents();
        assert_eq!(
            told.announced.lock().unwrap().len(),
            2,
            "it is known by now"
        );
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
