//! Mapped files: the stage, and files that are read. The only room of the crate with `unsafe`.
//!
//! Why at all: a mapped page that is reused costs a copy, where `write(2)` costs a call of the system, seven times as
//! much as everything else that an append of 100 bytes does; and the bytes survive the process all the same. What is
//! read from a map costs neither the call nor the copy, five times as much as looking at a small entry.
//!
//! What makes the stage sound:
//! - The page is only ever reached as atomic words, by whoever shares it.
//! - The area is borrowed from the one owner of the stage: read through `&`, written through `&mut`.
//! - Both keep the mapping alive, and its length never changes.
//! - All blocks exist before. The file is ours alone while the lock is held; a process that shortens it in spite of
//!   that makes the next access a signal that ends this process, which loses nothing: the stage survives it.
//! - A process that writes to it in spite of that changes bytes under a `&[u8]`: they are only ever copied out, and
//!   everything in the log has a checksum.
//!
//! What makes a [`FileMap`] sound: it only lends bytes that whoever asks knows to be in the file, and never to change.
//! A log's files are written from their beginning to their end, once; what is cut off them is behind all that was
//! ever shown to anybody. Whoever shortens or overwrites such a file in spite of that, or owns a disk that does not
//! deliver a page, ends the process with a signal, or gets an answer that is wrong: options can do without maps.

#![expect(
    unsafe_code,
    reason = "mapping files, and sharing the first page of one as atomic words"
)]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{Advice, MmapOptions, MmapRaw};

use super::{STAGE_PAGE_BYTES, STAGE_PAGE_WORDS, Stage, StagePage};

/// A mapped stage.
#[derive(Debug)]
pub(super) struct MappedStage {
    mapping: Arc<Mapping>,
    file: File,
}

/// The mapping, alive as long as anybody has a part of it.
#[derive(Debug)]
struct Mapping(MmapRaw);

impl MappedStage {
    /// Maps the whole of `file`, which has `len` bytes: at least a page.
    pub(super) fn new(file: File, len: usize) -> io::Result<Self> {
        if len < STAGE_PAGE_BYTES {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mapping = MmapOptions::new().len(len).map_raw(&file)?;
        Ok(Self {
            mapping: Arc::new(Mapping(mapping)),
            file,
        })
    }
}

impl Stage for MappedStage {
    fn area(&self) -> &[u8] {
        let map = &self.mapping.0;
        // SAFETY: the mapping is longer than its page, readable, and alive while `self` is. In this process the bytes
        // behind the page are written through `&mut self` alone.
        unsafe {
            let area = map.as_ptr().add(STAGE_PAGE_BYTES);
            std::slice::from_raw_parts(area, map.len() - STAGE_PAGE_BYTES)
        }
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let map = &self.mapping.0;
        let room = (map.len() - STAGE_PAGE_BYTES).checked_sub(offset);
        assert!(
            room.is_some_and(|room| bytes.len() <= room),
            "a write to the stage stays within its area"
        );
        // SAFETY: the target lies behind the page and within the writable mapping, as just asserted; `&mut self` makes
        // this the only access to it, so `bytes` is not borrowed from it either.
        unsafe {
            let target = map.as_mut_ptr().add(STAGE_PAGE_BYTES + offset);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len());
        }
    }

    fn page(&self) -> Arc<dyn StagePage> {
        Arc::clone(&self.mapping) as Arc<dyn StagePage>
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

impl Mapping {
    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < STAGE_PAGE_WORDS, "the word is in the page");
        // SAFETY: the mapping begins at a page's address, so its words are aligned, and has a page, so the word is in
        // it. The page is accessed in no other way, and the reference does not outlive the mapping.
        unsafe { AtomicU64::from_ptr(self.0.as_mut_ptr().cast::<u64>().add(index)) }
    }
}

impl StagePage for Mapping {
    fn load(&self, index: usize) -> u64 {
        u64::from_le(self.word(index).load(Ordering::Acquire))
    }

    fn store(&self, index: usize, value: u64) {
        self.word(index).store(value.to_le(), Ordering::Release);
    }
}

/// How the system is asked to have bytes in memory. Where it can map them too, that spares it a look at each page before.
#[cfg(target_os = "linux")]
const AT_ONCE: Advice = Advice::PopulateRead;
#[cfg(not(target_os = "linux"))]
const AT_ONCE: Advice = Advice::WillNeed;

/// The beginning of a file as memory, to be read.
#[derive(Debug)]
pub(crate) struct FileMap(MmapRaw);

impl FileMap {
    /// Maps the first `len` bytes of `file`, at least one, whether they are there yet or not.
    pub(super) fn new(file: &File, len: usize) -> io::Result<Self> {
        let map = MmapOptions::new().len(len).map_raw_read_only(file)?;
        Ok(Self(map))
    }

    /// The bytes of `range`; none if not all of them were mapped.
    ///
    /// Whoever asks sees to it that they are in the file by now, and never change.
    #[inline]
    pub(crate) fn bytes(&self, range: Range<usize>) -> Option<&[u8]> {
        let len = range.end.checked_sub(range.start)?;
        if range.end > self.0.len() {
            return None;
        }
        // SAFETY: the range lies within the mapping, as just seen, which is readable, and alive while `self` is. That
        // its bytes are in the file and never change is the caller's part.
        Some(unsafe { std::slice::from_raw_parts(self.0.as_ptr().add(range.start), len) })
    }

    /// Says that bytes here and there will be looked at: what lies around them is not worth reading.
    pub(crate) fn here_and_there(self) -> Self {
        let _heard = self.0.advise(Advice::Random);
        self
    }

