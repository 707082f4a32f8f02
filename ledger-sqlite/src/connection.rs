//! Opening files and memory, and what every connection is told first.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ledger_core::{Durability, Error, Result};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::{Failure, Place, open_error};
use crate::options::SqliteOptions;
use crate::schema;
use crate::sql::Sql;

/// Pages in the write-ahead log after which a commit copies them into the file: 16 MiB. Four times SQLite's own
/// number, because keys at random places touch the same pages again and again: fewer copies, 1.3 to 2 times the speed.
const CHECKPOINT_PAGES: u32 = 4_000;

/// How large the write-ahead log's file may stay once it was copied, in bytes.
const LOG_BYTES_KEPT: u32 = 64 << 20;

/// The page caches, in KiB: the writer's holds the inner pages of large indexes.
const WRITER_CACHE_KIB: i32 = 32 << 10;
const READER_CACHE_KIB: i32 = 8 << 10;

/// How many compiled statements a connection keeps: more than the crate has.
const STATEMENTS_KEPT: usize = 64;

/// One opening at a time in this process: see [`create_if_missing`].
static OPENING: Mutex<()> = Mutex::new(());

/// Where a store is.
#[derive(Clone, Debug)]
pub(crate) enum Location {
    File(PathBuf),
    /// In the memory of this process, under a name that all openings of it use.
    Memory(String),
}

impl Location {
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Memory(name) => format!("memory:{name}"),
        }
    }

    pub(crate) fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }

    fn connect(&self, flags: OpenFlags) -> rusqlite::Result<Connection> {
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        match self {
            Self::File(path) => Connection::open_with_flags(path, flags),
            Self::Memory(name) => {
                let uri = format!("file:/{}?vfs=memdb", escaped(name));
                Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)
            }
        }
    }
}

/// A name as part of a URI, where it must not be taken for anything else.
fn escaped(name: &str) -> String {
    name.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// Opens the connection that writes, making the store what it has to be: there, write-ahead, of today's format.
///
/// What is no store, or a newer one, is left as it is.
pub(crate) fn open_writer(
    location: &Location,
    options: &SqliteOptions,
    sql: &Sql,
    place: &Place,
) -> Result<Connection> {
    let _one_at_a_time = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    match location {
        Location::File(path) => create_if_missing(path)?,
        Location::Memory(_) => flags |= OpenFlags::SQLITE_OPEN_CREATE,
    }
    set_up(location, flags, options, sql, place).map_err(|failure| place.error(failure))
}

fn set_up(
    location: &Location,
    flags: OpenFlags,
    options: &SqliteOptions,
    sql: &Sql,
    place: &Place,
) -> Result<Connection, Failure> {
    let mut connection = location.connect(flags)?;
    prepare(&connection, options, WRITER_CACHE_KIB)?;
    schema::check(&connection, sql, place)?;
    if connection.is_readonly("main")? {
        return Err(Failure::Refusal(Error::ReadOnly {
            place: place.name.clone(),
            source: "the file may not be written".into(),
        }));
    }
    if location.is_file() {
        write_ahead(&connection, options, place)?;
    }
    limit_size(&connection, options)?;
    schema::migrate(&mut connection, sql, &options.table_prefix, place)?;
    Ok(connection)
}

/// Opens a connection that reads, to a store that a writer has opened.
pub(crate) fn open_reader(
    location: &Location,
    options: &SqliteOptions,
) -> Result<Connection, Failure> {
    let connection = location.connect(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    prepare(&connection, options, READER_CACHE_KIB)?;
    Ok(connection)
}

fn prepare(
    connection: &Connection,
    options: &SqliteOptions,
    cache_kib: i32,
) -> rusqlite::Result<()> {
    connection.busy_timeout(options.busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    connection.pragma_update(None, "cache_size", -cache_kib)
}

fn write_ahead(
    connection: &Connection,
    options: &SqliteOptions,
    place: &Place,
) -> Result<(), Failure> {
    let mode: String = patiently(options.busy_timeout, || {
        connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
    })?;
    if mode != "wal" {
        return Err(place
            .not_a_store(format!("its journal stays {mode:?} and cannot be \"wal\""))
            .into());
    }
    let synchronous = match options.durability {
        Durability::Sync => "full",
        _ => "normal",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT)?;
    Ok(())
}

fn limit_size(connection: &Connection, options: &SqliteOptions) -> rusqlite::Result<()> {
    let Some(bytes) = options.file_bytes_max else {
        return Ok(());
    };
    let page_bytes: u64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    let pages = (bytes / page_bytes).clamp(1, u64::from(u32::MAX) - 1);
    connection.pragma_update(None, "max_page_count", pages)
}

/// Tries again what SQLite gives up at once, although somebody else is only busy for a moment.
fn patiently<T>(
    timeout: Duration,
    mut attempt: impl FnMut() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && start.elapsed() < timeout =>
            {
                thread::park_timeout(Duration::from_millis(1));
            }
            answer => return answer,
        }
    }
}

/// Creates an empty file that only its owner may read and write, whatever the umask; SQLite gives the files that it
/// makes beside it the same permissions.
///
/// A file that is there is not opened: closing it again would release the locks that other connections of this
/// process have on it. For the same reason nobody else may be opening the file now.
fn create_if_missing(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => Err(refused(path, "it is a symbolic link")),
        Ok(found) if found.is_dir() => Err(refused(path, "it is a directory")),
        Ok(_) => Ok(()),
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => create(path),
        Err(error) => Err(open_error(path, error)),
    }
}

fn refused(path: &Path, why: &str) -> Error {
    open_error(path, io::Error::other(why))
}

fn create(path: &Path) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path).and_then(make_private) {
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        answer => answer.map_err(|error| open_error(path, error)),
    }
}

/// Undoes what the umask took from the owner.
#[cfg(unix)]
fn make_private(file: fs::File) -> io::Result<()> {
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))
}

#[cfg(not(unix))]
fn make_private(_file: fs::File) -> io::Result<()> {
    Ok(())
}
