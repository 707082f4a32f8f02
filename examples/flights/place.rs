//! Opening the store that the reader named.

use std::error::Error;

use ledger_core::SharedStore;
use ledger_sqlite::SqliteStore;

/// Opens the store at `place`: a path, or `sqlite:` and a path. It is made if it is not there.
pub(crate) async fn open(place: &str) -> Result<SharedStore<u64>, Box<dyn Error + Send + Sync>> {
    let path = sqlite_path(place)?;
    Ok(SqliteStore::open(path).await?.into())
}

fn sqlite_path(place: &str) -> Result<&str, String> {
    match place.split_once(':') {
        Some(("sqlite", path)) => Ok(path),
        Some((scheme @ ("file" | "mongodb" | "mongodb+srv" | "postgres" | "postgresql"), _)) => {
            Err(format!(
                "there are no {scheme} stores yet: name a SQLite file, by its path or as sqlite:PATH"
            ))
        }
        _ => Ok(place),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_sqlite_file_with_or_without_a_scheme() {
        assert_eq!(sqlite_path("flights.db"), Ok("flights.db"));
        assert_eq!(sqlite_path("sqlite:flights.db"), Ok("flights.db"));
        assert_eq!(sqlite_path("2013:01.db"), Ok("2013:01.db"));
    }

    #[test]
    fn a_store_that_is_still_to_come_is_refused_by_name() {
        for place in [
            "postgres://localhost/db",
            "mongodb://localhost",
            "file:data",
        ] {
            let error = sqlite_path(place).unwrap_err();
            assert!(error.contains(place.split(':').next().unwrap()), "{error}");
        }
    }
}
