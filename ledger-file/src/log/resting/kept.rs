//! Streams at rest in a file, from the closing of a log to its next opening.
//!
//! A cache, which nothing rests on: so it is not synced. The file is believed if the log ends where it ended when the file
//! was written, and has the same manifest. Then nothing was written in between: the end of a log that was closed is durable,
//! and what was given out before it is never given out again. Each bucket has a checksum, that of another file does not
//! pass for.

use std::io;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{BUCKET_BYTES, HEAD_BYTES, LEN_BYTES, Resting, rows_in};
use crate::disk::{Access, Disk, DiskFile, Patience, read_at_most, read_exact_at, write_all_at};
use crate::fault::{Mistake, is_planted};
use crate::format::{FileName, Input, LogId, Malformed, Position, short_crc};
use crate::memory::Memory;

const MAGIC: &[u8; 8] = b"LEDGERRS";
const FORMAT: u32 = 1;

/// The bytes of the header, the last four of which are its checksum.
const HEADER_BYTES: usize = 80;
const CHECKSUM_OFFSET: usize = HEADER_BYTES - 4;

/// Which log at which moment streams are remembered of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log) struct Identity {
    pub(in crate::log) log_id: LogId,
    /// The seed and the version of the manifest.
    pub(in crate::log) seed: u64,
    pub(in crate::log) version: u64,
    /// Where the log ends.
    pub(in crate::log) end: Position,
}

/// Writes what is remembered, in place of what was kept before.
///
/// # Errors
/// Those of the disk. Nothing is kept then.
pub(in crate::log) fn keep(
    resting: &mut Resting,
    disk: &dyn Disk,
    identity: &Identity,
) -> io::Result<()> {
    forget(disk)?;
    let file = disk.create(&name())?;
    let written = resting.write(&*file, identity);
    written.inspect_err(|_| {
        // What is left of it has no header, and goes at the next closing.
        let _is_left = forget(disk);
    })
}

