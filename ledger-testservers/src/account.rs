//! The account that servers run under.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::Result;

/// Whoever runs this program; but nobody special if that is root, whom database servers refuse.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    /// User and group to change to.
    change_to: Option<(u32, u32)>,
}

impl Account {
    /// Chooses the account that is to work in `dir`, which this process has just made, and gives it the directory.
    ///
    /// # Errors
    /// If the process is root's and the machine has no other user.
    pub(crate) fn to_work_in(dir: &Path) -> Result<Self> {
        let change_to = match fs::metadata(dir)?.uid() {
            0 => Some(unprivileged(&fs::read_to_string("/etc/passwd")?)?),
            _ => None,
        };
        let account = Self { change_to };
        account.own(dir)?;
        Ok(account)
    }

    /// Gives a file or directory to the account.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn own(self, path: &Path) -> Result<()> {
        match self.change_to {
            Some((user, group)) => Ok(chown(path, Some(user), Some(group))?),
            None => Ok(()),
        }
    }

    /// Makes a command that the account runs.
    pub(crate) fn command(self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        if let Some((user, group)) = self.change_to {
            command.uid(user).gid(group);
        }
        command
    }
}

/// Finds user and group of the first of some users that `passwd` knows.
fn unprivileged(passwd: &str) -> Result<(u32, u32)> {
    let ids = ["postgres", "nobody"]
        .iter()
        .find_map(|user| ids(passwd, user));
    Ok(ids.ok_or("root may not run servers, and there is no user `postgres` or `nobody`")?)
}

fn ids(passwd: &str, user: &str) -> Option<(u32, u32)> {
    let fields = |line: &'_ str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
    let line = passwd
        .lines()
        .map(fields)
        .find(|fields| fields[0] == user)?;
    Some((line.get(2)?.parse().ok()?, line.get(3)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65533::/:/bin/false\n";

    #[test]
    fn the_account_is_the_first_known_of_those_without_privileges() {
        assert_eq!(unprivileged(PASSWD).unwrap(), (65534, 65533));
        let more = format!("{PASSWD}postgres:x:101:104::/var/lib/postgresql:/bin/bash\n");
        assert_eq!(unprivileged(&more).unwrap(), (101, 104));
    }

    #[test]
    fn a_machine_of_root_alone_has_no_such_account() {
        assert!(unprivileged("root:x:0:0:root:/root:/bin/bash\n").is_err());
    }
}
