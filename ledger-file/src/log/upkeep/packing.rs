//! Packing full segments: the same bytes in a smaller file, so that all that is known of the segment stays right.
//!
//! The packed file is durable, and was read again, before the manifest names it; then the plain one goes (rule 13).

use std::sync::Arc;

use crate::disk::{Access, DiskFile, Patience, read_exact_at, write_all_at};
use crate::error::{Failure, Result};
use crate::fault::{Mistake, is_planted};
use crate::format::{BlockTable, Form, SegmentHeader, block_at, block_range, put_block};
use crate::log::keeper::Keeper;
use crate::log::open::recovery::{FIRST_FRAME, Source};
use crate::log::read::packed::PackedFile;
use crate::log::read::picture::Part;
use crate::log::read::segment::{Segment, SegmentName};
use crate::log::shared::Shared;
use crate::options::Compression;

/// How much is written at once.
const CHUNK_BYTES: usize = if cfg!(test) { 300 } else { 1 << 20 };

impl Shared {
    /// Packs the oldest full segment that is not packed yet, if that is wanted. Tells whether there was one. Whoever
    /// calls this holds the right to tidy up.
    pub(super) fn pack_next(&self) -> Result<bool> {
        if self.options.sealed_compression == Compression::Off {
            return Ok(false);
        }
        let Some((number, bytes)) = self.keeper().oldest_unpacked() else {
            return Ok(false);
        };
        let picture = Arc::clone(&self.scene().picture);
        match picture.part(number) {
            Some(part) => self.pack(part, bytes).map(|()| true),
            None => Ok(false),
        }
    }

    /// Packs a segment that ends at `bytes`.
    fn pack(&self, part: &Part, bytes: u32) -> Result<()> {
        let header = *part.segment.header(Patience::Wait)?;
        let (segment, packed_bytes) = self.packed(part, &header, bytes)?;
        if is_planted(Mistake::PlainRemovedBeforeManifest) {
            self.remove_file(&part.segment.file_name())?;
        }
        self.keeper().save(self, |manifest| {
            let mut segments = manifest.segments.iter_mut();
            if let Some(meta) = segments.find(|meta| meta.segment == header.segment) {
                meta.packed_bytes = Some(packed_bytes);
            }
        })?;
        self.keeper().packed = None;
        let packed = Part {
            segment: Arc::new(segment),
            layers: part.layers.clone(),
        };
        let mut scene = self.scene_mut();
        scene.picture = Arc::new(scene.picture.with_replaced(&packed));
        drop(scene);
        self.remove_file(&part.segment.file_name())
    }

    /// Has a packed file of a segment, complete, durable and read again. Tells how long it is.
    fn packed(&self, part: &Part, header: &SegmentHeader, bytes: u32) -> Result<(Segment, u32)> {
        let named = SegmentName::of(header);
        let name = named.file_name_as(Form::Packed);
        let made = self.keeper().packed.filter(|made| made.name == named);
        let made = match made {
            // The manifest that failed to be written may be there all the same, and name it.
            Some(made) => made,
            None => self.make_packed(part, header, &name, bytes)?,
        };
        self.keeper().packed = Some(made);
        let file = self.disk.open(&name, Access::Write);
        let file = file.map_err(|error| Failure::io(&name, error))?;
        let kept = Arc::clone(&self.kept_blocks);
        let file = PackedFile::new(named, file, bytes, made.bytes, kept);
        let segment = Segment::unread(named, Form::Packed, file);
        segment.note_full(bytes);
        Ok((segment, made.bytes))
    }

    /// Makes the packed file of a segment.
    fn make_packed(
        &self,
        part: &Part,
        header: &SegmentHeader,
        name: &str,
        bytes: u32,
    ) -> Result<Packed> {
        // What is left of one that was not made to its end.
        self.remove_file(name)?;
        let failed = |error| Failure::io(name, error);
        let file = self.disk.create(name).map_err(failed)?;
        let packing = Packing::new(&*file, name, header);
        let packed_bytes = packing.write(&part.segment, bytes)?;
        if !is_planted(Mistake::PackedNotSynced) {
            file.sync_all().map_err(failed)?;
        }
        if !is_planted(Mistake::PackedNameNotSynced) {
            self.disk.sync_directory().map_err(failed)?;
        }
        let made = Packed {
            name: SegmentName::of(header),
            bytes: packed_bytes,
        };
        let kept = Arc::clone(&self.kept_blocks);
        let file = PackedFile::new(made.name, file, bytes, packed_bytes, kept);
        let segment = Segment::unread(made.name, Form::Packed, file);
        let end = Source::of(&segment)?.frames(FIRST_FRAME, |_| Ok(true))?;
        match end == bytes {
            true => Ok(made),
            false => Err(part.segment.damage(end, "this is no valid frame")),
        }
    }
}

impl Keeper {
    /// The number of the oldest full segment that is not packed, and where it ends.
    fn oldest_unpacked(&self) -> Option<(u32, u32)> {
        let mut segments = self.manifest.segments.iter();
        segments.find_map(|meta| match (meta.sealed_bytes, meta.packed_bytes) {
            (Some(bytes), None) => Some((meta.segment, bytes)),
            _ => None,
        })
    }
}

/// A packed file that was made, and that a manifest may name.
#[derive(Clone, Copy, Debug)]
pub(in crate::log) struct Packed {
    name: SegmentName,
    bytes: u32,
}

/// A packed file that is being written.
struct Packing<'a> {
    file: &'a dyn DiskFile,
    name: &'a str,
    header: &'a SegmentHeader,
    buf: Vec<u8>,
    written: u64,
    /// Where the blocks begin.
    starts: Vec<u32>,
}

impl<'a> Packing<'a> {
    fn new(file: &'a dyn DiskFile, name: &'a str, header: &'a SegmentHeader) -> Self {
        Self {
            file,
            name,
            header,
            buf: header.encode_as(Form::Packed).to_vec(),
            written: 0,
            starts: Vec::new(),
        }
    }

    /// Writes all of a segment that ends at `bytes`, and tells how long the file is then.
    fn write(mut self, segment: &Segment, bytes: u32) -> Result<u32> {
        let mut block = Vec::new();
        for index in 0..=block_at(bytes - 1) {
            let range = block_range(index, bytes);
            block.resize(range.len(), 0);
            let read = read_exact_at(
                &**segment.file(),
                &mut block,
                range.start.into(),
                Patience::Wait,
            );
            read.map_err(|error| Failure::io(&segment.file_name(), error))?;
            self.starts.push(self.end()?);
            put_block(&mut self.buf, self.header, range.start, &block);
            if self.buf.len() >= CHUNK_BYTES {
                self.flush()?;
            }
        }
        let table = BlockTable::new(std::mem::take(&mut self.starts), self.end()?, bytes);
        self.buf.extend(table.encode(self.header));
        self.flush()?;
        self.end()
    }

    fn flush(&mut self) -> Result<()> {
        write_all_at(self.file, &self.buf, self.written)
            .map_err(|error| Failure::io(self.name, error))?;
        self.written += self.buf.len() as u64;
        self.buf.clear();
        Ok(())
    }

    fn end(&self) -> Result<u32> {
        let end = self.written + self.buf.len() as u64;
        u32::try_from(end)
            .map_err(|_| Failure::damage(self.name, "it does not become smaller by being packed"))
    }
}
