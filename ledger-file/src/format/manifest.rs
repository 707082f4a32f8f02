//! The manifest: which files are the log.

use super::header::{HeaderError, LogId, check};
use super::input::{Input, Malformed};
use super::name::FileName;
use super::segment::Form;
use super::short_checksum::short_crc;

const MAGIC: &[u8; 8] = b"LEDGERMF";

/// The format of a manifest without packed segments, and of one with any: so who cannot read those does not try.
const FORMAT_PLAIN: u32 = 1;
const FORMAT_PACKED: u32 = 2;

const CHECKSUM_BYTES: usize = 4;
const SYNCED: u8 = 1 << 0;
const SEALED: u8 = 1 << 1;
const PACKED: u8 = 1 << 2;

/// Which files are the log, in the order of their segments. A file that it does not name is none of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// The log it is of.
    pub(crate) log_id: LogId,
    /// The seed of the hashes in the indexes.
    pub(crate) seed: u64,
    /// Counts the manifests of the log, from 1.
    pub(crate) version: u64,
    /// The highest number that was given to a stream when it was written.
    pub(crate) streams: u64,
    /// By ascending number.
    pub(crate) segments: Vec<SegmentMeta>,
}

/// A segment of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentMeta {
    /// Its number.
    pub(crate) segment: u32,
    /// The generation of its file.
    pub(crate) generation: u64,
    /// Where its last frame ends; none as long as it may grow.
    pub(crate) sealed_bytes: Option<u32>,
    /// How long its file is if it is packed; only of a segment that does not grow.
    pub(crate) packed_bytes: Option<u32>,
    /// Whether everything in it survives the loss of power.
    pub(crate) synced: bool,
    /// Its index files, by ascending range.
    pub(crate) layers: Vec<Layer>,
}

/// An index file: of the frames of its segment from one offset up to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    /// Where the first of them begins.
    pub(crate) from: u32,
    /// Where the last of them ends.
    pub(crate) to: u32,
}

impl Manifest {
    fn format(&self) -> u32 {
        match self.segments.iter().any(|meta| meta.packed_bytes.is_some()) {
            true => FORMAT_PACKED,
            false => FORMAT_PLAIN,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut buf = Vec::with_capacity(48 + 40 * self.segments.len());
        buf.extend(MAGIC);
        buf.extend(self.format().to_le_bytes());
        buf.extend(self.log_id);
        buf.extend(self.seed.to_le_bytes());
        buf.extend(self.version.to_le_bytes());
        buf.extend(self.streams.to_le_bytes());
        buf.extend((self.segments.len() as u32).to_le_bytes());
        for segment in &self.segments {
            segment.put(&mut buf);
        }
        buf.extend(short_crc(0, &buf).to_le_bytes());
        buf
    }

    /// # Errors
    /// The bytes are those of no manifest, of a newer format, or damaged.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let format = Input::new(bytes.get(8..).unwrap_or(&[])).u32()?;
        check(MAGIC, Input::new(bytes).array()?, format, FORMAT_PACKED)?;
        let mut input = Input::new(checked(bytes)?);
        input.bytes(12)?;
        let manifest = Self {
            log_id: input.array()?,
            seed: input.u64()?,
            version: input.u64()?,
            streams: input.u64()?,
            segments: (0..input.u32()?)
                .map(|_| SegmentMeta::read(&mut input))
                .collect::<Result<_, _>>()?,
        };
        input.end()?;
        if manifest.format() != format {
            return Err(Malformed("a manifest is of another format than its segments").into());
        }
        manifest.ascending()
    }

    /// The manifest in `bytes`, if no more than the words before its content are damaged.
    pub(crate) fn mended(mut bytes: Vec<u8>) -> Option<Self> {
        [FORMAT_PLAIN, FORMAT_PACKED]
            .into_iter()
            .find_map(|format| {
                let start = bytes.first_chunk_mut::<12>()?;
                start[..8].copy_from_slice(MAGIC);
                start[8..].copy_from_slice(&format.to_le_bytes());
                Self::decode(&bytes).ok()
            })
    }