/// Removes what was kept, if anything was. Who has it open can go on.
///
/// # Errors
/// Those of the disk.
pub(in crate::log) fn forget(disk: &dyn Disk) -> io::Result<()> {
    match disk.remove(&name()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Whether what is kept is of the log as it is now.
pub(in crate::log) fn is_kept(disk: &dyn Disk, identity: &Identity) -> bool {
    let found = find(disk, identity);
    found.is_ok_and(|found| found.is_some())
}

/// Reads what was kept of the log when it was `identity`; none if it was of another one, or of another moment, or does not
/// fit into `bytes_max`.
///
/// # Errors
/// Those of the disk.
pub(in crate::log) fn recall(
    disk: &dyn Disk,
    identity: &Identity,
    bytes_max: usize,
) -> io::Result<Option<Resting>> {
    match find(disk, identity)? {
        Some(kept) => kept.read(bytes_max),
        None => Ok(None),
    }
}

fn name() -> String {
    FileName::Streams.to_string()
}

/// A file that is of the log as it is now, and its header.
struct Kept {
    file: Arc<dyn DiskFile>,
    header: Header,
    digest: u64,
}

fn find(disk: &dyn Disk, identity: &Identity) -> io::Result<Option<Kept>> {
    let mut bytes = [0; HEADER_BYTES];
    let file = match disk.open(&name(), Access::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let read = read_at_most(&*file, &mut bytes, 0, Patience::Wait)?;
    let header = Header::decode(&bytes[..read]).ok();
    let is_ours =
        |it: &Header| it.identity == *identity || is_planted(Mistake::StaleStreamsBelieved);
    Ok(header.filter(is_ours).map(|header| Kept {
        file,
        header,
        digest: digest(&bytes),
    }))
}

impl Kept {
    fn read(&self, bytes_max: usize) -> io::Result<Option<Resting>> {
        let Some(bytes) = self.bucket_bytes(self.file.len()?, bytes_max) else {
            return Ok(None);
        };
        let mut memory = Memory::zeroed(bytes);
        read_exact_at(
            &*self.file,
            &mut memory,
            HEADER_BYTES as u64,
            Patience::Wait,
        )?;
        for (number, bucket) in memory.as_chunks_mut().0.iter_mut().enumerate() {
            if !is_right(bucket, number, self.digest) {
                bucket.fill(0);
            }
        }
        Ok(Some(Resting {
            memory,
            taken: (self.header.taken as usize).min(bytes),
            epoch: Some(self.header.epoch),
            ..Resting::new(bytes_max, self.header.identity.seed)
        }))
    }

    /// The bytes of all buckets; none if those are not what the file has, or too many.
    fn bucket_bytes(&self, len: u64, bytes_max: usize) -> Option<usize> {
        let bytes = self.header.buckets.checked_mul(BUCKET_BYTES as u64)?;
        let is_whole = bytes.checked_add(HEADER_BYTES as u64) == Some(len);
        let bytes = usize::try_from(bytes).ok().filter(|_| is_whole)?;
        (bytes <= bytes_max).then_some(bytes)
    }
}

impl Resting {
    /// The buckets first: as long as the header is missing, nobody believes them.
    fn write(&mut self, file: &dyn DiskFile, identity: &Identity) -> io::Result<()> {
        let header = Header {
            identity: *identity,
            epoch: self.epoch.unwrap_or_default(),
            taken: self.taken as u64,
            buckets: self.buckets() as u64,
        };
        let header = header.encode();
        self.seal(digest(&header));
        write_all_at(file, &self.memory, HEADER_BYTES as u64)?;
        write_all_at(file, &header, 0)
    }

    /// Gives each bucket its checksum.
    fn seal(&mut self, digest: u64) {
        for (number, bucket) in self.memory.as_chunks_mut().0.iter_mut().enumerate() {
            let checksum = checksum(bucket, number, digest);
            bucket[LEN_BYTES..HEAD_BYTES].copy_from_slice(&checksum.to_le_bytes());
        }
    }
}

/// What the checksums of the buckets depend on: so none of another file passes.
fn digest(header: &[u8]) -> u64 {
    xxh3_64_with_seed(header, 0)
}

fn checksum(bucket: &[u8; BUCKET_BYTES], number: usize, digest: u64) -> u64 {
    let rows = rows_in(bucket).unwrap_or_default();
    xxh3_64_with_seed(rows, digest.wrapping_add(number as u64))
}

fn is_right(bucket: &[u8; BUCKET_BYTES], number: usize, digest: u64) -> bool {
    let checksum = checksum(bucket, number, digest).to_le_bytes();
    bucket[LEN_BYTES..HEAD_BYTES] == checksum && rows_in(bucket).is_some()
}

/// The beginning of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    identity: Identity,
    epoch: i64,
    taken: u64,
    buckets: u64,
}

impl Header {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend(MAGIC);
        bytes.extend(FORMAT.to_le_bytes());
        bytes.extend(self.identity.log_id);
        let Identity {
            seed, version, end, ..
        } = self.identity;
        let numbers = [seed, version, end.as_u64()];
        let numbers =
            numbers
                .into_iter()
                .chain([self.epoch.cast_unsigned(), self.taken, self.buckets]);
        numbers.for_each(|number| bytes.extend(number.to_le_bytes()));
        bytes.extend(short_crc(0, &bytes).to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut input = Input::new(bytes);
        let checked = input.bytes(CHECKSUM_OFFSET as u64)?;
        if input.u32()? != short_crc(0, checked) {
            return Err(Malformed("the header does not match its checksum"));
        }
        let mut input = Input::new(checked);
        if (input.array()?, input.u32()?) != (*MAGIC, FORMAT) {
            return Err(Malformed("it is of another format"));
        }
        Ok(Self {
            identity: Identity {
                log_id: input.array()?,
                seed: input.u64()?,
                version: input.u64()?,
                end: Position::from_u64(input.u64()?),
            },
            epoch: input.u64()?.cast_signed(),
            taken: input.u64()?,
            buckets: input.u64()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use ledger_core::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::disk::Directory;
    use crate::format::StreamNumber;
    use crate::log::streams::StreamState;

    const BYTES_MAX: usize = 1 << 20;

    fn identity() -> Identity {
        Identity {
            log_id: *b"0123456789abcdef",
            seed: 7,
            version: 3,
            end: Position::new(4, 5_000),
        }
    }

    fn state(number: u64) -> StreamState {
        StreamState {
            head: number * 3,
            bytes_appended: number * 100,
            recorded_at: Timestamp::from_micros(1_700_000_000_000_000 + number as i64),
            ..StreamState::new(StreamNumber(number))
        }
    }

    fn name(number: u64) -> String {
        format!("stream-{number}")
    }

    const STREAMS: u64 = 3_000;

    /// A directory with a file of that many streams.
    fn kept() -> (tempfile::TempDir, Directory) {
        let place = tempfile::tempdir().unwrap();
        let disk = Directory::open(place.path()).unwrap();
        let mut resting = Resting::new(BYTES_MAX, identity().seed);
        (0..STREAMS).for_each(|number| resting.put(&name(number), &state(number)));
        keep(&mut resting, &disk, &identity()).unwrap();
        (place, disk)
    }

    fn recalled(disk: &Directory) -> Option<Resting> {
        recall(disk, &identity(), BYTES_MAX).unwrap()
    }

    #[test]
    fn what_was_kept_is_recalled_and_goes_on_from_there() {
        let (_place, disk) = kept();
        let mut resting = recalled(&disk).unwrap();
        assert_eq!(resting.get("another"), None);
        for number in (0..STREAMS).step_by(2) {
            assert_eq!(resting.take(&name(number)), Some(state(number)));
            assert_eq!(resting.get(&name(number)), None);
        }
        (0..STREAMS)
            .step_by(4)
            .for_each(|number| resting.put(&name(number), &state(number + 1)));
        keep(&mut resting, &disk, &identity()).unwrap();
        let resting = recalled(&disk).unwrap();
        for number in 0..STREAMS {
            let expected = match number % 4 {
                0 => Some(state(number + 1)),
                2 => None,
                _ => Some(state(number)),
            };
            assert_eq!(resting.get(&name(number)), expected);
        }
    }

    #[test]
    fn there_can_be_more_streams_than_were_kept() {
        let (_place, disk) = kept();
        let mut resting = recalled(&disk).unwrap();
        let buckets = resting.buckets();
        (STREAMS..4 * STREAMS).for_each(|number| resting.put(&name(number), &state(number)));
        assert!(resting.buckets() > buckets);
        let known = |number: &u64| resting.get(&name(*number)) == Some(state(*number));
        assert_eq!((0..4 * STREAMS).filter(known).count() as u64, 4 * STREAMS);
    }

    #[test]
    fn nothing_is_recalled_of_another_log_or_another_moment() {
        let (_place, disk) = kept();
        let all = identity();
        for other in [
            Identity {
                log_id: [1; 16],
                ..all
            },
            Identity { seed: 8, ..all },
            Identity { version: 4, ..all },
            Identity {
                end: Position::new(4, 5_001),
                ..all
            },
        ] {
            assert!(recall(&disk, &other, BYTES_MAX).unwrap().is_none());
            assert!(!is_kept(&disk, &other));
        }
        assert!(is_kept(&disk, &all));
    }

    #[test]
    fn nothing_is_recalled_into_less_memory_or_out_of_a_shorter_file() {
        let (place, disk) = kept();
        let path = place.path().join("STREAMS");
        let bytes = fs::read(&path).unwrap();
        let recalled_into = |bytes| recall(&disk, &identity(), bytes).unwrap();
        assert!(recalled_into(BUCKET_BYTES).is_none());
        for len in [0, 5, HEADER_BYTES - 1, HEADER_BYTES, bytes.len() - 1] {
            fs::write(&path, &bytes[..len]).unwrap();
            assert!(recalled(&disk).is_none(), "{len} bytes");
        }
    }

    #[test]
    fn a_damaged_bucket_is_forgotten_and_can_be_used_again() {
        let (place, disk) = kept();
        let path = place.path().join("STREAMS");
        let bytes = fs::read(&path).unwrap();
        // A bit, the length, all of it; and what stood in another place.
        let bucket =
            |nth: usize| HEADER_BYTES + nth * BUCKET_BYTES..HEADER_BYTES + (nth + 1) * BUCKET_BYTES;
        let mut damaged = bytes.clone();
        damaged[bucket(3)][100] ^= 4;
        damaged[bucket(4)][..2].fill(0xff);
        damaged[bucket(5)].fill(0);
        damaged[bucket(6)].copy_from_slice(&bytes[bucket(7)]);
        fs::write(&path, &damaged).unwrap();
        let mut resting = recalled(&disk).unwrap();
        for number in 0..STREAMS {
            let name = name(number);
            let is_lost = (3..=6).contains(&resting.number(resting.hash(&name)));
            let known = (!is_lost).then(|| state(number));
            assert_eq!(resting.get(&name), known);
        }
        for number in 0..STREAMS {
            let _known = resting.take(&name(number));
            resting.put(&name(number), &state(number));
        }
        for number in 0..STREAMS {
            assert_eq!(resting.get(&name(number)), Some(state(number)));
        }
    }

    #[test]
    fn every_flipped_bit_of_the_header_is_found() {
        let (place, disk) = kept();
        let path = place.path().join("STREAMS");
        let bytes = fs::read(&path).unwrap();
        for bit in 0..HEADER_BYTES * 8 {
            let mut flipped = bytes[..HEADER_BYTES].to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&flipped).is_err());
        }
        assert!(recalled(&disk).is_some());
    }

    proptest! {
        /// Whatever stands in buckets whose checksums are right.
        #[test]
        fn any_rows_are_states_or_none(
            rows in proptest::collection::vec(any::<u8>(), 0..BUCKET_BYTES - HEAD_BYTES),
            len: u16,
        ) {
            let mut resting = Resting::new(4 * BUCKET_BYTES, 7);
            resting.put("s", &state(1));
            let buckets = resting.buckets();
            for bucket in resting.memory.chunks_exact_mut(BUCKET_BYTES) {
                bucket[HEAD_BYTES..HEAD_BYTES + rows.len()].copy_from_slice(&rows);
                bucket[..LEN_BYTES].copy_from_slice(&len.to_le_bytes());
            }
            resting.seal(9);
            prop_assert_eq!(resting.buckets(), buckets);
            for number in 0..20 {
                let _any = resting.get(&name(number));
                let _any = resting.take(&name(number));
                resting.put(&name(number), &state(number));
            }
        }
    }
}
