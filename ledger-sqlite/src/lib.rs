//! A ledger store in a SQLite file.