    fn ascending(self) -> Result<Self, HeaderError> {
        if self.segments.is_sorted_by(|a, b| a.segment < b.segment) {
            return Ok(self);
        }
        Err(Malformed("the segments of the manifest do not ascend").into())
    }
}

/// What stands before the checksum, if that is right.
fn checked(bytes: &[u8]) -> Result<&[u8], Malformed> {
    let (content, found) = bytes
        .split_last_chunk::<CHECKSUM_BYTES>()
        .ok_or(Malformed("the manifest is cut off"))?;
    if short_crc(0, content) != u32::from_le_bytes(*found) {
        return Err(Malformed("the manifest has another checksum"));
    }
    Ok(content)
}

impl SegmentMeta {
    /// The name of its file.
    pub(crate) fn file_name(&self) -> FileName {
        FileName::segment(self.segment, self.generation, self.form())
    }

    /// How it lies in its file.
    pub(crate) fn form(&self) -> Form {
        match self.packed_bytes {
            Some(_) => Form::Packed,
            None => Form::Plain,
        }
    }

    fn put(&self, buf: &mut Vec<u8>) {
        let synced = if self.synced { SYNCED } else { 0 };
        let sealed = self.sealed_bytes.map_or(0, |_| SEALED);
        let packed = self.packed_bytes.map_or(0, |_| PACKED);
        buf.extend(self.segment.to_le_bytes());
        buf.extend(self.generation.to_le_bytes());
        buf.push(synced | sealed | packed);
        buf.extend(self.sealed_bytes.unwrap_or(0).to_le_bytes());
        if let Some(bytes) = self.packed_bytes {
            buf.extend(bytes.to_le_bytes());
        }
        buf.extend((self.layers.len() as u32).to_le_bytes());
        for layer in &self.layers {
            buf.extend(layer.from.to_le_bytes());
            buf.extend(layer.to.to_le_bytes());
        }
    }

