//! Large pieces of memory that are mapped for themselves, and go back to the system when they are dropped.
//!
//! An allocator keeps what is freed for the next that fits. For tables of megabytes, none of which is as large as another,
//! that was as much memory again as all of them together.

use std::ops::{Deref, DerefMut};

use memmap2::{MmapMut, MmapOptions};

/// Bytes, all of them zero at first. What is never touched takes no memory.
#[derive(Debug)]
pub(crate) enum Memory {
    /// Too few to be mapped, or the system has no more maps to give.
    Heap(Vec<u8>),
    Mapped(MmapMut),
}

/// From how many bytes on memory is mapped.
const MAPPED_BYTES_MIN: usize = 128 << 10;

impl Memory {
    pub(crate) fn zeroed(bytes: usize) -> Self {
        let map = match bytes {
            MAPPED_BYTES_MIN.. => map(bytes),
            _ => None,
        };
        map.map_or_else(|| Self::Heap(vec![0; bytes]), Self::Mapped)
    }
}

fn map(bytes: usize) -> Option<MmapMut> {
    let map = MmapOptions::new().len(bytes).map_anon().ok()?;
    // What is looked up in tables by hash would miss the processor's own map of small pages nearly each time.
    #[cfg(target_os = "linux")]
    let _heard = map.advise(memmap2::Advice::HugePage);
    Some(map)
}

impl Default for Memory {
    /// No bytes.
    fn default() -> Self {
        Self::Heap(Vec::new())
    }
}

#[cfg(test)]
impl From<&[u8]> for Memory {
    fn from(bytes: &[u8]) -> Self {
        let mut memory = Self::zeroed(bytes.len());
        memory.copy_from_slice(bytes);
        memory
    }
}

impl PartialEq for Memory {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Memory {}

impl Deref for Memory {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Heap(bytes) => bytes,
            Self::Mapped(bytes) => bytes,
        }
    }
}

impl DerefMut for Memory {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Heap(bytes) => bytes,
            Self::Mapped(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_zero_until_it_is_written_to_however_much_it_is() {
        for bytes in [0, 5, MAPPED_BYTES_MIN, 1_000_003] {
            let mut memory = Memory::zeroed(bytes);
            assert_eq!(memory.len(), bytes);
            assert!(memory.iter().all(|byte| *byte == 0));
            if let Some(last) = memory.last_mut() {
                *last = 7;
                assert_eq!(memory[bytes - 1], 7);
            }
        }
    }
}
