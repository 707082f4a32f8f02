use std::io;
use std::sync::{Mutex, PoisonError};

use ledger_core::Direction;
use proptest::prelude::*;

use super::directory::{Cut, GUARDS, Guard, Guards};
use super::layout::Directory;
use super::*;
use crate::disk::{FileMap, Patience};
use crate::format::StreamNumber;
use crate::index::hash::mix;
use crate::index::testing::{Fact, LAST, Model, facts, facts_and_rolls, text_hash};
use crate::index::{ActiveIndex, EntryKeys, IndexError, Known, Layer, Layers, Window};
use crate::sync::RwLock;

/// A file in memory.
#[derive(Debug, Default)]
pub(crate) struct Bytes(Mutex<Vec<u8>>);

impl Bytes {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(Mutex::new(bytes))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self) -> Vec<u8> {
        self.lock().clone()
    }
}

impl DiskFile for Bytes {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, _: Patience) -> io::Result<usize> {
        let bytes = self.lock();
        let start = (offset as usize).min(bytes.len());
        let read = buf.len().min(bytes.len() - start);
        buf[..read].copy_from_slice(&bytes[start..start + read]);
        Ok(read)
    }

    fn write_at(&self, new: &[u8], offset: u64) -> io::Result<usize> {
        let (mut bytes, start) = (self.lock(), offset as usize);
        let end = bytes.len().max(start + new.len());
        bytes.resize(end, 0);
        bytes[start..start + new.len()].copy_from_slice(new);
        Ok(new.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    fn reserve(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.lock().truncate(len as usize);
        Ok(())
    }

    fn announce(&self, _: u64, _: u64) {}
    fn evict(&self, _: u64, _: u64) {}

    fn map(&self, _: u64) -> io::Result<Option<FileMap>> {
        Ok(None)
    }
}

const TO: u32 = 1 << 20;

fn written(index: &ActiveIndex) -> Vec<u8> {
    let file = Bytes::default();
    let bytes = write(index, TO, &file).unwrap();
    assert_eq!(bytes, file.len().unwrap());
    file.get()
}

fn opened(bytes: Vec<u8>, origin: Origin) -> SealedIndex {
    SealedIndex::open(Arc::new(Bytes::new(bytes)), origin, TO)
}

/// The merged index of some that follow each other.
fn merged(indexes: &[ActiveIndex]) -> SealedIndex {
    let members: Vec<SealedIndex> = indexes
        .iter()
        .map(|index| opened(written(index), index.origin))
        .collect();
    let members: Vec<&SealedIndex> = members.iter().collect();
    let span = Span::of(7, members.iter().map(|index| (index.origin(), TO))).unwrap();
    let file = Arc::new(Bytes::default());
    let merge = Merge {
        members: &members,
        span: &span,
        go_on: &|| true,
    };
    assert_eq!(merge.write(&*file).unwrap(), file.len().unwrap());
    SealedIndex::of(file, span)
}

/// An index of some thousand entries of many keys, in the segment with that number.
fn large(segment: u32) -> ActiveIndex {
    let mut index = ActiveIndex::new(Origin {
        log_id: [7; 16],
        segment,
        generation: segment.into(),
        from: 64,
    });
    let tag = |kind: u64, number: u32| KeyHash((mix(kind << 32 | u64::from(number)) >> 32) as u32);
    for number in 0..6_000 {
        let offset = 64 + number * 100;
        if number % 10 == 0 {
            index.push_frame(offset);
        }
        index.push_run(
            StreamNumber(u64::from(number % 700)),
            u64::from(segment * 6_000 + number / 700),
            offset + 8,
        );
        let keys = EntryKeys {
            dedup: Some(tag(1, segment * 6_000 + number)),
            order: Some(tag(2, number % 2_000)),
            expires: false,
        };
        index.push_entry(offset + 20, keys);
    }
    index
}

#[test]
fn a_merged_file_of_many_blocks_answers_as_those_it_was_made_of() {
    let indexes: Vec<ActiveIndex> = (1..=5).map(large).collect();
    let one = Layers::new(vec![Layer::Sealed(Arc::new(merged(&indexes)))]);
    let in_memory = |index| Layer::Memory(Arc::new(RwLock::new(index)));
    let many = Layers::new(indexes.into_iter().map(in_memory).collect());
    let looks = [&one, &many].map(|layers| layers.at(LAST, Patience::Wait));
    for number in 0..700 {
        let stream = StreamNumber(number);
        for (direction, limit) in [(Direction::Ascending, 1_000), (Direction::Descending, 7)] {
            let [one, many] = looks.map(|look| {
                let (mut stretches, mut spots) = (Vec::new(), Vec::new());
                look.entries(stream, 0..u64::MAX, direction, limit, &mut stretches)
                    .unwrap();
                let tag = KeyHash((mix(2 << 32 | number) >> 32) as u32);
                look.order_key(stream, tag, 0..u64::MAX, direction, limit, &mut spots)
                    .unwrap();
                (stretches, spots)
            });
            assert!(!one.0.is_empty() && !one.1.is_empty());
            assert_eq!(one, many);
        }
        let tag = KeyHash((mix(1 << 32 | (6_000 + number * 40)) >> 32) as u32);
        let [one, many] = looks.map(|look| {
            let mut found = Vec::new();
            let stream = StreamNumber((number * 40) % 6_000 % 700);
            look.dedup_keys(stream, &[tag], &Known::default(), &mut found)
                .unwrap();
            found
        });
        assert!(!one.is_empty());
        assert_eq!(one, many);
    }
}

/// A consumer saves its checkpoint again and again.
#[test]
fn of_records_that_are_made_again_and_again_a_few_are_told_at_once() {
    let mut index = large(1);
    let (hash, stream) = (text_hash(4, "a"), StreamNumber(1));
    let offsets = 1_000_000..1_001_000;
    for offset in offsets.clone() {
        index.push_checkpoint(hash, stream, "a", offset);
    }
    let told = index.checkpoint_records(hash, u32::MAX, 0);
    assert_eq!(told[..], [1_000_999, 1_000_998, 1_000_997, 1_000_996]);
    let sealed = opened(written(&index), index.origin);
    assert_eq!(
        sealed.checkpoint_records(hash, 0, Means::WAIT).unwrap(),
        told
    );
    let origin = index.origin;
    for layer in [
        Layer::Memory(Arc::new(RwLock::new(index))),
        Layer::Sealed(Arc::new(sealed)),
    ] {
        let layers = Layers::new(vec![layer]);
        let look = layers.at(LAST, Patience::Wait);
        let mut asked = Vec::new();
        let oldest = look.checkpoint(hash, |position| {
            asked.push(position.offset());
            Ok::<_, IndexError>((position.offset() == offsets.start).then_some(position))
        });
        let first = Position::new(origin.segment, offsets.start);
        assert_eq!(oldest.unwrap(), Some(first));
        assert!(asked.into_iter().eq(offsets.clone().rev()));
    }
}

/// Else two streams that take turns would have a filter for as many as there are runs.
#[test]
fn a_merged_filter_has_room_for_as_many_tags_as_there_are_and_not_rows() {
    let mut index = ActiveIndex::new(large(1).origin);
    let mut next = ActiveIndex::new(large(2).origin);
    for (index, first) in [(&mut index, 0), (&mut next, 10_000)] {
        for number in 0..10_000 {
            let offset = 64 + number * 20;
            index.push_run(
                StreamNumber((number % 2).into()),
                u64::from(first + number) / 2,
                offset,
            );
            index.push_entry(offset + 8, EntryKeys::default());
            index.push_checkpoint(text_hash(4, "a"), StreamNumber(1), "a", offset);
        }
    }
    let merged = merged(&[index, next]);
    let header = &merged.contents(Means::WAIT).unwrap().header;
    let bytes = header.filters.map(|filter| filter.bytes);
    assert!(bytes.iter().all(|bytes| *bytes < 100), "{bytes:?}");
}

#[test]
fn merging_ends_when_it_is_told_to() {
    let indexes: Vec<ActiveIndex> = (1..=2).map(large).collect();
    let members: Vec<SealedIndex> = { indexes.iter() }
        .map(|index| opened(written(index), index.origin))
        .collect();
    let members: Vec<&SealedIndex> = members.iter().collect();
    let span = Span::of(7, members.iter().map(|index| (index.origin(), TO))).unwrap();
    let left = std::cell::Cell::new(5);
    let merge = Merge {
        members: &members,
        span: &span,
        go_on: &|| left.replace(left.get() - 1) > 0,
    };
    let ended = merge.write(&Bytes::default());
    assert!(matches!(ended, Err(MergeError::BrokenOff)));
    assert_eq!(left.get(), -1);
}

#[test]
fn a_damaged_member_is_named() {
    let indexes: Vec<ActiveIndex> = (1..=2).map(large).collect();
    let [sound, mut damaged] = [0, 1].map(|nth| written(&indexes[nth]));
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    let sound = opened(sound, indexes[0].origin);
    let damaged = opened(damaged, indexes[1].origin);
    let members = [&sound, &damaged];
    let span = Span::of(7, members.map(|index| (index.origin(), TO))).unwrap();
    let merge = Merge {
        members: &members,
        span: &span,
        go_on: &|| true,
    };
    match merge.write(&Bytes::default()) {
        Err(MergeError::Member(IndexError::Damaged { origin, .. })) => {
            assert_eq!(origin, indexes[1].origin);
        }
        other => panic!("{other:?}"),
    }
}

fn sample() -> ActiveIndex {
    let mut model = Model::default();
    let stream = 3;
    for id in 1..2000 {
        model.push(&Fact::Entries {
            stream: stream + id % 7,
            dedup: vec![Some((id % 1000) as u16); 3],
            order: Some((id % 5) as u16),
            expires: id % 50 == 0,
        });
    }
    model.push(&Fact::Name {
        name: "a".into(),
        stream,
    });
    model.push(&Fact::Mark { stream, id: 2 });
    model.index(0)
}

/// Asks everything that there is to ask; what it answers is of no matter.
fn ask_everything(index: SealedIndex) -> Result<()> {
    let layers = Layers::new(vec![Layer::Sealed(Arc::new(index))]);
    Model::default().ask(&layers)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_file_answers_as_memory_does(facts in facts(200)) {
        let mut model = Model::default();
        facts.iter().for_each(|fact| model.push(fact));
        let index = model.index(0);
        let sealed = opened(written(&index), index.origin);
        sealed.verify().unwrap();
        let header = sealed.contents(Means::WAIT).unwrap().header.clone();
        prop_assert_eq!(header.entries, index.entries());
        prop_assert_eq!(header.highest_stream, index.highest_stream());
        model.check(&Layers::new(vec![Layer::Sealed(Arc::new(sealed))]), LAST);
    }

    #[test]
    fn a_merged_file_answers_as_those_it_was_made_of(facts in facts_and_rolls(150), groups in any::<u16>()) {
        let mut model = Model::default();
        facts.iter().for_each(|fact| model.push(fact));
        let indexes = model.indexes();
        let is_same_group = |number: usize| groups >> (number % 16) & 1 == 1;
        let mut numbers = 1..;
        let groups = indexes.chunk_by(|_, _| numbers.next().is_some_and(is_same_group));
        let layers = groups.map(|group| {
            let merged = merged(group);
            merged.verify().unwrap();
            let header = &merged.contents(Means::WAIT).unwrap().header;
            let entries: u32 = group.iter().map(ActiveIndex::entries).sum();
            assert_eq!(header.entries, entries);
            assert_eq!(Some(header.highest_stream), group.iter().map(ActiveIndex::highest_stream).max());
            Layer::Sealed(Arc::new(merged))
        });
        model.check(&Layers::new(layers.collect()), LAST);
    }

    #[test]
    fn layers_answer_as_one_index(facts in facts_and_rolls(120), files in any::<u32>(), at in any::<prop::sample::Index>()) {
        let mut model = Model::default();
        facts.iter().for_each(|fact| model.push(fact));
        let layers = (0..).zip(model.indexes()).map(|(n, index)| match files >> (n % 32) & 1 {
            0 => Layer::Memory(Arc::new(RwLock::new(index))),
            _ => Layer::Sealed(Arc::new(opened(written(&index), index.origin))),
        });
        model.check(&Layers::new(layers.collect()), LAST);
        let in_memory = |index| Layer::Memory(Arc::new(RwLock::new(index)));
        let layers = model.indexes().into_iter().map(in_memory).collect();
        model.check(&Layers::new(layers), model.position(&at));
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..10_000)) {
        let origin = Model::default().index(0).origin;
        let answer = ask_everything(opened(bytes, origin));
        prop_assert!(answer.is_err());
    }

    /// Checksums cannot help against who can make them: then at least nothing panics.
    #[test]
    fn rows_that_make_no_sense_do_no_harm(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40)) {
        let index = sample();
        let mut bytes = written(&index);
        for (at, value) in changes {
            let at = layout::BLOCK_BYTES + at.index(bytes.len() - layout::BLOCK_BYTES);
            bytes[at] = value;
        }
        mend_checksums(&mut bytes);
        let _ = ask_everything(opened(bytes, index.origin));
    }
}

