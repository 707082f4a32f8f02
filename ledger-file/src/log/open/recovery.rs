//! Reading frames again: after a crash, and wherever an index is missing.
//!
//! Where the log ends is decided here (rule 4): at the first place without a valid frame, unless a frame behind it claims
//! that this place was durable. Then what was there was acknowledged and is damaged, and nothing is touched.

use std::io;
use std::ops::Range;

use crate::disk::{DiskFile, Patience, read_at_most, read_exact_at, write_all_at};
use crate::error::{Failure, Result};
use crate::fault::{Mistake, is_planted};
use crate::format::{
    Form, Found, Frame, Position, SEGMENT_HEADER_BYTES, SegmentHeader, newest_claim, read_frame,
};
use crate::index::{ActiveIndex, KeyHasher, Origin};
use crate::log::read::frames::with_buffer;
use crate::log::read::segment::{Segment, SegmentName};
use crate::log::shared::Shared;
use crate::log::write::notes::Notes;
use crate::log::write::writer::Writer;

/// How much is read at once: little at first, because often there is nothing.
const FIRST_CHUNK_BYTES: usize = if cfg!(test) { 100 } else { 16 << 10 };
const CHUNK_BYTES: usize = if cfg!(test) { 300 } else { 1 << 20 };

/// What a scan of a segment found.
#[derive(Debug)]
pub(in crate::log) struct Scan {
    /// Of the frames that were found.
    pub(in crate::log) index: ActiveIndex,
    /// Up to where one of them says that it was durable.
    pub(super) durable: u32,
    /// Where the last of them ends.
    pub(in crate::log) end: u32,
    /// Whether that one says that it is the last.
    pub(super) is_sealed: bool,
}

/// A segment file that is read from its start to its end.
#[derive(Clone, Copy, Debug)]
pub(in crate::log) struct Source<'a> {
    pub(in crate::log) file: &'a dyn DiskFile,
    pub(in crate::log) header: &'a SegmentHeader,
    /// How it lies in its file, which only messages tell.
    pub(in crate::log) form: Form,
    /// How many bytes of it there are.
    pub(in crate::log) len: u64,
}

impl<'a> Source<'a> {
    /// All of the file of `segment`.
    pub(in crate::log) fn of(segment: &'a Segment) -> Result<Self> {
        let header = segment.header(Patience::Wait)?;
        let len = segment.file().len();
        let len = len.map_err(|error| Failure::io(&segment.file_name(), error))?;
        Ok(Self {
            file: &**segment.file(),
            header,
            form: segment.form(),
            len,
        })
    }

    fn name(&self) -> String {
        SegmentName::of(self.header).file_name_as(self.form)
    }

    /// Reads the frames from `from` on, and notes what they hold, up to the first that is none.
    pub(in crate::log) fn scan(&self, hasher: KeyHasher, from: u32) -> Result<Scan> {
        let mut index = ActiveIndex::new(Origin {
            log_id: self.header.log_id,
            segment: self.header.segment,
            generation: self.header.generation,
            from,
        });
        let (mut durable, mut is_sealed) = (from, false);
        let end = self.frames(from, |frame| {
            let at = frame.position().offset();
            Notes::frame(&mut index, hasher, frame).map_err(|malformed| {
                Failure::damage(self.name(), format!("at byte {at}: {malformed}"))
            })?;
            if let Some(claim) = frame
                .durable()
                .filter(|claim| *claim > self.header.at(durable))
            {
                durable = claim.offset();
            }
            is_sealed = frame.seals();
            Ok(!is_sealed)
        })?;
        Ok(Scan {
            index,
            durable,
            end,
            is_sealed,
        })
    }

