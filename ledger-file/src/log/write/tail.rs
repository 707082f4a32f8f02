//! The last bytes of the log: those that are not in the segment file yet.
//!
//! Either they lie in the mapped stage, where they survive the process, and are written to the file when it is full; or
//! they have been gathered for the next flush, or are on their way with it. Bytes below [`Tail::base`] are in the file.

use std::io;
use std::sync::Arc;

use super::page::Page;
use crate::disk::Stage;
use crate::format::Position;

/// What is in memory of the active segment.
#[derive(Debug)]
pub(in crate::log) struct Tail {
    segment: u32,
    /// From which offset on bytes are here.
    base: u32,
    stage: Option<Box<dyn Stage>>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Staged {
        len: usize,
    },
    Gathered {
        writing: Option<Arc<Vec<u8>>>,
        filling: Vec<u8>,
        spare: Vec<u8>,
    },
}

impl Tail {
    /// Begins at `base`, gathering without bound. Of a stage only the first page is used, until it
    /// [begins to stage](Tail::begin_to_stage).
    pub(in crate::log) fn gathered(base: Position, stage: Option<Box<dyn Stage>>) -> Self {
        let kind = Kind::Gathered {
            writing: None,
            filling: Vec::new(),
            spare: Vec::new(),
        };
        Self {
            segment: base.segment(),
            base: base.offset(),
            stage,
            kind,
        }
    }

    /// From where on bytes are here and not in the file.
    pub(in crate::log) fn base(&self) -> Position {
        Position::new(self.segment, self.base)
    }

    /// Adds bytes at the end; there must be room.
    pub(in crate::log) fn push(&mut self, bytes: &[u8]) {
        match (&mut self.kind, &mut self.stage) {
            (Kind::Staged { len }, Some(stage)) => {
                stage.write(*len, bytes);
                *len += bytes.len();
            }
            (Kind::Staged { .. }, None) => {}
            (Kind::Gathered { filling, .. }, _) => filling.extend_from_slice(bytes),
        }
    }

    /// What must be written to the file at [`base`](Tail::base) before it can be emptied; nothing if it is gathered.
    pub(super) fn staged_bytes(&self) -> &[u8] {
        match (&self.kind, &self.stage) {
            (Kind::Staged { len }, Some(stage)) => &stage.area()[..*len],
            _ => &[],
        }
    }

    /// Stages from now on, as much as there is room for. It has gathered nothing yet.
    pub(in crate::log) fn begin_to_stage(&mut self) {
        self.kind = Kind::Staged { len: 0 };
    }

    /// Whether frames may be in the stage, of whatever time.
    pub(in crate::log) fn is_stage_used(&self) -> bool {
        self.stage.as_deref().is_some_and(holds_anything)
    }

    /// Forgets what is staged, durably.
    pub(in crate::log) fn clear_stage(&mut self, page: &Page) -> io::Result<()> {
        match &mut self.stage {
            Some(stage) => clear_stage(&mut **stage, page),
            None => Ok(()),
        }
    }

    /// Fills the stage with zeroes.
    pub(in crate::log) fn zero_stage(&mut self) {
        if let Some(stage) = &mut self.stage {
            zero(&mut **stage);
        }
    }

    /// Takes what was gathered since the last time: it stays readable until [`moved_to`](Tail::moved_to).
    pub(super) fn take_gathered(&mut self) -> Arc<Vec<u8>> {
        match &mut self.kind {
            Kind::Staged { .. } => Arc::default(),
            Kind::Gathered {
                writing,
                filling,
                spare,
            } => {
                let taken = Arc::new(std::mem::replace(filling, std::mem::take(spare)));
                *writing = Some(Arc::clone(&taken));
                taken
            }
        }
    }

    /// Notes that everything below `base` is in the file, apart from what was gathered since it was last taken.
    pub(super) fn moved_to(&mut self, base: Position) {
        self.segment = base.segment();
        self.base = base.offset();
        match &mut self.kind {
            Kind::Staged { len } => *len = 0,
            Kind::Gathered { writing, spare, .. } => {
                if let Some(mut done) = writing.take().and_then(Arc::into_inner) {
                    done.clear();
                    *spare = done;
                }
            }
        }
    }