/// Found by fuzzing: a search began before the first row of a block that has none.
#[test]
fn a_header_that_tells_of_too_few_rows_does_no_harm() {
    let index = sample();
    for (section, rows) in
        (0..sections::SECTIONS_OF_A_FILE).flat_map(|it| [0, 1, 400].map(|rows| (it, rows)))
    {
        let mut bytes = written(&index);
        let (mut header, directory) = header_of(&bytes);
        header.sections.extents[section].rows = rows;
        bytes[..layout::BLOCK_BYTES].copy_from_slice(&header.encode(&root_of(directory)));
        let _either = ask_everything(opened(bytes, index.origin));
    }
}

fn header_of(bytes: &[u8]) -> (layout::Header, Directory) {
    layout::Header::decode(&bytes[..layout::BLOCK_BYTES]).unwrap()
}

fn root_of(directory: Directory) -> Guards {
    match directory {
        Directory::InParts(root) => root,
        Directory::Whole(_) => panic!("it was just written"),
    }
}

/// Makes checksums match what is there.
fn mend_checksums(bytes: &mut [u8]) {
    let (header, directory) = header_of(bytes);
    let (mut root, cut) = (root_of(directory), Cut::of(header.blocks_total()));
    for part in 0..cut.parts() {
        let place = cut.bytes_of(part..part + 1);
        let place = place.start as usize..place.end as usize;
        for (nth, block) in cut.blocks_of(part).enumerate() {
            let start = layout::block_offset(block as u64) as usize;
            let checksum = crc_fast::crc32_iscsi(&bytes[start..start + layout::BLOCK_BYTES]);
            let guard = nth / GUARDS * layout::BLOCK_BYTES + nth % GUARDS * Guard::BYTES;
            let guard = place.start + guard + size_of::<u64>();
            bytes[guard..guard + 4].copy_from_slice(&checksum.to_le_bytes());
        }
        root.checksums[part] = crc_fast::crc32_iscsi(&bytes[place]);
    }
    bytes[..layout::BLOCK_BYTES].copy_from_slice(&header.encode(&root));
}

