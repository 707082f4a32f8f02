//! What is wrong outside of the store: each a typed error that names the thing and leaves the data as it was.

#![expect(clippy::unwrap_used, reason = "what helps tests is a test")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ledger_core::{Batch, Error, NewEntry, Payload, ReadOptions, Result, Store};
use ledger_sqlite::rusqlite::Connection;
use ledger_sqlite::{SqliteOptions, SqliteStore};
use tempfile::TempDir;

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ledger.db");
    (directory, path)
}

fn batch(key: &str, payload_bytes: usize) -> Batch<u64> {
    let entry = NewEntry::new(Payload::octets(vec![7; payload_bytes])).dedup_key(key);
    Batch::new("s", vec![entry])
}

async fn keys(store: &SqliteStore) -> Result<Vec<String>> {
    let page = store
        .read(&"s".into(), &ReadOptions::new().limit(10_000))
        .await?;
    Ok(page
        .into_iter()
        .filter_map(|entry| entry.dedup_key)
        .collect())
}

/// Makes a store that holds entry "a".
async fn store_at(path: &Path) {
    let store = SqliteStore::open(path).await.unwrap();
    store.append(batch("a", 10)).await.unwrap();
    store.close().await.unwrap();
}

async fn refusal(path: &Path) -> Error {
    SqliteStore::open(path).await.expect_err("it must not open")
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_alone() {
    let (_directory, path) = place();
    let text = "Dear diary, ".repeat(1_000);
    fs::write(&path, &text).unwrap();
    let error = refusal(&path).await;
    assert!(matches!(error, Error::NotAStore { place, .. } if place == name(&path)));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn tables_of_somebody_else_are_left_alone() {
    let (_directory, path) = place();
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch("CREATE TABLE ledger_entries (amount)")
        .unwrap();
    drop(connection);
    let before = fs::read(&path).unwrap();
    let error = refusal(&path).await;
    assert!(matches!(error, Error::NotAStore { place, .. } if place == name(&path)));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn another_prefix_goes_beside_tables_of_somebody_else() {
    let (_directory, path) = place();
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch("CREATE TABLE ledger_entries (amount)")
        .unwrap();
    let options = SqliteOptions::default().with_table_prefix("events_");
    let store = SqliteStore::open_with(&path, options).await.unwrap();
    store.append(batch("a", 10)).await.unwrap();
    assert_eq!(keys(&store).await.unwrap(), ["a"]);
}

#[tokio::test]
async fn a_database_whose_text_is_not_utf_8_is_left_alone() {
    let (_directory, path) = place();
    let connection = Connection::open(&path).unwrap();
    let sql = "PRAGMA encoding = 'UTF-16le'; CREATE TABLE t (x)";
    connection.execute_batch(sql).unwrap();
    drop(connection);
    let before = fs::read(&path).unwrap();
    let error = refusal(&path).await;
    assert!(matches!(error, Error::NotAStore { reason, .. } if reason.contains("UTF-16le")));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_directory_is_no_file() {
    let (directory, _) = place();
    let error = refusal(directory.path()).await;
    assert!(matches!(error, Error::Open { place, .. } if place == name(directory.path())));
}

#[tokio::test]
async fn a_missing_directory_is_not_created() {
    let (directory, _) = place();
    let parent = directory.path().join("missing");
    let path = parent.join("ledger.db");
    let error = refusal(&path).await;
    assert!(matches!(error, Error::Open { place, .. } if place == name(&path)));
    assert!(!parent.exists());
}

#[cfg(unix)]
#[tokio::test]
async fn a_symbolic_link_is_not_followed() {
    let (directory, path) = place();
    store_at(&path).await;
    let link = directory.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let error = refusal(&link).await;
    assert!(matches!(error, Error::Open { place, .. } if place == name(&link)));
}

#[tokio::test]
async fn a_prefix_that_is_no_name_is_refused() {
    let (_directory, path) = place();
    let options = SqliteOptions::default().with_table_prefix("x\"; DROP TABLE t; --");
    let error = SqliteStore::open_with(&path, options).await.unwrap_err();
    assert!(matches!(error, Error::InvalidInput { reason } if reason.contains("DROP")));
    assert!(!path.exists());
}

#[tokio::test]
async fn an_empty_file_is_a_new_store() {
    let (_directory, path) = place();
    fs::write(&path, "").unwrap();
    store_at(&path).await;
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(keys(&store).await.unwrap(), ["a"]);
}

#[tokio::test]
async fn a_damaged_file_is_left_alone() {
    let (_directory, path) = place();
    store_at(&path).await;
    let mut bytes = fs::read(&path).unwrap();
    let page_bytes = 4_096;
    // The first page says what is where; all others are destroyed.
    bytes[page_bytes..].fill(0xff);
    fs::write(&path, &bytes).unwrap();
    let error = match SqliteStore::open(&path).await {
        Ok(store) => store.append(batch("b", 10)).await.unwrap_err(),
        Err(error) => error,
    };
    assert!(matches!(error, Error::Corrupt { place, .. } if place == name(&path)));
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[tokio::test]
async fn a_locked_file_is_busy_until_it_is_free() {
    let (_directory, path) = place();
    store_at(&path).await;
    let timeout = Duration::from_millis(20);
    let options = SqliteOptions::default().with_busy_timeout(timeout);
    let store = SqliteStore::open_with(&path, options).await.unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();

    let error = store.append(batch("b", 10)).await.unwrap_err();
    assert!(error.is_retryable());
    let Error::Busy { place, waited, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!((place, waited), (name(&path), timeout));
    assert_eq!(keys(&store).await.unwrap(), ["a"], "reading goes on");

    other.execute_batch("COMMIT").unwrap();
    store.append(batch("b", 10)).await.unwrap();
    assert_eq!(keys(&store).await.unwrap(), ["a", "b"]);
}

/// Appends until there is no space, and answers the keys that were acknowledged.
async fn fill(store: &SqliteStore) -> Vec<String> {
    for number in 0.. {
        let key = number.to_string();
        match store.append(batch(&key, 10_000)).await {
            Ok(_) => {}
            Err(error) => {
                assert!(matches!(error, Error::Full { .. }), "{error:?}");
                break;
            }
        }
    }
    keys(store).await.unwrap()
}

#[tokio::test]
async fn a_file_at_its_bound_is_full_until_the_bound_is_raised() {
    let (_directory, path) = place();
    let options = SqliteOptions::default().with_file_bytes_max(512 << 10);
    let store = SqliteStore::open_with(&path, options).await.unwrap();
    let filled = fill(&store).await;
    assert!((20..60).contains(&filled.len()), "{}", filled.len());
    store
        .append(batch("0", 10_000))
        .await
        .expect("a duplicate needs no space");
    store.trim(&"s".into(), 10).await.unwrap();
    store
        .append(batch("small", 100))
        .await
        .expect("the trim made space");
    store.close().await.unwrap();

    let store = SqliteStore::open(&path).await.unwrap();
    store.append(batch("last", 100_000)).await.unwrap();
    let mut expected = filled[10..].to_vec();
    expected.extend(["small".into(), "last".into()]);
    assert_eq!(keys(&store).await.unwrap(), expected);
}

#[tokio::test]
async fn a_group_that_does_not_fit_leaves_those_that_do() {
    let (_directory, path) = place();
    let options = SqliteOptions::default().with_file_bytes_max(512 << 10);
    let store = SqliteStore::open_with(&path, options).await.unwrap();
    let append = |key: &'static str, bytes| {
        let store = store.clone();
        tokio::spawn(async move { store.append(batch(key, bytes)).await })
    };
    let appends = [append("a", 100), append("large", 1 << 20), append("b", 100)];
    let [a, large, b] = appends;
    assert!(matches!(large.await.unwrap(), Err(Error::Full { .. })));
    let ids = [a.await.unwrap().unwrap(), b.await.unwrap().unwrap()].map(|it| it.outcomes[0].id());
    assert_eq!(ids.iter().min(), Some(&1));
    assert_eq!(ids.iter().max(), Some(&2), "what failed used up no id");
}

#[cfg(target_os = "linux")]
mod linux {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use super::*;

    /// Somebody who may not do everything.
    const NOBODY: u32 = 65_534;

    fn is_root(directory: &TempDir) -> bool {
        fs::metadata(directory.path()).unwrap().uid() == 0
    }

    /// As root: once more as somebody whom permissions concern, from a place where they can reach the program.
    #[test]
    fn a_file_that_may_not_be_written_is_read_only() {
        if let Some((_, path)) = support::part() {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            let error = runtime.block_on(refusal(&path));
            assert!(matches!(error, Error::ReadOnly { place, .. } if place == name(&path)));
            return;
        }
        let (directory, path) = place();
        tokio::runtime::Runtime::new()
            .unwrap()
            .block_on(store_at(&path));
        let before = fs::read(&path).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o444)).unwrap();
        fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let program = directory.path().join("program");
        fs::copy(support::program(), &program).unwrap();
        let test = "linux::a_file_that_may_not_be_written_is_read_only";
        let mut command = support::play(&program, test, "open", &path);
        if is_root(&directory) {
            command.uid(NOBODY);
        }
        support::assert_played(&command.output().unwrap());
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn files_are_private_whatever_the_umask() {
        if let Some((_, path)) = support::part() {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            let _store = runtime.block_on(SqliteStore::open(&path)).unwrap();
            for suffix in ["", "-wal", "-shm"] {
                let file = format!("{}{suffix}", path.display());
                let mode = fs::metadata(&file).unwrap().mode();
                assert_eq!(mode & 0o777, 0o600, "{file}");
            }
            return;
        }
        for umask in ["000", "022", "777"] {
            let (_directory, path) = place();
            let test = "linux::files_are_private_whatever_the_umask";
            let played = support::play(&support::program(), test, umask, &path);
            let mut command = Command::new("sh");
            command.args(["-c", &format!("umask {umask}; exec \"$@\""), "sh"]);
            command.arg(played.get_program()).args(played.get_args());
            command.envs(
                played
                    .get_envs()
                    .filter_map(|(key, value)| Some((key, value?))),
            );
            support::assert_played(&command.output().unwrap());
        }
    }

    /// A disk of one megabyte, as only root can have one.
    struct SmallDisk(TempDir);

    impl SmallDisk {
        fn mount() -> Option<Self> {
            let directory = tempfile::tempdir().unwrap();
            let mount = Command::new("mount")
                .args(["-t", "tmpfs", "-o", "size=1m", "none"])
                .arg(directory.path())
                .output();
            mount
                .is_ok_and(|output| output.status.success())
                .then_some(Self(directory))
        }
    }

    impl Drop for SmallDisk {
        fn drop(&mut self) {
            let unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
            assert!(unmounted.is_ok_and(|status| status.success()));
        }
    }

    #[tokio::test]
    async fn a_full_disk_is_full_until_there_is_space_again() {
        let Some(disk) = SmallDisk::mount() else {
            eprintln!("not applicable: a small disk cannot be mounted here");
            return;
        };
        let ballast = disk.0.path().join("ballast");
        fs::write(&ballast, vec![0; 300 << 10]).unwrap();
        let path = disk.0.path().join("ledger.db");
        let store = SqliteStore::open(&path).await.unwrap();
        let mut filled = fill(&store).await;
        assert!(!filled.is_empty());

        fs::remove_file(&ballast).unwrap();
        store.append(batch("after", 100)).await.unwrap();
        filled.push("after".into());
        assert_eq!(keys(&store).await.unwrap(), filled);
        store.close().await.unwrap();
        let store = SqliteStore::open(&path).await.unwrap();
        assert_eq!(keys(&store).await.unwrap(), filled);
        store.close().await.unwrap();
    }
}
