//! Races on Postgres: the store against bare sqlx, on the same server, in schemas of their own.

mod bare;
mod laps;
mod races;
mod site;

pub(crate) use races::{append, many_tasks, one_task, read};
