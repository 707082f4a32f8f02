//! Reading a packed segment as the segment that it was: above here nobody knows the difference.
//!
//! Each block that is asked for is read, checked and unpacked; the last ones are kept, for who comes back for another entry.

use std::io;
use std::ops::Range;
use std::sync::{Arc, PoisonError};

use super::segment::{Segment, SegmentName};
use crate::disk::{Access, Disk, DiskFile, FileMap, Patience, read_exact_at};
use crate::format::{
    BLOCK_BYTES, Block, BlockTable, Form, HeaderError, LogId, Malformed, SEGMENT_HEADER_BYTES,
    SegmentHeader, SegmentMeta, block_at, block_range,
};
use crate::sync::plain::{Mutex, MutexGuard, OnceLock};

/// How many blocks of a log are kept unpacked.
const KEPT_BLOCKS: usize = if cfg!(test) { 2 } else { 64 };

/// Opens the segment that the manifest of the log `log_id` calls `meta`, of which nothing is read yet.
pub(in crate::log) fn open_segment(
    disk: &dyn Disk,
    log_id: LogId,
    meta: &SegmentMeta,
    access: Access,
    kept: &Arc<KeptBlocks>,
) -> io::Result<Segment> {
    let file = disk.open(&meta.file_name().to_string(), access)?;
    Ok(segment_in(file, log_id, meta, kept))
}

/// The segment that the manifest of the log `log_id` calls `meta`, and that lies in `file`.
pub(in crate::log) fn segment_in(
    file: Arc<dyn DiskFile>,
    log_id: LogId,
    meta: &SegmentMeta,
    kept: &Arc<KeptBlocks>,
) -> Segment {
    let name = SegmentName {
        log_id,
        number: meta.segment,
        generation: meta.generation,
    };
    let file = match (meta.sealed_bytes, meta.packed_bytes) {
        (Some(bytes), Some(packed_bytes)) => {
            PackedFile::new(name, file, bytes, packed_bytes, Arc::clone(kept))
        }
        _ => file,
    };
    Segment::unread(name, meta.form(), file)
}

/// The file of a packed segment, as that of the segment.
#[derive(Debug)]
pub(in crate::log) struct PackedFile {
    name: SegmentName,
    file: Arc<dyn DiskFile>,
    /// How long the segment is.
    bytes: u32,
    /// How long the file is.
    packed_bytes: u32,
    contents: OnceLock<Contents>,
    kept: Arc<KeptBlocks>,
}

/// What must be known of a file before anything is read of it.
#[derive(Debug)]
struct Contents {
    header: SegmentHeader,
    table: BlockTable,
}

impl PackedFile {
    /// Takes the open `file` of a segment of `bytes`, which has `packed_bytes`.
    #[expect(clippy::new_ret_no_self, reason = "nobody needs to know what it is")]
    pub(in crate::log) fn new(
        name: SegmentName,
        file: Arc<dyn DiskFile>,
        bytes: u32,
        packed_bytes: u32,
        kept: Arc<KeptBlocks>,
    ) -> Arc<dyn DiskFile> {
        Arc::new(Self {
            name,
            file,
            bytes,
            packed_bytes,
            contents: OnceLock::new(),
            kept,
        })
    }

    fn contents(&self, patience: Patience) -> io::Result<&Contents> {
        if let Some(contents) = self.contents.get() {
            return Ok(contents);
        }
        let contents = self.read_contents(patience)?;
        Ok(self.contents.get_or_init(|| contents))
    }

    fn read_contents(&self, patience: Patience) -> io::Result<Contents> {
        let header = self.read(0..SEGMENT_HEADER_BYTES as u32, patience)?;
        let header =
            SegmentHeader::decode_as(&header, Form::Packed).map_err(|error| match error {
                HeaderError::Damaged(malformed) => damaged(malformed),
                _ => damaged(Malformed("it does not begin as a packed segment does")),
            })?;
        if SegmentName::of(&header) != self.name {
            return Err(damaged(Malformed("its header is that of another segment")));
        }
        let start = self
            .packed_bytes
            .checked_sub(BlockTable::file_bytes(self.bytes));
        let start = start.ok_or_else(|| damaged(Malformed("it is too short for its table")))?;
        let table = self.read(start..self.packed_bytes, patience)?;
        let table = BlockTable::decode(&table, &header, start, self.bytes).map_err(damaged)?;
        Ok(Contents { header, table })
    }