    /// Says that the bytes of `range` will be looked at soon, so that the disk is asked for them now. Does not wait for it.
    pub(crate) fn will_soon_need(&self, range: Range<usize>) {
        let end = range.end.min(self.0.len());
        if let Some(len) = end.checked_sub(range.start) {
            // Who is not heard waits longer, and no more.
            let _heard = self.0.advise_range(Advice::WillNeed, range.start, len);
        }
    }

    /// Says that all bytes of `range` are about to be looked at, so that they are read and mapped at once, and not a page
    /// at a time.
    pub(crate) fn will_need(&self, range: Range<usize>) {
        let end = range.end.min(self.0.len());
        if let Some(len) = end.checked_sub(range.start) {
            // Who is not heard waits longer, and no more.
            let _heard = self.0.advise_range(AT_ONCE, range.start, len);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, SeekFrom, Write};

    use super::*;

    const AREA: usize = 8192;

    fn file() -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len((STAGE_PAGE_BYTES + AREA) as u64).unwrap();
        file
    }

    fn contents(mut file: &File) -> Vec<u8> {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_is_staged_is_in_the_file_at_once() {
        let file = file();
        let mut stage =
            MappedStage::new(file.try_clone().unwrap(), STAGE_PAGE_BYTES + AREA).unwrap();
        stage.write(10, b"staged");
        stage.page().store(2, 0x0102);
        assert_eq!(&stage.area()[10..16], b"staged");
        let bytes = contents(&file);
        assert_eq!(
            &bytes[STAGE_PAGE_BYTES + 10..STAGE_PAGE_BYTES + 16],
            b"staged"
        );
        assert_eq!(&bytes[16..24], [2, 1, 0, 0, 0, 0, 0, 0]);
        stage.sync().unwrap();
    }

    #[test]
    fn what_the_file_held_is_staged() {
        let mut file = file();
        file.write_all(&7u64.to_le_bytes()).unwrap();
        let stage = MappedStage::new(file, STAGE_PAGE_BYTES + AREA).unwrap();
        assert_eq!(stage.page().load(0), 7);
        assert_eq!(stage.area(), [0; AREA]);
    }

    #[test]
    fn the_page_outlives_the_stage() {
        let file = file();
        let page = MappedStage::new(file.try_clone().unwrap(), STAGE_PAGE_BYTES + AREA)
            .unwrap()
            .page();
        page.store(STAGE_PAGE_WORDS - 1, u64::MAX);
        let last = STAGE_PAGE_BYTES - 8..STAGE_PAGE_BYTES;
        assert_eq!(contents(&file)[last], [0xff; 8]);
        assert_eq!(contents(&file)[STAGE_PAGE_BYTES], 0);
    }

    #[test]
    fn words_are_whole_for_threads_that_read_while_one_writes() {
        let stage = MappedStage::new(file(), STAGE_PAGE_BYTES + AREA).unwrap();
        let page = stage.page();
        std::thread::scope(|scope| {
            scope.spawn(|| (0..=100_000).for_each(|n| page.store(5, n | n << 32)));
            let mut seen = 0;
            while seen < 100_000 {
                let word = page.load(5);
                assert_eq!(word & 0xffff_ffff, word >> 32);
                assert!(word & 0xffff_ffff >= seen);
                seen = word & 0xffff_ffff;
            }
        });
    }

    #[test]
    fn the_last_bytes_of_the_area_can_be_written() {
        let mut stage = MappedStage::new(file(), STAGE_PAGE_BYTES + AREA).unwrap();
        stage.write(AREA - 3, b"end");
        stage.write(AREA, b"");
        assert_eq!(&stage.area()[AREA - 3..], b"end");
    }

    #[test]
    #[should_panic(expected = "within its area")]
    fn one_byte_more_is_refused() {
        MappedStage::new(file(), STAGE_PAGE_BYTES + AREA)
            .unwrap()
            .write(AREA - 3, b"end.");
    }

    #[test]
    #[should_panic(expected = "within its area")]
    fn an_offset_beyond_all_is_refused() {
        MappedStage::new(file(), STAGE_PAGE_BYTES + AREA)
            .unwrap()
            .write(usize::MAX, b"end");
    }

    #[test]
    #[should_panic(expected = "in the page")]
    fn a_word_behind_the_page_is_refused() {
        MappedStage::new(file(), STAGE_PAGE_BYTES + AREA)
            .unwrap()
            .page()
            .load(STAGE_PAGE_WORDS);
    }

    #[test]
    fn a_map_shows_what_is_written_behind_the_end_of_the_file_later() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"early").unwrap();
        let map = FileMap::new(&file, 1 << 20).unwrap();
        assert_eq!(map.bytes(0..5), Some(&b"early"[..]));
        file.write_all(&[7; 10_000]).unwrap();
        assert_eq!(map.bytes(10_000..10_005), Some(&[7; 5][..]));
    }

    #[test]
    #[expect(clippy::reversed_empty_ranges, reason = "that is what is refused")]
    fn a_map_has_no_bytes_outside_of_it() {
        let map = FileMap::new(&file(), AREA).unwrap();
        assert_eq!(map.bytes(AREA..AREA), Some(&[][..]));
        assert_eq!(map.bytes(AREA - 1..AREA + 1), None);
        assert_eq!(map.bytes(usize::MAX - 1..usize::MAX), None);
        assert_eq!(map.bytes(2..1), None);
    }

    #[test]
    fn a_file_without_a_whole_page_is_no_stage() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(STAGE_PAGE_BYTES as u64 - 1).unwrap();
        assert!(MappedStage::new(file, STAGE_PAGE_BYTES - 1).is_err());
    }
}
