//! Finding programs on this machine and running them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;

/// Finds the directory that holds all of `programs`: the newest version below `versions`, where Debian keeps several
/// side by side, or else one of the search path.
pub(crate) fn find_dir(versions: &Path, programs: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let search_path = env::split_paths(&path).collect::<Vec<_>>();
    let mut dirs = newest_first(versions).into_iter().chain(search_path);
    dirs.find(|dir| programs.iter().all(|program| dir.join(program).is_file()))
}

fn newest_first(versions: &Path) -> Vec<PathBuf> {
    let number = |dir: &PathBuf| dir.file_name()?.to_str()?.parse::<u32>().ok();
    let entries = versions.read_dir().into_iter().flatten().flatten();
    let mut versions: Vec<_> = entries.map(|entry| entry.path()).collect();
    versions.sort_by_key(|dir| std::cmp::Reverse(number(dir)));
    versions.iter().map(|dir| dir.join("bin")).collect()
}

/// Runs a command to its end and answers what it printed.
///
/// # Errors
/// What it printed, if it failed.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if !output.status.success() {
        let said = [text(&output.stdout), text(&output.stderr)].concat();
        return Err(format!("{program} failed, {}: {said}", output.status).into());
    }
    Ok(text(&output.stdout))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_newest_version_is_chosen_by_number() {
        let dir = tempfile::tempdir().unwrap();
        for version in ["9", "15", "notes"] {
            fs::create_dir_all(dir.path().join(version).join("bin")).unwrap();
            fs::write(dir.path().join(version).join("bin/of-no-search-path"), "").unwrap();
        }
        let found = find_dir(dir.path(), &["of-no-search-path"]).unwrap();
        assert_eq!(found, dir.path().join("15/bin"));
        assert_eq!(
            find_dir(dir.path(), &["of-no-search-path", "another"]),
            None
        );
    }

    #[test]
    fn a_failing_program_is_quoted() {
        let error = run(Command::new("sh").args(["-c", "echo no >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().ends_with("exit status: 3: no"), "{error}");
    }
}