    /// Shows `each` the frames from `from` on, until it answers that it has enough, or there is none. Tells where the
    /// last one ends. A read error is an error, and never the end (rule 5).
    pub(in crate::log) fn frames(
        &self,
        from: u32,
        mut each: impl FnMut(&Frame<'_>) -> Result<bool>,
    ) -> Result<u32> {
        let (mut offset, mut chunk) = (from, FIRST_CHUNK_BYTES);
        with_buffer(|buf| {
            while let Some(next) = self.frames_of_chunk(&mut offset, chunk, buf, &mut each)? {
                chunk = next;
            }
            Ok(offset)
        })
    }

    /// Reads one chunk, and shows `each` the frames that are whole in it. Tells how large the next must be, if there is
    /// one.
    fn frames_of_chunk(
        &self,
        offset: &mut u32,
        chunk: usize,
        buf: &mut Vec<u8>,
        each: &mut impl FnMut(&Frame<'_>) -> Result<bool>,
    ) -> Result<Option<usize>> {
        let left = usize::try_from(self.len.saturating_sub(u64::from(*offset)));
        let wanted = chunk.min(left.unwrap_or(usize::MAX));
        if buf.len() < wanted {
            buf.resize(wanted, 0);
        }
        let begun = *offset;
        let read = read_at_most(self.file, &mut buf[..wanted], begun.into(), Patience::Wait);
        let read = match read {
            Err(_) if is_planted(Mistake::ReadErrorIsTheEnd) => return Ok(None),
            read => read.map_err(|error| Failure::io(&self.name(), error))?,
        };
        let mut bytes = &buf[..read];
        let needed = loop {
            match read_frame(bytes, self.header, *offset) {
                Found::Frame(frame) => {
                    *offset = frame.end();
                    bytes = &bytes[frame.bytes_len() as usize..];
                    if !each(&frame)? {
                        return Ok(None);
                    }
                }
                Found::Short { needed } => break needed,
                Found::Nothing | Found::Bad(_) => return Ok(None),
            }
        };
        // A length that the file does not back is no frame's.
        let is_backed = u64::from(*offset) + needed <= self.len;
        let is_cut_off = read < wanted && *offset == begun;
        Ok((is_backed && !is_cut_off).then_some(CHUNK_BYTES.max(needed as usize)))
    }

    /// Whether there is anything but zeroes from `from` on; and up to where.
    pub(super) fn rest(&self, from: u32) -> Result<Option<u64>> {
        let (mut offset, mut last) = (u64::from(from), None);
        let (mut buf, zeroes) = (vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]);
        loop {
            let read = read_at_most(self.file, &mut buf, offset, Patience::Wait)
                .map_err(|error| Failure::io(&self.name(), error))?;
            if buf[..read] != zeroes[..read]
                && let Some(index) = buf[..read].iter().rposition(|byte| *byte != 0)
            {
                last = Some(offset + index as u64 + 1);
            }
            offset += read as u64;
            if read < buf.len() {
                return Ok(last);
            }
        }
    }

    /// The newest place that any frame from `from` on claims was durable.
    pub(super) fn newest_claim(&self, from: u32) -> Result<Option<Position>> {
        let Some(end) = self.rest(from)? else {
            return Ok(None);
        };
        // The last frame may end in zeroes, so what is looked at goes on as the file does; only this much must be read.
        let until = |end: u64| usize::try_from(end - u64::from(from)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; until(self.len.max(end))];
        read_at_most(
            self.file,
            &mut bytes[..until(end)],
            from.into(),
            Patience::Wait,
        )
        .map_err(|error| Failure::io(&self.name(), error))?;
        Ok(newest_claim(&bytes, self.header, from))
    }
}

/// How much is written again at once: a multiple of the largest pieces that systems cache files in.
const PIECE_BYTES: u64 = if cfg!(test) { 200 } else { 4 << 20 };

/// Writes what lies in `range` of a file, and its length, once more: a sync that comes then makes it durable, whatever became
/// of the ones before. What a sync failed to write, the system takes for clean (rule 7).
///
/// And for written, too: ext4 keeps beside what it has cached of a file where it lies on the disk, and then writes it there again
/// without noting that the place is in use now; a power cut leaves zeroes. So what is clean is evicted before, which whoever
/// calls this has made of it by a sync.
pub(super) fn write_again(file: &dyn DiskFile, range: Range<u32>) -> io::Result<()> {
    let (mut offset, end) = (u64::from(range.start), u64::from(range.end));
    let mut piece = Vec::new();
    while offset < end {
        let begun = offset - offset % PIECE_BYTES;
        let bytes = end.min(begun + PIECE_BYTES) - offset;
        piece.resize(bytes as usize, 0);
        read_exact_at(file, &mut piece, offset, Patience::Wait)?;
        file.evict(begun, PIECE_BYTES);
        write_all_at(file, &piece, offset)?;
        offset += bytes;
    }
    if is_planted(Mistake::TailNotCut) {
        return Ok(());
    }
    if file.len()? == end {
        // A length that stays the same need not be written.
        file.truncate(end + 1)?;
    }
    file.truncate(end)
}

/// The end of the log, as far as `sources` tell: the unsealed segments in their order, each scanned up to `ends`.
///
/// # Errors
/// `Corrupt`: something behind the end claims that the log was durable further than that.
pub(super) fn check_claims(sources: &[(Source<'_>, u32)]) -> Result<()> {
    let Some((first, end)) = sources.first() else {
        return Ok(());
    };
    let log_end = first.header.at(*end);
    for (source, from) in sources {
        let claim = source.newest_claim(*from)?;
        if claim.is_some_and(|claim| claim > log_end) && !is_planted(Mistake::ClaimIgnored) {
            return Err(Failure::damage(
                first.name(),
                format!("at byte {end}: what was durable here is not readable any more"),
            ));
        }
    }
    Ok(())
}

/// Makes the index of the active segment once more, of what lies before `end`.
pub(in crate::log) fn index_again(
    shared: &Shared,
    writer: &Writer,
    end: Position,
) -> Result<ActiveIndex> {
    let source = Source {
        file: &*writer.file,
        header: &writer.header,
        form: Form::Plain,
        len: end.offset().into(),
    };
    let scan = source.scan(shared.hasher, writer.indexed_from)?;
    match scan.end == end.offset() {
        true => Ok(scan.index),
        false => Err(Failure::damage(
            source.name(),
            format!("at byte {}: a frame that was there is gone", scan.end),
        )),
    }
}

/// Where the first frame of any segment begins.
pub(in crate::log) const FIRST_FRAME: u32 = SEGMENT_HEADER_BYTES as u32;