#[test]
fn a_flipped_bit_anywhere_is_found() {
    let index = sample();
    let bytes = written(&index);
    assert!(bytes.len() > 10 * layout::BLOCK_BYTES);
    for byte in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[byte] ^= 1 << (byte % 8);
        let answer = opened(flipped, index.origin).verify();
        assert!(
            matches!(answer, Err(IndexError::Damaged { .. })),
            "byte {byte}"
        );
    }
}

#[test]
fn a_file_that_was_cut_is_found() {
    let index = sample();
    let bytes = written(&index);
    for length in (0..bytes.len()).step_by(777).chain([bytes.len() - 1]) {
        let answer = opened(bytes[..length].to_vec(), index.origin).verify();
        assert!(
            matches!(answer, Err(IndexError::Damaged { .. })),
            "cut to {length}"
        );
    }
}

#[test]
fn the_index_of_something_else_is_refused() {
    let index = sample();
    let right = index.origin;
    let wrong = [
        Origin {
            log_id: [9; 16],
            ..right
        },
        Origin {
            segment: right.segment + 1,
            ..right
        },
        Origin {
            generation: right.generation + 1,
            ..right
        },
        Origin {
            from: right.from + 1,
            ..right
        },
    ];
    for origin in wrong {
        let answer = opened(written(&index), origin).verify();
        assert!(
            matches!(answer, Err(IndexError::Damaged { .. })),
            "{origin:?}"
        );
    }
    let file = Arc::new(Bytes::new(written(&index)));
    let shorter = SealedIndex::open(file, right, TO - 1).verify();
    assert!(matches!(shorter, Err(IndexError::Damaged { .. })));
}

