//! Real servers for tests and benchmarks, wherever they run.
//!
//! There is one place that knows where a server comes from, in this order:
//!
//! 1. An address in the environment: `LEDGER_TEST_POSTGRES_URL`, `LEDGER_TEST_MONGO_URL`.
//! 2. Docker, where an engine answers.
//! 3. The server's own programs, found on this machine.
//!
//! [`chaos`] is what stores on such servers are put through.
//!
//! Where none of them helps, a test says so in a line `skipped: ...` on standard error and passes; with
//! `LEDGER_TEST_REQUIRE=all` in the environment, as in `scripts/test`, it fails.
//!
//! # What always holds
//! - A server started here is gone when its owner is: also after a panic, an interrupt or a `kill -9`. A shell, the
//!   keeper, waits for the end of a pipe that only this process holds open, and then stops the server and removes its
//!   files.
//! - Servers are as durable as in production: `fsync` stays on.
//! - This crate depends on no driver: it speaks no SQL, and to MongoDB just enough to make servers a replica set.

mod account;
pub mod chaos;
mod keeper;
mod mongo;
mod name;
mod pgbouncer;
mod port;
mod postgres;
mod programs;
mod requirement;

pub use mongo::{Mongo, Node};
pub use name::fresh_name;
pub use pgbouncer::PgBouncer;
pub use postgres::Postgres;

/// A result whose error says in words why there is no server.
pub type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;
