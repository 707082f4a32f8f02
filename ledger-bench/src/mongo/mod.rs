//! Races on MongoDB: the store against the bare driver, on the same server, in databases of their own.

mod bare;
mod laps;
mod races;
mod site;

pub(crate) use races::{append, many_tasks, one_task, read};