    /// Forgets everything, and begins again at `base`.
    pub(in crate::log) fn reset(&mut self, base: Position) {
        self.moved_to(base);
        if let Kind::Gathered { filling, .. } = &mut self.kind {
            filling.clear();
        }
    }

    /// Fills in what it has of the bytes from `at` on, and tells how many of `buf` lie before that: in the file.
    pub(in crate::log) fn copy(&self, at: Position, buf: &mut [u8]) -> usize {
        let in_file = match at.segment() == self.segment {
            true => self.base.saturating_sub(at.offset()) as usize,
            false => buf.len(),
        };
        if in_file >= buf.len() {
            return buf.len();
        }
        let mut from = (at.offset() as usize + in_file) - self.base as usize;
        let mut target = &mut buf[in_file..];
        for part in self.parts() {
            let bytes = part.get(from..).unwrap_or_default();
            let count = bytes.len().min(target.len());
            let (filled, rest) = target.split_at_mut(count);
            filled.copy_from_slice(&bytes[..count]);
            from = from.saturating_sub(part.len());
            target = rest;
        }
        target.fill(0);
        in_file
    }

    fn parts(&self) -> [&[u8]; 2] {
        match &self.kind {
            Kind::Staged { .. } => [self.staged_bytes(), &[]],
            Kind::Gathered {
                writing, filling, ..
            } => [writing.as_deref().map_or(&[], Vec::as_slice), filling],
        }
    }
}

/// Forgets what is staged, durably.
pub(in crate::log) fn clear_stage(stage: &mut dyn Stage, page: &Page) -> io::Result<()> {
    page.clear_slots();
    zero(stage);
    stage.sync()
}

/// Fills the stage with zeroes.
fn zero(stage: &mut dyn Stage) {
    let zeroes = vec![0; stage.area().len()];
    stage.write(0, &zeroes);
}

fn holds_anything(stage: &dyn Stage) -> bool {
    let (blocks, rest) = stage.area().as_chunks::<64>();
    blocks.iter().any(|block| *block != [0; 64]) || rest.iter().any(|byte| *byte != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u32) -> Position {
        Position::new(1, offset)
    }

    fn copied(tail: &Tail, offset: u32, len: usize) -> (usize, Vec<u8>) {
        let mut buf = vec![9; len];
        let in_file = tail.copy(at(offset), &mut buf);
        (in_file, buf)
    }

    #[test]
    fn gathered_bytes_can_be_read_before_and_during_their_flush() {
        let mut tail = Tail::gathered(at(100), None);
        tail.push(&[1, 2]);
        assert_eq!(*tail.take_gathered(), [1, 2]);
        tail.push(&[3, 4]);
        assert_eq!(copied(&tail, 98, 6), (2, vec![9, 9, 1, 2, 3, 4]));
        assert_eq!(copied(&tail, 101, 2), (0, vec![2, 3]));
        assert_eq!(copied(&tail, 103, 3), (0, vec![4, 0, 0]));
        tail.moved_to(at(102));
        assert_eq!(copied(&tail, 100, 4), (2, vec![9, 9, 3, 4]));
    }

    #[test]
    fn bytes_of_other_segments_are_in_their_files() {
        let mut tail = Tail::gathered(at(0), None);
        tail.push(&[1; 8]);
        let mut buf = [9; 4];
        assert_eq!(tail.copy(Position::new(2, 0), &mut buf), 4);
        assert_eq!(buf, [9; 4]);
    }

    #[test]
    fn a_reset_forgets_what_was_gathered() {
        let mut tail = Tail::gathered(at(0), None);
        tail.push(&[1; 8]);
        let _on_its_way = tail.take_gathered();
        tail.push(&[2; 8]);
        tail.reset(at(4));
        assert_eq!(copied(&tail, 4, 3), (0, vec![0, 0, 0]));
    }
}
