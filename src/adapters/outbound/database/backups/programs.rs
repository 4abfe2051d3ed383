//! PostgreSQL's own programs, `pg_dump`, `pg_restore` and `psql`: found by their version. Not here: how they are run (`running`).

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use dlc_application::ports::backups::{BackupError, ProgramMissing};
use tokio::process::Command;

/// Nobody needs longer to say which version it is.
const VERSION_LIMIT: Duration = Duration::from_secs(10);
/// Where each version has a directory of its own: Debian and its kin, Red Hat and its kin.
const USUAL: [(&str, &str, &str); 2] = [("/usr/lib/postgresql", "", "bin"), ("/usr", "pgsql-", "bin")];

/// Where programs are looked for.
#[derive(Clone, Debug, Default)]
pub struct ProgramPlaces {
    /// The only directory; `None`: those of the search path, and the usual ones.
    pub only_in: Option<PathBuf>,
    /// The search path.
    pub path: Vec<PathBuf>,
    /// Files of authorities that sign certificates, the best first: for a program where the URL names none.
    pub authorities: Vec<PathBuf>,
    /// Variables that are none of a program's business: dlc's own, secrets among them.
    pub hidden: Vec<String>,
}

/// A program that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) path: PathBuf,
    major: u32,
    version: String,
}

impl Program {
    /// Its name and version.
    pub(super) fn shown(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    pub(super) fn major(&self) -> u32 {
        self.major
    }
}

/// Finds the oldest version that is not older than `major`: it knows the server, and what it writes is read by the most others.
pub(super) async fn find(places: &ProgramPlaces, name: &'static str, major: u32) -> Result<Program, BackupError> {
    let mut found = Vec::new();
    for directory in directories(places) {
        let path = directory.join(name);
        // Debian's wrapper chooses by itself, and not by what the server is.
        let is_wrapper = std::fs::canonicalize(&path).is_ok_and(|real| real.ends_with("pg_wrapper"));
        if is_wrapper || !path.is_file() {
            continue;
        }
        if let Some((major, version)) = version(&path).await {
            found.push(Program {
                name,
                path,
                major,
                version,
            });
        }
    }
    let fit = found.iter().filter(|program| program.major >= major);
    fit.min_by_key(|program| program.major).cloned().ok_or_else(|| {
        let found = found
            .iter()
            .map(|program| format!("{} is {}", program.path.display(), program.version));
        BackupError::Program(ProgramMissing {
            program: name,
            major,
            found: found.collect(),
            only_in: places.only_in.clone(),
        })
    })
}

fn directories(places: &ProgramPlaces) -> Vec<PathBuf> {
    if let Some(only) = &places.only_in {
        return vec![only.clone()];
    }
    let versions = USUAL.iter().flat_map(|(parent, prefix, bin)| {
        let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
        let of_a_version = entries.filter(move |entry| {
            let name = entry.file_name();
            let rest = name.to_string_lossy().strip_prefix(prefix).map(str::to_owned);
            rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        });
        of_a_version.map(move |entry| entry.path().join(bin))
    });
    places.path.iter().cloned().chain(versions).collect()
}

/// "pg_dump (PostgreSQL) 16.4 (Debian 16.4-1)" is 16, and "16.4".
fn parse(text: &str) -> Option<(u32, String)> {
    let (_, rest) = text.trim().split_once("(PostgreSQL) ")?;
    let version = rest.split_whitespace().next()?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    Some((digits.parse().ok()?, version.to_owned()))
}

async fn version(program: &Path) -> Option<(u32, String)> {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(VERSION_LIMIT, command.output()).await.ok()?.ok()?;
    parse(&String::from_utf8_lossy(&output.stdout))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_as_each_of_them_says_it() {
        for (text, major, version) in [
            ("pg_dump (PostgreSQL) 16.4 (Debian 16.4-1.pgdg120+1)\n", 16, "16.4"),
            ("pg_dump (PostgreSQL) 9.6.24", 9, "9.6.24"),
            ("pg_restore (PostgreSQL) 18beta1", 18, "18beta1"),
        ] {
            assert_eq!(parse(text), Some((major, version.to_owned())));
        }
        assert_eq!(parse("no version at all"), None);
    }
}
