//! What can be run: one room for each row of the report.

mod append;
mod flights;
mod one_at_a_time;
mod read;
mod typed_layer;

use std::path::Path;

use clap::ValueEnum;

use crate::Result;
use crate::arena::Arena;
use crate::work::Keys;

/// A row of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Row {
    /// Memory during the whole year of flights
    Flights,
    /// Batches
    Append,
    /// One entry at a time, by one task and by many
    OneAtATime,
    /// Pages
    Read,
    /// What the typed layer costs
    TypedLayer,
}

impl Row {
    /// All rows, in the order they must run in: the memory of the flights is the peak of the process so far.
    pub(crate) const ALL: [Self; 5] = [
        Self::Flights,
        Self::Append,
        Self::OneAtATime,
        Self::Read,
        Self::TypedLayer,
    ];

    /// Runs the row and answers the sections of its report.
    ///
    /// # Errors
    /// Those of the stores and the baselines, and whatever is wrong with what they wrote or read.
    pub(crate) fn run(self, arena: &Arena, flights: Option<&Path>) -> Result<Vec<String>> {
        let reports = match self {
            Self::Flights => return Ok(vec![flights::run(arena, flights)?]),
            Self::Append => vec![
                append::race(arena, Keys::Random)?,
                append::race(arena, Keys::None)?,
            ],
            Self::OneAtATime => vec![
                one_at_a_time::many_tasks(arena, Keys::Random)?,
                one_at_a_time::many_tasks(arena, Keys::None)?,
                one_at_a_time::one_task(arena, Keys::Random)?,
                one_at_a_time::one_task(arena, Keys::None)?,
            ],
            Self::Read => vec![read::race(arena)?],
            Self::TypedLayer => vec![typed_layer::append(arena)?, typed_layer::read(arena)?],
        };
        Ok(reports.iter().map(ToString::to_string).collect())
    }
}
