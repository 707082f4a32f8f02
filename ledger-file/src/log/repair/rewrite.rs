//! Writing a segment anew: the frames that are left of it, and between them what fills its gaps.

use ledger_core::Timestamp;

use super::census::{Filling, Head, Loss};
use super::contents::Contents;
use super::survey::{Piece, Surveyed};
use crate::disk::Disk;
use crate::error::Result;
use crate::format::{
    AppendHead, Found, Frame, FrameWriter, Record, SegmentHeader, SegmentMeta, read_frame,
};
use crate::log::upkeep::rewriting::Rewriting;

/// How many tombstones lie in a frame.
const TOMBSTONES_MAX: u64 = if cfg!(test) { 2 } else { 10_000 };

/// Writes what is left of a segment into a file of another generation, complete and durable. Answers what the manifest
/// must say of it: that it is full.
pub(super) fn rewrite(
    disk: &dyn Disk,
    surveyed: &Surveyed,
    contents: &Contents,
    header: &SegmentHeader,
    fillings: &[Filling],
) -> Result<SegmentMeta> {
    let mut copy = Copy(Rewriting::begin(disk, header)?);
    for piece in &surveyed.pieces {
        match (piece, &contents.header) {
            (Piece::Frames(range), Some(old)) => {
                copy.frames(&contents.bytes[..range.end as usize], old, range.start)?;
            }
            (Piece::Frames(_), None) => {}
            (Piece::Gap(_, number), _) => copy.filling(&fillings[*number], header.created_at)?,
        }
    }
    copy.record(header.created_at, &Record::Seal)?;
    let end = copy.0.finish()?;
    Ok(SegmentMeta {
        segment: header.segment,
        generation: header.generation,
        sealed_bytes: Some(end),
        packed_bytes: None,
        synced: true,
        layers: Vec::new(),
    })
}

/// What is left of a segment, as it is written anew.
struct Copy<'a>(Rewriting<'a>);

impl Copy<'_> {
    /// Copies the frames in `bytes` of the segment of `old`, from `from` on.
    fn frames(&mut self, bytes: &[u8], old: &SegmentHeader, from: u32) -> Result<()> {
        let mut offset = from;
        while let Found::Frame(frame) = read_frame(&bytes[offset as usize..], old, offset) {
            self.frame(frame.recorded_at(), |writer| copy(&frame, writer))?;
            offset = frame.end();
        }
        Ok(())
    }

    fn filling(&mut self, filling: &Filling, now: Timestamp) -> Result<()> {
        for loss in &filling.losses {
            self.tombstones(loss)?;
        }
        for head in &filling.heads {
            self.record(head.recorded_at, &state(head))?;
        }
        for trim in &filling.trims {
            let removals = Record::Removals {
                stream: trim.stream,
                first: trim.first,
                bytes: trim.bytes,
            };
            self.record(now, &removals)?;
        }
        for (stream, name) in &filling.names {
            let name = Record::Name {
                stream: *stream,
                name: name.as_str(),
            };
            self.record(now, &name)?;
        }
        Ok(())
    }

    /// Writes tombstones in the place of lost entries. The first counts with the bytes of all of them.
    fn tombstones(&mut self, loss: &Loss) -> Result<()> {
        let (mut ids, mut bytes) = (loss.ids.clone(), loss.bytes.clone());
        while !ids.is_empty() {
            let end = ids.end.min(ids.start + TOMBSTONES_MAX);
            let head = AppendHead {
                stream: loss.stream,
                first_id: ids.start,
                bytes_before: bytes.start,
                recorded_at: loss.recorded_at,
                has_removals: loss.has_removals,
            };
            self.frame(loss.recorded_at, |frame| {
                let mut section = frame.append_many(&head);
                section.tombstone(bytes.end - bytes.start);
                for _ in ids.start + 1..end {
                    section.tombstone(0);
                }
                section.finish();
            })?;
            (ids.start, bytes.start) = (end, bytes.end);
        }
        Ok(())
    }

    fn record(&mut self, time: Timestamp, record: &Record<'_>) -> Result<()> {
        self.frame(time, |frame| {
            frame.push(record);
        })
    }

    /// Writes a frame, unless it would be empty.
    fn frame(&mut self, time: Timestamp, write: impl FnOnce(&mut FrameWriter<'_>)) -> Result<()> {
        self.0.frame(time, |writer| {
            write(writer);
            Ok(())
        })
    }
}

/// Writes what a frame holds once more; the seal comes at the end.
fn copy(frame: &Frame<'_>, writer: &mut FrameWriter<'_>) {
    for (_, record) in frame.records().map_while(Result::ok) {
        match record {
            Record::Append(append) => {
                let mut section = writer.append_many(&append.head);
                for (_, entry) in append.entries().map_while(Result::ok) {
                    section.copy(&entry);
                }
                section.finish();
            }
            Record::Seal => {}
            other => {
                writer.push(&other);
            }
        }
    }
}

fn state(head: &Head) -> Record<'static> {
    Record::State {
        stream: head.stream,
        head: head.head,
        bytes: head.bytes,
        recorded_at: head.recorded_at,
    }
}
