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
use crate::work::{Keys, Payloads};
use crate::{file, mongo, postgres};

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
    /// Batches, on Postgres
    PostgresAppend,
    /// One entry at a time, by one task and by many, on Postgres
    PostgresOneAtATime,
    /// Pages, on Postgres
    PostgresRead,
    /// Records and batches that survive kill -9, in files
    FileAppend,
    /// Records and batches that survive the loss of power, in files
    FileDurable,
    /// Everything, one record, a hundred in a row, in files; and how much room they take
    FileRead,
    /// Opening what is there already, in files
    FileReopen,
    /// What one flipped byte does, in files
    FileDamage,
    /// A year of typed flights, in files
    FileFlights,
    /// How the file log grows: ten million entries, a million streams, a million keys
    FileScale,
    /// Batches, on MongoDB
    MongoAppend,
    /// One entry at a time, by one task and by many, on MongoDB
    MongoOneAtATime,
    /// Pages, on MongoDB
    MongoRead,
}

/// What a row cannot be run without.
#[cfg(test)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
    Mongo,
    File,
}

impl Row {
    /// All rows, in the order they must run in: the memory of the flights is the peak of the process so far.
    pub(crate) const ALL: [Self; 18] = [
        Self::Flights,
        Self::Append,
        Self::OneAtATime,
        Self::Read,
        Self::TypedLayer,
        Self::PostgresAppend,
        Self::PostgresOneAtATime,
        Self::PostgresRead,
        Self::MongoAppend,
        Self::MongoOneAtATime,
        Self::MongoRead,
        Self::FileAppend,
        Self::FileDurable,
        Self::FileRead,
        Self::FileReopen,
        Self::FileDamage,
        Self::FileFlights,
        Self::FileScale,
    ];

    /// The engine of the row's stores.
    #[cfg(test)]
    pub(crate) fn engine(self) -> Engine {
        match self {
            Self::Flights | Self::Append | Self::OneAtATime | Self::Read | Self::TypedLayer => {
                Engine::Sqlite
            }
            Self::PostgresAppend | Self::PostgresOneAtATime | Self::PostgresRead => {
                Engine::Postgres
            }
            Self::MongoAppend | Self::MongoOneAtATime | Self::MongoRead => Engine::Mongo,
            Self::FileAppend
            | Self::FileDurable
            | Self::FileRead
            | Self::FileReopen
            | Self::FileDamage
            | Self::FileFlights
            | Self::FileScale => Engine::File,
        }
    }

    /// Tells whether the row runs processes of this program, which a test of it is not.
    #[cfg(test)]
    pub(crate) fn runs_processes(self) -> bool {
        matches!(
            self,
            Self::FileAppend
                | Self::FileDurable
                | Self::FileRead
                | Self::FileReopen
                | Self::FileDamage
                | Self::FileScale
        )
    }

    /// Runs the row and answers the sections of its report.
    ///
    /// # Errors
    /// Those of the stores and the baselines, and whatever is wrong with what they wrote or read.
    pub(crate) fn run(self, arena: &Arena, flights: Option<&Path>) -> Result<Vec<String>> {
        let reports = match self {
            Self::Flights => return Ok(vec![flights::run(arena, flights)?]),
            Self::FileAppend => return file::Row::Append.run(arena, flights),
            Self::FileDurable => return file::Row::Durable.run(arena, flights),
            Self::FileRead => return file::Row::Read.run(arena, flights),
            Self::FileReopen => return file::Row::Reopen.run(arena, flights),
            Self::FileFlights => return file::Row::Flights.run(arena, flights),
            Self::FileScale => return file::Row::Scale.run(arena, flights),
            Self::FileDamage => return file::Row::Damage.run(arena, flights),
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
            Self::PostgresAppend => vec![
                postgres::append(arena, Keys::Random, Payloads::Bytes100)?,
                postgres::append(arena, Keys::None, Payloads::Bytes100)?,
                postgres::append(arena, Keys::Random, Payloads::Bytes1024)?,
                postgres::append(arena, Keys::None, Payloads::Bytes1024)?,
            ],
            Self::PostgresOneAtATime => vec![
                postgres::one_task(arena, Keys::Random, Payloads::Bytes100)?,
                postgres::one_task(arena, Keys::None, Payloads::Bytes100)?,
                postgres::one_task(arena, Keys::Random, Payloads::Bytes1024)?,
                postgres::many_tasks(arena, Keys::Random)?,
                postgres::many_tasks(arena, Keys::None)?,
            ],
            Self::PostgresRead => vec![
                postgres::read(arena, Payloads::Bytes100)?,
                postgres::read(arena, Payloads::Bytes1024)?,
            ],
            Self::MongoAppend => vec![
                mongo::append(arena, Keys::Random, Payloads::Bytes100)?,
                mongo::append(arena, Keys::None, Payloads::Bytes100)?,
                mongo::append(arena, Keys::Random, Payloads::Bytes1024)?,
            ],
            Self::MongoOneAtATime => vec![
                mongo::one_task(arena, Keys::Random)?,
                mongo::many_tasks(arena, Keys::Random)?,
            ],
            Self::MongoRead => vec![
                mongo::read(arena, Payloads::Bytes100)?,
                mongo::read(arena, Payloads::Bytes1024)?,
            ],
        };
        Ok(reports.iter().map(ToString::to_string).collect())
    }
}
