//! Published logs and stores, each used as its manual says, as contestants of `ledger-bench`.
//!
//! `ledger-bench --peers PROGRAM` runs this program for each lap; see [`ledger_lap`] for what a lap is. Each engine has a
//! room of its own that says how it is used and what it promises there.

mod commitlog;
mod counter;
mod fjall;
mod heed;
mod okaywal;
mod queue_file;
mod raft_engine;
mod redb;
mod rewal;
mod rusqlite;
mod seglog;
mod sled;
mod tephra;
mod umadb;
mod wal_db;
mod yaque;

use std::env;

use ledger_lap::{Contestant, Result};

fn main() -> Result<()> {
    let contestants = [
        Contestant::new::<commitlog::Commitlog>("commitlog"),
        Contestant::new::<fjall::Fjall>("fjall"),
        Contestant::new::<heed::Heed>("heed (LMDB)"),
        Contestant::new::<okaywal::Okaywal>("okaywal"),
        Contestant::new::<queue_file::Queue>("queue-file"),
        Contestant::new::<raft_engine::RaftEngine>("raft-engine"),
        Contestant::new::<redb::Redb>("redb"),
        Contestant::new::<rewal::Rewal>("rewal"),
        Contestant::new::<rusqlite::Sqlite>("rusqlite"),
        Contestant::new::<seglog::Seglog>("seglog"),
        Contestant::new::<sled::Sled>("sled"),
        Contestant::new::<tephra::Tephra>("tephra"),
        Contestant::new::<umadb::Umadb>("umadb-core"),
        Contestant::new::<wal_db::WalDb>("wal-db"),
        Contestant::new::<yaque::Yaque>("yaque"),
    ];
    let arguments: Vec<_> = env::args().skip(1).collect();
    match ledger_lap::run(&contestants, &arguments)? {
        true => Ok(()),
        false => Err("this program runs laps for ledger-bench: see ledger-bench --peers".into()),
    }
}