#[test]
fn of_the_directory_a_question_reads_the_parts_that_it_needs_and_no_others() {
    let index = large(1);
    let sealed = opened(written(&index), index.origin);
    let directory = || &sealed.contents(Means::WAIT).unwrap().directory;
    let parts = directory().cut.parts();
    let read = || (0..parts).filter(|part| directory().get(*part).is_some());
    assert_eq!(read().count(), 0);
    let unread_bytes = sealed.heap_bytes();
    let tag = KeyHash((mix(2 << 32 | 7) >> 32) as u32);
    let window = Window {
        ids: 0..u64::MAX,
        direction: Direction::Ascending,
        limit: 10,
    };
    let mut found = Vec::new();
    sealed
        .order_key(StreamNumber(7), tag, &window, Means::WAIT, &mut found)
        .unwrap();
    assert!(!found.is_empty());
    let needed = read().count();
    assert!(0 < needed && needed * 2 < parts, "{needed} of {parts}");
    let guards_bytes = sealed.heap_bytes() - unread_bytes;
    assert!(guards_bytes >= needed * directory::GUARDS * 12);
    sealed.verify().unwrap();
    assert_eq!(read().count(), parts);
}

#[test]
fn opening_reads_nothing() {
    let index = opened(Vec::new(), sample().origin);
    assert_eq!(index.heap_bytes(), 0);
    assert!(index.contents(Means::WAIT).is_err());
}

