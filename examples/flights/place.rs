//! Opening the store that the reader named.

use std::borrow::Cow;
use std::error::Error;

use ledger_core::SharedStore;
use ledger_mongo::MongoStore;
use ledger_postgres::PostgresStore;
use ledger_sqlite::SqliteStore;

/// A store by its address.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    /// A path.
    Sqlite(&'a str),
    /// A URL.
    Postgres(&'a str),
    /// A URL too.
    Mongo(&'a str),
}

impl<'a> Place<'a> {
    /// Understands a path, `sqlite:` and a path, or the URL of a Postgres or MongoDB database.
    pub(crate) fn new(place: &'a str) -> Result<Self, String> {
        match place.split_once(':') {
            Some(("sqlite", path)) => Ok(Self::Sqlite(path)),
            Some(("postgres" | "postgresql", _)) => Ok(Self::Postgres(place)),
            Some(("mongodb" | "mongodb+srv", _)) => Ok(Self::Mongo(place)),
            Some(("file", _)) => Err(
                "there are no file stores yet: name a SQLite file, by its path or as sqlite:PATH, postgres://.., \
                 or mongodb://.."
                    .into(),
            ),
            _ => Ok(Self::Sqlite(place)),
        }
    }

    /// Opens the store. It is made if it is not there.
    pub(crate) async fn open(&self) -> Result<SharedStore<u64>, Box<dyn Error + Send + Sync>> {
        Ok(match *self {
            Self::Sqlite(path) => SqliteStore::open(path).await?.into(),
            Self::Postgres(url) => PostgresStore::open(url).await?.into(),
            Self::Mongo(url) => MongoStore::open(url).await?.into(),
        })
    }

    /// What may be printed: everything but a password.
    pub(crate) fn shown(&self) -> Cow<'a, str> {
        match *self {
            Self::Sqlite(path) => path.into(),
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
    fn a_path_is_a_sqlite_file_with_or_without_a_scheme() {
        for place in ["flights.db", "sqlite:flights.db"] {
            assert_eq!(Place::new(place), Ok(Place::Sqlite("flights.db")));
        }
        assert_eq!(Place::new("2013:01.db"), Ok(Place::Sqlite("2013:01.db")));
    }

    #[test]
    fn a_postgres_url_is_a_postgres_store() {
        for place in ["postgres://db.example/flights", "postgresql://db.example"] {
            assert_eq!(Place::new(place), Ok(Place::Postgres(place)));
        }
    }

    #[test]
    fn a_mongodb_url_is_a_mongo_store() {
        for place in ["mongodb://a,b/flights?replicaSet=rs0", "mongodb+srv://db"] {
            assert_eq!(Place::new(place), Ok(Place::Mongo(place)));
        }
    }

    #[test]
    fn a_store_that_is_still_to_come_is_refused_by_name() {
        let error = Place::new("file:data").unwrap_err();
        assert!(error.contains("no file stores"), "{error}");
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
