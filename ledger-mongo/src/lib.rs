//! A ledger store in MongoDB.