    /// Reads what is in the file.
    fn read(&self, range: Range<u32>, patience: Patience) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; range.len()];
        read_exact_at(&*self.file, &mut bytes, range.start.into(), patience)?;
        Ok(bytes)
    }

    /// Unpacks what is in the block `index` into `bytes`, which it fills.
    fn unpack(&self, index: u32, stored: &[u8], bytes: &mut [u8]) -> io::Result<()> {
        let Some(Contents { header, .. }) = self.contents.get() else {
            return Err(damaged(Malformed("a block was read before the header")));
        };
        let block = Block::read(stored, header).map_err(damaged)?;
        let range = block_range(index, self.bytes);
        if block.range != (range.start, range.end) || block.file_bytes() != stored.len() {
            return Err(damaged(Malformed("another block is here")));
        }
        block.unpack(bytes).map_err(damaged)
    }

    /// Reads the block `index` as it is stored.
    fn stored(&self, index: u32, patience: Patience) -> io::Result<Vec<u8>> {
        let place = self.contents(patience)?.table.place(index);
        let place = place.ok_or_else(|| damaged(Malformed("there is no such block")))?;
        self.read(place, patience)
    }

    /// Reads what is at `offset` of the segment, as far as one block goes.
    fn read_block(&self, buf: &mut [u8], offset: u32, patience: Patience) -> io::Result<usize> {
        let index = block_at(offset);
        let range = block_range(index, self.bytes);
        let len = range.len();
        if offset == range.start && buf.len() >= len {
            let stored = self.stored(index, patience)?;
            self.unpack(index, &stored, &mut buf[..len])?;
            return Ok(len);
        }
        let skipped = (offset - range.start) as usize;
        let wanted = buf.len().min(len - skipped);
        let part = skipped..skipped + wanted;
        let key = (self.name.number, self.name.generation, index);
        if self
            .kept
            .slot(key)
            .copy(key, part.clone(), &mut buf[..wanted])
        {
            return Ok(wanted);
        }
        let stored = self.stored(index, patience)?;
        let mut slot = self.kept.slot(key);
        slot.fill(key, len, |bytes| self.unpack(index, &stored, bytes))?;
        buf[..wanted].copy_from_slice(&slot.bytes[part]);
        Ok(wanted)
    }
}

impl DiskFile for PackedFile {
    /// That of the segment; 0 if the file is cut off, because without its end nothing is found in it.
    fn len(&self) -> io::Result<u64> {
        let is_cut_off = self.file.len()? < self.packed_bytes.into();
        Ok(if is_cut_off { 0 } else { self.bytes.into() })
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, patience: Patience) -> io::Result<usize> {
        let offset = match u32::try_from(offset) {
            Ok(offset) if offset < self.bytes && !buf.is_empty() => offset,
            _ => return Ok(0),
        };
        if offset as usize >= SEGMENT_HEADER_BYTES {
            return self.read_block(buf, offset, patience);
        }
        let header = self.contents(patience)?.header.encode();
        let rest = &header[offset as usize..];
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn reserve(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// It has the length that it always will have.
    fn truncate(&self, len: u64) -> io::Result<()> {
        match len == u64::from(self.bytes) {
            true => Ok(()),
            false => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Where they lie in the file is not known yet.
    fn announce(&self, _: u64, _: u64) {}

    fn evict(&self, _: u64, _: u64) {}

    fn map(&self, _: u64) -> io::Result<Option<FileMap>> {
        Ok(None)
    }
}

fn damaged(Malformed(reason): Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// The blocks of a log that were unpacked last. Each has one place where it may be, so the next ones drive it out.
#[derive(Debug)]
pub(in crate::log) struct KeptBlocks(Vec<Mutex<Slot>>);

/// Segment, generation and number of a block.
type Key = (u32, u64, u32);

/// Where a block is kept.
#[derive(Debug, Default)]
struct Slot {
    key: Option<Key>,
    bytes: Vec<u8>,
}

impl Default for KeptBlocks {
    fn default() -> Self {
        Self((0..KEPT_BLOCKS).map(|_| Mutex::default()).collect())
    }
}

impl KeptBlocks {
    /// Where a block is kept, if it is. A panic leaves a slot that says it holds nothing.
    fn slot(&self, (segment, _, block): Key) -> MutexGuard<'_, Slot> {
        let index = segment.wrapping_mul(7).wrapping_add(block) as usize % KEPT_BLOCKS;
        self.0[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Copies a part of a block, if it is here.
    fn copy(&self, key: Key, part: Range<usize>, buf: &mut [u8]) -> bool {
        let is_here = self.key == Some(key);
        if is_here {
            buf.copy_from_slice(&self.bytes[part]);
        }
        is_here
    }

    /// Keeps the block of `len` bytes that `unpack` writes, in the place of another.
    fn fill(
        &mut self,
        key: Key,
        len: usize,
        unpack: impl FnOnce(&mut [u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        debug_assert!(len <= BLOCK_BYTES as usize);
        self.key = None;
        self.bytes.resize(len, 0);
        unpack(&mut self.bytes)?;
        self.key = Some(key);
        Ok(())
    }
}
