//! tephra: an event without tags a record. Every append is durable; its writer thread commits whatever has gathered.

use std::path::Path;
use std::sync::Arc;

use ledger_lap::{Engine, Promise, Result};
use tephra::{
    Event, EventType, Position, Query, SegmentConfig, SegmentSet, Tags, WriteCoordinator,
    WriteHandle, WriterConfig,
};

const SEGMENT_BYTES: usize = 256 << 20;

pub(crate) struct Tephra {
    handle: WriteHandle,
    event_type: EventType,
    tags: Tags,
    /// Lives as long as its handles.
    _coordinator: Arc<WriteCoordinator>,
}

impl Tephra {
    fn event(&self, record: &[u8]) -> Result<Event> {
        Ok(Event::new(&self.event_type, &self.tags, record)?)
    }
}

impl Engine for Tephra {
    const PROMISES: &'static [Promise] = &[Promise::Disk];

    fn open(dir: &Path, _promise: Promise) -> Result<Self> {
        let segments = SegmentSet::open(dir, SegmentConfig::new(SEGMENT_BYTES))?;
        let (coordinator, handle) = WriteCoordinator::start(segments, WriterConfig::default())?;
        Ok(Self {
            handle,
            event_type: EventType::new("record")?,
            tags: Tags::new([])?,
            _coordinator: Arc::new(coordinator),
        })
    }

    fn fork(&self) -> Result<Self> {
        Ok(Self {
            handle: self.handle.clone(),
            event_type: self.event_type.clone(),
            tags: self.tags.clone(),
            _coordinator: Arc::clone(&self._coordinator),
        })
    }

    fn append(&mut self, record: &[u8]) -> Result<()> {
        self.handle.append(vec![self.event(record)?], None)?;
        Ok(())
    }

    fn append_batch(&mut self, records: &[&[u8]]) -> Result<()> {
        let events: Result<Vec<_>> = records.iter().map(|record| self.event(record)).collect();
        self.handle.append(events?, None)?;
        Ok(())
    }

    fn scan(&mut self, mut visit: impl FnMut(&[u8])) -> Result<()> {
        let mut events = self.handle.read(&Query::all(), Position::ZERO, None);
        while let Some(event) = events.next() {
            visit(event?.event.data());
        }
        Ok(())
    }

    fn read(&mut self, first: u64, count: usize, mut visit: impl FnMut(&[u8])) -> Result<()> {
        let (after, limit) = (Position::new(first), Some(count as u64));
        let mut events = self.handle.read(&Query::all(), after, limit);
        while let Some(event) = events.next() {
            visit(event?.event.data());
        }
        Ok(())
    }
}
