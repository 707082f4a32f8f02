//! What a repair says it has done, or would do.

use std::ops::RangeInclusive;

use ledger_core::StreamName;

use super::catalogue::Catalogue;
use super::census::{Filling, Loss};
use super::survey::{Survey, Surveyed};
use crate::format::FileName;
use crate::log::open::recovery::FIRST_FRAME;

/// What is damaged in a log, and what a repair makes of it.
///
/// [`Log::examine`](crate::Log::examine) tells it beforehand, [`Log::repair`](crate::Log::repair) when it is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repair {
    /// What is not as it was written, in the order of the log. Empty: there was nothing to do, and nothing was done.
    pub damage: Vec<Damage>,
    /// The entries that are lost, as far as anything that is left speaks of them. Tombstones take their place, so that no
    /// id is used twice. Newer ones of a stream may be lost without a trace, and the ids of these are used again; so may
    /// be marks, trims, renames and checkpoints, which are as they were before.
    pub lost: Vec<LostEntries>,
    /// The names that were given to streams whose own is lost.
    pub renamed: Vec<StreamName>,
    /// The files in which everything is kept, as it was found, that the log does not consist of any more.
    pub set_aside: Vec<String>,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The file, by its name before the repair.
    pub file: String,
    /// Where the damage begins, in bytes; in a packed segment, of what it unpacks to.
    pub offset: u64,
    /// How many bytes could not be read as what they were; 0 if it is not known how many there were.
    pub bytes: u64,
}

/// Entries of one stream that are lost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LostEntries {
    /// The stream.
    pub stream: StreamName,
    /// Their ids.
    pub ids: RangeInclusive<u64>,
}

impl Repair {
    /// Whether nothing is damaged.
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }

    pub(super) fn of(catalogue: &Catalogue, survey: &Survey, fillings: &[Filling]) -> Self {
        let unknown = |file| Damage {
            file,
            offset: 0,
            bytes: 0,
        };
        let manifest = catalogue.is_damaged.then(|| FileName::Manifest.to_string());
        let indexes = catalogue.unindexed.iter();
        let indexes = indexes.map(|unindexed| unindexed.file_name.clone());
        let mut damage: Vec<_> = manifest.into_iter().map(unknown).collect();
        damage.extend(survey.segments.iter().flat_map(damage_of));
        damage.extend(indexes.map(unknown));
        let losses = fillings.iter().flat_map(|filling| &filling.losses);
        let names = fillings.iter().flat_map(|filling| &filling.names);
        Self {
            damage,
            lost: losses.map(LostEntries::of).collect(),
            renamed: names.map(|(_, name)| name.clone()).collect(),
            set_aside: Vec::new(),
        }
    }
}

impl LostEntries {
    fn of(loss: &Loss) -> Self {
        Self {
            stream: loss.name.clone(),
            ids: loss.ids.start..=loss.ids.end - 1,
        }
    }
}

fn damage_of(segment: &Surveyed) -> Vec<Damage> {
    let file = segment.meta.file_name().to_string();
    let is_header_damaged = !segment.is_header_sound && segment.file_name.is_some();
    let header = is_header_damaged.then_some(0..FIRST_FRAME);
    let gaps = segment.gaps().map(|(range, _)| range.clone());
    let ranges = header.into_iter().chain(gaps);
    ranges
        .map(|range| Damage {
            file: file.clone(),
            offset: range.start.into(),
            bytes: u64::from(range.end - range.start),
        })
        .collect()
}
