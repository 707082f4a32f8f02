//! Opening the store that the reader named.

use std::borrow::Cow;
use std::error::Error;

use ledger_core::SharedStore;
use ledger_file::FileStore;
use ledger_mongo::MongoStore;
use ledger_postgres::PostgresStore;
use ledger_sqlite::SqliteStore;

/// A store by its address.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    /// The path of a directory.
    File(&'a str),
    /// The path of a file.
    Sqlite(&'a str),
    /// A URL.
    Postgres(&'a str),
    /// A URL too.
    Mongo(&'a str),
}

impl<'a> Place<'a> {
    /// Understands `file:` and the path of a directory, the path of a SQLite file, with `sqlite:` or without, and the URL
    /// of a Postgres or MongoDB database.
    pub(crate) fn new(place: &'a str) -> Self {
        match place.split_once(':') {
            Some(("file", path)) => Self::File(path),
            Some(("sqlite", path)) => Self::Sqlite(path),
            Some(("postgres" | "postgresql", _)) => Self::Postgres(place),
            Some(("mongodb" | "mongodb+srv", _)) => Self::Mongo(place),
            _ => Self::Sqlite(place),
        }
    }

    /// Opens the store. It is made if it is not there.
    pub(crate) async fn open(&self) -> Result<SharedStore<u64>, Box<dyn Error + Send + Sync>> {
        Ok(match *self {
            Self::File(path) => FileStore::open(path).await?.into(),
            Self::Sqlite(path) => SqliteStore::open(path).await?.into(),
            Self::Postgres(url) => PostgresStore::open(url).await?.into(),
            Self::Mongo(url) => MongoStore::open(url).await?.into(),
        })
    }

    /// What may be printed: everything but a password.
    pub(crate) fn shown(&self) -> Cow<'a, str> {
        match *self {
            Self::File(path) | Self::Sqlite(path) => path.into(),
            Self::Postgres(url) | Self::Mongo(url) => without_credentials(url),
        }
    }
}

fn without_credentials(url: &str) -> Cow<'_, str> {
    let url = url.split_once('?').map_or(url, |(address, _)| address);
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, address))) => format!("{scheme}://{address}").into(),
        _ => url.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_known_by_how_its_address_begins() {
        for (address, place) in [
            ("file:flights", Place::File("flights")),
            ("flights.db", Place::Sqlite("flights.db")),
            ("sqlite:flights.db", Place::Sqlite("flights.db")),
            ("2013:01.db", Place::Sqlite("2013:01.db")),
            ("postgres://db/x", Place::Postgres("postgres://db/x")),
            ("postgresql://db", Place::Postgres("postgresql://db")),
            ("mongodb://a,b/x", Place::Mongo("mongodb://a,b/x")),
            ("mongodb+srv://db", Place::Mongo("mongodb+srv://db")),
        ] {
            assert_eq!(Place::new(address), place);
        }
    }

    #[test]
    fn what_is_shown_holds_no_password() {
        for (url, shown) in [
            ("postgres://me:s3cr@t@db:5433/x", "postgres://db:5433/x"),
            ("postgres://db/x?user=me&password=s3cret", "postgres://db/x"),
            ("postgresql://db", "postgresql://db"),
            ("mongodb://me:s3cret@a:1,b:2/x", "mongodb://a:1,b:2/x"),
        ] {
            assert_eq!(Place::Postgres(url).shown(), shown);
        }
    }
}
