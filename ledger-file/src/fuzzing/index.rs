//! An index file whose checksums are right, and whose content is anything.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ledger_core::Direction;

use crate::disk::{DiskFile, FileMap, Patience};
use crate::format::{Position, StreamNumber};
use crate::index::{
    Change, IndexError, KeyHash, KeyHasher, Known, Layer, Layers, Look, Merge, Origin, SealedIndex,
    Span,
};

const ORIGIN: Origin = Origin {
    log_id: [7; 16],
    segment: 1,
    generation: 42,
    from: 64,
};
const TO: u32 = 1 << 20;
const SECTIONS: usize = 14;
const BLOCK_BYTES: usize = 4096;
const HEADER_CHECKSUM: usize = BLOCK_BYTES - 4;
/// Of how many blocks a block of the directory tells.
const GUARDS: usize = BLOCK_BYTES / 12;

/// Bytes as an index file, as they are; and as what stands in one, with the checksums that belong to it.
pub fn index(bytes: &[u8]) {
    for file in [bytes.to_vec(), file_of(Source(bytes))] {
        // Many blocks may hold lists that are all of them: merging would write these as often as there are any.
        let is_small = file.len() < GUARDS * BLOCK_BYTES;
        let index = SealedIndex::open(Arc::new(Memory(Mutex::new(file))), ORIGIN, TO);
        let _either = index.verify();
        let merged = is_small.then(|| merged(&index)).flatten();
        for index in [Some(index), merged].into_iter().flatten() {
            let layers = Layers::new(vec![Layer::Sealed(Arc::new(index))]);
            // Twice: the filter is not read before some questions were asked.
            (0..2).for_each(|_| ask(&layers.at(Position::new(3, 0), Patience::Wait)));
        }
    }
}

/// The index merged with itself, if it can be read.
fn merged(index: &SealedIndex) -> Option<SealedIndex> {
    let behind = Origin {
        segment: 2,
        ..ORIGIN
    };
    let span = Span::of(0, [(ORIGIN, TO), (behind, TO)]).expect("together they are short enough");
    let file = Arc::new(Memory(Mutex::default()));
    let merge = Merge {
        members: &[index, index],
        span: &span,
        go_on: &|| true,
    };
    merge.write(&*file).ok()?;
    Some(SealedIndex::of(file, span))
}

/// Asks what can be asked. Any answer will do, as long as there is one.
fn ask(look: &Look<'_>) {
    for stream in [0, 1, 2, u64::MAX].map(StreamNumber) {
        for ids in [0..u64::MAX, 1..3] {
            ask_range(look, stream, &ids);
        }
        ask_stream(look, stream);
    }
    let _either = look.names(None, 100);
    let _either = look.names(Some("a"), 100);
    let _either = look.frame(Position::new(1, 100));
}

fn ask_range(look: &Look<'_>, stream: StreamNumber, ids: &Range<u64>) {
    for direction in [Direction::Ascending, Direction::Descending] {
        let (mut stretches, mut spots) = (Vec::new(), Vec::new());
        let _either = look.entries(stream, ids.clone(), direction, 100, &mut stretches);
        let _either = look.order_key(stream, key(), ids.clone(), direction, 100, &mut spots);
    }
    let _either = look.expiring(stream, ids.clone(), 100, &mut Vec::new());
    let _either = look.changes(stream, ids.clone(), &mut Vec::new());
}

fn ask_stream(look: &Look<'_>, stream: StreamNumber) {
    let _either = look.newest_entry(stream);
    for change in [
        Change::State,
        Change::Removals,
        Change::Mark(1),
        Change::Purge(1),
    ] {
        let _either = look.newest_change(stream, change);
    }
    let _either = look.dedup_keys(stream, &[key()], &Known::default(), &mut Vec::new());
    let _either = look.name(key(), |_| Ok::<_, IndexError>(None::<()>));
    let _either = look.checkpoint(key(), |_| Ok::<_, IndexError>(None::<()>));
    let _either = look.checkpoint_names(stream, Some("a"), 100);
}

fn key() -> KeyHash {
    KeyHasher::new(0).name("a")
}

