//! What a backup says of itself, and what was found held against it. Not here: how it is written down (JSON, `dlc-database`).

use std::{collections::BTreeMap, fmt, time::Duration};

use chrono::{DateTime, Utc};

use crate::{operations::books::Books, ports::inspection::Engine};

/// Version of the manifest's shape. A reader refuses a newer one.
pub const MANIFEST_SCHEMA: u64 = 1;

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The backup's identity, a UUID of version 7.
    pub id: String,
    /// Whose backup it is.
    pub engine: Engine,
    /// The database, redacted.
    pub database: String,
    /// The dlc that made it.
    pub dlc_version: String,
    /// The server's version, or the SQLite library's.
    pub server_version: String,
    /// What made the file, with its version.
    pub program: String,
    /// When the backup was begun.
    pub started_at: DateTime<Utc>,
    /// The moment that it shows: whatever was committed before is in it, and nothing else.
    pub snapshot_at: DateTime<Utc>,
    /// How long it took.
    pub took: Duration,
    /// Bytes of the file.
    pub size: u64,
    /// The file's SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// What is in it.
    pub contents: Contents,
    /// When it was last restored and found to be what it says.
    pub verified_at: Option<DateTime<Utc>>,
}

/// What is in a database: of a source at the moment of its snapshot, or of what was restored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Migrations that were applied, in order.
    pub migrations: Vec<String>,
    /// Every ordinary table by its name; on PostgreSQL with its schema.
    pub tables: BTreeMap<String, TableContents>,
    /// What the audit of coupons says; `None` where there are no coupons.
    pub books: Option<Books>,
}

/// What is in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableContents {
    /// Its rows.
    pub rows: u64,
    /// A sum over the rows' SHA-256, in hexadecimal digits: the same for the same rows in any order.
    pub hash: String,
}

/// Something that is not as the manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// A table is not there.
    TableMissing(String),
    /// A table is there that the manifest does not know.
    TableUnknown(String),
    /// A table has so many rows, and not so many.
    Rows {
        /// Its name.
        table: String,
        /// What the manifest says.
        expected: u64,
        /// What there is.
        found: u64,
    },
    /// A table has as many rows, and other ones.
    Values(String),
    /// Other migrations were applied.
    Migrations,
    /// The audit counts something else.
    Books,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TableMissing(table) => write!(f, "the table {table} is missing"),
            Self::TableUnknown(table) => write!(f, "the table {table} is none of the backup's"),
            Self::Rows { table, expected, found } => write!(f, "{table} has {found} rows, not {expected}"),
            Self::Values(table) => write!(f, "{table} has other values"),
            Self::Migrations => f.write_str("other migrations are applied"),
            Self::Books => f.write_str("the audit counts other coupons or claims"),
        }
    }
}

impl Contents {
    /// Coupons that do not add up.
    #[must_use]
    pub fn wrong_coupons(&self) -> u64 {
        self.books.as_ref().map_or(0, |books| books.wrong)
    }

    /// Rows of all tables.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.tables.values().map(|table| table.rows).sum()
    }
}

impl Manifest {
    /// Holds what was found against what was backed up.
    ///
    /// # Errors
    /// Everything that differs, by name.
    pub fn compare(&self, found: &Contents) -> Result<(), Vec<Difference>> {
        let mut differences = Vec::new();
        let expected = &self.contents;
        for (name, table) in &expected.tables {
            match found.tables.get(name) {
                None => differences.push(Difference::TableMissing(name.clone())),
                Some(other) if other.rows != table.rows => differences.push(Difference::Rows {
                    table: name.clone(),
                    expected: table.rows,
                    found: other.rows,
                }),
                Some(other) if other.hash != table.hash => differences.push(Difference::Values(name.clone())),
                Some(_) => {}
            }
        }
        let unknown = found.tables.keys().filter(|name| !expected.tables.contains_key(*name));
        differences.extend(unknown.cloned().map(Difference::TableUnknown));
        if found.migrations != expected.migrations {
            differences.push(Difference::Migrations);
        }
        let sums = |contents: &Contents| {
            let books = contents.books.as_ref();
            books.map(|books| (books.coupons, books.claims, books.wrong))
        };
        if sums(found) != sums(expected) {
            differences.push(Difference::Books);
        }
        if differences.is_empty() {
            Ok(())
        } else {
            Err(differences)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: u64, hash: &str) -> TableContents {
        TableContents {
            rows,
            hash: hash.to_owned(),
        }
    }

    fn contents(tables: &[(&str, u64, &str)]) -> Contents {
        Contents {
            tables: tables
                .iter()
                .map(|(name, rows, hash)| ((*name).to_owned(), table(*rows, hash)))
                .collect(),
            ..Contents::default()
        }
    }

    fn manifest(contents: Contents) -> Manifest {
        Manifest {
            id: "1".into(),
            engine: Engine::Sqlite,
            database: "sqlite://x".into(),
            dlc_version: "0".into(),
            server_version: "3".into(),
            program: "x".into(),
            started_at: DateTime::UNIX_EPOCH,
            snapshot_at: DateTime::UNIX_EPOCH,
            took: Duration::ZERO,
            size: 0,
            sha256: String::new(),
            contents,
            verified_at: None,
        }
    }

    #[test]
    fn whatever_differs_is_named() {
        let made = manifest(contents(&[("a", 1, "x"), ("b", 2, "y"), ("c", 3, "z"), ("d", 0, "0")]));
        assert_eq!(made.compare(&made.contents), Ok(()));
        let mut found = contents(&[("a", 1, "x"), ("b", 3, "y"), ("c", 3, "w"), ("e", 0, "0")]);
        found.migrations.push("m1".into());
        found.books = Some(Books {
            coupons: 1,
            claims: 0,
            wrong: 0,
            told: Vec::new(),
        });
        let words: Vec<String> = made
            .compare(&found)
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            words,
            [
                "b has 3 rows, not 2",
                "c has other values",
                "the table d is missing",
                "the table e is none of the backup's",
                "other migrations are applied",
                "the audit counts other coupons or claims",
            ]
        );
    }
}