#[test]
fn the_filter_comes_into_memory_when_many_questions_were_in_vain() {
    let index = sample();
    let sealed = opened(written(&index), index.origin);
    let has_filter = || {
        sealed.contents(Means::WAIT).unwrap().filters[Grain::Fine as usize]
            .get()
            .is_some()
    };
    let is_here = |hash| {
        let found = sealed.name_records(hash, 0, Means::WAIT).unwrap();
        !found.is_empty()
    };
    (0..100).for_each(|_| assert!(is_here(text_hash(3, "a"))));
    assert!(!has_filter());
    (0..IN_VAIN_MAX).for_each(|tag| assert!(!is_here(KeyHash(tag))));
    assert!(!has_filter());
    assert!(!is_here(KeyHash(IN_VAIN_MAX)));
    assert!(has_filter());
}

#[test]
fn what_cannot_be_had_now_is_an_error_of_the_file() {
    #[derive(Debug)]
    struct Cold;
    impl DiskFile for Cold {
        fn len(&self) -> io::Result<u64> {
            Ok(1 << 20)
        }
        fn read_at(&self, _: &mut [u8], _: u64, patience: Patience) -> io::Result<usize> {
            assert_eq!(patience, Patience::Now);
            Err(io::ErrorKind::WouldBlock.into())
        }
        fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
            unreachable!()
        }
        fn sync_data(&self) -> io::Result<()> {
            unreachable!()
        }
        fn sync_all(&self) -> io::Result<()> {
            unreachable!()
        }
        fn reserve(&self, _: u64) -> io::Result<()> {
            unreachable!()
        }
        fn truncate(&self, _: u64) -> io::Result<()> {
            unreachable!()
        }
        fn announce(&self, _: u64, _: u64) {}
        fn evict(&self, _: u64, _: u64) {}

        fn map(&self, _: u64) -> io::Result<Option<FileMap>> {
            Ok(None)
        }
    }
    let sealed = SealedIndex::open(Arc::new(Cold), sample().origin, TO);
    match sealed.may_have(Grain::Fine, 1, Means::calls(Patience::Now)) {
        Err(IndexError::Io(error)) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        other => panic!("{other:?}"),
    }
}