/// An index file, made as docs/FORMAT.md says: of few blocks, or of so many that its directory has a second part.
fn file_of(mut source: Source<'_>) -> Vec<u8> {
    let [is_before, large] = source.array();
    let mut counts = Vec::new();
    let mut blocks_total = 0;
    for section in 0..SECTIONS {
        let (rows, blocks) = (source.array::<4>(), u32::from(source.array::<1>()[0] % 3));
        // Of postings and of what expires every row may be looked at, and that takes seconds.
        let more = match section == usize::from(large) && ![6, 11].contains(&section) {
            true => GUARDS as u32,
            false => 0,
        };
        counts.extend(rows);
        counts.extend((blocks + more).to_le_bytes());
        blocks_total += blocks + more;
    }
    let (highest_stream, words) = (source.array::<8>(), source.array::<36>());
    let step = u64::from_le_bytes(source.array());
    let (mut blocks, mut guards) = (Vec::new(), Vec::new());
    for nth in 0..u64::from(blocks_total) {
        let fence = u64::from_le_bytes(source.array()).wrapping_add(step.wrapping_mul(nth));
        let block = block_of(&mut source);
        guards.push((fence, crc_fast::crc32_iscsi(&block)));
        blocks.extend(block);
    }
    let (directory, root) = directory_of(&mut source, &guards);
    let (format, directory, before, behind) = match is_before % 3 {
        0 => (4u32, directory, Vec::new(), root),
        1 => (3, directory, Vec::new(), root),
        _ => {
            let whole: Vec<u8> = guards.iter().flat_map(guard).collect();
            let checksum = crc_fast::crc32_iscsi(&whole).to_le_bytes();
            (2, whole, checksum.into(), Vec::new())
        }
    };
    let mut header = Vec::from(b"LEDGERIX");
    header.extend(format.to_le_bytes());
    header.extend(ORIGIN.log_id);
    header.extend(ORIGIN.segment.to_le_bytes());
    header.extend(ORIGIN.generation.to_le_bytes());
    header.extend(highest_stream);
    header.extend([ORIGIN.from, TO].map(u32::to_le_bytes).as_flattened());
    header.extend(words);
    header.extend(before);
    header.extend(counts);
    header.extend(behind);
    let mut header = padded(&header, HEADER_CHECKSUM);
    header.extend(crc_fast::crc32_iscsi(&header).to_le_bytes());
    [header, blocks, directory].concat()
}

/// A directory, and its root: of which the fences are those of the directory, unless the source changes them.
fn directory_of(source: &mut Source<'_>, guards: &[(u64, u32)]) -> (Vec<u8>, Vec<u8>) {
    let (mut directory, mut root) = (Vec::new(), Vec::new());
    for guards in guards.chunks(GUARDS) {
        let part: Vec<u8> = guards.iter().flat_map(guard).collect();
        let part = padded(&part, BLOCK_BYTES);
        let fence = guards[0].0 ^ u64::from_le_bytes(source.array());
        root.extend(guard(&(fence, crc_fast::crc32_iscsi(&part))));
        directory.extend(part);
    }
    (directory, root)
}

fn guard((fence, checksum): &(u64, u32)) -> impl Iterator<Item = u8> + use<> {
    fence
        .to_le_bytes()
        .into_iter()
        .chain(checksum.to_le_bytes())
}

/// A block: what stands at its two ends.
fn block_of(source: &mut Source<'_>) -> Vec<u8> {
    let (rows, starts) = (source.array::<64>(), source.array::<16>());
    let mut block = padded(&rows, BLOCK_BYTES - starts.len());
    block.extend(starts);
    block
}

fn padded(bytes: &[u8], len: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(len, 0);
    bytes
}

/// Bytes from the fuzzer; zeroes behind them.
struct Source<'a>(&'a [u8]);

impl Source<'_> {
    fn array<const N: usize>(&mut self) -> [u8; N] {
        let (taken, rest) = self.0.split_at(self.0.len().min(N));
        self.0 = rest;
        let mut array = [0; N];
        array[..taken.len()].copy_from_slice(taken);
        array
    }
}

/// A file that is read, and written from its beginning to its end.
#[derive(Debug)]
struct Memory(Mutex<Vec<u8>>);

impl Memory {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DiskFile for Memory {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes().len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, _: Patience) -> io::Result<usize> {
        let bytes = self.bytes();
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        let len = buf.len().min(bytes.len() - start);
        buf[..len].copy_from_slice(&bytes[start..start + len]);
        Ok(len)
    }

    fn write_at(&self, new: &[u8], offset: u64) -> io::Result<usize> {
        let (mut bytes, start) = (self.bytes(), offset as usize);
        let end = bytes.len().max(start + new.len());
        bytes.resize(end, 0);
        bytes[start..start + new.len()].copy_from_slice(new);
        Ok(new.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_all(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn reserve(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn truncate(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn announce(&self, _: u64, _: u64) {}

    fn evict(&self, _: u64, _: u64) {}
    fn map(&self, _: u64) -> io::Result<Option<FileMap>> {
        Ok(None)
    }
}