    fn read(input: &mut Input<'_>) -> Result<Self, Malformed> {
        let (segment, generation, flags) = (input.u32()?, input.u64()?, input.u8()?);
        let sealed_bytes = input.u32()?;
        if flags & !(SYNCED | SEALED | PACKED) != 0 {
            return Err(Malformed(
                "a segment of the manifest has a flag of a newer format",
            ));
        }
        if flags & SEALED == 0 && sealed_bytes != 0 {
            return Err(Malformed("a segment ends, and is not sealed"));
        }
        let packed = flags & PACKED != 0;
        if packed && flags & SEALED == 0 {
            return Err(Malformed("a segment is packed, and not sealed"));
        }
        Ok(Self {
            segment,
            generation,
            sealed_bytes: (flags & SEALED != 0).then_some(sealed_bytes),
            packed_bytes: packed.then(|| input.u32()).transpose()?,
            synced: flags & SYNCED != 0,
            layers: (0..input.u32()?)
                .map(|_| Layer::read(input))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl Layer {
    fn read(input: &mut Input<'_>) -> Result<Self, Malformed> {
        let layer = Self {
            from: input.u32()?,
            to: input.u32()?,
        };
        if layer.from > layer.to {
            return Err(Malformed("an index of the manifest ends before it begins"));
        }
        Ok(layer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    prop_compose! {
        fn layers()(a: u32, b: u32) -> Layer {
            Layer { from: a.min(b), to: a.max(b) }
        }
    }

    prop_compose! {
        fn metas()(
            generation: u64, sealed_bytes: Option<u32>, packed_bytes: Option<u32>, synced: bool, layers in vec(layers(), 0..3),
        ) -> SegmentMeta {
            let packed_bytes = packed_bytes.and(sealed_bytes).and(packed_bytes);
            SegmentMeta { segment: 0, generation, sealed_bytes, packed_bytes, synced, layers }
        }
    }

    prop_compose! {
        fn manifests()(log_id: LogId, seed: u64, version: u64, streams: u64, mut segments in vec(metas(), 0..5)) -> Manifest {
            for (segment, number) in segments.iter_mut().zip(1..) {
                segment.segment = number;
            }
            Manifest { log_id, seed, version, streams, segments }
        }
    }

    proptest! {
        #[test]
        fn a_manifest_comes_back(manifest in manifests()) {
            prop_assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
        }

        #[test]
        fn a_flipped_bit_is_found(manifest in manifests(), bit: usize) {
            let mut bytes = manifest.encode();
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Manifest::decode(&bytes).is_err());
        }

        #[test]
        fn a_manifest_cut_short_or_with_something_behind_is_refused(manifest in manifests(), len: usize, byte: u8) {
            let mut bytes = manifest.encode();
            prop_assert!(Manifest::decode(&bytes[..len % bytes.len()]).is_err());
            bytes.push(byte);
            prop_assert!(Manifest::decode(&bytes).is_err());
        }

        #[test]
        fn content_that_passes_the_checksum_may_still_be_anything(format in 0..4u32, content: Vec<u8>) {
            let mut bytes = [MAGIC.as_slice(), &format.to_le_bytes(), &content].concat();
            bytes.extend(short_crc(0, &bytes).to_le_bytes());
            if let Ok(manifest) = Manifest::decode(&bytes) {
                prop_assert_eq!(manifest.encode(), bytes);
            }
        }
    }

    /// Found by fuzzing: it was read as a manifest that is written in another way.
    #[test]
    fn a_segment_that_ends_without_being_sealed_is_refused() {
        let segment = SegmentMeta {
            segment: 1,
            generation: 2,
            sealed_bytes: Some(1_000),
            packed_bytes: None,
            synced: false,
            layers: Vec::new(),
        };
        let manifest = Manifest {
            log_id: [0; 16],
            seed: 0,
            version: 1,
            streams: 0,
            segments: vec![segment],
        };
        let mut bytes = manifest.encode();
        bytes[68] = 0;
        let end = bytes.len() - CHECKSUM_BYTES;
        let checksum = short_crc(0, &bytes[..end]).to_le_bytes();
        bytes[end..].copy_from_slice(&checksum);
        assert!(matches!(
            Manifest::decode(&bytes),
            Err(HeaderError::Damaged(_))
        ));
    }

    /// So a version that knows no packed segments refuses the log, and leaves others alone.
    #[test]
    fn only_a_manifest_with_a_packed_segment_is_of_the_newer_format() {
        let mut segment = SegmentMeta {
            segment: 1,
            generation: 2,
            sealed_bytes: Some(1_000),
            packed_bytes: None,
            synced: true,
            layers: Vec::new(),
        };
        let format_of = |segment: &SegmentMeta| {
            let manifest = Manifest {
                log_id: [0; 16],
                seed: 0,
                version: 1,
                streams: 0,
                segments: vec![segment.clone()],
            };
            manifest.encode()[8]
        };
        assert_eq!(format_of(&segment), 1);
        segment.packed_bytes = Some(500);
        assert_eq!(format_of(&segment), 2);
    }

    #[test]
    fn a_count_that_no_bytes_back_is_refused_before_space_is_made() {
        let manifest = Manifest {
            log_id: [0; 16],
            seed: 0,
            version: 1,
            streams: 0,
            segments: Vec::new(),
        };
        let mut bytes = manifest.encode();
        bytes.truncate(bytes.len() - 8);
        bytes.extend(u32::MAX.to_le_bytes());
        bytes.extend(short_crc(0, &bytes).to_le_bytes());
        assert!(matches!(
            Manifest::decode(&bytes),
            Err(HeaderError::Damaged(_))
        ));
    }
}
